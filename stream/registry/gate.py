"""The gate: whether a challenger is better than the champion, on the same matured transactions."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.evaluation.prequential import Paired
from stream.evaluation.ranking import average_precision


@dataclass(frozen=True)
class GatePolicy:
    """What a challenger must show."""

    min_frauds: int = 50
    """Frauds that both models have scored; with fewer nothing is decided."""
    confidence: float = 0.95
    """One-sided, of the bootstrap's lower bound on the gain."""
    resamples: int = 200
    min_gain: float = 0.0
    """The lower bound must exceed it."""


class Verdict(NamedTuple):
    """The comparison of a challenger with the champion; gains are differences of average precision."""

    passed: bool
    champion: float
    """Average precision of the champion on the paired transactions."""
    challenger: float
    lower: float
    """Lower confidence bound on the gain; the gain itself when it is not positive, since then no bound is
    needed; -inf when there was too little to decide on."""
    labels: int
    frauds: int


def judge(pairs: Paired, policy: GatePolicy, seed: int) -> Verdict:
    """Compare a challenger (`pairs.second`) with the champion (`pairs.first`).

    Parameters
    ----------
    pairs
        The scores both gave to the same transactions.
    policy
        What is asked.
    seed
        Of the resampling; the same pairs and seed give the same verdict.

    Returns
    -------
    Verdict
        `passed` when the lower confidence bound of the gain in average precision exceeds `policy.min_gain`.

    Notes
    -----
    Paired bootstrap: each resample weighs every transaction, for both models alike, by a Poisson(1) count
    (Oza & Russell 2001), which stands for drawing with replacement. Equal scores are ordered to the model's
    disadvantage. Some 20 ms for 20,000 labels.
    """
    frauds = int(pairs.is_fraud.sum())
    labels = len(pairs.is_fraud)
    if frauds < max(policy.min_frauds, 1):
        return Verdict(False, float("nan"), float("nan"), float("-inf"), labels, frauds)
    champion = average_precision(pairs.is_fraud, pairs.first)
    challenger = average_precision(pairs.is_fraud, pairs.second)
    if challenger <= champion:
        return Verdict(False, champion, challenger, challenger - champion, labels, frauds)
    gains = _resampled_gains(pairs, policy.resamples, np.random.default_rng(seed))
    lower = float(np.quantile(gains, 1 - policy.confidence))
    return Verdict(lower > policy.min_gain, champion, challenger, lower, labels, frauds)


def _resampled_gains(pairs: Paired, resamples: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Return the gain in average precision in each resample; shape (resamples,).

    Of a legitimate transaction only matters how many frauds either model ranks before it. All that agree in
    that are one cell, whose weight is drawn at once: the sum of n counts of Poisson(1) is Poisson(n).
    """
    frauds = [score[pairs.is_fraud] for score in (pairs.first, pairs.second)]
    orders = [np.argsort(-score, kind="stable") for score in frauds]
    ranks = [
        np.searchsorted(-score[order], -scores[~pairs.is_fraud])
        for score, order, scores in zip(frauds, orders, (pairs.first, pairs.second), strict=True)
    ]
    cells, sizes = np.unique(np.stack(ranks), axis=1, return_counts=True)
    fraud_weight = random.poisson(1.0, (resamples, len(orders[0]))).astype(np.float64)
    cell_weight = random.poisson(sizes, (resamples, len(sizes))).astype(np.float64)
    first, second = (
        _weighted_precision(fraud_weight[:, order], cell_weight, cell)
        for order, cell in zip(orders, cells, strict=True)
    )
    gain: NDArray[np.float64] = second - first
    return gain


def _weighted_precision(
    caught: NDArray[np.float64], legitimate: NDArray[np.float64], rank: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return the average precision of each resample; shape (resamples,).

    Parameters
    ----------
    caught
        Weight of the frauds, best rank first; shape (resamples, frauds).
    legitimate
        Weight of the cells of legitimate transactions; shape (resamples, cells).
    rank
        How many frauds are ranked before each cell; shape (cells,).
    """
    order = np.argsort(rank, kind="stable")
    summed = np.cumsum(legitimate[:, order], axis=1)
    summed = np.concatenate([np.zeros((len(summed), 1)), summed], axis=1)
    before = summed[:, np.searchsorted(rank[order], np.arange(caught.shape[1]), side="right")]
    hits = np.cumsum(caught, axis=1)
    precision = hits / np.maximum(hits + before, 1.0)
    result: NDArray[np.float64] = (caught * precision).sum(axis=1) / np.maximum(hits[:, -1], 1.0)
    return result
