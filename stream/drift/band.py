"""The band: within which a daily figure has moved so far, and whether it has left it."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import isnan, nan
from statistics import median
from typing import Final, NamedTuple

_SIGMA: Final = 1.4826
"""Of a normal distribution: standard deviations in its median absolute deviation."""


@dataclass(frozen=True)
class BandPolicy:
    """How far from usual is far."""

    days: int = 14
    """Days that say what is usual."""
    least_days: int = 7
    """With fewer, nothing is said."""
    deviations: float = 6.0
    """Robust standard deviations of those days from their median."""
    floor: float = 0.0
    """Smaller distances do not matter."""
    share: float = 0.0
    """... nor do those under this share of the median."""
    season: int = 1
    """A day is compared with those that lie a multiple of so many days before it: 7 where weekends are quiet.

    The deviation is that of all days, each from the median of its like.
    """


class Departure(NamedTuple):
    """A day on which a figure has left its band."""

    value: float
    usual: float
    """Median of the days before."""
    allowed: float
    """Distance from it that would have been let be."""


class Band:
    """Watches one daily figure.

    Parameters
    ----------
    policy
        How far from usual is far.

    Notes
    -----
    Says each departure once: the figure must have been back before another is said. What it departs to
    becomes usual as the days go by. A day's figure rests on hundreds of transactions at least, and there are
    too few days for a detector that learns a distribution; a median and its deviation need a week.

    Examples
    --------
    >>> band = Band(BandPolicy(floor=0.1))
    >>> [band.update(0.5 + 0.01 * (day % 3)) for day in range(8)] == [None] * 8
    True
    >>> band.update(0.9).usual, band.update(0.9)
    (0.51, None)
    """

    def __init__(self, policy: BandPolicy) -> None:
        self._policy = policy
        self._days: deque[float] = deque(maxlen=policy.days)
        self._outside = False

    def update(self, value: float, noise: Callable[[float], float] | None = None) -> Departure | None:
        """Take in a day's figure; return how it has departed, on the first day on which it has.

        Parameters
        ----------
        value
            The figure.
        noise
            Given what is usual, returns the figure's standard deviation by chance alone, where that is known:
            few days may have been alike by chance.
        """
        departure = self._compare(value, noise)
        self._days.append(value)
        news = departure is not None and not self._outside
        self._outside = departure is not None
        return departure if news else None

    def skip(self) -> None:
        """Let a day go by that has no figure."""
        self._days.append(nan)

    def _compare(self, value: float, noise: Callable[[float], float] | None) -> Departure | None:
        policy = self._policy
        if len(self._days) < policy.least_days:
            return None
        days = list(self._days)
        days.reverse()
        groups = [_known(days[place :: policy.season]) for place in range(policy.season)]
        alike = groups[-1]  # the day before is the first of the first, a season before the last's
        if not alike:
            return None
        usual = median(alike)
        spread = _SIGMA * median([distance for some in groups for distance in _distances(some)])
        if noise is not None:
            spread = max(spread, noise(usual))
        allowed = max(policy.deviations * spread, policy.floor + policy.share * abs(usual))
        return Departure(value, usual, allowed) if abs(value - usual) > allowed else None


def _known(days: list[float]) -> list[float]:
    return [one for one in days if not isnan(one)]


def _distances(days: list[float]) -> list[float]:
    """Return how far each is from their median."""
    if not days:
        return []
    centre = median(days)
    return [abs(one - centre) for one in days]
