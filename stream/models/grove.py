"""A grove: binary trees laid out in one row of arrays, all of them descended at once."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream import kernel
from stream.models.parts import Arrays, Floats, Integers, Parts

_MOST_DEPTH: Final = 64
"""A row costs as much as the deepest tree is deep: deeper ones are refused."""


class Grove:
    """Where each row comes out in each of the trees; what the nodes mean is for the model to say.

    The nodes of all trees lie in one row of arrays, each tree behind the one before, its root first; every
    node lies behind its parent, the two children of a node side by side.

    Parameters
    ----------
    feature
        Shape (nodes,), int32: the column that a node splits on; -1 for a leaf.
    threshold
        Shape (nodes,): a row goes to the first child when its value is at or under it, else to the second.
    child
        Shape (nodes,), int32: a node's first child; 0 for a leaf.
    roots
        Shape (trees,), int32.

    Examples
    --------
    One tree, one split on the only feature at 0.5:

    >>> grove = Grove(
    ...     feature=np.array([0, -1, -1], np.int32), threshold=np.array([0.5, 0.0, 0.0]),
    ...     child=np.array([1, 0, 0], np.int32), roots=np.array([0], np.int32),
    ... )
    >>> grove.leaves(np.array([[0.5], [0.6]])).tolist()
    [[1, 2]]
    """

    def __init__(self, *, feature: Integers, threshold: Floats, child: Integers, roots: Integers) -> None:
        self.feature, self.child, self.roots = (
            np.ascontiguousarray(one, dtype=np.int32) for one in (feature, child, roots)
        )
        self.threshold = np.ascontiguousarray(threshold, dtype=np.float64)
        self._width = int(feature.max(initial=-1)) + 1
        self.depth = _depth(feature, child, roots)
        """Of the deepest tree, in splits."""

        leaf = feature < 0
        own = np.arange(len(feature))
        self._column = np.where(leaf, 0, feature).astype(np.intp)
        # By 2 * node + (value <= threshold); either way a leaf leads to itself.
        self._next = np.stack([np.where(leaf, own, child + 1), np.where(leaf, own, child)], axis=1).ravel()

    def leaves(self, x: Floats) -> NDArray[np.intp]:
        """Return the leaf that each row comes to in each tree; (n, features) to (trees, n)."""
        self._check(x)
        if kernel.in_use():
            found = np.empty((len(self.roots), len(x)), np.int64)
            kernel.models.leaves(
                np.ascontiguousarray(x, dtype=np.float64),
                *(self.feature, self.threshold, self.child, self.roots, found),
            )
            return found
        nodes, first = self._start(x)
        values = np.ascontiguousarray(x, dtype=np.float64).ravel()
        for _ in range(self.depth):
            nodes = self._step(nodes, first, values)
        return nodes

    def sums(self, x: Floats, value: Floats, weight: Floats) -> Floats:
        """Return each row's sum of its leaves' values, tree after tree; by the kernel alone.

        Parameters
        ----------
        x
            Shape (n, features).
        value
            Shape (nodes,).
        weight
            Shape (trees,): what a tree's value counts.
        """
        self._check(x)
        summed = np.empty(len(x))
        kernel.models.sums(
            np.ascontiguousarray(x, dtype=np.float64),
            *(self.feature, self.threshold, self.child, self.roots),
            np.ascontiguousarray(value, dtype=np.float64),
            np.ascontiguousarray(weight, dtype=np.float64),
            summed,
        )
        return summed

    def pushes(self, x: Floats, value: Floats, weight: Floats) -> Floats:
        """Return by how much each feature's splits changed a node's value on each row's ways down.

        Parameters
        ----------
        x
            Shape (n, features).
        value
            Shape (nodes,): what is expected of a row that has come so far.
        weight
            Shape (trees,): what a tree's changes count.

        Returns
        -------
        Floats
            Shape (n, features). A row's sum is that of its leaves' values less that of the roots'.

        References
        ----------
        Saabas (2014), Interpreting random forests.
        """
        pushes = np.zeros(x.shape)
        if not len(x):
            return pushes
        self._check(x)
        if kernel.in_use():
            kernel.models.pushes(
                np.ascontiguousarray(x, dtype=np.float64),
                *(self.feature, self.threshold, self.child, self.roots, self.depth),
                np.ascontiguousarray(value, dtype=np.float64),
                np.ascontiguousarray(weight, dtype=np.float64),
                np.empty(len(self.roots), np.int32),
                pushes,
            )
            return pushes
        nodes, first = self._start(x)
        values = np.ascontiguousarray(x, dtype=np.float64).ravel()
        part = np.repeat(weight, len(x)).reshape(nodes.shape)
        for _ in range(self.depth):
            lower = self._step(nodes, first, values)
            change = part * (value.take(lower) - value.take(nodes))
            np.add.at(pushes.ravel(), first + self._column.take(nodes), change)
            nodes = lower
        return pushes

    def to_arrays(self) -> Arrays:
        """Return the arrays from which :meth:`from_parts` makes the same grove."""
        return {
            "feature": self.feature,
            "threshold": self.threshold,
            "child": self.child,
            "roots": self.roots,
        }

    @classmethod
    def from_parts(cls, parts: Parts, features: int) -> "Grove":
        """Undo `to_arrays`, checking everything: above all that every way down ends, within its own tree.

        Raises
        ------
        SnapshotError
            Something is missing, or no grove of trees.
        """
        feature = parts.integers("feature", -1, features - 1)
        nodes = len(feature)
        child = parts.integers("child", 0, max(nodes - 2, 0), nodes)
        roots = parts.integers("roots", 0, nodes - 1)
        if not len(roots) or roots[0] != 0 or (np.diff(roots) <= 0).any():
            raise parts.damaged("its roots are not in order")
        inner = np.flatnonzero(feature >= 0)
        first = child[inner]
        if (first <= inner).any():
            raise parts.damaged("a child does not lie behind its parent")
        tree = np.searchsorted(roots, np.arange(nodes), side="right")
        if (tree[first] != tree[inner]).any() or (tree[first + 1] != tree[inner]).any():
            raise parts.damaged("a child lies in another tree than its parent")
        found = np.sort(np.concatenate([roots, first, first + 1]))
        if not np.array_equal(found, np.arange(nodes)):
            raise parts.damaged("a node is not the child of exactly one other")
        if _depth(feature, child, roots) > _MOST_DEPTH:
            raise parts.damaged(f"a tree is deeper than {_MOST_DEPTH}")
        return cls(feature=feature, threshold=parts.floats("threshold", nodes), child=child, roots=roots)

    def _check(self, x: Floats) -> None:
        if x.shape[1] < self._width:
            raise ValueError(f"{x.shape[1]} columns, where the trees look at {self._width}")

    def _start(self, x: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return where rows stand at first, and where each row's values begin; both (trees, n)."""
        shape = (len(self.roots), len(x))
        nodes = np.repeat(self.roots.astype(np.intp), len(x)).reshape(shape)
        return nodes, np.tile(np.arange(len(x)) * x.shape[1], len(self.roots)).reshape(shape)

    def _step(self, nodes: NDArray[np.intp], first: NDArray[np.intp], values: Floats) -> NDArray[np.intp]:
        """Go one level down."""
        value = values.take(first + self._column.take(nodes))
        return self._next.take(2 * nodes + (value <= self.threshold.take(nodes)))


def _depth(feature: Integers, child: Integers, roots: Integers) -> int:
    """Count the levels under the roots; children lie behind their parents, so it ends."""
    depth = 0
    level = roots[feature[roots] >= 0]
    while len(level):
        depth += 1
        below = np.concatenate([child[level], child[level] + 1])
        level = below[feature[below] >= 0]
    return depth
