"""A broker and a pipeline that fit into a test: time passes only when the replay waits."""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple
from zlib import crc32

import msgspec

from stream.adapters.topics import TopicNames
from stream.errors import InfrastructureError

TOPICS = TopicNames()


class Sent(NamedTuple):
    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes


class PipelineTwin:
    """Is what is published to, and the progress of the scorers and the learner that read it.

    Acknowledges what was published whenever it is waited for, and lets the scorers of each partition, and
    the learner, take one batch at a time.
    """

    def __init__(self, partitions: int = 3, batch: int = 4) -> None:
        self.sizes = {TOPICS.transactions: partitions, TOPICS.labels: 1}
        self.batch = batch
        self.scoring = self.learning = self.acknowledging = True
        self.outages = 0
        self.now = 0.0
        self.sent: list[Sent] = []
        self.processed: list[Sent] = []
        self.most_in_flight = 0
        self._waiting: list[Sent] = []
        self._ends: dict[tuple[str, int], int] = defaultdict(lambda: -1)
        self._unread: dict[tuple[str, int], list[Sent]] = defaultdict(list)
        self._acknowledged: dict[str, dict[int, int]] = defaultdict(dict)
        self._done: dict[tuple[str, int], int] = defaultdict(lambda: -1)

    def clock(self) -> float:
        return self.now

    # What is published to.

    @property
    def unacknowledged(self) -> int:
        return len(self._waiting)

    def acknowledged(self, topic: str) -> Mapping[int, int]:
        return dict(self._acknowledged[topic])

    def partitions(self, topic: str) -> int:
        return self.sizes[topic]

    def publish(self, topic: str, key: bytes, value: bytes) -> None:
        partition = crc32(key) % self.sizes[topic]
        self._ends[topic, partition] += 1
        record = Sent(topic, partition, self._ends[topic, partition], key, value)
        self.sent.append(record)
        self._waiting.append(record)
        in_flight = sum(sent.topic == topic for sent in self.sent) - sum(
            done.topic == topic for done in self.processed
        )
        self.most_in_flight = max(self.most_in_flight, in_flight)

    def serve(self, timeout_seconds: float = 0.0) -> None:
        self.now += timeout_seconds
        if self.acknowledging:
            self.flush()
        for place in sorted(self._unread):
            if self.learning if place[0] == TOPICS.labels else self.scoring:
                self._process(place)

    def flush(self) -> None:
        if not self.acknowledging:
            raise InfrastructureError("records were not acknowledged")
        for record in self._waiting:
            self._acknowledged[record.topic][record.partition] = record.offset
            self._unread[record.topic, record.partition].append(record)
        self._waiting.clear()

    # Progress.

    def transactions_done(self, partitions: int) -> dict[int, int]:
        self._maybe_away()
        return {partition: self._done[TOPICS.transactions, partition] for partition in range(partitions)}

    def labels_done(self) -> int:
        self._maybe_away()
        return self._done[TOPICS.labels, 0]

    def set_done(self, topic: str, partition: int, offset: int) -> None:
        self._done[topic, partition] = offset

    # What a test looks at.

    def story(self) -> list[tuple[str, str]]:
        """Return what was processed, in order: what it was, and the transaction's id."""
        return [
            ("label" if record.topic == TOPICS.labels else "transaction", identifier(record.value))
            for record in self.processed
        ]

    def _process(self, place: tuple[str, int]) -> None:
        batch, self._unread[place] = self._unread[place][: self.batch], self._unread[place][self.batch :]
        self.processed += batch
        if batch:
            self._done[place] = batch[-1].offset

    def _maybe_away(self) -> None:
        if self.outages:
            self.outages -= 1
            raise InfrastructureError("the store is away")


def identifier(value: bytes) -> str:
    return str(msgspec.json.decode(value)["transaction_id"])
