"""The load: bursts of transactions, a burst a second, and the labels of those that have been scored.

What is learnt when depends on the faults, and must not change any feature, or no other run could be compared
with this one. So half of each burst comes from customers and terminals whose labels never come; the other
half is a population of its own, whose labels follow when all of it has been scored.
"""

import json
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from confluent_kafka import KafkaError, Message, Producer
from msgspec.structs import replace

from stream.adapters.topics import TopicNames
from stream.clock import DAY_MS, SECOND_MS
from stream.errors import InfrastructureError
from stream.ports import Outgoing, Progress
from stream.records import Label, Transaction, encode
from tests.services.traffic import LARGE, START_MS, label

BURST_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.05
_LASTING_CUSTOMERS: Final = 1_000
_POPULATION: Final = 30
_FRAUD_SHARE: Final = 0.1
_ANALYST_SHARE: Final = 0.1
_ANALYST_IS_RIGHT: Final = 0.8
_RECENT: Final = 2_000

Place = tuple[str, int]
"""A topic and a partition."""


@dataclass
class Sent:
    """Records on their way, and where they came to lie."""

    remaining: int
    ends: dict[Place, int] = field(default_factory=dict)
    """The last offset in each partition."""


@dataclass
class _Burst:
    """Transactions whose labels are to come once they have been scored."""

    sent: Sent
    labels: list[Label]


