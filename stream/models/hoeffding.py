"""Hoeffding trees on quantile bins, side by side in one set of arrays: how a binned forest grows.

A batch of rows goes down all trees at once, and is counted at once. What comes of it is the same as if each
row had been learnt before the next was looked at: a leaf that is to think of splitting does so on what it had
seen by then, and the rows behind go on to its children.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from math import log, sqrt
from random import Random
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.models.binning import Bins
from stream.models.parts import Floats
from stream.models.rows import Flags

Whole = NDArray[np.intp]

MOST_SPLITS_DEEP: Final = 18
"""Bounds the time to score a row."""
MOST_LEAVES: Final = 500
"""Of one tree: bounds memory and the snapshot."""
_NODES: Final = 2 * MOST_LEAVES - 1
_PAUSE: Final = 1.15
"""A leaf thinks again once it has seen so many times as much: by then the bound has moved."""
_LEVEL: Final = 1e-12
"""Gains under it are rounding."""
_LEAST: Final = 1.0
"""Weight on either side of a split."""


@dataclass(frozen=True)
class Growth:
    """How trees grow; see :class:`~stream.models.binned_forest.BinnedForestClassifier`."""

    trees: int
    features: float
    grace: int
    delta: float
    tie: float
    worth: float
    leaning: float
    seed: int


class HoeffdingTrees:
    """Trees over the same rows, each row with a weight of its own in each tree.

    A tree's nodes lie side by side, `_NODES` places for each tree; the two children of a node side by side
    behind it. While a leaf may yet split, it has a place in its tree's histograms, where it counts by bin and
    class; all else is kept by node. Everything is counted in whole numbers, so that no order of adding shows.

    Parameters
    ----------
    growth
        How trees grow.
    bins
        That rows will be placed in.
    prior
        What is expected before anything was learnt.
    """

    def __init__(self, growth: Growth, bins: Bins, prior: float) -> None:
        self._growth = growth
        nodes = growth.trees * _NODES
        self._column = np.zeros(nodes, np.intp)
        """What a node splits on."""
        self._threshold = np.zeros(nodes)
        # By 2 * node + (value <= threshold); a leaf leads to itself. Missing values go to the second child.
        self._next = np.repeat(np.arange(nodes), 2)
        self._depth = np.zeros(nodes, np.intp)
        self._prior = np.full(nodes, prior)
        self._classes = np.zeros((2, nodes), np.intp)
        """Weight of the legitimate and of the frauds, what was inherited at the split included."""
        self._seen = np.zeros(nodes, np.intp)
        """Weight taken in since it is a leaf: what its histogram holds."""
        self._think_at = np.full(nodes, growth.grace, np.intp)
        self._place = np.full(nodes, -1)
        """Of its histogram; -1: it has none, as it cannot split any more."""
        self._size = [1] * growth.trees
        self._deepest = 0
        self._features = len(bins.counts)
        looked, width = max(1, round(growth.features * self._features)), max(bins.counts)
        self._looked = np.zeros((growth.trees * MOST_LEAVES, looked), np.intp)
        """Which features a leaf looks at, by place."""
        self._counts = _histograms(growth.trees, looked, width)
        self._each = np.arange(looked)
        self._used = [0] * growth.trees
        """How many places of a tree were ever taken."""
        self._free: list[list[int]] = [[] for _ in range(growth.trees)]
        for tree in range(growth.trees):
            self._seat(tree, tree * _NODES)

    def __getstate__(self) -> dict[str, Any]:
        # What no leaf ever was given is not stored, and takes no memory either before it is.
        state = self.__dict__.copy()
        used = self._places()
        state["_looked"], state["_counts"] = self._looked[used], self._counts[used]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        used, trees = self._places(), self._growth.trees
        looked, counts = self._looked, self._counts
        self._looked = np.zeros((trees * MOST_LEAVES, looked.shape[1]), np.intp)
        self._counts = _histograms(trees, *counts.shape[2:])
        self._looked[used], self._counts[used] = looked, counts

    @property
    def leaves(self) -> int:
        """How many leaves all trees have."""
        return sum((size + 1) // 2 for size in self._size)

    def share(self, row: Sequence[float]) -> float:
        """Return the mean of the leaves' shares of frauds for a row."""
        nodes = np.array([self._find(tree, row) for tree in range(self._growth.trees)])
        return float(self._mean(self._share(self._classes[:, nodes], self._prior[nodes])[:, None])[0])

    def learn_row(
        self, row: Sequence[float], placed: Sequence[int], y: bool, weights: Whole, bins: Bins
    ) -> None:
        """Learn one row: what :meth:`learn` does, in a tenth of its time for a batch of one."""
        here = np.array(placed)
        for tree, weight in enumerate(weights.tolist()):
            if not weight:
                continue
            node = self._find(tree, row)
            self._classes[int(y), node] += weight
            self._seen[node] += weight
            place = self._place.item(node)
            if place < 0:
                continue
            self._counts[place, int(y), self._each, here[self._looked[place]]] += weight
            if self._seen.item(node) >= self._think_at.item(node):
                self._think(tree, node, bins)

    def learn(self, x: Floats, placed: Whole, y: Flags, weights: Whole, bins: Bins, asked: Flags) -> Floats:
        """Learn rows in their order.

        Parameters
        ----------
        x, y
            Shapes (n, features) and (n,).
        placed
            Shape (features, n): each value's bin.
        weights
            Shape (trees, n): a row's weight in each tree; 0 where it is not learnt.
        bins
            That they were placed in.
        asked
            Shape (n,): of which rows is to be said what was known before.

        Returns
        -------
        Floats
            Shape (n,): what :meth:`share` would have said of each row just before; 0 where nobody asked.
        """
        said = np.zeros(weights.shape) if asked.any() else None
        batch = _Batch(x, placed.T.ravel(), y, weights, bins, said)
        nodes = self._descend(x)
        # By leaf, the rows of each in their order.
        order = np.argsort(nodes, axis=None, kind="stable")
        leaf = nodes.ravel().take(order)
        begins = np.flatnonzero(np.concatenate([[True], leaf[1:] != leaf[:-1]]))
        weight = weights.ravel().take(order)
        leaves, taken = leaf[begins], np.add.reduceat(weight, begins)
        thinks = (self._place[leaves] >= 0) & (self._seen[leaves] + taken >= self._think_at[leaves])
        tree, row = np.divmod(order, len(y))
        ends = np.append(begins[1:], len(order))
        calm = np.repeat(~thinks, ends - begins)
        self._take(batch, tree[calm], row[calm], leaf[calm])
        by_tree: dict[int, list[tuple[int, Whole]]] = {}
        for number in np.flatnonzero(thinks).tolist():
            rows = row[begins[number] : ends[number]]
            node = int(leaves[number])
            by_tree.setdefault(node // _NODES, []).append((node, rows))
        for one, restless in by_tree.items():
            self._grow(batch, one, restless)
        return np.zeros(len(y)) if said is None else np.where(asked, self._mean(said), 0.0)

    def recount(self, older: Bins, bins: Bins) -> None:
        """Bring all counts to bins that were cut anew: what was in a bin moves to the one with its middle."""
        within = [older.within(feature, bins) for feature in range(len(bins.counts))]
        before = self._counts
        looked = before.shape[2]
        self._counts = _histograms(self._growth.trees, looked, max(bins.counts))
        for place in self._place[self._place >= 0].tolist():
            for number, feature in enumerate(self._looked[place].tolist()):
                moved = within[feature]
                for old, new in zip(before[place, :, number], self._counts[place, :, number], strict=True):
                    np.add.at(new, moved, old[: len(moved)])

    def nodes(self) -> tuple[Whole, Floats, Whole, Floats, Whole]:
        """Return feature (-1 for a leaf), threshold, first child (0), share and each tree's root."""
        used = np.concatenate([np.arange(size) + tree * _NODES for tree, size in enumerate(self._size)])
        roots = np.cumsum([0, *self._size[:-1]])
        # Nodes move together: each by what lies unused before its tree.
        gap = np.repeat(np.arange(len(roots)) * _NODES - roots, self._size)
        first = self._next[2 * used + 1]
        leaf = first == used
        feature = np.where(leaf, -1, self._column[used])
        child = np.where(leaf, 0, first - gap)
        return feature, self._threshold[used], child, self._shares_of_all(used, leaf, child), roots

    def _shares_of_all(self, used: Whole, leaf: Flags, child: Whole) -> Floats:
        """Return the share of frauds at each node, a node's being that of what is under it."""
        leaning = self._growth.leaning
        classes = self._classes[:, used]
        share = self._share(classes, self._prior[used])
        weight = classes[0] + classes[1] + leaning
        depth = self._depth[used]
        for level in reversed(range(self._deepest)):
            at = np.flatnonzero(~leaf & (depth == level))
            one, other = child[at], child[at] + 1
            weight[at] = weight[one] + weight[other]
            share[at] = (weight[one] * share[one] + weight[other] * share[other]) / weight[at]
        return share

    def _descend(self, x: Floats) -> Whole:
        """Return the leaf that each row arrives at in each tree; (n, features) to (trees, n)."""
        shape = (self._growth.trees, len(x))
        nodes = np.repeat(np.arange(shape[0]) * _NODES, shape[1]).reshape(shape)
        first = np.arange(len(x)) * x.shape[1]
        values = x.ravel()
        for _ in range(self._deepest):
            value = values.take(first + self._column.take(nodes))
            nodes = self._next.take(2 * nodes + (value <= self._threshold.take(nodes)))
        return nodes

    def _find(self, tree: int, row: Sequence[float]) -> int:
        """Return the leaf that a row arrives at in one tree."""
        column, threshold, following = self._column.item, self._threshold.item, self._next.item
        node = tree * _NODES
        while (lower := following(2 * node + (row[column(node)] <= threshold(node)))) != node:
            node = lower
        return node

    def _share(self, classes: Whole, prior: Floats) -> Floats:
        """Return the share of frauds, leaning on what was known when the leaf came up; (2, n) to (n,)."""
        leaning = self._growth.leaning
        share: Floats = (classes[1] + leaning * prior) / (classes[0] + classes[1] + leaning)
        return share

    def _mean(self, shares: Floats) -> Floats:
        """Return the mean over the trees, tree by tree; (trees, n) to (n,)."""
        total = np.zeros(shares.shape[1])
        for one in shares:
            total += one
        return total / len(shares)

    def _take(self, batch: "_Batch", tree: Whole, row: Whole, leaf: Whole) -> None:
        """Count rows in the leaves they arrived at; those of a leaf side by side, in their order."""
        if not len(row):
            return
        weight = batch.weights[tree, row]
        begins = np.flatnonzero(np.concatenate([[True], leaf[1:] != leaf[:-1]]))
        leaves = leaf[begins]
        fraud = batch.y.take(row)
        classes = np.where(np.stack([~fraud, fraud]), weight, 0)
        if batch.said is not None:
            before = classes.cumsum(axis=1) - classes
            lengths = np.diff(np.append(begins, len(row)))
            before += np.repeat(self._classes[:, leaves] - before[:, begins], lengths, axis=1)
            batch.said[tree, row] = self._share(before, self._prior[leaf])
        self._classes[:, leaves] += np.add.reduceat(classes, begins, axis=1)
        self._seen[leaves] += np.add.reduceat(weight, begins)
        place = self._place[leaf]
        counted = np.flatnonzero((weight > 0) & (place >= 0))
        place = place[counted]
        looked, width = self._counts.shape[2:]
        cells = batch.placed.take(row[counted, None] * batch.x.shape[1] + self._looked[place])
        cells += self._each * width
        cells += ((2 * place + fraud[counted]) * (looked * width))[:, None]
        np.add.at(
            self._counts.reshape(-1), cells.ravel(), np.repeat(weight[counted], looked).astype(np.uint32)
        )

    def _grow(self, batch: "_Batch", tree: int, restless: Sequence[tuple[int, Whole]]) -> None:
        """Take rows in that make leaves of one tree think, and let them, in the order of the rows."""
        events: list[tuple[int, int, int, Whole]] = []

        def plan(node: int, rows: Whole) -> None:
            seen = int(self._seen[node]) + np.cumsum(batch.weights[tree, rows])
            at = int(np.searchsorted(seen, self._think_at[node])) if self._place[node] >= 0 else len(rows)
            if at < len(rows):
                heappush(events, (int(rows[at]), at, node, rows))
            else:
                take(node, rows)

        def take(node: int, rows: Whole) -> None:
            self._take(batch, np.full(len(rows), tree), rows, np.full(len(rows), node))

        for node, rows in restless:
            plan(node, rows)
        while events:
            _, at, node, rows = heappop(events)
            take(node, rows[: at + 1])
            rest = rows[at + 1 :]
            if self._think(tree, node, batch.bins):
                low = batch.x[rest, self._column[node]] <= self._threshold[node]
                first = int(self._next[2 * node + 1])
                plan(first, rest[low])
                plan(first + 1, rest[~low])
            else:
                plan(node, rest)

    def _think(self, tree: int, node: int, bins: Bins) -> bool:
        """Split a leaf if some edge is sure to be the best, or none is better by much."""
        if self._place[node] < 0:
            return False  # its tree is full meanwhile
        seen = int(self._seen[node])
        self._think_at[node] = round(max(seen + self._growth.grace, _PAUSE * seen))
        found = self._best_split(node, bins)
        if found is None:
            return False
        feature, threshold, low, high = found
        first = tree * _NODES + self._size[tree]
        self._column[node], self._threshold[node] = feature, threshold
        self._next[2 * node], self._next[2 * node + 1] = first + 1, first
        pair = slice(first, first + 2)
        self._prior[pair] = self._share(self._classes[:, node], self._prior[node])
        self._classes[:, pair] = np.array([low, high]).T
        self._depth[pair] = depth = int(self._depth[node]) + 1
        self._deepest = max(self._deepest, depth)
        self._size[tree] += 2
        self._free[tree].append(int(self._place[node]))
        self._place[node] = -1
        if self._size[tree] == _NODES:
            # Nothing of it will split any more.
            self._place[tree * _NODES : (tree + 1) * _NODES] = -1
            self._used[tree], self._free[tree] = 0, []
        elif depth < MOST_SPLITS_DEEP:
            self._seat(tree, first)
            self._seat(tree, first + 1)
        return True

    def _seat(self, tree: int, node: int) -> None:
        """Give a new leaf an empty histogram, and features to look at: always the same to the same leaf."""
        free = self._free[tree]
        if free:
            place = free.pop()
        else:
            place = self._used[tree] * self._growth.trees + tree
            self._used[tree] += 1
        random = Random((self._growth.seed * self._growth.trees + tree) * _NODES + node % _NODES)  # noqa: S311
        self._looked[place] = sorted(random.sample(range(self._features), self._looked.shape[1]))
        self._counts[place] = 0
        self._place[node] = place

    def _best_split(
        self, node: int, bins: Bins
    ) -> tuple[int, float, tuple[int, int], tuple[int, int]] | None:
        """Return feature, threshold and both sides' counts by class; None while nothing is sure."""
        growth = self._growth
        if not self._classes[:, node].all():
            return None
        place = int(self._place[node])
        by_bin = self._counts[place].astype(np.float64)
        total = by_bin[:, 0].sum(axis=1)
        # From bin 1 on: what is missing goes with the high side.
        low = by_bin[:, :, 1:-1].cumsum(axis=2)
        high = total[:, None, None] - low
        gain = (_disorder(total) - _disorder(low) - _disorder(high)) / (total.sum() * log(2.0))
        looked = self._looked[place].tolist()
        edges = np.array([len(bins.edges[feature]) for feature in looked])
        valid = (low.sum(axis=0) >= _LEAST) & (high.sum(axis=0) >= _LEAST)
        gain = np.where(valid & (np.arange(gain.shape[1]) < edges[:, None]), gain, 0.0)
        gains = gain.max(axis=1)
        best = int(gains.argmax())
        second = float(np.sort(gains)[-2]) if len(gains) > 1 else 0.0
        bound = sqrt(log(1.0 / growth.delta) / (2.0 * float(total.sum())))
        if gains[best] < max(growth.worth, _LEVEL) or (gains[best] - second <= bound and bound >= growth.tie):
            return None
        at = int(gain[best].argmax())
        sides = [tuple(side[:, best, at].astype(int).tolist()) for side in (low, high)]
        return looked[best], float(bins.edges[looked[best]][at]), sides[0], sides[1]

    def _places(self) -> Whole:
        """Return the places that were ever taken.

        The trees take turns, so that these lie together: memory comes in pages of up to 2 MB.
        """
        trees = self._growth.trees
        return np.concatenate([np.arange(used) * trees + tree for tree, used in enumerate(self._used)])


class _Batch(NamedTuple):
    """Rows that are learnt together; see :meth:`HoeffdingTrees.learn`."""

    x: Floats
    placed: Whole
    """Row by row."""
    y: Flags
    weights: Whole
    bins: Bins
    said: Floats | None
    """Shape (trees, n): what each tree's leaf had said; None when nobody asked."""


def _histograms(trees: int, looked: int, width: int) -> NDArray[np.uint32]:
    """Return an empty histogram for each place, class, feature and bin; takes no memory before it is used."""
    return np.zeros((trees * MOST_LEAVES, 2, looked, width), np.uint32)


def _disorder(classes: Floats) -> Floats:
    """Return the entropy, in nats, times the weight; shape (2, ...) to (...)."""
    total = classes.sum(axis=0)
    parts = _times_log(classes)
    result: Floats = _times_log(total) - parts[0] - parts[1]
    return result


def _times_log(values: Floats) -> Floats:
    result: Floats = values * np.log(np.maximum(values, 1.0))
    return result
