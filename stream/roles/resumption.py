"""A resumption: where to go on reading, from what Redis has stored and what was acknowledged to Kafka.

Effects are stored in Redis before their records are acknowledged to Kafka, dead letters included. So what was
acknowledged can never be beyond what is stored, unless Redis has lost something.
"""

import logging
from typing import Final, Literal, NamedTuple

from stream.errors import InfrastructureError, StateLostError
from stream.ports import InputLog, Progress
from stream.roles.patience import Waits
from stream.settings import LostState

_log = logging.getLogger(__name__)

Remedy = Literal["reread", "rebuild", "cold"]
"""What was done about lost state."""

_PARTITIONS_NAMED: Final = 3


class Resumption(NamedTuple):
    """Where to go on."""

    begin: int
    """Offset to go on from; effects before it are stored, or given up."""
    answered: int
    """Records before this offset were acknowledged, so what they led to has been emitted."""
    remedy: Remedy | None = None
    """What this does about lost state; None when nothing is lost."""


class Place(NamedTuple):
    """A partition of a topic, and the log that tells of it."""

    topic: str
    partition: int
    log: InputLog

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


def resume(place: Place, watermark: int, policy: LostState, waits: Waits) -> Resumption:
    """Find out whether Redis has lost state of a partition, and where to go on.

    Parameters
    ----------
    place
        The partition. Nobody else may write its state any more.
    watermark
        Offset of the last record whose effects are stored; -1 when none is.
    policy
        What to do when some of what was lost is not to be had from just after the watermark.
    waits
        How to wait for Kafka.

    Raises
    ------
    StateLostError
        State is lost, and `policy` is to stop.
    """
    _, partition, log = place
    answered = waits.kafka(log.acknowledged, partition)
    if answered <= watermark + 1:
        return Resumption(answered, answered)
    begins = waits.kafka(log.begins, partition)
    if watermark >= 0 and begins <= watermark + 1:
        _log.warning(
            "%s: Redis has lost the effects of %d acknowledged records, or they are not rebuilt yet: reading"
            " again from offset %d to %d, without answering again",
            *(place, answered - watermark - 1, watermark + 1, answered - 1),
        )
        return Resumption(watermark + 1, answered, "reread")
    have = "nothing" if watermark < 0 else f"only the first, to offset {watermark},"
    lost = (
        f"{place}: Redis has lost state: it has {have} of the records acknowledged before offset {answered}"
    )
    retained = max(0, answered - begins)
    if policy == "stop":
        raise StateLostError(
            f"{lost}; restore it from a backup, or set FRAUD_LOST_STATE=rebuild to read the {retained} of"
            f" them again that the topic still has, or FRAUD_LOST_STATE=cold to go on without"
        )
    if policy == "rebuild" and retained:
        _log.warning("%s: rebuilding it from the %d that the topic still has", lost, retained)
        return Resumption(begins, answered, "rebuild")
    because = ", as the topic has none of them" if policy == "rebuild" else ""
    _log.warning("%s: going on from offset %d without%s", lost, answered, because)
    return Resumption(answered, answered, "cold")


class CatchUp:
    """Waits for scorers that read again what Redis has lost: till then it lacks pending records.

    Parameters
    ----------
    store
        Tells how far the scorers have come.
    log
        Of the scorers.
    partitions
        Of the transactions topic.
    waits
        How to wait.
    """

    def __init__(self, store: Progress, log: InputLog, partitions: int, waits: Waits) -> None:
        self._store = store
        self._log = log
        self._partitions = partitions
        self._waits = waits
        self._goals: dict[int, int] = {}

    def begin(self) -> None:
        """Look how far the scorers had come, before they lost anything: there they must be again."""
        numbers = range(self._partitions)
        self._goals = {number: self._waits.kafka(self._log.acknowledged, number) for number in numbers}
        self._waits.redis(self._look)
        if self._goals:
            _log.warning("waiting for scorers that read again what Redis has lost: %s", self._describe())

    def wait(self) -> None:
        """Return once they are there.

        Raises
        ------
        StoppedError
            The process is to stop, and they are not.
        """
        if self._goals:
            self._waits.scorers(self._require)

    def _require(self) -> None:
        self._look()
        if self._goals:
            raise InfrastructureError(
                f"scorers are still reading again what Redis has lost, and labels wait: {self._describe()}"
            )

    def _look(self) -> None:
        self._done = self._store.transactions_done(self._partitions)
        self._goals = {number: goal for number, goal in self._goals.items() if self._done[number] + 1 < goal}

    def _describe(self) -> str:
        some = [
            f"partition {number} stands at offset {self._done[number]} of {goal - 1}"
            for number, goal in list(self._goals.items())[:_PARTITIONS_NAMED]
        ]
        more = len(self._goals) - len(some)
        return ", ".join(some) + (f", and {more} more" if more else "")
