"""The words of a feature: what its value says of a transaction, with the customer's own normal beside it.

A phrase says no more than the feature's row holds. Where that cannot tell whether anything was known of the
customer, or where the feature stops at a bound, the phrase leaves it open.
"""

from collections.abc import Callable, Mapping
from typing import Final

from stream.features.customer import (
    HOUR_PARTS,
    MAX_RATIO,
    MAX_SINCE_HIGH_DAYS,
    MAX_SINCE_HOURS,
    MAX_ZSCORE,
)
from stream.features.risk import MAX_AGE_DAYS

Row = Mapping[str, float]
"""Every feature of a transaction by name."""


SAID_OF_THE_AMOUNT: Final = frozenset({"amount", "amount_ratio", "amount_zscore"})
"""Features whose phrases all give the amount beside what is usual: one of them is enough for a reader."""


def say(feature: str, row: Row) -> str:
    """Put a feature's value into words.

    Parameters
    ----------
    feature
        Its name.
    row
        Every feature of the transaction by name.

    Examples
    --------
    >>> row = {"customer_count_7d": 9.0, "customer_count_30d": 63.0, "customer_count_1d": 12.0}
    >>> say("customer_count_1d", row)
    '12 transactions in 24 h, usually 2.1'
    """
    return _PHRASES[feature](row)


def _amount(row: Row) -> str:
    usual = _usual(row)
    return f"amount {_money(row['amount'])}" + (f", usually {usual}" if usual else "")


def _hour_of_day(row: Row) -> str:
    minutes = int(row["hour_of_day"] * 60)
    return f"at {minutes // 60:02d}:{minutes % 60:02d} UTC"


def _customer_count_2h(row: Row) -> str:
    return f"{_count(row['customer_count_2h'], 'transaction')} in 2 h" + _usually(row, 1.0, " a day")


def _customer_count_1d(row: Row) -> str:
    return f"{_count(row['customer_count_1d'], 'transaction')} in 24 h" + _usually(row, 1.0)


def _customer_count_7d(row: Row) -> str:
    return f"{_count(row['customer_count_7d'], 'transaction')} in 7 days" + _usually(row, 7.0)


def _customer_count_30d(row: Row) -> str:
    return f"{_count(row['customer_count_30d'], 'transaction')} in 30 days"


def _customer_mean_7d(row: Row) -> str:
    if not row["customer_count_7d"]:
        return "no transaction in 7 days"
    usual = _usual(row)
    return f"mean amount {_money(row['customer_mean_7d'])} over 7 days" + (
        f", usually {usual}" if usual else ""
    )


def _spend_ratio_1d(row: Row) -> str:
    ratio = row["spend_ratio_1d"]
    if ratio == 1:
        return "spending today, with this amount, like that of a usual day as far as that is known"
    usual = "that of the customer's usual day"
    return f"spending today, with this amount, {_times(ratio, usual)}"


def _amount_ratio(row: Row) -> str:
    amount, ratio = _money(row["amount"]), row["amount_ratio"]
    if _neutral(row):
        return f"amount {amount}, {_NEUTRAL}"
    usual = f"the customer's usual {_usual(row) or 'amount'}"
    return f"amount {amount}, {_times(ratio, usual)}"


def _amount_zscore(row: Row) -> str:
    amount, zscore = _money(row["amount"]), row["amount_zscore"]
    if _neutral(row):
        return f"amount {amount}, {_NEUTRAL}"
    usual = f"the customer's usual {_usual(row) or 'amount'}"
    size = abs(zscore)
    if size < _SMALL:
        return f"amount {amount}, about {usual}"
    deviations = f"{MAX_ZSCORE:.0f} or more" if size >= MAX_ZSCORE else f"{size:.1f}"
    return f"amount {amount}, {deviations} standard deviations {'above' if zscore > 0 else 'below'} {usual}"


def _hours_since_last(row: Row) -> str:
    hours = row["hours_since_last"]
    if hours >= MAX_SINCE_HOURS:
        return "no transaction of the customer in the 30 days before"
    usual = ""
    if _settled(row):
        usual = f", usually every {_duration(30 * 24 / row['customer_count_30d'])}"
    return f"{_duration(hours)} after the customer's last transaction" + usual


def _hour_share(row: Row) -> str:
    hours = 24 // HOUR_PARTS
    start = int(row["hour_of_day"]) // hours * hours
    when = f"between {start:02d}:00 and {start + hours:02d}:00 UTC"
    if row["hour_share"] == 1 / HOUR_PARTS:
        return f"{when}, as usual for this customer as other hours as far as is known"
    return f"{when}, when this customer makes about {_percent(row['hour_share'])} of their transactions"


