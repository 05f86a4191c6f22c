"""The watchdog's rule: tells a role that stands still from one that waits, works or has nothing to do."""

from collections.abc import Mapping
from typing import Final, NamedTuple

MOST_STEP_SECONDS: Final = 3.0
"""Most that one look counts for. A process that was stopped and goes on (SIGSTOP, a sleeping laptop) has
missed many looks: that was no stall of its own."""


class Place(NamedTuple):
    """How far a partition has come, and how far it goes."""

    reached: int | None
    """No record before it is left to be done; None: nothing is known yet."""
    first: int
    """Offset of the log's first record."""
    end: int
    """Offset after its last one."""

    @property
    def behind(self) -> bool:
        """Whether records lie beyond what is done."""
        return self.end > max(self.first, self.reached or 0)


class Sight(NamedTuple):
    """What can be seen of a role at one moment."""

    beat: float | None
    """Changes as long as the event loop turns; None before it does."""
    batch: float | None
    """Identifies what the role's thread works on; None: it is idle."""
    excused: bool
    """Whether it waits for a service, has been fenced off or is about to stop: nothing is to be expected."""
    places: Mapping[int, Place] | None
    """Every partition that it holds; None when the broker did not answer."""


class Watchdog:
    """Looks at one role now and then, and says when it stands still.

    Parameters
    ----------
    limit_seconds
        How long nothing may happen.
    batch_seconds
        How long one batch may take without saying that it waits for something; counts where it is longer.

    Examples
    --------
    >>> dog = Watchdog(2, 45)
    >>> still = Sight(beat=None, batch=None, excused=False, places={3: Place(reached=7, first=0, end=9)})
    >>> [dog.look(still, now=second) for second in (0, 1)]
    [None, None]
    >>> dog.look(still, now=2)
    'has done nothing for 2 s, though records wait: partition 3 is at offset 7 and goes on to 9'
    """

    def __init__(self, limit_seconds: float, batch_seconds: float) -> None:
        self._limit = limit_seconds
        self._batch_limit = max(limit_seconds, batch_seconds)
        self._last: float | None = None
        self._beat: float | None = None
        self._loop_seconds = 0.0
        self._batch: float | None = None
        self._batch_seconds = 0.0
        self._reached: dict[int, int | None] = {}
        self._still: dict[int, float] = {}

    @property
    def seconds(self) -> float:
        """For how long the partition that has stood still longest has done so with records before it."""
        return max(self._still.values(), default=0.0)

    def look(self, sight: Sight, now: float) -> str | None:
        """Take a look at the role.

        Parameters
        ----------
        sight
            What there is to be seen.
        now
            Seconds of a clock that never goes back.

        Returns
        -------
        str | None
            Why it is to be given up, to follow its name; None while it lives.
        """
        step = 0.0 if self._last is None else min(now - self._last, MOST_STEP_SECONDS)
        self._last = now
        turns = sight.beat is None or sight.beat != self._beat
        self._loop_seconds = 0.0 if turns else self._loop_seconds + step
        same_batch = sight.batch is not None and sight.batch == self._batch
        excused = sight.excused or sight.places is None
        if not same_batch or excused:
            self._batch_seconds = 0.0
        elif turns:  # of a loop that does not turn, the batch's end would not be heard
            self._batch_seconds += step
        self._beat, self._batch = sight.beat, sight.batch
        # While one batch is at work for the whole step, the fetcher has nothing to prove.
        self._count_still(sight, 0.0 if same_batch else step)
        if self._loop_seconds >= self._limit:
            return (
                f"has an event loop that has not turned for {self._loop_seconds:.0f} s: something blocks it"
            )
        if self._batch_seconds >= self._batch_limit:
            return (
                f"has been at work on one batch for {self._batch_seconds:.0f} s and does not say that it"
                " waits for anything: its thread is blocked"
            )
        if self.seconds >= self._limit:
            return self._standing_still(sight)
        return None

    def _count_still(self, sight: Sight, step: float) -> None:
        if sight.excused or sight.places is None:
            self._still.clear()
            self._reached.clear()
            return
        for partition, place in sight.places.items():
            stands = partition in self._reached and self._reached[partition] == place.reached
            known = self._still.get(partition, 0.0)
            self._still[partition] = known + step if stands and place.behind else 0.0
        for partition in self._still.keys() - sight.places.keys():
            del self._still[partition]
        self._reached = {partition: place.reached for partition, place in sight.places.items()}

    def _standing_still(self, sight: Sight) -> str:
        places = sight.places or {}
        which = ", ".join(
            f"partition {partition} is at offset {places[partition].reached} and goes on to"
            f" {places[partition].end}"
            for partition, seconds in sorted(self._still.items())
            if seconds >= self._limit
        )
        return f"has done nothing for {self.seconds:.0f} s, though records wait: {which}"
