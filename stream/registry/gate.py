"""The gate: whether a challenger is better than the champion, on the same matured transactions.

Whoever looks often enough sees chance pass for skill. So the chance of letting in a challenger that is not
better is spent over the looks, and all together never spend more than was allowed (Lan & DeMets 1983). Where
there may be ever so many looks, as in reviews, the first takes half of it and each later one less, so that
they sum to it. In a case there are few, on evidence that grows by a fifth each: the later ones are the best
informed, and each sees most of what the one before saw. There they share the chance evenly (Pocock 1977).
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.evaluation.prequential import Paired, PrequentialWindow
from stream.evaluation.ranking import average_precision

_WORSE: Final = NormalDist().inv_cdf(0.95)
"""Standard errors by which a challenger must lose money to be kept out for that."""
_EVEN_LOOKS: Final = 8
"""Looks that share the chance evenly, where any do; with `GatePolicy.growth` at 1.2, and for it alone."""
_EVEN_SHARE: Final = 0.2
"""Of the chance, for each of these."""


@dataclass(frozen=True)
class GatePolicy:
    """What a challenger must show."""

    min_frauds: int = 50
    """Frauds that both models have scored; with fewer nothing is decided."""
    alpha: float = 0.05
    """Chance that a challenger that is no better passes, over all looks at it."""
    growth: float = 1.2
    """There is another look once there are so many times the frauds of the last one."""
    evenly: bool = False
    """Whether the first looks share the chance evenly, and the first one does not take half of it."""
    resamples: int = 200
    min_gain: float = 0.0
    """The lower bound must exceed it."""


@dataclass
class Looks:
    """How often a challenger was compared with a champion, and what that has spent.

    Examples
    --------
    >>> looks, policy = Looks(), GatePolicy(min_frauds=50)
    >>> looks.due(49, policy), looks.due(50, policy)
    (False, True)
    >>> [round(looks.spend(policy), 4) for _ in range(3)]
    [0.025, 0.0083, 0.0042]
    """

    taken: int = 0
    at: int = 0
    """Frauds that had been heard of in all at the last look."""
    frauds: int = 0
    """Frauds that it rested on."""

    def due(self, heard: int, policy: GatePolicy) -> bool:
        """Tell whether there is news enough for another look.

        Parameters
        ----------
        heard
            Frauds heard of in all, never fewer than the last time.
        policy
            What is asked.
        """
        return heard - self.at >= max((policy.growth - 1.0) * self.frauds, 1.0) and heard >= policy.min_frauds

    def spend(self, policy: GatePolicy) -> float:
        """Take a look: return the chance that this one may let a challenger in that is no better.

        The chances sum to `policy.alpha`: 1/(1·2) + 1/(2·3) + 1/(3·4) + … = 1. With `policy.evenly` each
        of the first eight has a fifth of it, and those after them ever less: looks that each see a fifth more
        than the last are far from independent, and together let in fewer than `policy.alpha`
        (`tests/stream/registry/test_gate.py` counts them).
        """
        self.taken += 1
        if policy.evenly:
            return policy.alpha * _EVEN_SHARE * min(1.0, _EVEN_LOOKS / self.taken) ** 3
        return policy.alpha / (self.taken * (self.taken + 1))


class Verdict(NamedTuple):
    """The comparison of a challenger with the champion; gains are differences of average precision."""

    passed: bool
    champion: float
    """Average precision of the champion on the paired transactions."""
    challenger: float
    lower: float
    """Lower confidence bound on the gain; the gain itself when it is not positive, since then no bound is
    needed; -inf when there was too little to decide on."""
    level: float
    """Chance of an error that the bound allows for."""
    saved: float
    """Gain in the share of the frauds' amounts that as many alerts would have stopped; nan without alerts."""
    saved_error: float
    """Its standard error."""
    labels: int
    frauds: int


