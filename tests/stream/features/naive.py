"""A naive recount of every windowed feature: it keeps all events and counts them anew each time."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median_high
from typing import NamedTuple

from stream.clock import DAY_MS, HOUR_MS
from stream.records import Transaction

CAP = 4.0


class Event(NamedTuple):
    """A transaction that arrived, and what is remembered of it."""

    transaction: Transaction
    ratio: float
    newest: int
    """The latest event time when it had arrived, its own included."""

    def bucket(self, size_ms: int) -> int:
        return self.transaction.event_time // size_ms


@dataclass
class NaiveCustomer:
    """All transactions of a customer, in order of arrival."""

    events: list[Event] = field(default_factory=list)

    def observe(self, transaction: Transaction) -> dict[str, float]:
        seen = self._features(transaction)
        newest = max([transaction.event_time, *(event.newest for event in self.events)])
        self.events.append(Event(transaction, seen["amount_ratio"], newest))
        return seen

    def _features(self, transaction: Transaction) -> dict[str, float]:
        now, amount = transaction.event_time, transaction.amount
        newest = max([now, *(event.newest for event in self.events)])
        past = [event.transaction for event in self.events]

        def window(size_ms: int, width: int, kept: int) -> list[Event]:
            """Return what lies in the `width` buckets up to now's, if `kept` buckets are remembered."""
            return [
                event
                for event in self.events
                if now // size_ms - width < event.bucket(size_ms) <= now // size_ms
                and event.newest // size_ms - event.bucket(size_ms) < kept
                and newest // size_ms - event.bucket(size_ms) < kept
            ]

        week, month, fortnight = window(DAY_MS, 7, 30), window(DAY_MS, 30, 30), window(DAY_MS, 14, 14)
        usual, deviation = self._usual()
        ratio = min(amount / usual, 100) if usual else 1.0
        zscore = (amount - usual) / max(deviation, usual / 10, 0.01) if usual else 0.0
        largest = max((round(event.ratio * 1000) for event in fortnight), default=0) / 1000
        highs = [e.transaction.event_time for e in self.events if e.ratio >= 2.5]
        part = [t for t in past if t.event_time % DAY_MS // (3 * HOUR_MS) == now % DAY_MS // (3 * HOUR_MS)]
        return {
            "customer_count_2h": len(window(HOUR_MS, 2, 24)),
            "customer_count_1d": len(window(HOUR_MS, 24, 24)),
            "customer_count_7d": len(week),
            "customer_count_30d": len(month),
            "customer_mean_7d": _cents(week) / 100 / len(week) if week else 0,
            "spend_ratio_1d": self._spend_ratio(month, transaction),
            "amount_ratio": ratio,
            "amount_zscore": max(-50, min(zscore, 50)),
            "hours_since_last": _since(now, [t.event_time for t in past], HOUR_MS, 720),
            # Too few events for the counts to be halved.
            "hour_share": (len(part) + 1) / (len(past) + 8),
            "high_count_14d": sum(event.ratio >= 2.5 for event in fortnight),
            "max_ratio_14d": largest,
            "ratio_to_max_14d": min(ratio / largest, 100) if largest else 1,
            "days_since_high": _since(now, highs, DAY_MS, 30),
            "new_terminal": float(transaction.terminal_id not in {t.terminal_id for t in past}),
            "new_country": self._new(transaction, lambda t: t.country),
            "new_category": self._new(transaction, lambda t: t.merchant_category),
            "new_channel": self._new(transaction, lambda t: t.channel),
        }

    def _new(self, transaction: Transaction, kind: Callable[[Transaction], str | None]) -> float:
        known = {kind(event.transaction) for event in self.events} - {None}
        return float(bool(known) and kind(transaction) not in {None, *known})

    def _usual(self) -> tuple[float, float]:
        usual = spread = 0.0
        for n, event in enumerate(self.events, start=1):
            amount = event.transaction.amount
            if not amount:
                continue
            if not usual:
                usual, spread = amount, amount * amount / 4
                continue
            off, step = min(amount, CAP * usual) - usual, 1 / min(n, 60)
            usual, spread = usual + step * off, spread + step * (off * off - spread)
        return usual, spread**0.5

    def _spend_ratio(self, month: list[Event], transaction: Transaction) -> float:
        days: dict[int, list[Event]] = {}
        for event in month:
            days.setdefault(event.bucket(DAY_MS), []).append(event)
        today = days.pop(transaction.event_time // DAY_MS, [])
        spent = [cents for cents in map(_cents, days.values()) if cents]
        if not spent:
            return 1
        return min((_cents(today) + transaction.amount * 100) / median_high(spent), 100)


def _cents(events: list[Event]) -> int:
    return sum(round(event.transaction.amount * 100) for event in events)


def _since(now: int, times: list[int], unit_ms: int, most: float) -> float:
    return min(max((now - max(times)) / unit_ms, 0), most) if times else most


class JudgedLabel(NamedTuple):
    """A label that arrived at a record."""

    is_fraud: bool
    label_time: int
    event_time: int
    ratio: float
    explained: bool


def naive_terminal_risk(labels: list[JudgedLabel], now: int) -> dict[str, float]:
    """Describe a terminal by all labels that arrived, in their order."""

    def window(width: int) -> list[JudgedLabel]:
        found, newest = [], 0
        last = max((label.label_time // DAY_MS for label in labels), default=0)
        for label in labels:
            day = label.label_time // DAY_MS
            newest = max(newest, day)
            if now // DAY_MS - width < day <= now // DAY_MS and newest - day < 30 and last - day < 30:
                found.append(label)
        return found

    frauds = [label for label in labels if label.is_fraud]
    run: list[JudgedLabel] = []
    for label in labels:
        run = [*run, label] if label.is_fraud else []
    run = [label for label in run if not label.explained]
    telling = [label for label in labels if not (label.is_fraud and label.explained)][-8:]
    month = window(30)
    frauds_30d = sum(label.is_fraud for label in month)
    latest = max(enumerate(frauds), key=lambda pair: (pair[1].event_time, pair[0]), default=None)
    return {
        "terminal_frauds_7d": sum(label.is_fraud for label in window(7)),
        "terminal_frauds_30d": frauds_30d,
        "terminal_fraud_rate_30d": frauds_30d / (len(month) + 5),
        "terminal_recent_share": sum(label.is_fraud for label in telling) / (len(telling) + 1),
        "terminal_fraud_run": len(run),
        "terminal_run_age": _since(now, [run[0].event_time], DAY_MS, 60) if run else 0,
        "terminal_days_since_fraud": _since(now, [label.event_time for label in frauds], DAY_MS, 60),
        "terminal_last_ratio": round(latest[1].ratio * 1000) / 1000 if latest else 0,
    }
