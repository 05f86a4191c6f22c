"""A random forest of Hoeffding trees on quantile bins, for rare frauds: as it is grown online.

What scorers run is its compiled form, :class:`~stream.models.forest.Forest`.
"""

from bisect import bisect
from collections.abc import Sequence
from math import exp, log, sqrt
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream.models.binning import Bins, Sample
from stream.models.forest import Forest
from stream.models.leaf_counts import Counts, LeafCounts
from stream.models.lessons import Flags
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
    Learning a row of a batch takes some 20 µs with ten trees; River's adaptive random forest, with Gaussian
    splitters, takes 1,000 and ranks worse on rare frauds (the table of `benchmarks.quality`), because their
    features are mostly zeros with a long tail.

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
        super().__init__(feature_names, quantiles)
        self.trees = trees
        self.bagging = bagging
        self.features = features
        self.grace = grace
        self.delta = delta
        self.tie = tie
        self.worth = worth
        self.leaning = leaning
        self.negative_rate = negative_rate
        self.seed = seed
        self._random = Random(seed)  # noqa: S311 - a model's randomness is seeded, not secret
        self._weights = _poisson(bagging)
        self._bins: Bins | None = None
        """That the trees' leaves count by."""
        self._trees: list[_Tree] = []
        self._counts: LeafCounts | None = None

    @property
    def knows(self) -> bool:
        """Whether its first bins are cut."""
        return bool(self._trees)

    def predict_row(self, row: Sequence[float]) -> float:
        """Return the share of `True` among such rows as it was shown."""
        if not self._trees:
            return self._prior()
        return self._share([tree.find(row) for tree in self._trees])

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

    def _cut(self, sample: Sample) -> None:
        assert sample.bins is not None
        older, self._bins = self._bins, sample.bins
        counts = self._bins.counts
        if older is not None and self._counts is not None:
            within = [older.within(feature, self._bins) for feature in range(len(counts))]
            self._counts.recount(within, max(counts))
            return
        self._counts = LeafCounts(self._looked_at(), max(counts), self.trees * MOST_LEAVES)
        prior = self._prior()
        self._trees = [_Tree(_Leaf(self._counts.open(self._draw()), 0, prior)) for _ in range(self.trees)]

    def _looked_at(self) -> int:
        """Say how many features each leaf looks at."""
        assert self._bins is not None
        return max(1, round(self.features * len(self._bins.counts)))

    def _draw(self) -> list[int]:
        """Draw the features that a leaf looks at."""
        assert self._bins is not None
        return sorted(self._random.sample(range(len(self._bins.counts)), self._looked_at()))

    def _learn(self, rows: Floats, y: Flags, shown: Flags, asked: Flags) -> list[float]:
        bins, counts, trees = self._bins, self._counts, self._trees
        assert bins is not None
        assert counts is not None
        placed = np.ascontiguousarray(bins.place_all(rows).T)
        poisson, draw = self._weights, self._random.random
        answers: list[float] = []
        arrived: list[int] = []
        sides: list[int] = []
        weights: list[int] = []
        for number, (row, is_true, learns, answers_first) in enumerate(
            zip(rows.tolist(), y.tolist(), shown.tolist(), asked.tolist(), strict=True)
        ):
            nodes = [tree.find(row) for tree in trees]
            if answers_first:
                answers.append(self._share(nodes))
            if not learns:
                continue
            for tree, node in zip(trees, nodes, strict=True):
                weight = bisect(poisson, draw())
                if not weight:
                    continue
                leaf = tree.leaves[node]
                leaf.seen += weight
                if is_true:
                    leaf.frauds += weight
                else:
                    leaf.legitimate += weight
                arrived.append(number)
                sides.append(2 * leaf.place + is_true)
                weights.append(weight)
                if leaf.seen < leaf.think_at:
                    continue
                leaf.think_at = round(max(leaf.seen + self.grace, _PAUSE * leaf.seen))
                if leaf.depth < MOST_SPLITS_DEEP and len(tree.feature) < 2 * MOST_LEAVES - 1:
                    counts.add(placed, arrived, sides, weights)
                    arrived, sides, weights = [], [], []
                    self._think(tree, node, bins, counts)
        counts.add(placed, arrived, sides, weights)
        return answers

    def _share(self, nodes: Sequence[int]) -> float:
        leaves = [tree.leaves[node] for tree, node in zip(self._trees, nodes, strict=True)]
        shares = [leaf.share(self.leaning) for leaf in leaves]
        return sum(shares) / len(shares)

    def _think(self, tree: "_Tree", node: int, bins: Bins, counts: LeafCounts) -> None:
        """Split a leaf if some edge is sure to be the best, or none is better by much."""
        leaf = tree.leaves[node]
        if not (leaf.legitimate and leaf.frauds):
            return
        edges = np.array([len(bins.edges[feature]) for feature in counts.features(leaf.place)])
        found = _best_split(counts.of(leaf.place), edges, self.delta, self.tie, self.worth)
        if found is None:
            return
        number, at, low, high = found
        feature = int(counts.features(leaf.place)[number])
        threshold, prior = float(bins.edges[feature][at]), leaf.share(self.leaning)
        # The first child takes the place of the leaf that it was part of.
        counts.reopen(leaf.place, self._draw())
        places = (leaf.place, counts.open(self._draw()))
        children = [
            _Leaf(place, leaf.depth + 1, prior, *side)
            for place, side in zip(places, (low, high), strict=True)
        ]
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
    """What has arrived at an end of a tree, by class; by bins, :class:`LeafCounts` has it."""

    __slots__ = ("depth", "frauds", "legitimate", "place", "prior", "seen", "think_at")

    def __init__(self, place: int, depth: int, prior: float, legitimate: int = 0, frauds: int = 0) -> None:
        self.place = place
        """Of its counts."""
        self.depth, self.prior = depth, prior
        self.legitimate, self.frauds = legitimate, frauds
        self.seen = 0
        """Weight taken in since it is a leaf: what is counted by bins."""
        self.think_at = 0

    def share(self, leaning: float) -> float:
        """Return the share of frauds, leaning on what was known when the leaf came up."""
        return (self.frauds + leaning * self.prior) / (self.legitimate + self.frauds + leaning)


