"""The pace of a replay in time: so many seconds of event time in each second."""

import time
from collections.abc import Callable
from typing import Final

from producers.stopping import Stop, StopRequested, never

_SLICE_SECONDS: Final = 0.1
"""Longest sleep at once, so that a request to stop is heard."""
_CLOSE_ENOUGH_SECONDS: Final = 0.001
"""Nobody sleeps for less."""


class Pace:
    """Waits until a moment of event time has come.

    The first moment it is asked for is now; the others follow at their distance from it. Whoever falls
    behind is not made to wait until the distance is made up for.

    Parameters
    ----------
    speed
        Multiple of real time: at 60, an hour of events takes a minute.
    monotonic
        Returns seconds.
    sleep
        Passes at most so many seconds; it may return early.
    stop
        Asked before each sleep.

    Examples
    --------
    >>> slept = []
    >>> pace = Pace(60, monotonic=lambda: sum(slept), sleep=slept.append)
    >>> pace.wait_until(1_000_000)
    >>> pace.wait_until(1_060_000)
    >>> round(sum(slept), 6)
    1.0
    """

    def __init__(
        self,
        speed: float,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        stop: Stop = never,
    ) -> None:
        self._seconds_per_ms = 1 / (1000 * speed)
        self._monotonic = monotonic
        self._sleep = sleep
        self._stop = stop
        self._origin: tuple[float, int] | None = None

    def wait_until(self, event_time_ms: int) -> None:
        """Return when `event_time_ms`, milliseconds since 1970, has come.

        Raises
        ------
        StopRequested
            Somebody asked to stop meanwhile.
        """
        if self._origin is None:
            self._origin = (self._monotonic(), event_time_ms)
        started, first_ms = self._origin
        due = started + (event_time_ms - first_ms) * self._seconds_per_ms
        while (left := due - self._monotonic()) > _CLOSE_ENOUGH_SECONDS:
            if self._stop():
                raise StopRequested
            self._sleep(min(left, _SLICE_SECONDS))
