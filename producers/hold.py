"""The hold: keeps a replay from running ahead of the pipeline.

A stream that is replayed faster than it happened would score a transaction before labels that were due
weeks earlier have been learnt. The hold watches how far the pipeline's stored effects have come
(:class:`stream.ports.Progress`) and compares that with where the broker put what was published.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from producers.stopping import Stop, StopRequested, never
from stream.adapters.topics import TopicNames
from stream.errors import AccessError, InfrastructureError, TopicError
from stream.ports import Progress

_SHORTEST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 0.02
_PAUSE_GROWTH: Final = 1.3


class Log(Protocol):
    """What a replay publishes to: :class:`producers.publisher.Publisher`, or a stand-in for tests."""

    @property
    def unacknowledged(self) -> int:
        """How many records are still on their way."""
        ...

    def acknowledged(self, topic: str) -> Mapping[int, int]:
        """Return the highest offset of a record of ours, by partition."""
        ...

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has."""
        ...

    def publish(self, topic: str, key: bytes, value: bytes) -> None:
        """Hand a record over."""
        ...

    def serve(self, timeout_seconds: float = 0.0) -> None:
        """Take in acknowledgements, waiting for the first at most so long."""
        ...

    def flush(self) -> None:
        """Return once everything is acknowledged."""
        ...


class Hold:
    """Waits for the scorers and the learner.

    Parameters
    ----------
    progress
        Where the pipeline stands.
    log
        What is published to; asked once for the shape of the topics.
    topics
        Their names.
    in_flight
        Most transactions, and most labels, that may be published and not yet processed.
    stall_seconds
        How long nothing at all may move before waiting is given up, in seconds.
    monotonic
        Returns seconds.
    stop
        Asked between two looks.

    Raises
    ------
    InfrastructureError
        Broker or store cannot be reached.
    TopicError
        A topic is missing, or `labels` has more than one partition.

    Notes
    -----
    A look costs one round trip to the store. Between two of them it pauses for 2 ms, growing to 20 while
    nothing moves.
    """

    def __init__(
        self,
        progress: Progress,
        log: Log,
        topics: TopicNames,
        *,
        in_flight: int = 10_000,
        stall_seconds: float = 60.0,
        monotonic: Callable[[], float] = time.monotonic,
        stop: Stop = never,
    ) -> None:
        self._progress = progress
        self._log = log
        self._topics = topics
        self._in_flight = in_flight
        self._stall_seconds = stall_seconds
        self._monotonic = monotonic
        self._stop = stop
        self._partitions = log.partitions(topics.transactions)
        if log.partitions(topics.labels) != 1:
            raise TopicError(
                f"topic {topics.labels!r} must have one partition, by which Kafka elects one learner;"
                " recreate it with `fraudstream topics create`"
            )
        self._already_scored = progress.transactions_done(self._partitions)
        self._already_learnt = {0: progress.labels_done()}

    def room_for_transactions(self) -> int:
        """Return how many transactions may be published now: at least one, waiting for it if need be."""
        return self._room(self._topics.transactions, self._scored, self._unscored)

    def room_for_labels(self) -> int:
        """Return how many labels may be published now: at least one, waiting for it if need be."""
        return self._room(self._topics.labels, self._learnt, self._unlearnt)

    def until_scored(self) -> None:
        """Return once every transaction published so far is scored.

        Raises
        ------
        InfrastructureError
            Nothing moved for `stall_seconds`, or the store holds the state of another broker.
        StopRequested
            Somebody asked to stop meanwhile.
        """
        self._until_done(self._topics.transactions, self._already_scored, self._scored, self._unscored)

    def until_learnt(self) -> None:
        """Return once every label published so far is applied; raises as :meth:`until_scored` does."""
        self._until_done(self._topics.labels, self._already_learnt, self._learnt, self._unlearnt)

    def _room(
        self, topic: str, look: Callable[[], Mapping[int, int]], complaint: Callable[[Mapping[int, int]], str]
    ) -> int:
        room = 0

        def there_is_room(done: Mapping[int, int]) -> bool:
            nonlocal room
            published = self._log.acknowledged(topic)
            ahead = sum(max(0, offset - done.get(partition, -1)) for partition, offset in published.items())
            room = self._in_flight - ahead - self._log.unacknowledged
            return room > 0

        self._wait(look, there_is_room, complaint)
        return room

    def _until_done(
        self,
        topic: str,
        already: Mapping[int, int],
        look: Callable[[], Mapping[int, int]],
        complaint: Callable[[Mapping[int, int]], str],
    ) -> None:
        self._log.flush()
        published = self._log.acknowledged(topic)
        for partition, offset in published.items():
            if offset <= already.get(partition, -1):
                raise InfrastructureError(
                    f"the store says that partition {partition} of {topic!r} was done up to offset"
                    f" {already[partition]} before offset {offset} was published: it holds the state of"
                    " another broker; empty it, or set another FRAUD_NAMESPACE"
                )
        self._wait(
            look,
            lambda done: all(done.get(partition, -1) >= offset for partition, offset in published.items()),
            complaint,
        )

    def _wait(
        self,
        look: Callable[[], Mapping[int, int]],
        satisfied: Callable[[Mapping[int, int]], bool],
        complaint: Callable[[Mapping[int, int]], str],
    ) -> None:
        seen: tuple[Mapping[int, int], int] | None = None
        done: Mapping[int, int] = {}
        trouble = ""
        pause = _SHORTEST_PAUSE
        moved = self._monotonic()
        while True:
            try:
                done, trouble = look(), ""
            except AccessError:
                raise  # waiting mends no password
            except InfrastructureError as error:
                # The store may be restarting: waiting is what we do anyway, and it has its end.
                trouble = f"; {error}"
            else:
                if satisfied(done):
                    return
            if self._stop():
                raise StopRequested
            now = self._monotonic()
            standing = (done, self._log.unacknowledged)
            if standing != seen:
                seen, moved, pause = standing, now, _SHORTEST_PAUSE
            elif now - moved >= self._stall_seconds:
                raise InfrastructureError(
                    f"nothing moved for {self._stall_seconds:g} s: {complaint(done)}{trouble}"
                )
            self._log.serve(pause)
            pause = min(pause * _PAUSE_GROWTH, _LONGEST_PAUSE)

    def _scored(self) -> Mapping[int, int]:
        return self._progress.transactions_done(self._partitions)

    def _learnt(self) -> Mapping[int, int]:
        return {0: self._progress.labels_done()}

    def _unscored(self, done: Mapping[int, int]) -> str:
        behind = {
            partition: offset
            for partition, offset in self._log.acknowledged(self._topics.transactions).items()
            if done.get(partition, -1) < offset
        }
        if not behind:
            return f"{self._log.unacknowledged} record(s) wait for the broker's acknowledgement"
        partition, offset = min(behind.items())
        return (
            f"partition {partition} of {self._topics.transactions!r} is published up to offset {offset} and"
            f" scored up to {done.get(partition, -1)}; is a scorer running on this broker and Redis"
            " (`fraudstream worker --role score`)?"
        )

    def _unlearnt(self, done: Mapping[int, int]) -> str:
        offset = self._log.acknowledged(self._topics.labels).get(0, -1)
        return (
            f"{self._topics.labels!r} is published up to offset {offset} and learnt up to {done.get(0, -1)};"
            " is the learner running on this broker and Redis (`fraudstream worker --role learn`)?"
        )
