"""The wall clock, as an argument: whoever needs the time is given one of these."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Returns milliseconds since 1970-01-01 UTC."""

SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def wall_clock() -> int:
    """Return the machine's time in milliseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000_000


class ManualClock:
    """A clock that moves when told to, for tests and backtests.

    Examples
    --------
    >>> clock = ManualClock(1_000)
    >>> clock()
    1000
    >>> clock.advance(500)
    >>> clock()
    1500
    """

    def __init__(self, now_ms: int = 0) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        """Return the time it stands at."""
        return self.now_ms

    def advance(self, milliseconds: int) -> None:
        """Move forward."""
        self.now_ms += milliseconds
