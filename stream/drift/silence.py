"""Silence: for how many days in succession nothing has come from somebody who used to speak."""

from collections import deque
from itertools import repeat
from typing import Final

from stream.drift.band import Departure

_WEEK: Final = 7
_DAYS: Final = 4 * _WEEK
"""Days that say how often somebody speaks."""
_LEAST_DAYS: Final = 2 * _WEEK
_EXPECTED: Final = 14.0
"""Of those that come by chance, with so many expected, none at all comes once in a million times."""


class Silence:
    """Watches how many come in a day, for days on which none does.

    Notes
    -----
    A silence is remarkable once it has lasted longer than any of the four weeks before, and so long that 14
    would have come in it, had its days been like the same weekdays before. Whoever brings a hundred a day is
    missed on the first day, whoever rests on weekends not before the third, and one file a week when the next
    one is due. Each silence is said once.

    Examples
    --------
    >>> silence = Silence()
    >>> week = [100, 90, 110, 100, 95, 0, 0]
    >>> [silence.update(count) for count in 3 * week] == [None] * 21
    True
    >>> silence.update(0).value, silence.update(0)
    (3, None)
    """

    def __init__(self) -> None:
        self._past: deque[int] = deque(maxlen=_DAYS)
        """Counts of the days before the silence that is on, if one is."""
        self.days = 0
        """It has lasted so long; 0 on a day on which something came."""
        self._expected = 0.0
        """So many would have come in it."""
        self._said = False

    def update(self, count: int) -> Departure | None:
        """Take in how many came on a day; return for how long none did, on the day that makes it too long."""
        if count:
            self._past.extend(repeat(0, min(self.days, _DAYS)))
            self._past.append(count)
            self.days, self._expected, self._said = 0, 0.0, False
            return None
        alike = list(self._past)[-_WEEK + self.days % _WEEK :: -_WEEK]
        self._expected += sum(alike) / max(len(alike), 1)
        self.days += 1
        departure = self._compare()
        self._said = self._said or departure is not None
        return departure

    def _compare(self) -> Departure | None:
        if self._said or len(self._past) < _LEAST_DAYS or self._expected < _EXPECTED:
            return None
        usual = _longest(self._past)
        return Departure(self.days, usual, 0) if self.days > usual else None


def _longest(counts: deque[int]) -> int:
    """Return how many days in succession had none, at most."""
    longest = lasting = 0
    for count in counts:
        lasting = 0 if count else lasting + 1
        longest = max(longest, lasting)
    return longest
