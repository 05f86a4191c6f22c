"""A random forest of Hoeffding trees on quantile bins, for rare frauds: as it is grown online.

What scorers run is its compiled form, :class:`~stream.models.forest.Forest`.
"""

from array import array
from bisect import bisect
from collections.abc import Sequence
from math import exp, log, sqrt
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream.models.binning import Bins, Sample
from stream.models.forest import Forest
from stream.models.parts import Floats
from stream.models.rows import RowClassifier

MOST_SPLITS_DEEP: Final = 18
"""Bounds the time to score a row."""
MOST_LEAVES: Final = 500
"""Of one tree: bounds memory and the snapshot."""
_PAUSE: Final = 1.15
"""A leaf thinks again once it has seen so many times as much: by then the bound has moved."""
_LEVEL: Final = 1e-12
"""Gains under it are rounding."""
_LEAST: Final = 1.0
"""Weight on either side of a split."""


class BinnedForestClassifier(RowClassifier):
    """Hoeffding trees, each on its own resampling of the stream, each leaf on its own part of the features.

    Every tree sees a row with a Poisson weight. A leaf counts its rows by bin and class, and splits at the
    edge with the largest gain of information once the Hoeffding bound sets it apart from the best edge of any
    other feature, or shows that they are equally good. Leaves answer their share of frauds, leaning on their
    parent's while they are young.

    Parameters
    ----------
    feature_names
        In the order of the rows; None: those of the first transaction learnt.
    trees
        How many.
    bagging
        Mean of the Poisson weight.
    features
        Part of the features that each leaf looks at, in (0, 1].
    grace
        Weight that a leaf takes in between two thoughts of splitting, at least.
    delta
        Probability that a split is taken for better than it is, by the bound.
    tie
        When the bound has come under it, the best split is taken even if another is about as good.
    worth
        Gain in bits that a split must have at least. A split that tells less orders what is all alike, and
        that order is noise.
    leaning
        As how much weight the parent's share counts in a leaf's.
    quantiles
        Into how many ranges each class's values are cut.
    negative_rate
        Share of the legitimate transactions that it will be shown: goes into what is compiled.
    seed
        Of the weights and of the features that leaves look at.

    Notes
    -----
    Learning a row takes some 50 µs with ten trees; River's adaptive random forest, with Gaussian splitters,
    takes 1,000 and ranks worse on rare frauds (the table of `benchmarks.quality`), because their features are
    mostly zeros with a long tail.

    Memory: 500 bytes for each leaf and feature that it looks at, with 30 quantiles.

    Examples
    --------
    >>> model = BinnedForestClassifier(trees=5, features=1.0)
    >>> for n in range(3_000):
    ...     model.learn_one({"hour": n % 24, "amount": n % 7}, n % 24 < 3)
    >>> night, day = ({"hour": hour, "amount": 6} for hour in (2, 12))
    >>> model.predict_proba_one(night)[True] > 0.9 > 0.1 > model.predict_proba_one(day)[True]
    True

    References
    ----------
    Domingos & Hulten (2000), Mining high-speed data streams; Gomes et al. (2017), Adaptive random forests for
    evolving data stream classification, for the resampling and the features by leaf. Histograms in place of
    normal distributions, the leaning leaves and the lack of inner drift detectors are our own choice: whether
    a model has degraded is judged outside, on all of it.
    """

    def __init__(
        self,
        feature_names: Sequence[str] | None = None,
        trees: int = 10,
        bagging: float = 6.0,
        features: float = 0.5,
        grace: int = 50,
        delta: float = 0.01,
        tie: float = 0.003,
        worth: float = 0.002,
        leaning: float = 5.0,
        quantiles: int = 30,
        negative_rate: float = 1.0,
        seed: int = 7,
    ) -> None:
        super().__init__(feature_names)
        self.trees = trees
        self.bagging = bagging
        self.features = features
        self.grace = grace
        self.delta = delta
        self.tie = tie
        self.worth = worth
        self.leaning = leaning
        self.quantiles = quantiles
        self.negative_rate = negative_rate
        self.seed = seed
        self._random = Random(seed)  # noqa: S311 - a model's randomness is seeded, not secret
        self._weights = _poisson(bagging)
        self._sample: Sample | None = None
        self._trees: list[_Tree] = []
        self._early: list[tuple[list[float], bool]] = []
        """What is learnt once the first bins are cut."""
        self._positives = 0

    @property
    def knows(self) -> bool:
        """Whether its first bins are cut."""
        return bool(self._trees)

    def learn_row(self, row: Sequence[float], y: bool) -> None:
        """Learn one labelled row."""
        if self._sample is None:
            self._sample = Sample(len(row), self.quantiles)
        self._positives += y
        older = self._sample.bins
        if self._sample.add(row, y):
            self._cut(older)
        if self._trees:
            self._grow(row, y)
        else:
            self._early.append((list(row), y))

    def predict_row(self, row: Sequence[float]) -> float:
        """Return the share of `True` among such rows as it was shown."""
        if not self._trees:
            return self._prior()
        shares = [tree.leaves[tree.find(row)].share(self.leaning) for tree in self._trees]
        return sum(shares) / len(shares)

    def compile(self, prior: float) -> Forest | None:
        """Return the arrays that give the same answers; None before the first bins are cut."""
        trees = self._trees
        if not trees:
            return None
        roots = np.cumsum([0, *(len(tree.feature) for tree in trees)])[:-1]
        children = [np.array(tree.child, np.int32) for tree in trees]
        return Forest(
            feature=np.concatenate([tree.feature for tree in trees]).astype(np.int32),
            threshold=np.concatenate([tree.threshold for tree in trees]).astype(np.float64),
            child=np.concatenate(
                [np.where(child > 0, child + root, 0) for child, root in zip(children, roots, strict=True)]
            ).astype(np.int32),
            share=np.concatenate([tree.shares(self.leaning) for tree in trees]),
            roots=roots.astype(np.int32),
            weight=np.ones(len(trees)),
            negative_rate=self.negative_rate,
            prior=prior,
        )

    def _bins(self) -> Bins:
        assert self._sample is not None
        assert self._sample.bins is not None
        return self._sample.bins

    def _prior(self) -> float:
        seen = self._sample.seen if self._sample is not None else 0
        return (self._positives + 0.5) / (seen + 1.0)

    def _cut(self, older: Bins | None) -> None:
        bins = self._bins()
        if older is not None:
            within = [older.within(feature, bins) for feature in range(len(older.edges))]
            for tree in self._trees:
                tree.recount(within, max(bins.counts))
            return
        prior = self._prior()
        self._trees = [_Tree(self._new_leaf(0, prior)) for _ in range(self.trees)]
        early, self._early = self._early, []
        for row, y in early:
            self._grow(row, y)

    def _new_leaf(self, depth: int, prior: float, legitimate: int = 0, frauds: int = 0) -> "_Leaf":
        counts = self._bins().counts
        looked_at = self._random.sample(range(len(counts)), max(1, round(self.features * len(counts))))
        return _Leaf(depth, prior, legitimate, frauds, sorted(looked_at), max(counts))

    def _grow(self, row: Sequence[float], y: bool) -> None:
        bins = self._bins()
        placed = bins.place(row)
        weights, draw = self._weights, self._random.random
        for tree in self._trees:
            weight = bisect(weights, draw())
            if not weight:
                continue
            node = tree.find(row)
            leaf = tree.leaves[node]
            leaf.take(placed, y, weight)
            if leaf.seen >= leaf.think_at:
                leaf.think_at = round(max(leaf.seen + self.grace, _PAUSE * leaf.seen))
                if leaf.depth < MOST_SPLITS_DEEP and len(tree.feature) < 2 * MOST_LEAVES - 1:
                    self._think(tree, node, bins)

    def _think(self, tree: "_Tree", node: int, bins: Bins) -> None:
        """Split a leaf if some edge is sure to be the best, or none is better by much."""
        leaf = tree.leaves[node]
        found = leaf.best_split(bins, self.delta, self.tie, self.worth)
        if found is None:
            return
        feature, threshold, low, high = found
        prior = leaf.share(self.leaning)
        children = [self._new_leaf(leaf.depth + 1, prior, *counts) for counts in (low, high)]
        tree.split(node, feature, threshold, children)


