"""Reliability: whether of the transactions scored 0.3, three in ten are frauds.

The headline is the expected calibration error over 15 bins of equal width, weighted by count (Guo et al.
2017). Where frauds are one in a hundred, nearly all transactions lie in its first bin, so it is read beside
the Brier score, the error over bins of equal counts, and the curve, whose bins grow finer towards 0 and 1.
"""

from math import sqrt
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

BINS: Final = 15
"""Of the expected calibration error."""
_LOW: Final = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2)
CURVE_EDGES: Final = (0.0, *_LOW, 0.35, 0.5, 0.65, *(round(1 - edge, 4) for edge in reversed(_LOW)), 1.0)
"""Of the reliability curve: steps of about the same size in log-odds."""
_NORMAL_95: Final = 1.959964
"""Standard deviations that hold 95 % of a normal distribution."""


class CalibrationTally:
    """Adds up what calibration is computed from, batch by batch; memory does not grow.

    Parameters
    ----------
    bins
        Of equal width, each with its upper end: (0, 1/bins], ..., the first with 0 as well.

    Examples
    --------
    Three in four where 0.8 was said, and none where 0.1 was: (4 * 0.05 + 2 * 0.1) / 6.

    >>> tally = CalibrationTally()
    >>> tally.add(np.array([True, True, True, False]), np.full(4, 0.8))
    >>> tally.add(np.array([False, False]), np.full(2, 0.1))
    >>> round(tally.expected_calibration_error, 4), round(tally.brier, 4)
    (0.0667, 0.13)

    References
    ----------
    Guo, Pleiss, Sun & Weinberger (2017), On Calibration of Modern Neural Networks: the error, with the
    probability of fraud in place of the confidence in the class that was predicted. Brier (1950).
    """

    def __init__(self, bins: int = BINS) -> None:
        self._bins = bins
        self._count = np.zeros(bins, dtype=np.int64)
        self._excess = np.zeros(bins)
        self._squares = 0.0

    def add(self, is_fraud: NDArray[np.bool_], score: NDArray[np.float64]) -> None:
        """Take in transactions; arrays of shape (n,), scores in [0, 1]."""
        place = np.clip(np.ceil(score * self._bins).astype(np.intp) - 1, 0, self._bins - 1)
        excess = score - is_fraud
        self._count += np.bincount(place, minlength=self._bins)
        self._excess += np.bincount(place, excess, minlength=self._bins)
        self._squares += float(excess @ excess)

    @property
    def expected_calibration_error(self) -> float:
        """Mean over the transactions of their bin's distance between mean score and share of frauds.

        Between 0 and 1; nan before the first transaction.
        """
        count = int(self._count.sum())
        return float(np.abs(self._excess).sum()) / count if count else float("nan")

    @property
    def brier(self) -> float:
        """Mean squared distance of the scores from 1 for frauds and 0 for the rest; nan before the first."""
        count = int(self._count.sum())
        return self._squares / count if count else float("nan")


def expected_calibration_error(
    is_fraud: NDArray[np.bool_], score: NDArray[np.float64], bins: int = BINS
) -> float:
    """Distance between what scores say and what happens, over bins of equal width; the headline.

    Parameters
    ----------
    is_fraud, score
        Shape (n,), any order; scores in [0, 1].
    bins
        See :class:`CalibrationTally`.

    Examples
    --------
    >>> expected_calibration_error(np.array([True, False]), np.array([0.5, 0.5]))
    0.0
    """
    tally = CalibrationTally(bins)
    tally.add(is_fraud, score)
    return tally.expected_calibration_error


def brier_score(is_fraud: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Mean squared error of the scores as probabilities; nan for none.

    Examples
    --------
    >>> round(brier_score(np.array([True, False]), np.array([0.8, 0.4])), 4)  # (0.2² + 0.4²) / 2
    0.1
    """
    tally = CalibrationTally()
    tally.add(is_fraud, score)
    return tally.brier


def equal_count_calibration_error(
    is_fraud: NDArray[np.bool_], score: NDArray[np.float64], bins: int = BINS
) -> float:
    """Distance between what scores say and what happens, over bins with as many transactions each.

    Sees what happens among the low scores, where nearly all transactions are. Equal scores share a bin, so
    bins may be fewer.

    Examples
    --------
    Half of the scores say 0.1 % and one in ten of these is a fraud:

    >>> score = np.array([0.001] * 10 + [0.5] * 10)
    >>> is_fraud = np.array([True] + [False] * 9 + [True, False] * 5)
    >>> round(equal_count_calibration_error(is_fraud, score), 4)  # (0.1 - 0.001) / 2
    0.0495

    References
    ----------
    Nixon et al. (2019), Measuring Calibration in Deep Learning: adaptive bins.
    """
    if not len(score):
        return float("nan")
    edges = np.unique(np.quantile(score, np.linspace(0, 1, bins + 1)[1:-1], method="lower"))
    excess = np.bincount(np.searchsorted(edges, score), score - is_fraud, minlength=len(edges) + 1)
    return float(np.abs(excess).sum()) / len(score)


class ReliabilityPoint(NamedTuple):
    """The transactions whose scores lie in one bin."""

    low: float
    high: float
    """Scores in (low, high], the first bin's with 0."""
    mean_score: float
    fraud_share: float
    transactions: int
    frauds: int
    share_low: float
    share_high: float
    """What the true share of frauds is between, with 95 % confidence (Wilson's interval)."""


def reliability_curve(
    is_fraud: NDArray[np.bool_],
    score: NDArray[np.float64],
    edges: tuple[float, ...] = CURVE_EDGES,
) -> list[ReliabilityPoint]:
    """Return the points of the curve of what happens over what was said; empty bins have none.

    Parameters
    ----------
    is_fraud, score
        Shape (n,), any order.
    edges
        Rising, from 0 to 1.

    Examples
    --------
    >>> curve = reliability_curve(np.array([True, False, False]), np.array([0.3, 0.3, 0.0]))
    >>> [(point.low, point.high, point.mean_score, point.fraud_share, point.transactions) for point in curve]
    [(0.0, 0.0001, 0.0, 0.0, 1), (0.2, 0.35, 0.3, 0.5, 2)]

    References
    ----------
    Wilson (1927) for the intervals.
    """
    place = np.searchsorted(edges[1:-1], score)
    bins = len(edges) - 1
    counts = np.bincount(place, minlength=bins).tolist()
    frauds = np.bincount(place[is_fraud], minlength=bins).tolist()
    sums = np.bincount(place, score, minlength=bins).tolist()
    return [
        ReliabilityPoint(
            edges[n],
            edges[n + 1],
            sums[n] / counts[n],
            frauds[n] / counts[n],
            counts[n],
            frauds[n],
            *_wilson(frauds[n], counts[n]),
        )
        for n in range(bins)
        if counts[n]
    ]


def _wilson(hits: int, count: int) -> tuple[float, float]:
    share, z2 = hits / count, _NORMAL_95**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    reach = _NORMAL_95 / (1 + z2 / count) * sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    return max(0.0, centre - reach), min(1.0, centre + reach)