def _high_count_14d(row: Row) -> str:
    return f"{_count(row['high_count_14d'], 'unusually high amount')} of the customer in 14 days"


def _max_ratio_14d(row: Row) -> str:
    ratio = row["max_ratio_14d"]
    if not ratio:
        return "no amount of the customer in 14 days"
    return f"the customer's largest amount in 14 days was {_times(ratio, 'the usual')}"


def _ratio_to_max_14d(row: Row) -> str:
    amount, ratio = _money(row["amount"]), row["ratio_to_max_14d"]
    if not row["max_ratio_14d"]:
        return f"amount {amount}, with none of the customer in 14 days to compare it with"
    largest = "the customer's largest in 14 days, each against the usual of then"
    return f"amount {amount}, {_times(ratio, largest)}"


def _days_since_high(row: Row) -> str:
    days = row["days_since_high"]
    if days >= MAX_SINCE_HIGH_DAYS:
        return "no unusually high amount of the customer in 30 days"
    return f"{_duration(days * 24)} after an unusually high amount of the customer"


def _new_terminal(row: Row) -> str:
    return "first time at this terminal" if row["new_terminal"] else "not known to be new at this terminal"


def _new_country(row: Row) -> str:
    return "first time in this country" if row["new_country"] else "no country new to the customer"


def _new_category(row: Row) -> str:
    if row["new_category"]:
        return "first time in this merchant category"
    return "no merchant category new to the customer"


def _new_channel(row: Row) -> str:
    return "first time through this channel" if row["new_channel"] else "no channel new to the customer"


def _terminal_frauds_7d(row: Row) -> str:
    return f"{_count(row['terminal_frauds_7d'], 'fraud')} reported at this terminal in 7 days"


def _terminal_frauds_30d(row: Row) -> str:
    return f"{_count(row['terminal_frauds_30d'], 'fraud')} reported at this terminal in 30 days"


def _terminal_fraud_rate_30d(row: Row) -> str:
    frauds, rate = row["terminal_frauds_30d"], row["terminal_fraud_rate_30d"]
    if not frauds or not rate:
        return "no fraud reported at this terminal in 30 days"
    # The rate assumes five labels more than there were. A correction may count a fraud whose label is not.
    labels = max(round(frauds / rate) - 5, round(frauds))
    among = f"{_count(frauds, 'fraud')} among {_count(labels, 'transaction')}"
    return f"{among} judged at this terminal in 30 days"


def _terminal_recent_share(row: Row) -> str:
    share = row["terminal_recent_share"]
    if not share:
        return "no fraud that its amount does not explain among the last judged at this terminal"
    return f"frauds about {_percent(share)} of the transactions last judged at this terminal"


def _terminal_fraud_run(row: Row) -> str:
    run = row["terminal_fraud_run"]
    if not run:
        return "no run of frauds at this terminal"
    if run == 1:
        return "a fraud at this terminal, and nothing legitimate known since"
    return f"{run:.0f} frauds in a row at this terminal"


def _terminal_run_age(row: Row) -> str:
    if not row["terminal_fraud_run"]:
        return "no run of frauds at this terminal"
    return f"nothing legitimate known at this terminal since a fraud {_ago(row['terminal_run_age'])}"


def _terminal_days_since_fraud(row: Row) -> str:
    return _last_fraud("at this terminal", row["terminal_days_since_fraud"])


def _terminal_last_ratio(row: Row) -> str:
    ratio = row["terminal_last_ratio"]
    if not ratio:
        return "no fraud with an amount to compare known at this terminal"
    usual = "its customer's usual amount"
    return f"the last fraud at this terminal was {_times(ratio, usual)}"


def _customer_frauds_30d(row: Row) -> str:
    return f"{_count(row['customer_frauds_30d'], 'fraud')} reported on this customer in 30 days"


def _customer_days_since_fraud(row: Row) -> str:
    return _last_fraud("on this customer", row["customer_days_since_fraud"])


_NEUTRAL: Final = "the customer's usual as far as that is known"
_SMALL: Final = 0.05
_FLOAT32_DIGITS: Final = 7
_CENTS_UP_TO: Final = 10_000.0
"""A float32 does not hold the cents of larger amounts for certain."""
_TENTHS_UP_TO: Final = 10.0
_HOURS_UP_TO: Final = 48.0


