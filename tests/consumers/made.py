"""Records as the stream puts them out, and a subscription that reads from a list."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import msgspec

from consumers.stopping import Stop
from stream.records import Alert, Reason, Record, Score, encode

T0 = 1_522_540_800_000  # 2018-04-01


class ListSubscription:
    """Stands for a subscription: yields the batches given, then asks to stop."""

    def __init__(self, batches: Sequence[Sequence[Record]] = ()) -> None:
        self.waiting = [list(batch) for batch in batches]
        self.overtaken = False
        self.joined = True
        self.committed: dict[tuple[str, int], int] = {}
        self._done: dict[tuple[str, int], int] = {}
        self.on_revoked: Callable[[], None] = lambda: None
        self.on_lost: Callable[[], None] = lambda: None

    def batches(self, size: int, stop: Stop, wait_seconds: float = 0.0) -> Iterator[list[Record]]:
        del size, wait_seconds
        while not stop.asked:
            if not self.waiting:
                stop.ask()
            yield self.waiting.pop(0) if self.waiting else []

    def done(self, record: Record) -> None:
        self._done[record.topic, record.partition] = record.offset + 1

    def commit(self) -> bool:
        done, self._done = self._done, {}
        if not self.overtaken:
            self.committed |= done
        return not self.overtaken

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


def make_score(transaction_id: str = "t1", **fields: Any) -> Score:
    return Score(**_fields(transaction_id) | fields)


def make_alert(transaction_id: str = "t1", **fields: Any) -> Alert:
    reason = Reason(feature="count_1d", value=12.0, contribution=1.5, text="12 transactions in 24 h")
    return Alert(**_fields(transaction_id) | {"decision": "alert", "reasons": (reason,)} | fields)


def placed(
    value: msgspec.Struct | bytes, offset: int = 0, topic: str = "alerts", partition: int = 0
) -> Record:
    """Return a record that holds `value`, at a place."""
    content = value if isinstance(value, bytes) else encode(value)
    return Record(topic, partition, offset, T0, b"key", content)


def _fields(transaction_id: str) -> dict[str, Any]:
    return {
        "transaction_id": transaction_id,
        "event_time": T0,
        "customer_id": "c1",
        "terminal_id": "m1",
        "amount": 12.5,
        "score": 0.75,
        "decision": "allow",
        "threshold": 0.5,
        "model_version": "logistic-1",
        "snapshot": 3,
        "feature_schema": "abc",
        "features": (1.0, 2.5),
        "shadow": {"forest-1": 0.25},
        "scored_at": T0 + 50,
    }
