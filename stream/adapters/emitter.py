"""The emitter: sends records to Kafka and returns once the broker has every one of them."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.adapters.kafka_access import KafkaAccess, await_delivery
from stream.adapters.topics import DEAD_LETTER_BYTES
from stream.errors import InfrastructureError
from stream.ports import Burst, Outgoing

QUEUE_BYTES: Final = 64 * 1024 * 1024
"""Most that waits for the broker; when as much does, sending waits as well."""
_TOGETHER: Final = 5_000
"""Records that are queued at once."""
_GRACE_SECONDS: Final = 5.0
"""librdkafka looks for expired records once a second; a flush must outlast that to hear of them."""


class KafkaEmitter:
    """The :class:`stream.ports.PromptEmitter` of production.

    To be used by one thread at a time; connects when the first record is sent.

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
            # What is sent together is queued together, and fills its requests by itself.
            "linger.ms": 0,
            "message.max.bytes": DEAD_LETTER_BYTES,
            # librdkafka would hold a gigabyte; a batch of scores has less than one megabyte.
            "queue.buffering.max.kbytes": QUEUE_BYTES // 1024,
            "message.timeout.ms": round(timeout_seconds * 1000),
            # A burst ends with settle(), after which no report means delivered.
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
        self.send(_bursts(records))
        self.settle()

    def send(self, bursts: Iterable[Burst]) -> None:
        """Send records, and return once all are on their way, or cannot be, which :meth:`settle` says.

        Waits only while more waits for the broker than may.
        """
        self._failures.clear()
        deadline = time.monotonic() + self._timeout_seconds
        begun: set[str] = set()
        for topic, keys, values in bursts:
            for start in range(0, len(values), _TOGETHER):
                if self._failures and topic in begun:
                    break  # nothing overtakes what could not be sent
                begun.add(topic)
                producer = self._producer = self._producer or Producer(self._config)
                some = slice(start, start + _TOGETHER)
                messages: list[dict[str, Any]] = [
                    {"key": key, "value": value} for key, value in zip(keys[some], values[some], strict=True)
                ]
                if producer.produce_batch(topic, messages) < len(messages):
                    # Once the queue was full for one, it was for all that follow: they keep their order.
                    self._enqueue(producer, topic, [one for one in messages if "_error" in one], deadline)

    def settle(self) -> None:
        """Return once the broker has acknowledged every record that was sent.

        Raises
        ------
        InfrastructureError
            As :meth:`emit` does.
        """
        producer = self._producer
        if producer is None:
            return
        unacknowledged = 0
        try:
            unacknowledged = await_delivery(producer, self._timeout_seconds + _GRACE_SECONDS)
        except KafkaException as error:
            self._note_end(error)
        if self._failures:
            topic, reason = self._failures[0]
            # Its reason, by which it is fatal, is told a moment after its end.
            ended = reason.fatal() or reason.code() == KafkaError._FATAL  # noqa: SLF001 - librdkafka's own
            if ended:
                self._producer = None  # it does no further work; another may
            what = "records were" if ended else f"a record for topic {topic!r} was"
            what = f"{what} not delivered to {self._access}"
            raise self._access.failure(what, reason, "this is tried again, look at the brokers")
        if unacknowledged:
            self._producer = None
            raise InfrastructureError(
                f"{unacknowledged} record(s) were not acknowledged within {self._timeout_seconds:g} s;"
                " the broker is away or overloaded"
            )

    def close(self) -> None:
        """Let go of the connections. What :meth:`emit` returned from is delivered already."""
        if self._producer is not None:
            # Who has not settled will send it again.
            with suppress(KafkaException):
                await_delivery(self._producer, self._timeout_seconds)
            self._producer = None

    def _enqueue(
        self, producer: Producer, topic: str, messages: Sequence[dict[str, Any]], deadline: float
    ) -> None:
        """Enqueue messages as soon as there is room, or take note of why one cannot be."""
        for message in messages:
            while not self._failures:
                try:
                    producer.produce(topic, message["value"], message["key"])
                except BufferError:
                    # The queue is full: let deliveries make room.
                    if time.monotonic() > deadline:
                        self._failures.append((topic, KafkaError(KafkaError._QUEUE_FULL)))  # noqa: SLF001
                    try:
                        producer.poll(0.1)
                    except KafkaException as error:
                        self._note_end(error)
                except KafkaException as error:
                    self._failures.append((topic, error.args[0]))
                else:
                    break

    def _note_end(self, error: KafkaException) -> None:
        """Put the producer's end before what came of it."""
        self._failures.insert(0, ("", error.args[0]))

    def _report(self, error: KafkaError, message: Message) -> None:
        self._failures.append((message.topic() or "", error))


def _bursts(records: Iterable[Outgoing]) -> Iterator[Burst]:
    """Put records together by their topics, a few thousand at a time."""
    coming = iter(records)
    while some := list(islice(coming, _TOGETHER)):
        together: dict[str, tuple[list[bytes | None], list[bytes]]] = {}
        for topic, key, value in some:
            keys, values = together.setdefault(topic, ([], []))
            keys.append(key)
            values.append(value)
        for topic, (keys, values) in together.items():
            yield Burst(topic, keys, values)
