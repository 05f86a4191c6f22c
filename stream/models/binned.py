"""Logistic regression on quantile bins and their crosses: as it is learnt online, and compiled.

A weight for each bin of each feature, and for each pair of bins of the features that tell most: a piecewise
constant score with interactions, learnt by following the regularised leader, one transaction at a time.
"""

from collections.abc import Sequence
from itertools import combinations
from math import exp, inf, log
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream import kernel
from stream.models.binning import Bins, Sample
from stream.models.lessons import Flags
from stream.models.parts import Arrays, Floats, Integers, Metadata, Parts, within
from stream.models.rows import RowClassifier
from stream.models.sampling import corrected

_LARGEST_LOG_ODDS: Final = 30.0
_INTERCEPT_STEP: Final = 0.05
_REFERENCE: Final = 500
"""Legitimate rows whose mean push is the usual one."""
_COARSE: Final = 8
"""Bins of a feature when what it tells is compared."""
_MOST_BINS: Final = 4_096
"""Of one feature, in a snapshot."""


class Binned:
    """A logistic regression on bins and crosses, as arrays.

    Parameters
    ----------
    edges
        Shape (all edges,): those of each feature ascending, feature after feature.
    edge_counts
        Shape (features,), int32: how many edges each feature has; it has two bins more.
    weight
        Shape (all bins,): log-odds of each bin, feature after feature.
    first, second
        Shape (crosses,), int32: the two features of each cross.
    cross_weight
        Shape (all cells,): log-odds of each cell, cross after cross, the second feature's bins side by side.
    intercept
        Log-odds to start from.
    reference
        Shape (features,): each feature's usual push, which contributions are measured from.
    negative_rate
        Share of the legitimate transactions that were learnt from.

    Examples
    --------
    One feature with an edge at 1.0, so three bins: missing, up to the edge, above it.

    >>> model = Binned(
    ...     edges=np.array([1.0]), edge_counts=np.array([1], np.int32), weight=np.array([0.0, -2.0, 3.0]),
    ...     first=np.zeros(0, np.int32), second=np.zeros(0, np.int32), cross_weight=np.zeros(0),
    ...     intercept=0.0, reference=np.array([-2.0]), negative_rate=1.0,
    ... )
    >>> model.predict(np.array([[0.5], [4.0]])).round(4).tolist()
    [0.1192, 0.9526]
    >>> model.contributions(np.array([[4.0]])).tolist()
    [[5.0]]
    """

    kind = "binned"

    def __init__(
        self,
        *,
        edges: Floats,
        edge_counts: Integers,
        weight: Floats,
        first: Integers,
        second: Integers,
        cross_weight: Floats,
        intercept: float,
        reference: Floats,
        negative_rate: float,
    ) -> None:
        self.edges, self.edge_counts, self.weight = edges, edge_counts, weight
        self.first, self.second, self.cross_weight = first, second, cross_weight
        self.intercept, self.reference = intercept, reference
        self.negative_rate = negative_rate
        self._bins = Bins(np.split(edges, np.cumsum(edge_counts)[:-1]))
        counts = edge_counts.astype(np.intp) + 2
        self._edge_start = np.concatenate([[0], np.cumsum(edge_counts, dtype=np.int64)])
        self._start = _starts(counts)
        self._width = counts[second]
        self._cross_start = _starts(counts[first] * counts[second])

    def predict(self, x: Floats) -> Floats:
        """See :class:`~stream.models.compiled.CompiledModel`."""
        log_odds = self._log_odds(x)
        share = 1.0 / (1.0 + np.exp(-within(log_odds, -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS)))
        return corrected(share, self.negative_rate)

    def contributions(self, x: Floats) -> Floats:
        """See :class:`~stream.models.compiled.CompiledModel`; exact, a cross shared by its two features."""
        return self._pushes(x) - self.reference

    def to_parts(self) -> tuple[Metadata, Arrays]:
        """See :class:`~stream.models.compiled.CompiledModel`."""
        return {"intercept": self.intercept, "negative_rate": self.negative_rate}, {
            "edges": self.edges,
            "edge_counts": self.edge_counts,
            "weight": self.weight,
            "first": self.first,
            "second": self.second,
            "cross_weight": self.cross_weight,
            "reference": self.reference,
        }

    @classmethod
    def from_parts(cls, parts: Parts, features: int) -> "Binned":
        """Undo `to_parts`, checking everything."""
        edge_counts = parts.integers("edge_counts", 1, _MOST_BINS - 2, features)
        counts = edge_counts.astype(np.int64) + 2
        edges = parts.floats("edges", int(edge_counts.sum()))
        own = np.repeat(np.arange(features), edge_counts)
        if (np.diff(edges)[own[1:] == own[:-1]] <= 0).any():
            raise parts.damaged("the edges of a feature do not ascend")
        first = parts.integers("first", 0, features - 1)
        second = parts.integers("second", 0, features - 1, len(first))
        return cls(
            edges=edges,
            edge_counts=edge_counts,
            weight=parts.floats("weight", int(counts.sum())),
            first=first,
            second=second,
            cross_weight=parts.floats("cross_weight", int((counts[first] * counts[second]).sum())),
            intercept=parts.number("intercept"),
            reference=parts.floats("reference", features),
            negative_rate=parts.number("negative_rate", low=np.finfo(float).tiny, high=1.0),
        )

    def _log_odds(self, x: Floats) -> Floats:
        """Add up each row's weights, one after the other: in one order, whatever the batch."""
        if kernel.in_use():
            log_odds = np.empty(len(x))
            kernel.models.add_weights(
                np.ascontiguousarray(x, dtype=np.float64),
                self.edges,
                self._edge_start,
                self._start,
                self.weight,
                self.first,
                self.second,
                self._width,
                self._cross_start,
                self.cross_weight,
                self.intercept,
                np.empty(x.shape[1], np.int64),
                log_odds,
            )
            return log_odds
        mains, crosses = self._weights(x)
        start = np.full((1, len(x)), self.intercept)
        summed: Floats = np.add.accumulate(np.concatenate([start, mains, crosses]))[-1]
        return summed

    def _weights(self, x: Floats) -> tuple[Floats, Floats]:
        """Return what each row's bins and cells weigh; (features, n) and (crosses, n)."""
        placed = self._bins.place_all(x)
        cells = placed[self.first] * self._width[:, None]
        cells += placed[self.second]
        cells += self._cross_start[:, None]
        placed += self._start[:, None]
        return self.weight.take(placed), self.cross_weight.take(cells)

    def _pushes(self, x: Floats) -> Floats:
        pushes, crosses = self._weights(x)
        crosses *= 0.5
        for one, other, half in zip(self.first, self.second, crosses, strict=True):
            pushes[one] += half
            pushes[other] += half
        return np.ascontiguousarray(pushes.T)  # in which order numpy sums over a row depends on how it lies


