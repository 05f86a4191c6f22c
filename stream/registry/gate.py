"""The gate: whether a challenger is better than the champion, on the same matured transactions."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.evaluation.prequential import Paired
from stream.evaluation.ranking import average_precision

_CHUNK = 25
"""Resamples at a time: bounds the memory at 8 bytes for each of them and each label."""


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
    disadvantage. About 0.2 s for 20,000 labels.
    """
    frauds = int(pairs.is_fraud.sum())
    labels = len(pairs.is_fraud)
    if frauds < max(policy.min_frauds, 1):
        return Verdict(False, float("nan"), float("nan"), float("-inf"), labels, frauds)
    champion = average_precision(pairs.is_fraud, pairs.first)
    challenger = average_precision(pairs.is_fraud, pairs.second)
    if challenger <= champion:
        return Verdict(False, champion, challenger, challenger - champion, labels, frauds)
    first_order = _pessimistic_order(pairs.is_fraud, pairs.first)
    second_order = _pessimistic_order(pairs.is_fraud, pairs.second)
    random = np.random.default_rng(seed)
    gains: list[NDArray[np.float64]] = []
    for start in range(0, policy.resamples, _CHUNK):
        size = (min(_CHUNK, policy.resamples - start), labels)
        weights = random.poisson(1.0, size).astype(np.float64)
        gains.append(
            _weighted_precision(weights, pairs.is_fraud, second_order)
            - _weighted_precision(weights, pairs.is_fraud, first_order)
        )
    lower = float(np.quantile(np.concatenate(gains), 1 - policy.confidence))
    return Verdict(lower > policy.min_gain, champion, challenger, lower, labels, frauds)


def _pessimistic_order(is_fraud: NDArray[np.bool_], score: NDArray[np.float64]) -> NDArray[np.intp]:
    return np.lexsort((is_fraud, -score))


def _weighted_precision(
    weights: NDArray[np.float64], is_fraud: NDArray[np.bool_], order: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Average precision of each resample; shape (resamples, labels) to (resamples,)."""
    ranked = weights[:, order]
    hits = is_fraud[order]
    seen = np.cumsum(ranked, axis=1)[:, hits]
    caught = ranked[:, hits]
    precision = np.cumsum(caught, axis=1) / np.maximum(seen, 1.0)
    total = np.maximum(caught.sum(axis=1), 1.0)
    result: NDArray[np.float64] = (caught * precision).sum(axis=1) / total
    return result