class _Tree:
    """Nodes in lists, the two children of a node side by side behind it."""

    def __init__(self, root: "_Leaf") -> None:
        self.feature = [-1]
        """What a node splits on; -1 for a leaf."""
        self.threshold = [0.0]
        """Values at or under it go to the first child, others and missing ones to the second."""
        self.child = [0]
        self.leaves: dict[int, _Leaf] = {0: root}

    def find(self, row: Sequence[float]) -> int:
        """Return the leaf that a row arrives at."""
        feature, threshold, child = self.feature, self.threshold, self.child
        node = 0
        while (column := feature[node]) >= 0:
            node = child[node] + (not row[column] <= threshold[node])
        return node

    def split(self, node: int, feature: int, threshold: float, children: Sequence["_Leaf"]) -> None:
        """Turn a leaf into a node with two leaves under it."""
        first = len(self.feature)
        self.feature[node], self.threshold[node], self.child[node] = feature, threshold, first
        del self.leaves[node]
        for leaf in children:
            self.leaves[len(self.feature)] = leaf
            self.feature.append(-1)
            self.threshold.append(0.0)
            self.child.append(0)

    def recount(self, within: Sequence[NDArray[np.intp]], width: int) -> None:
        """Bring the counts of all leaves to bins that were cut anew."""
        for leaf in self.leaves.values():
            leaf.recount(within, width)

    def shares(self, leaning: float) -> Floats:
        """Return the share of frauds at each node, a node's being that of what is under it."""
        share = np.zeros(len(self.feature))
        weight = np.zeros(len(self.feature))
        for node in reversed(range(len(self.feature))):
            if self.feature[node] >= 0:
                pair = slice(self.child[node], self.child[node] + 2)
                weight[node] = weight[pair].sum()
                share[node] = (weight[pair] * share[pair]).sum() / weight[node]
            else:
                leaf = self.leaves[node]
                share[node] = leaf.share(leaning)
                weight[node] = leaf.legitimate + leaf.frauds + leaning
        return share


