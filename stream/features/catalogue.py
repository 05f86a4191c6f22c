"""The catalogue: every feature's name, meaning, unit, window, default, and how to say it to a person."""

import hashlib
from collections.abc import Mapping
from typing import Final, NamedTuple

from stream.features.customer import CUSTOMER_FEATURES, HIGH_RATIO
from stream.features.risk import RISK_OF_CUSTOMER_FEATURES, TERMINAL_FEATURES


class Feature(NamedTuple):
    """One column of the matrix that models see."""

    name: str
    definition: str
    unit: str
    window: str
    default: float
    """The value for a customer or terminal never seen before."""
    text: str
    """A reason in words: `str.format` over all features by name, `usual` and `usual_count_1d`."""


_FEATURES = (
    Feature("amount", "The amount.", "currency", "", 0.0, "amount {amount:.2f}, usually {usual:.2f}"),
    Feature("hour_of_day", "UTC hour with its fraction.", "hours", "", 0.0, "at {hour_of_day:.0f} h UTC"),
    Feature("weekend", "Saturday or Sunday, UTC.", "0 or 1", "", 0.0, "on a weekend"),
    Feature(
        "customer_count_1d",
        "The customer's transactions before this one.",
        "transactions",
        "24 h in hours",
        0.0,
        "{customer_count_1d:.0f} transactions in 24 h, usually {usual_count_1d:.1f}",
    ),
    Feature(
        "customer_count_7d",
        "The customer's transactions before this one.",
        "transactions",
        "7 d in days",
        0.0,
        "{customer_count_7d:.0f} transactions in 7 days",
    ),
    Feature(
        "customer_count_30d",
        "The customer's transactions before this one.",
        "transactions",
        "30 d in days",
        0.0,
        "{customer_count_30d:.0f} transactions in 30 days",
    ),
    Feature(
        "customer_mean_7d",
        "Mean of the customer's amounts before this one; the amount itself when there is none.",
        "currency",
        "7 d in days",
        0.0,
        "mean amount {customer_mean_7d:.2f} over 7 days",
    ),
    Feature(
        "amount_ratio",
        "Amount over the customer's robust running mean, at most 100.",
        "ratio",
        "about 60 transactions",
        1.0,
        "amount {amount:.2f} is {amount_ratio:.1f} times the customer's usual {usual:.2f}",
    ),
    Feature(
        "amount_zscore",
        "Distance of the amount from that mean in robust standard deviations, within ±50.",
        "standard deviations",
        "about 60 transactions",
        0.0,
        "amount {amount:.2f} is {amount_zscore:.1f} standard deviations from the usual {usual:.2f}",
    ),
    Feature(
        "hours_since_last",
        "Time since the customer's last transaction, at most 720.",
        "hours",
        "",
        720.0,
        "{hours_since_last:.1f} h since the customer's last transaction",
    ),
    Feature(
        "high_count_14d",
        f"The customer's transactions at {HIGH_RATIO} times the usual amount or more.",
        "transactions",
        "14 d in days",
        0.0,
        "{high_count_14d:.0f} unusually high amounts in 14 days",
    ),
    Feature(
        "max_ratio_14d",
        "Largest `amount_ratio` of the customer.",
        "ratio",
        "14 d in days",
        0.0,
        "an amount {max_ratio_14d:.1f} times the usual within 14 days",
    ),
    Feature(
        "new_terminal",
        "The customer was not at this terminal before, by a 256-bit set of hashes.",
        "0 or 1",
        "",
        1.0,
        "first time at this terminal",
    ),
    Feature(
        "terminal_frauds_1d",
        "Frauds reported at the terminal.",
        "frauds",
        "the day of label time",
        0.0,
        "{terminal_frauds_1d:.0f} frauds reported at this terminal today",
    ),
    Feature(
        "terminal_frauds_7d",
        "Frauds reported at the terminal.",
        "frauds",
        "7 d of label time",
        0.0,
        "{terminal_frauds_7d:.0f} frauds reported at this terminal in 7 days",
    ),
    Feature(
        "terminal_frauds_30d",
        "Frauds reported at the terminal.",
        "frauds",
        "30 d of label time",
        0.0,
        "{terminal_frauds_30d:.0f} frauds reported at this terminal in 30 days",
    ),
    Feature(
        "terminal_fraud_rate_30d",
        "Frauds over labels (plus five) reported at the terminal.",
        "share",
        "30 d of label time",
        0.0,
        "{terminal_fraud_rate_30d:.0%} of what was reported at this terminal in 30 days was fraud",
    ),
    Feature(
        "terminal_fraud_run",
        "Frauds in a row at the terminal that their amounts do not explain.",
        "frauds",
        "since the last legitimate label",
        0.0,
        "{terminal_fraud_run:.0f} frauds in a row at this terminal",
    ),
    Feature(
        "terminal_run_age",
        "Time since the first fraud of that run; 0 without a run.",
        "days",
        "at most 60",
        0.0,
        "frauds in a row at this terminal for {terminal_run_age:.0f} days",
    ),
    Feature(
        "terminal_days_since_fraud",
        "Time since the terminal's last known fraud.",
        "days",
        "at most 60",
        60.0,
        "last fraud at this terminal {terminal_days_since_fraud:.0f} days ago",
    ),
    Feature(
        "terminal_last_ratio",
        "`amount_ratio` of the terminal's last known fraud.",
        "ratio",
        "",
        0.0,
        "the last fraud here was {terminal_last_ratio:.1f} times its customer's usual amount",
    ),
    Feature(
        "customer_frauds_30d",
        "Frauds reported on the customer.",
        "frauds",
        "30 d of label time",
        0.0,
        "{customer_frauds_30d:.0f} frauds reported on this customer in 30 days",
    ),
    Feature(
        "customer_days_since_fraud",
        "Time since the customer's last known fraud.",
        "days",
        "at most 60",
        60.0,
        "last fraud on this customer {customer_days_since_fraud:.0f} days ago",
    ),
)

CATALOGUE: Final[tuple[Feature, ...]] = _FEATURES
FEATURE_NAMES: Final = tuple(feature.name for feature in CATALOGUE)
WIDTH: Final = len(FEATURE_NAMES)
SCHEMA: Final = hashlib.sha256(repr([f[:5] for f in CATALOGUE]).encode()).hexdigest()[:8]
"""Names, order and meaning of the features: models and stored vectors of another schema do not fit."""
AMOUNT: Final = FEATURE_NAMES.index("amount")
RATIO: Final = FEATURE_NAMES.index("amount_ratio")

assert FEATURE_NAMES[3:] == CUSTOMER_FEATURES + TERMINAL_FEATURES + RISK_OF_CUSTOMER_FEATURES


def say(feature: str, row: Mapping[str, float]) -> str:
    """Put a feature's value into words, with the customer's own normal beside it.

    Parameters
    ----------
    feature
        Its name.
    row
        Every feature of the transaction by name.

    Examples
    --------
    >>> row = dict.fromkeys(FEATURE_NAMES, 0.0)
    >>> say("amount_ratio", {**row, "amount": 420.0, "amount_ratio": 8.4})
    "amount 420.00 is 8.4 times the customer's usual 50.00"
    """
    ratio = row["amount_ratio"]
    context = {
        "usual": row["amount"] / ratio if ratio else row["amount"],
        "usual_count_1d": row["customer_count_30d"] / 30,
    }
    return _TEXTS[feature].format(**row, **context)


_TEXTS = {feature.name: feature.text for feature in CATALOGUE}