class BinnedLogisticRegression(RowClassifier):
    """Logistic regression on quantile bins and their crosses, by FTRL-proximal.

    The bins are cut from the stream (`stream.models.binning`): after the first 40 labels, and anew whenever
    their number has doubled; weights are carried over from the bins before. The features that are crossed are
    chosen at each cut, by what their bins tell of the class.

    Parameters
    ----------
    feature_names
        In the order of the rows; None: those of the first transaction learnt.
    quantiles
        Into how many ranges each class's values are cut: a feature gets up to twice as many bins.
    crossed
        Of how many features every pair is crossed.
    alpha, beta
        Learning rate, and what is added to the root of each weight's squared gradients.
    l1, l2
        Penalties. With `l1` above 0, bins that were hardly ever met weigh nothing.
    negative_rate
        Share of the legitimate transactions that it will be shown: goes into what is compiled.

    Notes
    -----
    Up to (2 · quantiles)² · crossed² / 2 cells of three numbers each, 240,000 at the most with 30 and 12, and
    some 100,000 on card payments. Learning a row takes some 25 µs
    whatever the number of cells: a row touches one bin of each feature and one cell of each cross.

    Examples
    --------
    >>> model = BinnedLogisticRegression(quantiles=8)
    >>> for n in range(6_000):
    ...     model.learn_one({"hour": n % 24, "amount": n % 7}, n % 24 < 3 and n % 7 == 6)
    >>> night, day = ({"hour": hour, "amount": 6} for hour in (2, 12))
    >>> model.predict_proba_one(night)[True] > 5 * model.predict_proba_one(day)[True]
    True

    References
    ----------
    McMahan et al. (2013), Ad click prediction: a view from the trenches, algorithm 1. Quantile bins with
    crosses are the usual features there; that half of the edges come from the rare class is our own.
    """

    def __init__(
        self,
        feature_names: Sequence[str] | None = None,
        quantiles: int = 30,
        crossed: int = 12,
        alpha: float = 0.1,
        beta: float = 1.0,
        l1: float = 1.0,
        l2: float = 1.0,
        negative_rate: float = 1.0,
    ) -> None:
        super().__init__(feature_names, quantiles)
        self.crossed = crossed
        self.alpha = alpha
        self.beta = beta
        self.l1 = l1
        self.l2 = l2
        self.negative_rate = negative_rate
        self._table: _Table | None = None
        self._intercept = 0.0
        self._intercept_squares = 1.0

    @property
    def knows(self) -> bool:
        """Whether its first bins are cut."""
        return self._table is not None

    def predict_row(self, row: Sequence[float]) -> float:
        """Return the share of `True` among such rows as it was shown."""
        if self._table is None:
            return self._prior()
        cells = self._table.cells(np.array([row], float))[0]
        return _sigmoid(self._intercept + float(self._table.weight[cells].sum()))

    def compile(self, prior: float) -> Binned | None:
        """Return the arrays that give the same answers; None before the first bins are cut."""
        del prior
        table, sample = self._table, self._sample
        if table is None or sample is None:
            return None
        mains = sum(table.bins.counts)
        compiled = Binned(
            edges=np.concatenate(table.bins.edges),
            edge_counts=np.array([len(one) for one in table.bins.edges], np.int32),
            weight=table.weight[:mains].copy(),
            first=np.array([one for one, _ in table.pairs], np.int32),
            second=np.array([other for _, other in table.pairs], np.int32),
            cross_weight=table.weight[mains:].copy(),
            intercept=self._intercept,
            reference=np.zeros(len(table.bins.edges)),
            negative_rate=self.negative_rate,
        )
        compiled.reference = compiled.contributions(sample.rows(False)[:_REFERENCE]).mean(axis=0)
        return compiled

    def _cut(self, sample: Sample) -> None:
        assert sample.bins is not None
        pairs = list(combinations(_telling(sample, self.crossed), 2))
        table = _Table(sample.bins, pairs)
        if self._table is not None:
            table.take_over(self._table, self.alpha, self.beta, self.l1, self.l2)
        else:
            prior = self._prior()
            self._intercept = log(prior / (1.0 - prior))
        self._table = table

    def _learn(self, rows: Floats, y: Flags, shown: Flags, asked: Flags) -> list[float]:
        table = self._table
        assert table is not None
        answers = []
        for cells, is_true, learns, answers_first in zip(
            table.cells(rows), y.tolist(), shown.tolist(), asked.tolist(), strict=True
        ):
            weight = table.weight.take(cells)
            share = _sigmoid(self._intercept + float(np.add.reduce(weight)))
            if answers_first:
                answers.append(share)
            if learns:
                self._update(table, cells, weight, share - is_true)
        return answers

    def _update(self, table: "_Table", cells: NDArray[np.intp], weight: Floats, gradient: float) -> None:
        squares = table.squares.take(cells)
        grown = squares + gradient * gradient
        root = np.sqrt(grown)
        z = table.z.take(cells) + gradient - (root - np.sqrt(squares)) / self.alpha * weight
        table.z[cells] = z
        table.squares[cells] = grown
        shrunk = np.minimum(np.maximum(z, -self.l1), self.l1) - z
        table.weight[cells] = shrunk / ((self.beta + root) / self.alpha + self.l2)
        self._intercept_squares += gradient * gradient
        self._intercept -= _INTERCEPT_STEP * gradient / self._intercept_squares**0.5


