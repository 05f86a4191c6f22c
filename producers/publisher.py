"""The publisher: a keyed, idempotent Kafka producer that slows its caller down instead of growing."""

from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from stream.adapters.kafka_access import KafkaAccess, await_delivery
from stream.errors import InfrastructureError, TopicError

_SERVE_EVERY: Final = 256
"""Records between two looks at the delivery reports: a look costs as much as a record."""
_QUEUE_BYTES: Final = 64 * 1024 * 1024
"""Most that waits for the broker, however few records it is."""
_GRACE_SECONDS: Final = 5.0
"""librdkafka looks for expired records once a second; a flush must outlast that to hear of them."""


class Publisher:
    """Publishes records and remembers how far the broker has acknowledged them.

    To be used by one thread at a time. Use it as a context, or end with :meth:`flush`: what was published
    last may otherwise be lost without a word.

    Parameters
    ----------
    access
        How to reach Kafka.
    queue_records
        Most records waiting for the broker; :meth:`publish` blocks while there are as many.
    linger_ms
        How long a record waits for others to share its request, in milliseconds.
    timeout_seconds
        How long a record may wait for its acknowledgement before it counts as undelivered.
    client_id
        What the broker's logs call this producer.
    idempotent
        Whether a retry never repeats a record. librdkafka (2.16) then keeps a core busy while five records
        or more of a partition wait for the broker and others are due: who has no core to spare, and sends
        what may come twice, as transactions and labels may, does without.

    Notes
    -----
    A retry does not change the order within a partition. Keys are placed by murmur2, as Kafka's own Java
    clients place them: an upstream in Java and this one send a customer's transactions to the same partition.

    A record costs about 3 µs, its delivery report included.
    """

    def __init__(
        self,
        access: KafkaAccess,
        *,
        queue_records: int = 20_000,
        linger_ms: float = 5.0,
        timeout_seconds: float = 30.0,
        client_id: str = "fraudstream-publisher",
        idempotent: bool = True,
    ) -> None:
        self._access = access
        self._timeout_seconds = timeout_seconds
        self._published = 0
        self._since_served = 0
        self._acknowledged: dict[str, dict[int, int]] = {}
        self._failure: tuple[str, KafkaError] | None = None
        config: dict[str, Any] = access.client() | {
            "client.id": client_id,
            "enable.idempotence": idempotent,
            "acks": "all",
            # Kafka keeps the order of several by their sequence numbers. The embedded broker does not look
            # at these, so that one refused among several would be lost, doubled or out of order there.
            "max.in.flight.requests.per.connection": 1,
            "partitioner": "murmur2_random",
            "compression.type": "lz4",
            "linger.ms": linger_ms,
            "queue.buffering.max.messages": queue_records,
            "queue.buffering.max.kbytes": _QUEUE_BYTES // 1024,
            "message.timeout.ms": round(timeout_seconds * 1000),
            "on_delivery": self._report,
            # What goes wrong is raised; librdkafka's own lines would repeat it on stderr.
            "log_level": 2,
        }
        self._producer = Producer(config)

    @property
    def published(self) -> int:
        """How many records were taken, whether acknowledged yet or not."""
        return self._published

    @property
    def unacknowledged(self) -> int:
        """How many records the broker has not yet acknowledged, as far as delivery reports were served."""
        return len(self._producer)

    def acknowledged(self, topic: str) -> dict[int, int]:
        """Return the highest offset at which the broker has put a record of ours, by partition."""
        return dict(self._acknowledged.get(topic, {}))

    def partitions(self, topic: str) -> int:
        """Ask the broker how many partitions a topic has.

        Raises
        ------
        InfrastructureError
            No broker answered.
        TopicError
            There is no such topic.
        """
        found = self._access.metadata(
            self._producer,
            topic,
            timeout_seconds=min(self._timeout_seconds, 10.0),
            remedy="start it, or name another with --broker or FRAUD_BROKER",
        ).topics[topic]
        if found.error is not None:
            if found.error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                raise self._access.failure(f"topic {topic!r} cannot be looked at", found.error, "")
            raise TopicError(
                f"topic {topic!r} at {self._access}: {found.error.str()}; run `fraudstream topics create`"
            )
        return len(found.partitions)

    def publish(self, topic: str, key: bytes, value: bytes, timestamp_ms: int | None = None) -> None:
        """Hand a record over; it is sent in the background, in the order of its partition.

        Parameters
        ----------
        topic
            Where to.
        key
            Decides the partition.
        value
            The record itself, encoded.
        timestamp_ms
            Kafka's time of the record, milliseconds since 1970; by default the present. A time in the past
            makes a broker with a retention by time drop the record at once.

        Raises
        ------
        InfrastructureError
            A record published earlier was not delivered, or this one cannot be: topic and reason.
        """
        # librdkafka stamps the present in place of 0.
        timestamp = timestamp_ms or 0
        while True:
            try:
                self._producer.produce(topic, value, key, timestamp=timestamp)
            except BufferError:
                # Full: wait for acknowledgements to make room. Should the broker be away, records expire,
                # so that this ends as well.
                self.serve(0.1)
            except KafkaException as error:
                if error.args[0].code() == KafkaError._FATAL:  # noqa: SLF001 - librdkafka's own error
                    self._await_end()
                raise self._undelivered(topic, error.args[0]) from error
            else:
                break
        self._published += 1
        self._since_served += 1
        if self._since_served >= _SERVE_EVERY:
            self.serve()

    def serve(self, timeout_seconds: float = 0.0) -> None:
        """Take in delivery reports, waiting for the first one at most `timeout_seconds`.

        Raises
        ------
        InfrastructureError
            A record was not delivered: topic and reason.
        """
        self._since_served = 0
        try:
            self._producer.poll(timeout_seconds)
        except KafkaException as error:
            raise self._ended(error) from error
        self._raise_failure()

    def flush(self, timeout_seconds: float | None = None) -> None:
        """Return once the broker has acknowledged everything published.

        Parameters
        ----------
        timeout_seconds
            How long to wait; by default as long as a record may take before it counts as undelivered.

        Raises
        ------
        InfrastructureError
            Something was not delivered, or not in time.
        """
        limit = self._timeout_seconds + _GRACE_SECONDS if timeout_seconds is None else timeout_seconds
        try:
            waiting = await_delivery(self._producer, limit)
        except KafkaException as error:
            raise self._ended(error) from error
        self._raise_failure()
        if waiting:
            raise InfrastructureError(
                f"{waiting} record(s) were not acknowledged by {self._access} within {limit:g} s;"
                " the broker is away or overloaded"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush()
        else:
            # Something went wrong already: neither wait for a broker that may be the cause, nor hide it.
            self._producer.purge()

    def _report(self, error: KafkaError | None, message: Message) -> None:
        topic = message.topic()
        if error is not None:
            self._failure = self._failure or (topic, error)
            return
        # In order within a partition, one request at a time: the last one is the highest.
        offsets = self._acknowledged.get(topic)
        if offsets is None:
            offsets = self._acknowledged[topic] = {}
        offsets[message.partition()] = message.offset()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            (topic, reason), self._failure = self._failure, None
            raise self._undelivered(topic, reason)

    def _undelivered(self, topic: str, reason: KafkaError) -> InfrastructureError:
        return self._failed(f"a record for topic {topic!r} was", reason)

    def _await_end(self) -> None:
        """Raise why the producer does no further work, which is told a moment after it does none."""
        for _ in range(10):
            self.serve(0.1)

    def _ended(self, error: KafkaException) -> InfrastructureError:
        return self._failed("records were", error.args[0])

    def _failed(self, what: str, reason: KafkaError) -> InfrastructureError:
        what = f"{what} not delivered to {self._access}"
        return self._access.failure(what, reason, "look at the brokers, and do it again")