def look(
    window: PrequentialWindow,
    champion: str,
    challenger: str,
    looks: Looks,
    policy: GatePolicy,
    since: int = 0,
) -> Verdict | None:
    """Judge a challenger by a window, if there is news enough of it, and write the look down.

    Parameters
    ----------
    window
        What both have said.
    champion, challenger
        Versions.
    looks
        Those taken at this pair so far.
    policy
        What is asked.
    since
        Labels before that do not count.
    """
    if not looks.due(window.frauds, policy):
        return None
    pairs = window.paired(champion, challenger, since)
    frauds = int(pairs.is_fraud.sum())
    if frauds < policy.min_frauds:
        return None
    looks.at, looks.frauds = window.frauds, frauds
    return judge(pairs, policy, window.added, looks.spend(policy))


def judge(pairs: Paired, policy: GatePolicy, seed: int, level: float | None = None) -> Verdict:
    """Compare a challenger (`pairs.second`) with the champion (`pairs.first`).

    Parameters
    ----------
    pairs
        The scores both gave to the same transactions.
    policy
        What is asked.
    seed
        Of the resampling; the same pairs and seed give the same verdict.
    level
        Of this look (:meth:`Looks.spend`); None: there is but one, which may spend everything.

    Returns
    -------
    Verdict
        `passed` when the lower confidence bound of the gain in average precision exceeds `policy.min_gain`,
        and the challenger, given as many alerts, would not have lost more money beyond doubt.

    Notes
    -----
    Paired bootstrap: each resample weighs every transaction, for both models alike, by a Poisson(1) count
    (Oza & Russell 2001), which stands for drawing with replacement. The bound is the normal one around the
    gain with the resamples' standard deviation: late looks ask for quantiles that no affordable number of
    resamples could show. Equal scores are ordered to the model's disadvantage. Some 20 ms for 20,000 labels.

    Money is compared at the decision threshold, which differs between models: each is given as many alerts
    as there were. What a fraud contributes is its amount, if only one of the two has it among its alerts.
    """
    frauds, labels = int(pairs.is_fraud.sum()), len(pairs.is_fraud)
    level = policy.alpha if level is None else level
    if frauds < max(policy.min_frauds, 1):
        nothing = float("nan")
        return Verdict(False, nothing, nothing, float("-inf"), level, nothing, nothing, labels, frauds)
    champion = average_precision(pairs.is_fraud, pairs.first)
    challenger = average_precision(pairs.is_fraud, pairs.second)
    saved, error = _saved(pairs)
    lower = challenger - champion
    if lower > 0:
        gains = _resampled_gains(pairs, policy.resamples, np.random.default_rng(seed))
        lower -= NormalDist().inv_cdf(1.0 - level) * float(gains.std())
    passed = lower > policy.min_gain and not saved < -_WORSE * error
    return Verdict(passed, champion, challenger, lower, level, saved, error, labels, frauds)


def _saved(pairs: Paired) -> tuple[float, float]:
    """Return what share of the frauds' amounts the challenger would stop in addition, and its error."""
    amounts = pairs.amount[pairs.is_fraud]
    alerts, total = int(pairs.alerted.sum()), float(amounts.sum())
    if not alerts or not total > 0:
        return float("nan"), float("nan")
    first, second = (_alerted(score, alerts)[pairs.is_fraud] for score in (pairs.first, pairs.second))
    gains = amounts * (second - first)
    return float(gains.sum() / total), float(np.sqrt((gains**2).sum()) / total)


def _alerted(score: NDArray[np.float64], alerts: int) -> NDArray[np.float64]:
    """Return to what extent each transaction is among the highest scores; equal ones at the edge share it."""
    edge = np.partition(score, len(score) - alerts)[len(score) - alerts]
    above, tied = score > edge, score == edge
    shares: NDArray[np.float64] = above + tied * ((alerts - int(above.sum())) / int(tied.sum()))
    return shares


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
