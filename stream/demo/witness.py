"""The witness: reads what comes out of the stream, as any consumer could, and how much has gone in."""

from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.offsets import offset_range
from stream.adapters.topics import TopicNames
from stream.errors import FraudstreamError, InfrastructureError
from stream.records import Alert, DeadLetter, ModelEvent

_MOST_AT_ONCE: Final = 2_000
_TIMEOUT_SECONDS: Final = 10.0
_REMEDY: Final = "start it, or name another with --broker"


class Sighting(NamedTuple):
    """What was new at one look, in the order of each topic."""

    alerts: list[Alert]
    model_events: list[ModelEvent]
    dead_letters: list[DeadLetter]


class Witness:
    """Follows alerts, dead letters and model events from their beginning.

    Parameters
    ----------
    access
        How to reach Kafka.
    topics
        The topics' names. They exist.

    Raises
    ------
    InfrastructureError
        The broker does not answer.

    Notes
    -----
    Without a consumer group: nothing is committed, nobody is disturbed.
    """

    def __init__(self, access: KafkaAccess, topics: TopicNames) -> None:
        self._topics = topics
        self._access = access
        config: dict[str, Any] = access.client() | {
            "group.id": "fraudstream-demo-without-a-group",
            "enable.auto.commit": False,
            "allow.auto.create.topics": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 250,
            # What matters is raised; librdkafka's own lines would run through the live view.
            "log_level": 0,
        }
        self._consumer = Consumer(config)
        self._alerts = msgspec.json.Decoder(Alert)
        self._model_events = msgspec.json.Decoder(ModelEvent)
        self._dead_letters = msgspec.json.Decoder(DeadLetter)
        try:
            followed = (topics.alerts, topics.model_events, topics.dead_letters)
            self._consumer.assign([place for topic in followed for place in self._places(topic)])
            self._transactions = self._places(topics.transactions)
            self._labels = self._places(topics.labels)
        except BaseException:
            self.close()
            raise

    def look(self) -> Sighting:
        """Return what has come since the last look, without waiting.

        Raises
        ------
        InfrastructureError
            The broker refuses.
        FraudstreamError
            A record is not what its topic promises.
        """
        sighting = Sighting([], [], [])
        for message in self._consumer.consume(_MOST_AT_ONCE, 0):
            error = message.error()
            if error is not None:
                if error.retriable() or error.code() == KafkaError._TRANSPORT:  # noqa: SLF001
                    continue  # the consumer goes on by itself
                raise InfrastructureError(f"the broker at {self._access} refuses to be read: {error.str()}")
            try:
                self._take_in(message.topic(), message.value(), sighting)
            except msgspec.DecodeError as error:
                raise FraudstreamError(
                    f"{message.topic()}/{message.partition()}, offset {message.offset()}: a worker wrote a"
                    f" record against its schema ({error})"
                ) from error
        return sighting

    def published(self) -> tuple[int, int]:
        """Return how many transactions and how many labels the broker has taken.

        Raises
        ------
        InfrastructureError
            The broker does not answer.
        """
        return self._end(self._transactions), self._end(self._labels)

    def close(self) -> None:
        """Let go of the broker."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take_in(self, topic: str, value: bytes, sighting: Sighting) -> None:
        if topic == self._topics.alerts:
            sighting.alerts.append(self._alerts.decode(value))
        elif topic == self._topics.model_events:
            sighting.model_events.append(self._model_events.decode(value))
        else:
            sighting.dead_letters.append(self._dead_letters.decode(value))

    def _places(self, topic: str) -> list[Any]:
        found = self._access.metadata(
            self._consumer, topic, timeout_seconds=_TIMEOUT_SECONDS, remedy=_REMEDY
        ).topics[topic]
        return [TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in found.partitions]

    def _end(self, places: list[Any]) -> int:
        try:
            ends = [offset_range(self._consumer, place, _TIMEOUT_SECONDS)[1] for place in places]
        except KafkaException as error:
            raise self._no_answer(error) from error
        return sum(max(0, end) for end in ends)

    def _no_answer(self, error: KafkaException) -> InfrastructureError:
        self._consumer.poll(0)  # what a broker said before it hung up may wait there to be told
        what = f"no Kafka broker answered at {self._access}"
        return self._access.failure(what, error.args[0], _REMEDY)
