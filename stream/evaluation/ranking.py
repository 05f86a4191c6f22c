"""Rankings: how well scores order frauds before the rest."""

import numpy as np
from numpy.typing import NDArray


def average_precision(is_fraud: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Area under the precision-recall curve as a step function: the mean of the precision at each fraud.

    Parameters
    ----------
    is_fraud, score
        Shape (n,), any order. Equal scores are one step, as if all of them were alerted together.

    Returns
    -------
    float
        Between the share of frauds (scores that say nothing) and 1; nan without a fraud.

    Examples
    --------
    >>> y = np.array([True, False, True, False])
    >>> round(average_precision(y, np.array([0.9, 0.8, 0.7, 0.1])), 4)  # (1/1 + 2/3) / 2
    0.8333

    References
    ----------
    The definition is scikit-learn's `average_precision_score`; a test compares the two.
    """
    frauds = int(is_fraud.sum())
    if frauds == 0:
        return float("nan")
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    caught = np.cumsum(is_fraud[order])
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    precision = caught[ends] / (ends + 1)
    return float(np.sum(np.diff(caught[ends], prepend=0) * precision) / frauds)


def caught_among_top(is_fraud: NDArray[np.bool_], score: NDArray[np.float64], top: int) -> float:
    """Return how many frauds are among the `top` highest scores.

    Parameters
    ----------
    is_fraud, score
        Shape (n,), any order. Of equal scores at the edge, as many as fit are taken at random, and the number
        is the one to be expected.
    top
        From 0 to n.

    Examples
    --------
    >>> y = np.array([True, True, False, False])
    >>> caught_among_top(y, np.array([0.9, 0.5, 0.5, 0.1]), 2)  # the first, and one of the two in the middle
    1.5
    """
    if not top:
        return 0.0
    edge = np.partition(score, len(score) - top)[len(score) - top]
    above, tied = score > edge, score == edge
    fit = (top - int(above.sum())) / int(tied.sum())
    return int((is_fraud & above).sum()) + fit * int((is_fraud & tied).sum())


def log_loss(is_fraud: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Mean of -ln(probability given to what happened), in nats; probabilities kept 1e-15 from 0 and 1.

    Examples
    --------
    >>> round(log_loss(np.array([True, False]), np.array([0.8, 0.4])), 4)  # (-ln 0.8 - ln 0.6) / 2
    0.367
    """
    if not len(score):
        return float("nan")
    given = np.where(is_fraud, score, 1 - score)
    return float(-np.mean(np.log(np.clip(given, 1e-15, 1.0))))
