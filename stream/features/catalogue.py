"""The catalogue: every feature's name, meaning, unit, window and default. It makes ``docs/features.md``."""

import hashlib
import sys
from typing import Final, NamedTuple

from stream.features.customer import CAP, CUSTOMER_FEATURES, HIGH_RATIO
from stream.features.risk import EXPLAINED_RATIO, RECENT, RISK_OF_CUSTOMER_FEATURES, TERMINAL_FEATURES


class Feature(NamedTuple):
    """One column of the matrix that models see."""

    name: str
    definition: str
    unit: str
    window: str
    default: float | None
    """The value for a customer or terminal never seen before; None where it is the transaction's own."""


_FEATURES = (
    Feature("amount", "The amount.", "currency", "", None),
    Feature("hour_of_day", "UTC hour with its fraction.", "hours", "", None),
    Feature(
        "customer_count_2h",
        "The customer's transactions before this one, in the hour of this one and the hour before.",
        "transactions",
        "2 h in hours",
        0.0,
    ),
    Feature(
        "customer_count_1d",
        "The customer's transactions before this one.",
        "transactions",
        "24 h in hours",
        0.0,
    ),
    Feature(
        "customer_count_7d",
        "The customer's transactions before this one.",
        "transactions",
        "7 d in days",
        0.0,
    ),
    Feature(
        "customer_count_30d",
        "The customer's transactions before this one.",
        "transactions",
        "30 d in days",
        0.0,
    ),
    Feature(
        "customer_mean_7d",
        "Mean of the customer's amounts before this one; 0 when there is none.",
        "currency",
        "7 d in days",
        0.0,
    ),
    Feature(
        "spend_ratio_1d",
        "This amount and what the customer spent before it on the same UTC day, over the median of the"
        " earlier days on which they spent anything; 1 when there is no such day, at most 100.",
        "ratio",
        "the day against the 29 before",
        1.0,
    ),
    Feature(
        "amount_ratio",
        "Amount over the customer's robust running mean, at most 100; 1 when nothing is known.",
        "ratio",
        "about 60 transactions",
        1.0,
    ),
    Feature(
        "amount_zscore",
        "Distance of the amount from that mean in robust standard deviations, within ±50.",
        "standard deviations",
        "about 60 transactions",
        0.0,
    ),
    Feature(
        "hours_since_last",
        "Time since the customer's last transaction, at most 720.",
        "hours",
        "at most 30 d",
        720.0,
    ),
    Feature(
        "hour_share",
        "Share of the customer's transactions before this one in the same three hours of the UTC day (from 0,"
        " 3, 6, ... h), with one transaction more assumed in each of the eight parts of the day.",
        "share",
        "128 transactions or more, older ones fading",
        0.125,
    ),
    Feature(
        "high_count_14d",
        f"The customer's transactions at {HIGH_RATIO} times the usual amount or more.",
        "transactions",
        "14 d in days",
        0.0,
    ),
    Feature(
        "max_ratio_14d",
        "Largest `amount_ratio` of the customer before this one; 0 when there is none.",
        "ratio",
        "14 d in days",
        0.0,
    ),
    Feature(
        "ratio_to_max_14d",
        "`amount_ratio` over `max_ratio_14d`, at most 100; 1 when the latter is 0.",
        "ratio",
        "14 d in days",
        1.0,
    ),
    Feature(
        "days_since_high",
        f"Time since the customer's last transaction at {HIGH_RATIO} times the usual amount or more, at most"
        " 30.",
        "days",
        "at most 30 d",
        30.0,
    ),
    Feature(
        "new_terminal",
        "The customer was not at this terminal before, by a 256-bit set of hashes.",
        "0 or 1",
        "",
        1.0,
    ),
    Feature(
        "new_country",
        "The customer was in other countries before and never in this one, by a 64-bit set of hashes; 0 when"
        " no country is given or none was before.",
        "0 or 1",
        "",
        0.0,
    ),
    Feature(
        "new_category",
        "The same of the merchant category, by a 64-bit set of hashes.",
        "0 or 1",
        "",
        0.0,
    ),
    Feature("new_channel", "The same of the channel, by a 16-bit set of hashes.", "0 or 1", "", 0.0),
    Feature(
        "terminal_frauds_7d",
        "Frauds reported at the terminal.",
        "frauds",
        "7 d of label time",
        0.0,
    ),
    Feature(
        "terminal_frauds_30d",
        "Frauds reported at the terminal.",
        "frauds",
        "30 d of label time",
        0.0,
    ),
    Feature(
        "terminal_fraud_rate_30d",
        "Frauds over labels (plus five) reported at the terminal.",
        "share",
        "30 d of label time",
        0.0,
    ),
    Feature(
        "terminal_recent_share",
        "Frauds over labels (plus one) among the terminal's last labels in order of arrival. Frauds that"
        " their amounts explain are left out, from both.",
        "share",
        f"{RECENT} labels",
        0.0,
    ),
    Feature(
        "terminal_fraud_run",
        "Frauds in a row at the terminal that their amounts do not explain.",
        "frauds",
        "since the last legitimate label",
        0.0,
    ),
    Feature(
        "terminal_run_age",
        "Time since the first fraud of that run, at most 60; 0 without a run.",
        "days",
        "at most 60 d",
        0.0,
    ),
    Feature(
        "terminal_days_since_fraud",
        "Time since the terminal's last known fraud, at most 60.",
        "days",
        "at most 60 d",
        60.0,
    ),
    Feature(
        "terminal_last_ratio",
        "`amount_ratio` of the terminal's last known fraud; 0 when there was none.",
        "ratio",
        "",
        0.0,
    ),
    Feature(
        "customer_frauds_30d",
        "Frauds reported on the customer.",
        "frauds",
        "30 d of label time",
        0.0,
    ),
    Feature(
        "customer_days_since_fraud",
        "Time since the customer's last known fraud, at most 60.",
        "days",
        "at most 60 d",
        60.0,
    ),
)