def _neutral(row: Row) -> bool:
    """Whether the amount is just the usual one, or nothing is known to compare it with: it looks the same."""
    return row["amount_ratio"] == 1 and row["amount_zscore"] == 0


def _usual(row: Row) -> str | None:
    """Return the customer's usual amount; None when it may not be known, or a bound hides it."""
    ratio = row["amount_ratio"]
    return None if _neutral(row) or not 0 < ratio < MAX_RATIO else _money(row["amount"] / ratio)


def _settled(row: Row) -> bool:
    """Whether a month's count says what is usual: not before the customer has been known for a week."""
    return row["customer_count_30d"] > row["customer_count_7d"]


def _usually(row: Row, days: float, unit: str = "") -> str:
    count = row["customer_count_30d"]
    if _settled(row):
        return f", usually {count * days / 30:.1f}{unit}"
    return f", {count:.0f} in 30 days" if count else ""


def _count(number: float, noun: str) -> str:
    whole = round(number)
    return f"{whole or 'no'} {noun}{'' if whole in {0, 1} else 's'}"


def _money(amount: float) -> str:
    if amount < _CENTS_UP_TO:
        return f"{amount:.2f}"
    return f"{float(f'{amount:.{_FLOAT32_DIGITS}g}'):,.0f}"


def _percent(share: float) -> str:
    return "less than 1%" if share < 0.01 else f"{share:.0%}"  # noqa: PLR2004 - a hundredth is what is said


def _times(ratio: float, what: str) -> str:
    """Say a ratio: "8.4 times WHAT", "40% of WHAT"; at the bound, no more than is known."""
    if ratio >= MAX_RATIO:
        return f"at least {MAX_RATIO:.0f} times {what}"
    if abs(ratio - 1) < _SMALL:
        return f"about {what}"
    if ratio < 1:
        return f"{_percent(ratio)} of {what}"
    return f"{ratio:.1f} times {what}" if ratio < _TENTHS_UP_TO else f"{ratio:.0f} times {what}"


def _duration(hours: float) -> str:
    minutes = round(hours * 60)
    if minutes < 1:
        return "less than a minute"
    if minutes < 60:  # noqa: PLR2004 - minutes in an hour
        return f"{minutes} min"
    if hours < _HOURS_UP_TO:
        return f"{hours:.1f} h" if hours < _TENTHS_UP_TO else f"{hours:.0f} h"
    return f"{hours / 24:.0f} days"


def _ago(days: float) -> str:
    if days >= MAX_AGE_DAYS:
        return f"{MAX_AGE_DAYS:.0f} days ago or earlier"
    return f"{_duration(days * 24)} ago"


def _last_fraud(where: str, days: float) -> str:
    if days >= MAX_AGE_DAYS:
        return f"no fraud known {where} in {MAX_AGE_DAYS:.0f} days"
    return f"last known fraud {where} {_ago(days)}"


_PHRASES: Final[Mapping[str, Callable[[Row], str]]] = {
    "amount": _amount,
    "hour_of_day": _hour_of_day,
    "customer_count_2h": _customer_count_2h,
    "customer_count_1d": _customer_count_1d,
    "customer_count_7d": _customer_count_7d,
    "customer_count_30d": _customer_count_30d,
    "customer_mean_7d": _customer_mean_7d,
    "spend_ratio_1d": _spend_ratio_1d,
    "amount_ratio": _amount_ratio,
    "amount_zscore": _amount_zscore,
    "hours_since_last": _hours_since_last,
    "hour_share": _hour_share,
    "high_count_14d": _high_count_14d,
    "max_ratio_14d": _max_ratio_14d,
    "ratio_to_max_14d": _ratio_to_max_14d,
    "days_since_high": _days_since_high,
    "new_terminal": _new_terminal,
    "new_country": _new_country,
    "new_category": _new_category,
    "new_channel": _new_channel,
    "terminal_frauds_7d": _terminal_frauds_7d,
    "terminal_frauds_30d": _terminal_frauds_30d,
    "terminal_fraud_rate_30d": _terminal_fraud_rate_30d,
    "terminal_recent_share": _terminal_recent_share,
    "terminal_fraud_run": _terminal_fraud_run,
    "terminal_run_age": _terminal_run_age,
    "terminal_days_since_fraud": _terminal_days_since_fraud,
    "terminal_last_ratio": _terminal_last_ratio,
    "customer_frauds_30d": _customer_frauds_30d,
    "customer_days_since_fraud": _customer_days_since_fraud,
}
