"""Redrive: dead letters go back to where they came from, each once."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any, Final, NamedTuple

import msgspec
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from consumers.decoder import Decoder
from consumers.partition_log import PartitionLog
from consumers.stopping import Stop
from stream.adapters.kafka_access import KafkaAccess, await_delivery
from stream.errors import InfrastructureError
from stream.records import UNREADABLE, DeadLetter, DeadLetterReason, Record

_log = logging.getLogger(__name__)

HEADER: Final = "redriven-from"
_TIMEOUT_SECONDS: Final = 30.0
_IN_FLIGHT: Final = 500


class Filed(NamedTuple):
    """A dead letter and where it lies."""

    place: Record
    letter: DeadLetter

    @property
    def address(self) -> str:
        """Topic, partition and offset, as the header says them."""
        return f"{self.place.topic}/{self.place.partition}/{self.place.offset}"


class _CustomerOnly(msgspec.Struct):
    customer_id: str


def count_by_reason(access: KafkaAccess, group: str, dead_letters: str) -> Counter[DeadLetterReason]:
    """Count the dead letters that lie on the topic, redriven or not."""
    with PartitionLog(access, group, dead_letters) as log:
        log.start({})
        return Counter(filed.letter.reason for filed in _letters(log, Decoder(DeadLetter)))


class Redrive:
    """Publishes the originals of dead letters back to their topics.

    Each reason has an offset of its own, committed in the consumer group ``GROUP-REASON``, so that redriving
    one reason leaves the others for later.

    Parameters
    ----------
    access
        How to reach Kafka.
    group
        First part of the consumer groups' names.
    dead_letters
        The topic of the dead letters.
    origins
        The topics that originals may go back to. A dead letter that names another is passed over: nobody
        should reach further topics through us.
    reasons
        Which to redrive.
    rekey
        Whether a miskeyed transaction gets its customer_id as key; with its old key it would come back.
    """

    def __init__(
        self,
        access: KafkaAccess,
        group: str,
        dead_letters: str,
        origins: Iterable[str],
        *,
        reasons: Iterable[DeadLetterReason] = tuple(DeadLetterReason),
        rekey: bool = False,
    ) -> None:
        self._access = access
        self._group = group
        self._dead_letters = dead_letters
        self._origins = frozenset(origins)
        self._reasons = tuple(reasons)
        self._rekey = rekey
        self._decoder = Decoder(DeadLetter)
        self._failures: list[str] = []
        self._elsewhere = 0
        self.masked = 0
        """Dead letters passed over because card numbers in them are masked: nobody could use them."""
        self.redriven: Counter[DeadLetterReason] = Counter()

    @property
    def foreign(self) -> int:
        """Records passed over because they were no dead letters of ours."""
        return self._decoder.foreign + self._elsewhere

    def run(
        self,
        stop: Stop,
        *,
        limit: int | None = None,
        dry_run: bool = False,
        show: Callable[[Filed], None] = lambda _: None,
    ) -> None:
        """Redrive what lies on the topic now.

        Parameters
        ----------
        stop
            Asked between two dead letters.
        limit
            Most dead letters to redrive; None for all.
        dry_run
            Show what would be done, and publish and commit nothing.
        show
            Called with each dead letter before it is redriven.

        Raises
        ------
        InfrastructureError
            Something was not delivered; what was not committed is redriven again by the next run.
        """
        with ExitStack() as stack:
            logs = {
                reason: stack.enter_context(
                    PartitionLog(self._access, f"{self._group}-{reason.value}", self._dead_letters)
                )
                for reason in self._reasons
            }
            committed = {reason: log.committed() for reason, log in logs.items()}
            reader = logs[self._reasons[0]]
            reader.start(
                {
                    partition: min(offsets.get(partition, 0) for offsets in committed.values())
                    for partition in reader.partitions
                }
            )
            producer = Producer(_producer_config(self._access))
            todo = (
                filed
                for filed in _letters(reader, self._decoder)
                if filed.letter.reason in committed
                and filed.place.offset >= committed[filed.letter.reason].get(filed.place.partition, 0)
                and self._is_ours(filed)
            )
            for some in _groups(todo, limit, stop):
                for filed in some:
                    show(filed)
                if not dry_run:
                    self._publish(producer, some)
                    _commit(logs, some)
                self.redriven.update(filed.letter.reason for filed in some)

    def _is_ours(self, filed: Filed) -> bool:
        if filed.letter.withheld == "masked":
            self.masked += 1
            return False
        if filed.letter.topic in self._origins:
            return True
        self._elsewhere += 1
        _log.warning(
            "%s came from %r, which is no input of ours: passed over", filed.address, filed.letter.topic
        )
        return False

    def _publish(self, producer: Producer, some: list[Filed]) -> None:
        """Publish originals, and return once every one is delivered."""
        for filed in some:
            headers = [(HEADER, filed.address.encode())]
            topic, value = filed.letter.topic, filed.letter.value
            try:
                producer.produce(topic, value, self._key(filed), headers=headers, on_delivery=self._report)
            except KafkaException as error:
                self._failures.append(f"{filed.address}: {error.args[0].str()}")
        try:
            left = await_delivery(producer, _TIMEOUT_SECONDS + 5)
        except KafkaException as error:
            what = f"originals were not delivered to {self._access}"
            raise self._access.failure(what, error.args[0], "run the same command again") from error
        if self._failures or left:
            raise InfrastructureError(
                f"{len(self._failures) + left} originals were not delivered to {self._access}"
                f" ({self._failures[0] if self._failures else 'no answer'}); run the same command again"
            )

    def _report(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failures.append(f"topic {message.topic()!r}: {error.str()}")

    def _key(self, filed: Filed) -> bytes | None:
        letter = filed.letter
        if not self._rekey or letter.reason is not DeadLetterReason.MISKEYED:
            return letter.key
        try:
            return msgspec.json.decode(letter.value or b"", type=_CustomerOnly).customer_id.encode()
        except UNREADABLE as error:
            _log.warning("%s has no customer_id to key it by, and keeps its key: %s", filed.address, error)
            return letter.key


def _letters(log: PartitionLog, decoder: Decoder[DeadLetter]) -> Iterator[Filed]:
    """Yield the dead letters from the log's position to its end as it is now."""
    for record in log.read_to(log.ends()):
        letter = decoder(record)
        if letter is not None:
            yield Filed(record, letter)


def _groups(todo: Iterator[Filed], limit: int | None, stop: Stop) -> Iterator[list[Filed]]:
    """Yield what is to do, some at a time, up to `limit` in all."""
    some: list[Filed] = []
    taken = 0
    while not stop.asked and taken != limit:
        filed = next(todo, None)
        if filed is None:
            break
        some.append(filed)
        taken += 1
        if len(some) == _IN_FLIGHT:
            yield some
            some = []
    if some:
        yield some


def _commit(logs: dict[DeadLetterReason, PartitionLog], some: list[Filed]) -> None:
    offsets: dict[DeadLetterReason, dict[int, int]] = {}
    for filed in some:
        offsets.setdefault(filed.letter.reason, {})[filed.place.partition] = filed.place.offset + 1
    for reason, positions in offsets.items():
        logs[reason].commit(positions)


def _producer_config(access: KafkaAccess) -> dict[str, Any]:
    return access.client() | {
        "enable.idempotence": True,
        "acks": "all",
        # The original key leads to the original partition.
        "partitioner": "murmur2_random",
        "message.max.bytes": 4 * 1024 * 1024,
        "message.timeout.ms": round(_TIMEOUT_SECONDS * 1000),
        "log_level": 2,
    }
