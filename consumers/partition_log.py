"""A partition log: all of a topic's partitions, read by one process alone from offsets that it chooses."""

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Final, Self

from confluent_kafka import Consumer, KafkaException, TopicPartition

from consumers.subscription import commit, consumer_config, records_of
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.offsets import offset_range
from stream.errors import InfrastructureError, TopicError
from stream.records import Record

_TIMEOUT_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.2
_STALLED_POLLS: Final = 150


class PartitionLog:
    """Reads a topic up to its end, as often as asked, and remembers how far.

    Takes no part in a group's rebalances; the group's name only keeps the offsets.

    Parameters
    ----------
    access
        How to reach Kafka.
    group
        Under which name offsets are committed.
    topic
        What to read.
    """

    def __init__(self, access: KafkaAccess, group: str, topic: str) -> None:
        self._access = access
        self.topic = topic
        self._consumer = Consumer(consumer_config(access, group))
        self.partitions: list[int] = self._find_partitions()
        self.positions: dict[int, int] = {}
        """The next offset to read, by partition; empty before :meth:`start`."""

    def committed(self) -> dict[int, int]:
        """Return the committed offsets, by partition; partitions without one are left out."""
        places = [TopicPartition(self.topic, partition) for partition in self.partitions]
        try:
            found = self._consumer.committed(places, timeout=_TIMEOUT_SECONDS)
        except KafkaException as error:
            raise self._away(error) from error
        return {place.partition: place.offset for place in found if place.offset >= 0}

    def ends(self) -> dict[int, int]:
        """Return the offset after each partition's last record."""
        return {partition: end for partition, (_, end) in self._ranges().items()}

    def known_ends(self) -> dict[int, int]:
        """Return those ends as far as the last fetches told of them; before the first, none. Asks nobody."""
        known = {}
        for partition in self.positions:
            place = TopicPartition(self.topic, partition)
            _, end = self._consumer.get_watermark_offsets(place, cached=True)
            if end >= 0:
                known[partition] = end
        return known

    def start(self, offsets: Mapping[int, int]) -> None:
        """Go to `offsets`, or to a partition's oldest record where that is later or none is given."""
        self.positions = {
            partition: max(first, offsets.get(partition, 0))
            for partition, (first, _) in self._ranges().items()
        }
        self._consumer.assign(
            [TopicPartition(self.topic, partition, offset) for partition, offset in self.positions.items()]
        )

    def read_to(self, ends: Mapping[int, int]) -> Iterator[Record]:
        """Yield the records before `ends`; afterwards every position is at its end or past it.

        Raises
        ------
        InfrastructureError
            Records that should be there do not come.
        """
        stalled = 0
        while any(self.positions[partition] < end for partition, end in ends.items()):
            records = records_of(self._consumer.consume(1_000, _POLL_SECONDS), self._access)
            stalled = 0 if records else stalled + 1
            if stalled > _STALLED_POLLS:
                raise InfrastructureError(
                    f"{self.topic!r} at {self._access} should have records up to {dict(ends)}, but none come"
                )
            for record in records:
                self.positions[record.partition] = record.offset + 1
                yield record

    def poll(self, size: int, wait_seconds: float) -> list[Record]:
        """Return up to `size` records from the positions on, none when none came within `wait_seconds`."""
        records = records_of(self._consumer.consume(size, wait_seconds), self._access)
        for record in records:
            self.positions[record.partition] = record.offset + 1
        return records

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit `offsets`, by partition."""
        places = [TopicPartition(self.topic, partition, offset) for partition, offset in offsets.items()]
        if places:
            commit(self._consumer, places, self._access)

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _find_partitions(self) -> list[int]:
        topics = self._access.metadata(
            self._consumer, timeout_seconds=_TIMEOUT_SECONDS, remedy="start it, or set FRAUD_BROKER"
        ).topics
        metadata = topics.get(self.topic)
        if metadata is None or metadata.error is not None:
            raise TopicError(
                f"topic {self.topic!r} is missing at {self._access}; run `fraudstream topics create`, and"
                " look at FRAUD_TOPIC_PREFIX"
            )
        return sorted(metadata.partitions)

    def _ranges(self) -> dict[int, tuple[int, int]]:
        try:
            return {
                partition: offset_range(
                    self._consumer, TopicPartition(self.topic, partition), _TIMEOUT_SECONDS
                )
                for partition in self.partitions
            }
        except KafkaException as error:
            raise self._away(error) from error

    def _away(self, error: KafkaException) -> InfrastructureError:
        self._consumer.poll(0)  # what a broker said before it hung up may wait there to be told
        what = f"no Kafka broker answered at {self._access} within {_TIMEOUT_SECONDS:g} s"
        return self._access.failure(what, error.args[0], "start it, or set FRAUD_BROKER")
