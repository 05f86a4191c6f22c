"""The band: within which a daily figure has moved so far, and whether it has left it."""

from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

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

    def update(self, value: float) -> Departure | None:
        """Take in a day's figure; return how it has departed, on the first day on which it has."""
        departure = self._compare(value)
        self._days.append(value)
        news = departure is not None and not self._outside
        self._outside = departure is not None
        return departure if news else None

    def _compare(self, value: float) -> Departure | None:
        policy = self._policy
        if len(self._days) < policy.least_days:
            return None
        days = np.array(self._days)
        usual = float(np.median(days))
        spread = _SIGMA * float(np.median(np.abs(days - usual)))
        allowed = max(policy.deviations * spread, policy.floor + policy.share * abs(usual))
        return Departure(value, usual, allowed) if abs(value - usual) > allowed else None
