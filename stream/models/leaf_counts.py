"""Leaf counts: how often each leaf of a forest has met each bin of the features it looks at, by class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.uint32]


class LeafCounts:
    """The counts of all leaves, side by side in one array.

    Whole numbers, so that no order of adding shows: many rows are counted at once.

    Parameters
    ----------
    looked_at
        How many features each leaf looks at.
    width
        Bins of the feature that has most.
    most
        Leaves that there may be.

    Notes
    -----
    8 · `looked_at` · `width` bytes a leaf: some 7,500 with half of thirty features and 60 bins. The array has
    room for `most` from the start: the system gives memory only for those that are there, and has all of it
    back when the forest goes.

    Examples
    --------
    One leaf, which looks at the second of two features; two rows arrive, of which the fraud counts thrice:

    >>> counts = LeafCounts(looked_at=1, width=3, most=1)
    >>> leaf = counts.open([1])
    >>> counts.add(np.array([[0, 2], [0, 1]]), rows=[0, 1], sides=[2 * leaf, 2 * leaf + 1], weights=[1, 3])
    >>> counts.of(leaf).tolist()
    [[[0, 0, 1]], [[0, 3, 0]]]
    """

    def __init__(self, looked_at: int, width: int, most: int) -> None:
        self._most, self._used = most, 0
        self._features = np.zeros((most, looked_at), np.intp)
        self._counts = np.zeros((most, 2, looked_at, width), np.uint32)

    def open(self, looked_at: Sequence[int]) -> int:
        """Make room for a leaf that looks at these features; return its place."""
        place = self._used
        self._used += 1
        self.reopen(place, looked_at)
        return place

    def reopen(self, place: int, looked_at: Sequence[int]) -> None:
        """Forget a leaf, and give its place to another."""
        self._features[place] = looked_at
        self._counts[place] = 0

    def features(self, place: int) -> NDArray[np.intp]:
        """Return which features a leaf looks at."""
        features: NDArray[np.intp] = self._features[place]
        return features

    def of(self, place: int) -> Counts:
        """Return a leaf's counts, of the legitimate and of the frauds; shape (2, looked at, width)."""
        counts: Counts = self._counts[place]
        return counts

    def add(
        self, placed: NDArray[np.intp], rows: Sequence[int], sides: Sequence[int], weights: Sequence[int]
    ) -> None:
        """Count rows where they have arrived.

        Parameters
        ----------
        placed
            The bins of all rows; shape (n, features), each row's side by side.
        rows
            Which rows have arrived, each as often as there are trees.
        sides
            Where: twice the leaf's place, and one more for a fraud.
        weights
            For how many each counts.
        """
        if not rows:
            return
        _, _, looked_at, width = self._counts.shape
        side = np.array(sides, np.intp)
        cells = self._features.take(side >> 1, axis=0)
        cells += np.array(rows, np.intp)[:, None] * placed.shape[1]
        cells = placed.take(cells)
        cells += np.arange(0, looked_at * width, width)
        cells += (side * (looked_at * width))[:, None]
        np.add.at(self._counts.reshape(-1), cells.ravel(), np.array(weights, np.uint32).repeat(looked_at))

    def recount(self, within: Sequence[NDArray[np.intp]], width: int) -> None:
        """Bring the counts to new bins: what was in a bin moves to the one that holds its middle.

        Parameters
        ----------
        within
            For each feature, in which new bin each of its old ones lies.
        width
            Bins of the feature that has most now.
        """
        features, counts = self._features[: self._used], self._counts
        fresh = np.zeros((*counts.shape[:3], width), np.uint32)
        for feature, places in enumerate(within):
            leaf, number = np.nonzero(features == feature)
            for older, newer in enumerate(places):
                fresh[leaf, :, number, newer] += counts[leaf, :, number, older]
        self._counts = fresh

    def __getstate__(self) -> dict[str, Any]:
        # Without the room that is not used.
        used = self._used
        return {
            "_most": self._most,
            "_used": used,
            "_features": self._features[:used].copy(),
            "_counts": self._counts[:used].copy(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._most, self._used = state["_most"], state["_used"]
        self._features = _roomy(state["_features"], self._most)
        self._counts = _roomy(state["_counts"], self._most)


def _roomy(kept: NDArray[Any], most: int) -> NDArray[Any]:
    roomy = np.zeros((most, *kept.shape[1:]), kept.dtype)
    roomy[: len(kept)] = kept
    return roomy