def _best_split(
    counts: Counts, edges: NDArray[np.intp], delta: float, tie: float, worth: float
) -> tuple[int, int, tuple[int, int], tuple[int, int]] | None:
    """Choose where to split a leaf.

    Parameters
    ----------
    counts
        By class, feature and bin; shape (2, looked at, width), something of either class.
    edges
        How many each feature has; shape (looked at,).
    delta, tie, worth
        The forest's.

    Returns
    -------
    tuple or None
        Number of the feature among those looked at, number of the edge, and both sides' counts by class; None
        while nothing is sure.
    """
    by_bin = counts.astype(np.float64)
    total = by_bin[:, 0].sum(axis=1)
    # From bin 1 on: what is missing goes with the high side.
    sides = np.empty((2, 3, counts.shape[1], counts.shape[2] - 2))
    low, high = sides[:, :2]
    by_bin[:, :, 1:-1].cumsum(axis=2, out=low)
    np.subtract(total[:, None, None], low, out=high)
    np.add(sides[:, 0], sides[:, 1], out=sides[:, 2])
    parts = _times_log(sides)
    of_low, of_high = parts[:, 2] - parts[:, 0] - parts[:, 1]
    gain = (_disorder(total) - of_low - of_high) / (total.sum() * log(2.0))
    valid = (sides[:, 2] >= _LEAST).all(axis=0) & (np.arange(gain.shape[1]) < edges[:, None])
    gain = np.where(valid, gain, 0.0)
    gains = gain.max(axis=1)
    best = int(gains.argmax())
    second = float(np.sort(gains)[-2]) if len(gains) > 1 else 0.0
    bound = sqrt(log(1.0 / delta) / (2.0 * float(total.sum())))
    if gains[best] < max(worth, _LEVEL) or (gains[best] - second <= bound and bound >= tie):
        return None
    at = int(gain[best].argmax())
    chosen = [tuple(side[:, best, at].astype(int).tolist()) for side in (low, high)]
    return best, at, chosen[0], chosen[1]


def _disorder(classes: Floats) -> float:
    """Return the entropy, in nats, times the weight, of so much of either class; shape (2,)."""
    parts = _times_log(classes)
    return float(_times_log(classes.sum()) - parts[0] - parts[1])


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