CATALOGUE: Final[tuple[Feature, ...]] = _FEATURES
FEATURE_NAMES: Final = tuple(feature.name for feature in CATALOGUE)
WIDTH: Final = len(FEATURE_NAMES)
SCHEMA: Final = hashlib.sha256(repr([tuple(f) for f in CATALOGUE]).encode()).hexdigest()[:8]
"""Names, order and meaning of the features: models and stored vectors of another schema do not fit."""
AMOUNT: Final = FEATURE_NAMES.index("amount")
RATIO: Final = FEATURE_NAMES.index("amount_ratio")

assert FEATURE_NAMES[2:] == CUSTOMER_FEATURES + TERMINAL_FEATURES + RISK_OF_CUSTOMER_FEATURES


def catalogue_page() -> str:
    """Return the catalogue as the Markdown of ``docs/features.md``."""
    rows = [
        f"| {n} | `{f.name}` | {f.definition} | {f.unit} | {f.window} |"
        f" {'' if f.default is None else f'{f.default:g}'} |"
        for n, f in enumerate(CATALOGUE)
    ]
    return _PAGE.format(schema=SCHEMA, width=WIDTH, cap=CAP, explained=EXPLAINED_RATIO, rows="\n".join(rows))


_PAGE: Final = """# Features

What models see of a transaction: {width} numbers, in this order in every pending record and on `scores`.
Made from the catalogue: `python -m stream.features.catalogue > docs/features.md`. Schema: `{schema}`.

"Before" a transaction is what arrived before it; it is itself in none of its features. Windows are of event
time, in buckets of a UTC hour or day: one of 7 days covers the transaction's own day, as far as it has
come, and the six days before. A late event is counted in its own day as long as the window holds it, and is
judged by the windows that end with its own time. Windows of label time count what was *reported* in them,
whenever it happened.

A fraud's amount explains it at {explained:g} times its customer's usual amount, or 3 standard deviations
above it: such a fraud says little of the terminal. The usual amount is a running mean of about 60
transactions that takes each amount as at most {cap:g} times itself, so that a large fraud hardly moves it.
Amounts of zero are left out.

The default is the value for a customer or terminal never seen before.

| | feature | definition | unit | window | default |
|---|---|---|---|---|---|
{rows}
"""


if __name__ == "__main__":
    sys.stdout.write(catalogue_page())
