"""An input log: what Kafka keeps of a topic, and of how far a consumer group has come with it."""

from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.offsets import offset_range
from stream.errors import InfrastructureError


class KafkaInputLog:
    """The :class:`stream.ports.InputLog` of production. It joins no group and reads no record.

    To be used by one thread at a time; connects when it is first asked.

    Parameters
    ----------
    access
        How to reach Kafka.
    group
        The consumer group.
    topic
        What it reads.
    timeout_seconds
        Longest wait for an answer.
    """

    def __init__(self, access: KafkaAccess, group: str, topic: str, *, timeout_seconds: float = 10.0) -> None:
        self._access = access
        self._topic: Final = topic
        self._timeout_seconds = timeout_seconds
        self._config: dict[str, Any] = access.client() | {
            "group.id": group,
            "enable.auto.commit": False,
            # What goes wrong is raised; librdkafka's own lines would repeat it on stderr.
            "log_level": 2,
        }
        self._consumer: Consumer | None = None

    def acknowledged(self, partition: int) -> int:
        """Return the offset after the last record that the group has acknowledged; 0 when it has none."""
        try:
            (place,) = self._connected().committed(
                [TopicPartition(self._topic, partition)], timeout=self._timeout_seconds
            )
        except KafkaException as error:
            raise self._away(partition, error) from error
        if place.error is not None:
            raise self._away(partition, KafkaException(place.error))
        return max(0, int(place.offset))  # a negative one stands for none

    def begins(self, partition: int) -> int:
        """Return the offset of the oldest record that the topic still has; its end when it has none."""
        try:
            place = TopicPartition(self._topic, partition)
            return offset_range(self._connected(), place, self._timeout_seconds)[0]
        except KafkaException as error:
            raise self._away(partition, error) from error

    def close(self) -> None:
        """Let go of the connection."""
        if self._consumer is not None:
            self._consumer.close()

    def _connected(self) -> Consumer:
        if self._consumer is None:
            self._consumer = Consumer(self._config)
        return self._consumer

    def _away(self, partition: int, error: KafkaException) -> InfrastructureError:
        self._connected().poll(0)  # what a broker said before it hung up may wait there to be told
        what = f"asking for the offsets of {self._topic}/{partition} failed"
        return self._access.failure(what, error.args[0], "this is tried again, look at the brokers")
