"""The emitter: sends records to Kafka and returns once the broker has every one of them."""

import time
from collections.abc import Iterable
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.topics import DEAD_LETTER_BYTES
from stream.errors import InfrastructureError
from stream.ports import Outgoing

QUEUE_BYTES: Final = 64 * 1024 * 1024
"""Most that waits for the broker; when as much does, sending waits as well."""
_GRACE_SECONDS: Final = 5.0
"""librdkafka looks for expired records once a second; a flush must outlast that to hear of them."""


class KafkaEmitter:
    """The :class:`stream.ports.Emitter` of production.

    To be used by one thread at a time; connects on the first :meth:`emit`.

    Parameters
    ----------
    access
        How to reach Kafka.
    timeout_seconds
        How long a record may wait for its acknowledgement before it counts as undelivered.
    client_id
        What the broker's logs call this producer.
    """

    def __init__(
        self, access: KafkaAccess, *, timeout_seconds: float = 30.0, client_id: str = "fraudstream"
    ) -> None:
        self._access = access
        self._timeout_seconds = timeout_seconds
        self._config: dict[str, Any] = access.client() | {
            "client.id": client_id,
            "enable.idempotence": True,
            "acks": "all",
            # One at a time: whatever the broker makes of retries, nothing overtakes, and nothing is slower,
            # since a burst waits for its acknowledgements anyway.
            "max.in.flight.requests.per.connection": 1,
            # Kafka's own Java clients place keys so, and `kcat` and others can be told to.
            "partitioner": "murmur2_random",
            # flush() sends at once whatever lingers, so this only helps bursts to fill their requests.
            "linger.ms": 5,
            "message.max.bytes": DEAD_LETTER_BYTES,
            # librdkafka would hold a gigabyte; a batch of scores has less than one megabyte.
            "queue.buffering.max.kbytes": QUEUE_BYTES // 1024,
            "message.timeout.ms": round(timeout_seconds * 1000),
            # A burst ends with flush(), after which no report means delivered.
            "delivery.report.only.error": True,
            "on_delivery": self._report,
            # What goes wrong is raised by emit(); librdkafka's own lines would repeat it on stderr.
            "log_level": 2,
        }
        self._producer: Producer | None = None
        self._failures: list[tuple[str, KafkaError]] = []

    def emit(self, records: Iterable[Outgoing]) -> None:
        """Send `records`, and return once the broker has acknowledged every one.

        Raises
        ------
        InfrastructureError
            Not everything was acknowledged in time: names the first topic that failed, and why. Sending all
            of it again is safe.
        """
        self._failures.clear()
        producer = self._producer = self._producer or Producer(self._config)
        deadline = time.monotonic() + self._timeout_seconds
        produce = producer.produce
        for record in records:
            topic, key, value = record
            try:
                produce(topic, value, key)
            except (BufferError, KafkaException):
                self._enqueue(producer, record, deadline)
            if self._failures:
                break
        unacknowledged = producer.flush(self._timeout_seconds + _GRACE_SECONDS)
        if self._failures:
            topic, reason = self._failures[0]
            if reason.fatal():
                self._producer = None  # an idempotent producer that lost count refuses all further work
            raise self._undelivered(topic, reason)
        if unacknowledged:
            self._producer = None
            raise InfrastructureError(
                f"{unacknowledged} record(s) were not acknowledged within {self._timeout_seconds:g} s;"
                " the broker is away or overloaded"
            )

    def close(self) -> None:
        """Let go of the connections. What :meth:`emit` returned from is delivered already."""
        if self._producer is not None:
            self._producer.flush(self._timeout_seconds)
            self._producer = None

    def _enqueue(self, producer: Producer, record: Outgoing, deadline: float) -> None:
        """Enqueue a record once there is room, or take note of why it cannot be."""
        topic, key, value = record
        while True:
            try:
                producer.produce(topic, value, key)
            except BufferError:
                # The queue is full: let deliveries make room.
                if time.monotonic() > deadline:
                    raise self._undelivered(topic, KafkaError(KafkaError._QUEUE_FULL)) from None  # noqa: SLF001
                producer.poll(0.1)
            except KafkaException as error:
                self._failures.append((topic, error.args[0]))
                return
            else:
                return

    def _report(self, error: KafkaError, message: Message) -> None:
        self._failures.append((message.topic() or "", error))

    def _undelivered(self, topic: str, reason: KafkaError) -> InfrastructureError:
        what = f"a record for topic {topic!r} was not delivered to {self._access}"
        return self._access.failure(what, reason, "this is tried again, look at the brokers")
