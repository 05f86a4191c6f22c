"""Bins: each feature cut into ranges by quantiles that are learnt from the stream, kept until the next cut.

A rare event's features are mostly zeros, and what tells the frauds lies in the tail: quantiles of all
transactions would cut the zeros and nothing else. So half of the edges come from recent frauds, half from the
rest.
"""

import sys
from bisect import bisect_left
from collections.abc import Sequence
from math import inf, isnan, nan
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream.models.parts import Floats

MISSING: Final = 0
"""The bin of a value that is not there (nan)."""
FIRST_CUT: Final = 40
"""Bins are first cut after so many labels; later whenever their number has doubled."""
LAST_CUT: Final = 120_000
"""After so many labels bins stay as they are: a model is one version, and its successors bring new ones."""
KEPT: Final = 4_000
"""Labels of either class that the next cut can look at."""
_FEW: Final = 8
"""Fewer rows are sooner placed one by one than feature by feature."""


class Bins:
    """The edges of every feature's bins.

    Bin 0 is for missing values. The others lie between the edges, each with its upper edge; values below the
    least or above the largest ever seen have the first and the last of them to themselves.

    Parameters
    ----------
    edges
        For each feature its edges, ascending, at least one.

    Examples
    --------
    >>> bins = Bins([np.array([0.0, 1.0, 2.5])])
    >>> [bins.place([value])[0] for value in (float("nan"), -1.0, 0.5, 1.0, 9.0)]
    [0, 1, 2, 2, 4]
    >>> bins.counts
    [5]
    """

    def __init__(self, edges: Sequence[Floats]) -> None:
        self.edges = [np.asarray(one, dtype=np.float64) for one in edges]
        self._lists: list[list[float]] = [one.tolist() for one in self.edges]

    @property
    def counts(self) -> list[int]:
        """How many bins each feature has."""
        return [len(one) + 2 for one in self._lists]

    def place(self, row: Sequence[float]) -> list[int]:
        """Return each value's bin; about 0.15 µs a value."""
        return [
            1 + bisect_left(edges, value) if value == value else MISSING  # noqa: PLR0124 (nan alone differs)
            for edges, value in zip(self._lists, row, strict=True)
        ]

    def place_all(self, x: Floats) -> NDArray[np.intp]:
        """Return each value's bin; (n, features) to (features, n)."""
        if 0 < len(x) < _FEW:
            return np.ascontiguousarray(np.array([self.place(row) for row in x.tolist()], np.intp).T)
        values = np.ascontiguousarray(x.T)
        placed = np.empty(values.shape, dtype=np.intp)
        for column, edges in enumerate(self.edges):
            placed[column] = edges.searchsorted(values[column])
        placed += 1
        placed[np.isnan(values)] = MISSING
        return placed

    def within(self, feature: int, older: "Bins") -> NDArray[np.intp]:
        """Say which bin of `older` holds the middle of each of this feature's bins; shape (bins,).

        What was learnt on the older bins is carried over by it. The range that nothing had been seen in takes
        over what is known beside it.
        """
        edges = self.edges[feature]
        inside = np.concatenate([edges[:1], (edges[1:] + edges[:-1]) / 2, [np.nextafter(edges[-1], inf)]])
        return np.append(MISSING, 1 + np.searchsorted(older.edges[feature], inside)).astype(np.intp)


class Sample:
    """The latest labelled rows of either class, and the bins last cut from them.

    Parameters
    ----------
    features
        How many values a row has.
    quantiles
        Into how many ranges each class is cut, so that there are up to twice as many bins.

    Notes
    -----
    16 KB for each feature and class: values are kept as float32.
    """

    def __init__(self, features: int, quantiles: int) -> None:
        self.quantiles = quantiles
        self.seen = 0
        self.bins: Bins | None = None
        self._next_cut = FIRST_CUT
        self._rows = np.full((2, KEPT, features), nan, dtype=np.float32)
        self._counts = [0, 0]

    def add(self, rows: Floats, y: NDArray[np.bool_]) -> int:
        """Take labelled rows in, up to one at which bins are cut, anew or for the first time.

        The first bins wait for a row of either class.

        Parameters
        ----------
        rows
            Shape (n, features), at least one.
        y
            Shape (n,).

        Returns
        -------
        int
            How many were taken in. Where bins were cut, `bins` are others than before.
        """
        cut = self._cuts_at(y)
        taken = min(cut + 1, len(rows))
        for number, own in enumerate((~y[:taken], y[:taken])):
            places = np.flatnonzero(own)
            count = len(places)
            kept = places[-KEPT:]
            at = (self._counts[number] + count - len(kept) + np.arange(len(kept))) % KEPT
            self._rows[number, at] = rows[kept]
            self._counts[number] += count
        self.seen += taken
        if cut < len(rows):
            self._next_cut = max(2 * self._next_cut, self.seen + 1)
            if self._next_cut > LAST_CUT:
                self._next_cut = sys.maxsize
            steps = np.linspace(0.0, 1.0, self.quantiles + 1)
            each = [_quantiles(self.rows(y), steps) for y in (False, True)]
            self.bins = Bins([_edges(both) for both in zip(*each, strict=True)])
        return taken

    def _cuts_at(self, y: NDArray[np.bool_]) -> int:
        """Return the place of the row at which bins are cut; none of these if it lies behind them."""
        place = max(0, self._next_cut - self.seen - 1)
        for own, count in zip((~y, y), self._counts, strict=True):
            if not count:
                place = max(place, int(own.argmax()) if own.any() else len(y))
        return place

    def rows(self, y: bool) -> Floats:
        """Return the kept rows of one class, in no order that matters; shape (n, features)."""
        return self._rows[int(y), : min(self._counts[y], KEPT)].astype(np.float64)


def _quantiles(rows: Floats, steps: Floats) -> list[Floats]:
    """Return each column's quantiles; none of one that has no value."""
    # An edge is a value that was seen, so that numbers that repeat get bins of their own.
    if not np.isnan(rows).any():
        return [*np.quantile(rows, steps, axis=0, method="lower").T]
    found = []
    for column in rows.T:
        values = column[~np.isnan(column)]
        found.append(np.quantile(values, steps, method="lower") if len(values) else values)
    return found


def _edges(quantiles: Sequence[Floats]) -> Floats:
    """Return a feature's edges, given the quantiles of either class."""
    edges = np.unique(np.concatenate(quantiles))
    return np.concatenate([[np.nextafter(edges[0], -inf)], edges]) if len(edges) else np.zeros(1)


def as_row(x: dict[str, float], names: Sequence[str]) -> list[float]:
    """Return the features of a River dictionary in the order of `names`; nan where there is none.

    Examples
    --------
    >>> as_row({"a": 1, "b": None, "c": 5.0}, ("b", "a", "d"))
    [nan, 1.0, nan]
    """
    return [nan if (value := x.get(name)) is None or isnan(value) else float(value) for name in names]