class Load(threading.Thread):
    """Publishes bursts and labels until told to stop; starts at once.

    Parameters
    ----------
    broker
        HOST:PORT that no fault cuts off.
    topics
        The topics' names.
    progress
        How far the pipeline has come. It may be away.
    partitions
        Of `transactions`.
    rate
        Transactions a second.
    seed
        Of all randomness.
    """

    def __init__(
        self, broker: str, topics: TopicNames, progress: Progress, partitions: int, rate: float, seed: int
    ) -> None:
        super().__init__(name="load", daemon=True)
        self._topics = topics
        self._progress = progress
        self._partitions = partitions
        self._each = max(2, round(rate * BURST_SECONDS))
        self._random = np.random.default_rng(seed)
        # No fault may lose what goes in: it waits for as long as the broker is away.
        self._producer = Producer(
            {
                "bootstrap.servers": broker,
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "linger.ms": 1,
                "message.timeout.ms": 0,
                "log_level": 2,
            }
        )
        self._lock = threading.RLock()
        self._enough = threading.Event()
        self._numbers = {"transaction": 0, "poison": 0}
        self._waiting: deque[_Burst] = deque()
        self._recent: deque[Outgoing] = deque(maxlen=_RECENT)
        self._recent_labels: deque[Outgoing] = deque(maxlen=_RECENT)
        self._ends: dict[Place, int] = {}
        self._undelivered = 0
        self.failure: KafkaError | None = None
        self.bursts = 0
        """How many have been published."""
        self.published: Counter[str] = Counter()
        """Records published, by topic."""
        self.start()

    # What the schedule asks for besides the bursts.

    def burst(self, *, disordered: bool = False) -> Sent:
        """Publish a burst; disordered: up to three days late, and shuffled."""
        with self._lock:
            known = self._draw("a", self.bursts, _POPULATION, _POPULATION)
            transactions = [*known, *self._draw("b", 0, _LASTING_CUSTOMERS, _LASTING_CUSTOMERS // 3)]
            if disordered:
                transactions = [
                    replace(one, event_time=one.event_time - int(self._random.integers(3 * DAY_MS)))
                    for one in transactions
                ]
            order = self._random.permutation(len(transactions)) if disordered else range(len(transactions))
            records = [self._transaction(transactions[number]) for number in order]
            self._recent += records
            sent = self._send(records)
            self._waiting.append(_Burst(sent, [one for given in known for one in self._labels_of(given)]))
            self.bursts += 1
            return sent

    def duplicate(self, transactions: int, labels: int) -> Sent:
        """Publish some of the last transactions and labels once more."""
        with self._lock:
            again = [self._recent[number] for number in self._some(len(self._recent), transactions)]
            known = [self._recent_labels[n] for n in self._some(len(self._recent_labels), labels)]
            return self._send([*again, *known])

    def spoil(self, count: int) -> Sent:
        """Publish records that nobody can use."""
        with self._lock:
            bad = [self._bad(self._numbers["poison"] + number) for number in range(count)]
            self._numbers["poison"] += count
            return self._send(bad)

    # How things stand.

    def ends(self) -> dict[Place, int]:
        """Return the last offset delivered to each partition."""
        with self._lock:
            return dict(self._ends)

    def delivered(self, sent: Sent) -> bool:
        """Tell whether the broker has all of it."""
        with self._lock:
            return sent.remaining == 0

    def finish(self) -> None:
        """Publish no more bursts; labels still come once their transactions have been scored."""
        self._enough.set()

    @property
    def finished(self) -> bool:
        """Whether everything is published and delivered, labels included."""
        with self._lock:
            return self._enough.is_set() and not self._waiting and not self._undelivered

    def run(self) -> None:
        """Publish; the thread's own work."""
        due = time.monotonic()
        while not (self.finished or self.failure):
            self._producer.poll(_POLL_SECONDS)
            self._publish_labels()
            if not self._enough.is_set() and time.monotonic() >= due:
                # A burst that comes late, as Redis did not answer, moves those after it.
                due = max(due, time.monotonic() - BURST_SECONDS) + BURST_SECONDS
                self.burst()
        self._producer.flush()

    def _publish_labels(self) -> None:
        with self._lock:
            burst = self._waiting[0] if self._waiting else None
        if burst is None or not self.delivered(burst.sent):
            return
        try:
            done = self._progress.transactions_done(self._partitions)
        except InfrastructureError:
            return  # one of the faults: asked again in a moment
        if all(done[partition] >= end for (_, partition), end in burst.sent.ends.items()):
            with self._lock:
                self._waiting.popleft()
                records = [
                    Outgoing(self._topics.labels, one.transaction_id.encode(), encode(one))
                    for one in burst.labels
                ]
                self._recent_labels += records
                self._send(records)

    def _send(self, records: Sequence[Outgoing]) -> Sent:
        sent = Sent(len(records))

        def note(error: KafkaError | None, message: Message) -> None:
            with self._lock:
                self._undelivered -= 1
                sent.remaining -= 1
                if error is not None:
                    self.failure = error
                    return
                place, offset = (message.topic(), message.partition()), message.offset()
                sent.ends[place] = max(offset, sent.ends.get(place, -1))
                self._ends[place] = max(offset, self._ends.get(place, -1))

        self._undelivered += len(records)
        self.published.update(record.topic for record in records)
        for topic, key, value in records:
            self._producer.produce(topic, value, key, on_delivery=note)
        return sent

    def _draw(self, kind: str, population: int, customers: int, terminals: int) -> Iterable[Transaction]:
        name = f"{kind}{population}"
        drawn = []
        for _ in range(self._each // 2):
            number = self._numbers["transaction"]
            self._numbers["transaction"] += 1
            fraud = self._random.random() < _FRAUD_SHARE
            drawn.append(
                Transaction(
                    transaction_id=f"{name}-{number}",
                    event_time=START_MS + number * SECOND_MS,
                    customer_id=f"{name}-c{self._random.integers(customers)}",
                    terminal_id=f"{name}-t{self._random.integers(terminals)}",
                    amount=round(float(self._random.gamma(4, 10)) + (LARGE if fraud else 0), 2),
                )
            )
        return drawn

    def _transaction(self, one: Transaction) -> Outgoing:
        return Outgoing(self._topics.transactions, one.customer_id.encode(), encode(one))

    def _labels_of(self, one: Transaction) -> list[Label]:
        truth = label(one)
        if self._random.random() >= _ANALYST_SHARE:
            return [truth]
        said = truth.is_fraud == bool(self._random.random() < _ANALYST_IS_RIGHT)
        time_ms = one.event_time + DAY_MS
        return [
            Label(transaction_id=one.transaction_id, is_fraud=said, source="analyst", label_time=time_ms),
            truth,
        ]

    def _bad(self, number: int) -> Outgoing:
        name = f"poison-{number}"
        good = {
            "transaction_id": name,
            "event_time": START_MS,
            "customer_id": name,
            "terminal_id": "t",
            "amount": 1.0,
        }
        unknown = Label(transaction_id=name, is_fraud=True, source="chargeback", label_time=START_MS)
        transactions, labels = self._topics.transactions, self._topics.labels
        kinds = (
            Outgoing(transactions, name.encode(), b'{"transaction_id": "' + name.encode()),
            Outgoing(transactions, name.encode(), b"\xff\xfe" + name.encode()),
            Outgoing(transactions, name.encode(), json.dumps(good | {"amount": -1.0}).encode()),
            Outgoing(transactions, name.encode(), json.dumps(good | {"event_time": 0}).encode()),
            Outgoing(transactions, b"another", json.dumps(good).encode()),
            Outgoing(transactions, name.encode(), b""),
            Outgoing(transactions, name.encode(), json.dumps(good | {"note": "x" * 20_000}).encode()),
            Outgoing(labels, name.encode(), b'{"transaction_id": "' + name.encode()),
            Outgoing(labels, name.encode(), json.dumps({"transaction_id": name}).encode()),
            Outgoing(labels, name.encode(), encode(unknown)),
        )
        return kinds[number % len(kinds)]

    def _some(self, of: int, count: int) -> list[int]:
        return [int(number) for number in self._random.choice(of, min(of, count), replace=False)]
