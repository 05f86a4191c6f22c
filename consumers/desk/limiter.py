"""A limiter: so many times within a minute, and no more."""

from collections import OrderedDict, deque
from typing import Final

from stream.clock import MINUTE_MS, Clock

_REMEMBERED: Final = 10_000


class Limiter:
    """Counts what each key does, over a minute that slides.

    Parameters
    ----------
    most
        How often a key may within a minute.
    clock
        The present.

    Notes
    -----
    Remembers 10,000 keys, those seen last; at most `most` moments of each.

    Examples
    --------
    >>> from stream.clock import ManualClock
    >>> clock = ManualClock(0)
    >>> limiter = Limiter(2, clock)
    >>> [limiter.wait_seconds("a"), limiter.count("a"), limiter.count("a"), limiter.wait_seconds("a")]
    [0, None, None, 60]
    >>> clock.advance(45_500)
    >>> limiter.wait_seconds("a"), limiter.wait_seconds("b")
    (15, 0)
    """

    def __init__(self, most: int, clock: Clock) -> None:
        self._most = most
        self._clock = clock
        self._moments: OrderedDict[str, deque[int]] = OrderedDict()

    def count(self, key: str) -> None:
        """Take note that `key` has done it once more."""
        moments = self._moments.setdefault(key, deque(maxlen=self._most))
        moments.append(self._clock())
        self._moments.move_to_end(key)
        if len(self._moments) > _REMEMBERED:
            self._moments.popitem(last=False)

    def wait_seconds(self, key: str) -> int:
        """Return after how many seconds `key` may do it again; 0: now."""
        moments = self._moments.get(key)
        if moments is None or len(moments) < self._most:
            return 0
        left_ms = moments[0] + MINUTE_MS - self._clock()
        return max(0, -(-left_ms // 1000))
