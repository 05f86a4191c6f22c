"""The population: customers and terminals on a square of 100 by 100, and who meets whom."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

SIDE: Final = 100.0
"""Side of the square that everybody lives on, in kilometres, say."""
_RADIUS: Final = 5.0
_FEWEST_WITHIN_REACH: Final = 8
_ROWS_AT_ONCE: Final = 256

_COUNTRIES: Final = np.array(["DE", "FR", "NL", "AT", "ES", "GB"])
_CATEGORIES: Final = np.array(
    ["5411", "5812", "5541", "5732", "5651", "4111", "5912", "7832", "5999", "5815"]
)
"""Grocers, restaurants, petrol, electronics, clothes, trains, chemists, cinemas, others, digital goods."""
_ONLINE_SHARE: Final = 0.15

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Population:
    """Who there is. Arrays are of shape (customers,) or (terminals,) unless said otherwise."""

    mean_amount: Floats
    """What each customer usually spends; the standard deviation is half of it."""
    daily_rate: Floats
    """Mean number of transactions a day of each customer."""
    reach: Indices
    """Terminals within reach, of all customers one after the other."""
    reach_start: Indices
    """Shape (customers + 1,): where in `reach` each customer's terminals begin."""
    visited: Indices
    """The terminals that are within reach of anybody."""
    country: NDArray[np.str_]
    """Of each terminal, ISO 3166-1."""
    category: NDArray[np.str_]
    """Merchant category code of each terminal."""
    channel: NDArray[np.str_]
    """``pos`` or ``online``, of each terminal."""

    @property
    def customers(self) -> int:
        """How many customers there are."""
        return len(self.daily_rate)

    @property
    def terminals(self) -> int:
        """How many terminals there are."""
        return len(self.country)

    def choose_terminals(self, customers: Indices, rng: np.random.Generator) -> Indices:
        """Choose for each entry of `customers`, shape (n,), one of the terminals within reach."""
        start = self.reach_start[customers]
        count = self.reach_start[customers + 1] - start
        return self.reach[start + (rng.random(len(customers)) * count).astype(np.int64)]


def settle(customers: int, terminals: int, rng: np.random.Generator) -> Population:
    """Draw a population.

    Parameters
    ----------
    customers, terminals
        How many, at least 1 each.
    rng
        The randomness.

    Returns
    -------
    Population
        Each customer reaches the terminals within 5 of its place or, where terminals are sparse, within the
        radius that holds eight on average; at least the nearest one.

    References
    ----------
    Le Borgne, Siblini, Lebichot, Bontempi (2022), *Reproducible Machine Learning for Credit Card Fraud
    Detection*, ch. 3: the square, the radius, and the distributions of amounts and rates. Countries,
    categories and channels are ours.
    """
    home = rng.uniform(0, SIDE, (customers, 2))
    place = rng.uniform(0, SIDE, (terminals, 2))
    mean_amount = rng.uniform(5, 100, customers)
    daily_rate = rng.uniform(0, 4, customers)
    radius = max(_RADIUS, SIDE * np.sqrt(_FEWEST_WITHIN_REACH / (np.pi * terminals)))
    reach = _within_reach(home, place, radius)
    sizes = np.array([len(terminals_near) for terminals_near in reach])
    near = np.concatenate(reach)
    # A country is a strip of the square; a few shops sell from abroad.
    strip = (place[:, 0] / SIDE * (len(_COUNTRIES) - 1)).astype(np.int64)
    online = rng.random(terminals) < _ONLINE_SHARE
    strip[online] = rng.integers(0, len(_COUNTRIES), int(online.sum()))
    return Population(
        mean_amount=mean_amount,
        daily_rate=daily_rate,
        reach=near,
        reach_start=np.concatenate([[0], np.cumsum(sizes)]),
        visited=np.unique(near),
        country=_COUNTRIES[strip],
        category=_CATEGORIES[rng.integers(0, len(_CATEGORIES), terminals)],
        channel=np.where(online, "online", "pos"),
    )


def _within_reach(home: Floats, place: Floats, radius: float) -> list[Indices]:
    """Return the terminals near each customer; some rows at a time, since the whole matrix can be large."""
    reach: list[Indices] = []
    for start in range(0, len(home), _ROWS_AT_ONCE):
        gaps = home[start : start + _ROWS_AT_ONCE, np.newaxis, :] - place[np.newaxis, :, :]
        squared = (gaps**2).sum(axis=2)
        nearest = squared.argmin(axis=1)
        for row, closest in zip(squared, nearest, strict=True):
            near = np.flatnonzero(row <= radius**2)
            reach.append(near if len(near) else np.array([closest]))
    return reach
