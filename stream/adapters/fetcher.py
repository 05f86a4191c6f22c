"""The fetcher: librdkafka fetches what Faust was assigned.

aiokafka, which Faust reads with, takes a fetch apart in Python, in a thread that shares the interpreter with
whoever works on the records: a fifth of a scorer's processor time, and each batch waited 2 ms for a fetch of
its own. librdkafka fetches ahead without the interpreter, so that what has come is there when it is asked
for. It joins no group and commits nothing: where to read from is told to it.
"""

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition
from faust.types import TP

from stream import kernel
from stream.adapters.kafka_access import KafkaAccess
from stream.records import Record

_log = logging.getLogger(__name__)

FETCH_WAIT_MS: Final = 50
"""How long the broker may hold a fetch back for records to come. Kafka answers as soon as there is one; the
embedded broker always takes the whole time."""
MOST_AHEAD: Final = 4
"""Batches that are fetched ahead, about; but no more than `MOST_AHEAD_KIB`."""
MOST_AHEAD_KIB: Final = 16_384
_BACKOFF_MS: Final = 10
_STATISTICS_MS: Final = 1_000
_RIGHT: Final = KafkaError.TOPIC_AUTHORIZATION_FAILED
METHODS: Final = (
    Message.error,
    Message.topic,
    Message.partition,
    Message.offset,
    Message.timestamp,
    Message.key,
    Message.value,
)
"""What a message is asked for what a record says, its error first."""


class _Partition(msgspec.Struct):
    hi_offset: int


class _Topic(msgspec.Struct):
    partitions: dict[str, _Partition]


class _Statistics(msgspec.Struct):
    topics: dict[str, _Topic]


_decode_statistics = msgspec.json.Decoder(_Statistics).decode


class Drawn(NamedTuple):
    """What has come."""

    records: dict[TP, list[Record]]
    """By partition, in offset order; never empty lists."""
    ends: dict[TP, int]
    """Of partitions that were read to their end: the offset there, past marks, which are no records."""


class Fetcher:
    """Fetches records from where it was told to.

    Connects when it is first told. To be used by one thread, but for :meth:`highwater` and :meth:`close`.

    Parameters
    ----------
    access
        How to reach Kafka.
    group
        The consumer group whose partitions it reads. It is no member of it.
    most
        Records that are drawn at a time.
    """

    def __init__(self, access: KafkaAccess, group: str, most: int) -> None:
        self._access = access
        self._most = most
        self._config: dict[str, Any] = access.client() | {
            "group.id": group,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            # Where retention has taken what was to be read, as Faust is told to; the role sees the gap.
            "auto.offset.reset": "earliest",
            # As Faust reads outside of its own transactions.
            "isolation.level": "read_uncommitted",
            "check.crcs": True,
            # An end is told with its offset, which is past the marks of transactions, that are no records.
            "enable.partition.eof": True,
            "fetch.wait.max.ms": FETCH_WAIT_MS,
            "queued.min.messages": MOST_AHEAD * most,
            "queued.max.messages.kbytes": MOST_AHEAD_KIB,
            # When as much was fetched ahead it looks again so soon. After its default, a second, all is gone.
            "fetch.queue.backoff.ms": _BACKOFF_MS,
            # Brokers that are away are tried again, and whoever emits says so.
            "log_level": 2,
            # How far partitions go is told so. A consumer that is polled can be asked by nobody else.
            "statistics.interval.ms": _STATISTICS_MS,
            "stats_cb": self._note,
        }
        self._highwaters: dict[TP, int] = {}
        self._consumer: Consumer | None = None
        self._lock = threading.Lock()
        """Held while records are drawn, which takes its time."""
        self._closed = False
        self._complained: set[int] = set()
        """Errors that were said already, until records come again."""

    def read_from(self, starts: Mapping[TP, int | None]) -> None:
        """Read these partitions alone, each from an offset; None: from its first record."""
        with self._lock:
            if self._closed:
                return
            if self._consumer is None:
                self._consumer = Consumer(self._config)
            self._consumer.assign(
                [
                    TopicPartition(tp.topic, tp.partition, OFFSET_BEGINNING if start is None else start)
                    for tp, start in starts.items()
                ]
            )

    def draw(self, seconds: float) -> Drawn:
        """Return what has come, but no more records than one batch may hold.

        Waits for the first record, so many seconds; then for no other.

        Raises
        ------
        AccessError
            The broker does not let us read.
        """
        end = time.monotonic() + seconds
        drawn = Drawn({}, {})
        with self._lock:
            consumer = self._consumer
            if self._closed or consumer is None:
                return drawn
            while not drawn.records:
                first = consumer.poll(max(0.0, end - time.monotonic()))
                if first is None:
                    return drawn
                self._sort([first], drawn)
                self._sort(consumer.consume(self._most - 1, 0.0), drawn)
            self._complained.clear()
        return drawn

    def highwater(self, tp: TP) -> int | None:
        """Return the offset after a partition's last record, some second ago; None before that is known."""
        return self._highwaters.get(tp)

    def close(self) -> None:
        """Let go of the connection; nothing is drawn any more."""
        with self._lock:
            self._closed = True
            if self._consumer is not None:
                self._consumer.close()

    def _note(self, statistics: str) -> None:
        topics = _decode_statistics(statistics).topics
        self._highwaters = {
            TP(topic, int(partition)): known.hi_offset
            for topic, one in topics.items()
            for partition, known in one.partitions.items()
            if known.hi_offset >= 0 and int(partition) >= 0
        }

    def _sort(self, messages: list[Message], drawn: Drawn) -> None:
        """Put what has come to what was drawn; errors are heard in their turn."""
        place = 0
        while place < len(messages):
            records = run_of(messages, place)
            if records:
                place += len(records)
                drawn.records.setdefault(TP(*records[0][:2]), []).extend(records)
            else:
                message = messages[place]
                place += 1
                self._hear(message, message.error(), drawn)

    def _hear(self, message: Message, error: KafkaError, drawn: Drawn) -> None:
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001
            drawn.ends[TP(message.topic(), message.partition())] = message.offset()
        elif error.code() == _RIGHT:
            raise self._access.lacking("reading records failed", "topic", error.str())
        elif error.code() not in self._complained:
            self._complained.add(error.code())
            _log.warning("reading %s goes on in a while: %s", message.topic() or "records", error.str())


def run_of(messages: list[Message], start: int) -> list[Record]:
    """Return the messages from a place on as records, up to one of another partition or an error."""
    if kernel.in_use():
        return kernel.drawing.run(messages, start, METHODS, Record)
    records: list[Record] = []
    topic = partition = None
    for place in range(start, len(messages)):
        message = messages[place]
        if message.error() is not None:
            break
        if place == start:
            topic, partition = message.topic(), message.partition()
        elif message.partition() != partition or message.topic() != topic:
            break
        stamp = message.timestamp()[1]
        records.append(Record(topic, partition, message.offset(), stamp, message.key(), message.value()))
    return records
