"""A running pipeline as its neighbours see it: topics to publish to and to read, and what lies in Redis."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Self

import msgspec
import redis
from confluent_kafka import Consumer, TopicPartition

from stream.adapters.emitter import KafkaEmitter
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.redis_store import RedisStore
from stream.adapters.topics import TopicNames
from stream.ports import Outgoing
from stream.records import DeadLetter, Label, Record, Score, Transaction, encode
from stream.settings import Settings
from tests.services.topic_reader import read_topic
from tests.services.waiting import eventually


class Pipeline:
    """The topics and the store of a deployment.

    Parameters
    ----------
    settings
        Those its workers run with.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.topics = TopicNames.of(settings)
        self.store = RedisStore.of(settings)
        self._redis = redis.Redis.from_url(settings.redis)
        self._emitter = KafkaEmitter(KafkaAccess.of(settings))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._emitter.close()
        self._redis.close()
        self.store.close()

    # What goes in.

    def publish(self, records: Iterable[Transaction | Label]) -> None:
        """Publish transactions and labels, in this order within each partition."""
        self.publish_raw(
            Outgoing(self.topics.transactions, record.customer_id.encode(), encode(record))
            if isinstance(record, Transaction)
            else Outgoing(self.topics.labels, record.transaction_id.encode(), encode(record))
            for record in records
        )

    def publish_raw(self, records: Iterable[Outgoing]) -> None:
        """Publish whatever it is."""
        self._emitter.emit(records)

    # How far it has come.

    def scored(self) -> int:
        """Return how many records of `transactions` are done with, by the watermarks."""
        return sum(offset + 1 for offset in self.store.transactions_done(self.settings.partitions).values())

    def learnt(self) -> int:
        """Return how many records of `labels` are done with, by the watermark."""
        return self.store.labels_done() + 1

    def await_scored(self, records: int, timeout: float = 60) -> None:
        """Wait until so many records of `transactions` are done with."""
        eventually(lambda: self.scored() >= records, timeout, lambda: f"{self.scored()} of {records} scored")

    def await_learnt(self, records: int, timeout: float = 60) -> None:
        """Wait until so many records of `labels` are done with."""
        eventually(lambda: self.learnt() >= records, timeout, lambda: f"{self.learnt()} of {records} learnt")

    def committed(self, topic: str, role: str) -> dict[int, int]:
        """Return the offset that a role's consumer group has committed, by partition; 0 for none."""
        group = f"{self.settings.namespace}-{role}"
        consumer = Consumer({"bootstrap.servers": self.settings.broker, "group.id": group})
        places = [TopicPartition(topic, partition) for partition in range(self.settings.partitions)]
        try:
            return {place.partition: max(0, place.offset) for place in consumer.committed(places, timeout=10)}
        finally:
            consumer.close()

    # What came out.

    def read(self, topic: str, until: Callable[[list[Record]], bool] | int | None = None) -> list[Record]:
        """Return the records of a topic; see :func:`tests.services.topic_reader.read_topic`."""
        return read_topic(self.settings.broker, topic, until)

    def scores(self, of: Sequence[Transaction] = ()) -> dict[str, list[bytes]]:
        """Return every answer on the topic, by transaction id, once all of these transactions have one."""
        wanted = {transaction.transaction_id for transaction in of}
        if wanted:
            self.read(self.topics.scores, lambda read: wanted <= _answers(read).keys())
        # Anew, to the end: behind the last answer that was missing there may be second ones.
        return _answers(self.read(self.topics.scores))

    def dead_letters(self, until: int | None = None) -> list[DeadLetter]:
        """Return the dead letters, once there are so many."""
        return [
            msgspec.json.decode(record.value or b"", type=DeadLetter)
            for record in self.read(self.topics.dead_letters, until)
        ]

    def customers(self) -> dict[str, bytes]:
        """Return the stored state of every customer."""
        parts = [self._stored(f"{{{number}}}:c:") for number in range(self.settings.partitions)]
        assert sum(map(len, parts)) == len({name for part in parts for name in part}), "one lies in two"
        return {name: state for part in parts for name, state in part.items()}

    def pendings(self) -> dict[str, bytes]:
        """Return the pending record of every transaction."""
        parts = [self._generations(f"{{{number}}}:p:") for number in range(self.settings.partitions)]
        return {name: record for part in parts for name, record in part.items()}

    def lineups(self) -> dict[str, bytes]:
        """Return the lineups that pending records name."""
        return self.store.find_lineups(range(self.settings.partitions))

    def verdicts(self) -> dict[str, bytes]:
        """Return what labels said of every transaction."""
        return self._generations("{learner}:v:")

    def learner_keys(self, kind: str) -> dict[str, bytes]:
        """Return what the learner has stored: `t` and `c` for risk records, `k` for checkpoints, ..."""
        return self._stored(f"{{learner}}:{kind}:")

    def _generations(self, prefix: str) -> dict[str, bytes]:
        """Return what lies in all generations, of each field what the newest has."""
        whole = f"{self.settings.namespace}:{prefix}"
        keys: list[Any] = [*self._redis.scan_iter(match=f"{whole}*", count=10_000)]
        found: dict[str, bytes] = {}
        for key in sorted(keys, key=lambda key: int(key.decode().removeprefix(whole))):
            generation: Any = self._redis.hgetall(key)
            found |= {name.decode(): value for name, value in generation.items()}
        return found

    def _stored(self, prefix: str) -> dict[str, bytes]:
        whole = f"{self.settings.namespace}:{prefix}"
        names: list[Any] = [*self._redis.scan_iter(match=f"{whole}*", count=10_000)]
        values: list[Any] = self._redis.mget(names) if names else []  # type: ignore[assignment]
        return {name.decode().removeprefix(whole): value for name, value in zip(names, values, strict=True)}


def decode_score(value: bytes) -> Score:
    """Decode a score."""
    return msgspec.json.decode(value, type=Score)


def _answers(records: Iterable[Record]) -> dict[str, list[bytes]]:
    answers = defaultdict(list)
    for record in records:
        assert record.value is not None
        answers[decode_score(record.value).transaction_id].append(record.value)
    return answers