class _Table:
    """What is learnt of every bin and cell: its weight, and FTRL's two sums; arrays of shape (cells,).

    The bins of all features come first, then the cells of the crosses.
    """

    def __init__(self, bins: Bins, pairs: list[tuple[int, int]]) -> None:
        self.bins = bins
        self.pairs = pairs
        counts = np.array(bins.counts, dtype=np.intp)
        self.starts = _starts(counts)
        self.first, self.second = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
        self.widths = counts[self.second]
        sizes = counts[self.first] * self.widths
        self.cross_starts = counts.sum() + _starts(sizes)
        cells = int(counts.sum() + sizes.sum())
        self.z = np.zeros(cells)
        self.squares = np.zeros(cells)
        self.weight = np.zeros(cells)

    def cells(self, rows: Floats) -> NDArray[np.intp]:
        """Return where rows' weights lie: a bin of each feature, a cell of each cross; shape (n, both)."""
        placed = self.bins.place_all(rows)
        crossed = placed[self.first] * self.widths[:, None]
        crossed += placed[self.second]
        crossed += self.cross_starts[:, None]
        placed += self.starts[:, None]
        # A row's side by side: how numpy adds them up depends on it.
        return np.ascontiguousarray(np.concatenate([placed, crossed]).T)

    def take_over(self, older: "_Table", alpha: float, beta: float, l1: float, l2: float) -> None:
        """Start every bin and cell with the weight of the older one it lies in.

        Of the evidence each gets its part, so that cells that were cut smaller can part again.
        """
        within = [self.bins.within(feature, older.bins) for feature in range(len(self.starts))]
        sources = np.full(len(self.z), -1, dtype=np.intp)
        for feature, places in enumerate(within):
            start = self.starts[feature]
            sources[start : start + len(places)] = older.starts[feature] + places
        known = {
            pair: place for pair, *place in zip(older.pairs, older.cross_starts, older.widths, strict=True)
        }
        for (one, other), start in zip(self.pairs, self.cross_starts, strict=True):
            if (one, other) not in known:
                continue
            old_start, old_width = known[one, other]
            cells = old_start + within[one][:, None] * old_width + within[other][None, :]
            sources[start : start + cells.size] = cells.ravel()
        found = np.flatnonzero(sources >= 0)
        sources = sources[found]
        weight = older.weight[sources]
        squares = older.squares[sources] / np.bincount(sources)[sources]
        pull = np.abs(weight) * ((beta + np.sqrt(squares)) / alpha + l2) + l1
        self.weight[found] = weight
        self.squares[found] = squares
        # What z must be for this weight to follow from it; where the weight is 0, nothing pulls yet.
        self.z[found] = np.where(weight == 0.0, 0.0, -np.sign(weight) * pull)


