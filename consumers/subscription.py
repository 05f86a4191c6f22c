"""A subscription: topics read as a member of a consumer group, whose offsets move only after the effect."""

import logging
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from consumers.stopping import Stop
from stream.adapters.kafka_access import KafkaAccess
from stream.errors import TopicError
from stream.records import Record

_log = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.5
"""Longest wait for records before a consumer looks at the clock and at whether to stop."""

_OVERTAKEN: Final = frozenset(
    {
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError._STATE,  # noqa: SLF001 - librdkafka's own errors are named so
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001
        KafkaError._MAX_POLL_EXCEEDED,  # noqa: SLF001
    }
)


class Subscription:
    """Yields what was published on `topics` since this group's last commit.

    Parameters
    ----------
    access
        How to reach Kafka.
    group
        The consumer group. Members share the topics' partitions.
    topics
        What to read.
    on_revoked
        Called, inside :meth:`batches`, just before all partitions are given back, to be shared anew: the
        moment to make good and commit what was read.
    on_lost
        Called instead when they are gone already: what was read and not committed is to be dropped, as
        another member reads it too.
    """

    def __init__(
        self,
        access: KafkaAccess,
        group: str,
        topics: Sequence[str],
        *,
        on_revoked: Callable[[], None] | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self._access = access
        self._on_revoked = on_revoked
        self._on_lost = on_lost
        self._done: dict[tuple[str, int], int] = {}
        self.joined = False
        """Whether the group has given it its partitions, were it none: until then, silence means nothing."""
        self._consumer = Consumer(consumer_config(access, group))
        self._consumer.subscribe(
            list(topics), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )

    def batches(self, size: int, stop: Stop, wait_seconds: float = POLL_SECONDS) -> Iterator[list[Record]]:
        """Yield up to `size` records at a time, none when there were none for a while, until told to stop."""
        while not stop.asked:
            messages = self._consumer.consume(size, wait_seconds)
            refusal = self._access.take_refusal()
            if refusal is not None and not self.joined:
                raise refusal
            if refusal is not None:  # a broker that restarts may break a login off
                _log.warning("%s; trying again", refusal)
            yield records_of(messages, self._access)

    def done(self, record: Record) -> None:
        """Mark a record, and every earlier one of its partition, as dealt with."""
        self._done[record.topic, record.partition] = record.offset + 1

    def commit(self) -> bool:
        """Commit what is marked.

        Returns
        -------
        bool
            False when a rebalance had overtaken it: it comes again, perhaps to another member.

        Raises
        ------
        InfrastructureError
            The broker refused.
        """
        if not self._done:
            return True
        offsets = [TopicPartition(topic, number, offset) for (topic, number), offset in self._done.items()]
        self._done.clear()
        return commit(self._consumer, offsets, self._access)

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _assigned(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self.joined = True
        _log.info("assigned: %s", [(place.topic, place.partition) for place in partitions])

    def _revoked(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._on_revoked is not None:
            self._on_revoked()
        self._done.clear()
        _log.info("given back: %s", [(place.topic, place.partition) for place in partitions])

    def _lost(self, _consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if self._on_lost is not None:
            self._on_lost()
        self._done.clear()
        _log.warning("lost: %s", [(place.topic, place.partition) for place in partitions])


def consumer_config(access: KafkaAccess, group: str) -> dict[str, Any]:
    """Return librdkafka's settings for a consumer that commits by hand, from the earliest record on."""

    def report(error: KafkaError) -> None:
        if not access.hear(error):
            _log.warning("Kafka: %s; trying again", error.str())

    return access.client() | {
        "group.id": group,
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "allow.auto.create.topics": False,
        # The embedded broker answers a fetch that found nothing after this whole time.
        "fetch.wait.max.ms": 100,
        # A webhook may be away for long; what it waits for must not go to another member meanwhile.
        "max.poll.interval.ms": 86_400_000,
        "session.timeout.ms": 10_000,
        "log_level": 2,
        "error_cb": report,
    }


def commit(consumer: Consumer, offsets: list[TopicPartition], access: KafkaAccess) -> bool:
    """Commit `offsets` and wait for the answer; see :meth:`Subscription.commit`."""
    try:
        consumer.commit(offsets=offsets, asynchronous=False)
    except KafkaException as error:
        reason = error.args[0]
        if reason.code() not in _OVERTAKEN:
            what = f"{access} did not commit offsets"
            raise access.failure(what, reason, "what was read since comes again") from error
        _log.warning("a rebalance overtook a commit, some records come again: %s", reason.str())
        return False
    return True


def records_of(messages: Sequence[Message], access: KafkaAccess) -> list[Record]:
    """Return the records among `messages`.

    Raises
    ------
    TopicError
        A topic is missing.
    InfrastructureError
        The broker refuses to be read, or does not let us in. What passes by itself is only logged.
    """
    records = []
    for message in messages:
        error = message.error()
        if error is None:
            _, timestamp = message.timestamp()
            record = Record(
                *(message.topic(), message.partition(), message.offset(), timestamp),
                *(message.key(), message.value()),
            )
            records.append(record)
        elif error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise TopicError(
                f"{error.str()}; run `fraudstream topics create --broker {access}`, and look at"
                " FRAUD_TOPIC_PREFIX"
            )
        elif error.fatal() or error.code() in {
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.GROUP_AUTHORIZATION_FAILED,
        }:
            raise access.failure(f"{access} cannot be read from", error, "start anew")
        else:
            _log.warning("%s: %s; trying again", access, error.str())
    return records
