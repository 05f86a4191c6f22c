"""The decision: what turns scores into alerts. By a budget of alerts a day, by cost, or by a fixed threshold.

Each policy gives every transaction a threshold of its own, which stays in its pending record: an alert is a
score that reaches it.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

NOBODY: Final = 2.0
"""A threshold that no score reaches: above every probability, and a number that JSON knows."""


class Asked(NamedTuple):
    """Scored transactions to be decided on, in the partition's order."""

    event_times: NDArray[np.int64]
    """Milliseconds since 1970, shape (n,)."""
    amounts: NDArray[np.float64]
    """Currency units, shape (n,)."""
    scores: NDArray[np.float64]
    """Probabilities of fraud, the champion's first; shape (n, models)."""
    versions: tuple[str, ...]
    """The models, in the same order."""
    new: NDArray[np.bool_]
    """Shape (n,): False for what was decided on before, and counts no more."""


class Spent(NamedTuple):
    """How a partition stands with its alert budget."""

    per_day: float
    """Its share of the budget, alerts a day."""
    last_day: int
    """Alerts given in the last 24 whole hours of event time."""
    threshold: float
    """Of its next transaction; :data:`NOBODY` when nothing is alerted."""


class Decider(Protocol):
    """Decides for one partition."""

    def thresholds(self, asked: Asked) -> NDArray[np.float64]:
        """Return the threshold of each transaction, shape (n,), and remember those that are new."""
        ...

    def pack(self) -> bytes:
        """Encode what is remembered, for the store; empty when nothing ever is."""
        ...

    def unpack(self, packed: bytes) -> None:
        """Go on from what was stored; empty for nothing."""
        ...

    @property
    def spent(self) -> Spent | None:
        """How the partition stands with its budget; None without one."""
        ...


class _Forgetful:
    """Decides on each transaction by itself."""

    def pack(self) -> bytes:
        """Return nothing."""
        return b""

    def unpack(self, packed: bytes) -> None:
        """Leave what another policy stored alone."""

    @property
    def spent(self) -> None:
        """Return None: there is no budget."""
        return


@dataclass(frozen=True)
class ByThreshold(_Forgetful):
    """The same threshold for everybody.

    Examples
    --------
    >>> asked = Asked(np.array([0]), np.array([9.5]), np.array([[0.2]]), ("logistic-1",), np.array([True]))
    >>> ByThreshold(0.3).thresholds(asked)
    array([0.3])
    """

    threshold: float

    def thresholds(self, asked: Asked) -> NDArray[np.float64]:
        """Return the one threshold for each transaction."""
        return np.full(len(asked.amounts), self.threshold)


@dataclass(frozen=True)
class ByCost(_Forgetful):
    """A review wherever it costs no more than the loss to be expected (Elkan 2001, for our two decisions).

    Parameters
    ----------
    review_cost
        Of judging one alert, currency units.
    loss_share
        Share of a fraud's amount that is lost, above 0, at most 1.

    Examples
    --------
    >>> amounts = np.array([0.0, 4.0, 100.0])
    >>> asked = Asked(np.zeros(3, np.int64), amounts, np.full((3, 1), 0.2), ("logistic-1",), np.ones(3, bool))
    >>> ByCost(review_cost=5.0, loss_share=0.5).thresholds(asked)  # 5 / 50 for the last
    array([2. , 2. , 0.1])

    References
    ----------
    Elkan (2001), *The Foundations of Cost-Sensitive Learning*: costs that differ by example give each its own
    threshold on a calibrated probability. A review is taken to prevent the whole loss.
    """

    review_cost: float
    loss_share: float

    def thresholds(self, asked: Asked) -> NDArray[np.float64]:
        """Return for each transaction the probability from which on a review pays."""
        at_stake = asked.amounts * self.loss_share
        # No probability makes a review pay whose cost is all that is at stake; of nothing least of all.
        pays = at_stake >= self.review_cost
        return np.where(pays, self.review_cost / np.where(pays, at_stake, 1.0), NOBODY)