class _Leaf:
    """What has arrived at an end of a tree: by class, and by bin of the features that it looks at.

    Everything is counted in whole numbers, so that no order of adding shows.
    """

    __slots__ = ("counts", "depth", "frauds", "legitimate", "places", "prior", "seen", "think_at")

    def __init__(
        self, depth: int, prior: float, legitimate: int, frauds: int, looked_at: Sequence[int], width: int
    ) -> None:
        self.depth, self.prior = depth, prior
        self.legitimate, self.frauds = legitimate, frauds
        self.seen = 0
        """Weight taken in since it is a leaf: what `counts` holds."""
        self.think_at = 0
        self.places = [(number * width, feature) for number, feature in enumerate(looked_at)]
        """Where each feature's bins begin in `counts`, and which feature it is."""
        empty = bytes(4 * width * len(looked_at))
        self.counts = (array("I", empty), array("I", empty))
        """Of the legitimate, and of the frauds."""

    def share(self, leaning: float) -> float:
        """Return the share of frauds, leaning on what was known when the leaf came up."""
        return (self.frauds + leaning * self.prior) / (self.legitimate + self.frauds + leaning)

    def take(self, placed: Sequence[int], y: bool, weight: int) -> None:
        """Count a row."""
        self.seen += weight
        if y:
            self.frauds += weight
        else:
            self.legitimate += weight
        counts = self.counts[y]
        for start, feature in self.places:
            counts[start + placed[feature]] += weight

    def best_split(
        self, bins: Bins, delta: float, tie: float, worth: float
    ) -> tuple[int, float, tuple[int, int], tuple[int, int]] | None:
        """Return feature, threshold and both sides' counts by class; None while nothing is sure."""
        if not (self.legitimate and self.frauds):
            return None
        classes = np.stack([np.frombuffer(one, np.uint32) for one in self.counts])
        by_bin = classes.reshape(2, len(self.places), -1).astype(np.float64)
        total = by_bin[:, 0].sum(axis=1)
        # From bin 1 on: what is missing goes with the high side.
        low = by_bin[:, :, 1:-1].cumsum(axis=2)
        high = total[:, None, None] - low
        gain = (_disorder(total) - _disorder(low) - _disorder(high)) / (total.sum() * log(2.0))
        edges = np.array([len(bins.edges[feature]) for _, feature in self.places])
        valid = (low.sum(axis=0) >= _LEAST) & (high.sum(axis=0) >= _LEAST)
        gain = np.where(valid & (np.arange(gain.shape[1]) < edges[:, None]), gain, 0.0)
        gains = gain.max(axis=1)
        best = int(gains.argmax())
        second = float(np.sort(gains)[-2]) if len(gains) > 1 else 0.0
        bound = sqrt(log(1.0 / delta) / (2.0 * float(total.sum())))
        if gains[best] < max(worth, _LEVEL) or (gains[best] - second <= bound and bound >= tie):
            return None
        at = int(gain[best].argmax())
        feature = self.places[best][1]
        sides = [tuple(side[:, best, at].astype(int).tolist()) for side in (low, high)]
        return feature, float(bins.edges[feature][at]), sides[0], sides[1]

    def recount(self, within: Sequence[NDArray[np.intp]], width: int) -> None:
        """Bring the counts to new bins: what was in a bin moves to the one that holds its middle."""
        older = len(self.counts[0]) // len(self.places)
        moved = []
        for counts in self.counts:
            fresh = np.zeros((len(self.places), width), np.uint32)
            for number, (start, feature) in enumerate(self.places):
                bins = len(within[feature])
                np.add.at(fresh[number], within[feature], counts[start : start + older][:bins])
            moved.append(array("I", fresh.tobytes()))
        self.counts = (moved[0], moved[1])
        self.places = [(number * width, feature) for number, (_, feature) in enumerate(self.places)]


def _disorder(classes: Floats) -> Floats:
    """Return the entropy, in nats, times the weight; shape (2, ...) to (...)."""
    total = classes.sum(axis=0)
    parts = _times_log(classes)
    result: Floats = _times_log(total) - parts[0] - parts[1]
    return result


def _times_log(values: Floats) -> Floats:
    result: Floats = values * np.log(np.maximum(values, 1.0))
    return result


def _poisson(mean: float) -> list[float]:
    """Return the cumulative probabilities of 0, 1, 2 ... up to all but a millionth."""
    term = exp(-mean)
    steps = [term]
    while steps[-1] < 1.0 - 1e-6:
        term *= mean / len(steps)
        steps.append(steps[-1] + term)
    return steps
