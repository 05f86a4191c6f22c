"""A customer's aggregates in a Redis hash, as a good tutorial keeps them: decaying sums, a running variance.

Fewer and cheaper features than fraudstream's: a dozen, from ten fields.
"""

from collections.abc import Mapping
from math import exp, sqrt
from typing import Final

DAY_MS: Final = 86_400_000
_HOUR_MS: Final = 3_600_000
_WINDOWS: Final = (1, 7, 30)
"""Days in which a sum decays to 1/e."""
Fields = Mapping[str, str]
"""A hash as Redis returns it; empty for somebody new."""


def describe(
    amount: float, event_time_ms: int, customer: Fields, terminal: Fields
) -> tuple[dict[str, float], dict[str, float]]:
    """Return a transaction's features, and its customer's hash after it.

    Parameters
    ----------
    amount, event_time_ms
        Of the transaction.
    customer, terminal
        What is stored of them: of a terminal, how many `transactions` it had, and how many `frauds`.
    """
    last = float(customer.get("last", event_time_ms))
    gap_days = max(0.0, event_time_ms - last) / DAY_MS
    count = float(customer.get("count", 0))
    mean = float(customer.get("mean", 0))
    squares = float(customer.get("squares", 0))
    deviation = sqrt(squares / count) if count else 0.0
    frauds, seen = float(terminal.get("frauds", 0)), float(terminal.get("transactions", 0))
    features = {
        "amount": amount,
        "hour": event_time_ms % DAY_MS / _HOUR_MS,
        "days_since_last": gap_days,
        "amount_ratio": amount / mean if mean else 1.0,
        "amount_zscore": (amount - mean) / deviation if deviation else 0.0,
        "terminal_risk": frauds / seen if seen else 0.0,
    }
    grown = count + 1
    new_mean = mean + (amount - mean) / grown
    after = {
        "last": max(last, event_time_ms),
        "count": grown,
        "mean": new_mean,
        "squares": squares + (amount - mean) * (amount - new_mean),
    }
    for days in _WINDOWS:
        kept = exp(-gap_days / days)
        number = float(customer.get(f"count_{days}d", 0)) * kept
        total = float(customer.get(f"amount_{days}d", 0)) * kept
        features[f"count_{days}d"] = number
        features[f"mean_{days}d"] = total / number if number else 0.0
        after[f"count_{days}d"] = number + 1
        after[f"amount_{days}d"] = total + amount
    return features, after