def _starts(sizes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return where each part begins when parts of these sizes lie one after the other."""
    return np.cumsum(sizes) - sizes


def _telling(sample: Sample, count: int) -> list[int]:
    """Choose the features to cross: each tells of the class what none of those before it has told.

    Greedy, by the least conditional mutual information given any one feature already chosen (Fleuret 2004,
    Fast binary feature selection with conditional mutual information); both classes weigh alike, bins are
    taken together to `_COARSE`.
    """
    assert sample.bins is not None
    counts = sample.bins.counts
    coarse = [
        [bins * _COARSE // counts[feature] for feature, bins in enumerate(sample.bins.place_all(rows))]
        for rows in (sample.rows(False), sample.rows(True))
    ]
    alone = [_information([one[feature] for one in coarse], _COARSE) for feature in range(len(counts))]
    # A feature that never varies tells nothing, alone or crossed.
    features = [feature for feature, information in enumerate(alone) if information > 0.0]
    if not features:
        return []
    chosen = [max(features, key=lambda feature: alone[feature])]
    # What a feature adds to the one of those chosen that leaves it least to say.
    added = [inf] * len(counts)
    while len(chosen) < min(count, len(features)):
        last = chosen[-1]
        for feature in features:
            pairs = [one[last] * _COARSE + one[feature] for one in coarse]
            added[feature] = min(added[feature], _information(pairs, _COARSE**2) - alone[last])
        chosen.append(max((one for one in features if one not in chosen), key=added.__getitem__))
    return sorted(chosen)


def _information(placed: Sequence[NDArray[np.intp]], bins: int) -> float:
    """Return the mutual information, in nats, of a bin with the class when both classes weigh alike."""
    shares = [np.bincount(one, minlength=bins) / max(len(one), 1) for one in placed]
    mean = (shares[0] + shares[1]) / 2
    return float(sum(np.sum(one[one > 0] * np.log(one[one > 0] / mean[one > 0])) for one in shares)) / 2


def _sigmoid(log_odds: float) -> float:
    return 1.0 / (1.0 + exp(-min(max(log_odds, -_LARGEST_LOG_ODDS), _LARGEST_LOG_ODDS)))
