"""Simulated analysts: at the end of each day they judge the most suspect customers, and are right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from stream.clock import DAY_MS
from stream.pipeline.pending import Pending
from stream.recording import Recorded
from stream.records import Label


@dataclass
class _Customer:
    score: float = 0.0
    """The highest of the day."""
    transactions: list[tuple[str, bool]] = field(default_factory=list)


class Analysts:
    """Judge the customers with the day's highest scores at once; all others' labels mature.

    An analyst who calls a customer hears of all that day's transactions, so that each gets a verdict.

    Parameters
    ----------
    customers
        How many they judge a day.

    References
    ----------
    Dal Pozzolo et al. (2015), Credit card fraud detection and concept-drift adaptation with delayed
    supervised information: the investigators of its section 3, k cards a day.
    """

    def __init__(self, customers: int) -> None:
        self._most = customers
        self._day: int | None = None
        self._seen: dict[str, _Customer] = {}

    def due(self, event_time_ms: int) -> list[Label]:
        """Return the verdicts on the day that has ended, when `event_time_ms` is the first of another day.

        They are known at the beginning of that other day, most suspect customer first.
        """
        day = event_time_ms // DAY_MS
        if self._day == day:
            return []
        ended, self._day = self._day, day
        seen, self._seen = self._seen, {}
        if ended is None:
            return []
        suspects = sorted(seen.values(), key=lambda customer: -customer.score)[: self._most]
        return [
            Label(
                transaction_id=transaction_id,
                is_fraud=is_fraud,
                source="analyst",
                label_time=(ended + 1) * DAY_MS,
            )
            for customer in suspects
            for transaction_id, is_fraud in customer.transactions
        ]

    def see(self, records: Sequence[Recorded], scored: Mapping[str, Pending]) -> None:
        """Take in transactions of the current day with what they were answered."""
        for recorded in records:
            transaction = recorded.transaction
            pending = scored.get(transaction.transaction_id)
            if pending is None or recorded.is_fraud is None:
                continue
            customer = self._seen.setdefault(transaction.customer_id, _Customer())
            customer.score = max(customer.score, pending.scores[0])
            customer.transactions.append((transaction.transaction_id, recorded.is_fraud))


def by_day(records: Sequence[Recorded]) -> list[Sequence[Recorded]]:
    """Cut records in event order where one UTC day ends and another begins."""
    days = groupby(records, key=lambda recorded: recorded.transaction.event_time // DAY_MS)
    return [list(day) for _, day in days]
