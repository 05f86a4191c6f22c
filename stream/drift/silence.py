"""Silence: for how many days in succession nothing has come from somebody who used to speak."""

from collections import deque
from itertools import repeat
from statistics import fmean, pvariance
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
    Days count whose weekdays brought some in the four weeks before. A silence is remarkable once it has
    lasted more than twice as long as any in these weeks, and so long that 14 would have come in it, going by
    the same weekdays; of those that come in bursts, as many times 14 as their variance exceeds their mean.
    Whoever brings a hundred a day is missed on the first day, also after a weekend at rest, and one file a
    week when the next one is due. Each silence is said once.

    Examples
    --------
    >>> silence = Silence()
    >>> week = [100, 90, 110, 100, 95, 0, 0]
    >>> [silence.update(count) for count in 3 * week] == [None] * 21
    True
    >>> silence.update(0).value, silence.update(0)
    (1, None)
    """

    def __init__(self) -> None:
        self._past: deque[int] = deque(maxlen=_DAYS)
        """Counts of the days before the silence that is on, if one is."""
        self._lasted = 0
        """Days of the silence that is on."""
        self.days = 0
        """Those of them that count."""
        self._expected = 0.0
        """So many would have come in it."""
        self._said = False

    def update(self, count: int) -> Departure | None:
        """Take in how many came on a day; return for how long none did, on the day that makes it too long."""
        if count:
            self._past.extend(repeat(0, min(self._lasted, _DAYS)))
            self._past.append(count)
            self._lasted, self.days, self._expected, self._said = 0, 0, 0.0, False
            return None
        alike = list(self._past)[-_WEEK + self._lasted % _WEEK :: -_WEEK]
        self._lasted += 1
        if alike and not any(alike):
            return None
        self.days += 1
        self._expected += sum(alike) / max(len(alike), 1)
        departure = self._compare()
        self._said = self._said or departure is not None
        return departure

    def _compare(self) -> Departure | None:
        if self._said or len(self._past) < _LEAST_DAYS:
            return None
        if self._expected < _EXPECTED * max(1.0, _dispersion(self._past)):
            return None
        usual = _longest(self._past)
        return Departure(self.days, usual, usual) if self.days > 2 * usual else None


def _longest(counts: deque[int]) -> int:
    """Return how many days in succession had none, at most, leaving out weekdays that never had any."""
    days = list(counts)
    longest = lasting = 0
    for place, count in enumerate(days):
        if any(days[place % _WEEK :: _WEEK]):
            lasting = 0 if count else lasting + 1
            longest = max(longest, lasting)
    return longest


def _dispersion(counts: deque[int]) -> float:
    """Return the variance, weekdays apart, over the mean: 1 of what comes by chance, more of bursts."""
    weekdays = [list(counts)[day::_WEEK] for day in range(_WEEK)]
    squares = sum(len(alike) * pvariance(alike) for alike in weekdays)
    freedom = len(counts) - _WEEK
    return squares / freedom / fmean(counts)
