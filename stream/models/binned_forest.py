"""A random forest of Hoeffding trees on quantile bins, for rare frauds: as it is grown online.

What scorers run is its compiled form, :class:`~stream.models.forest.Forest`.
"""

from collections.abc import Sequence
from math import exp
from random import Random

import numpy as np
from numpy.typing import NDArray

from stream.models.binning import Bins, Sample
from stream.models.forest import Forest
from stream.models.hoeffding import Growth, HoeffdingTrees
from stream.models.parts import Floats
from stream.models.rows import Flags, RowClassifier


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
    Learning a row takes some 100 µs with ten trees, and a fifth of that in a batch of a hundred; River's
    adaptive random forest, with Gaussian splitters, takes 1,000 and ranks worse on rare frauds (the table of
    `benchmarks.quality`), because their features are mostly zeros with a long tail.

    Memory: 500 bytes for each leaf that may yet split and feature that it looks at, with 30 quantiles.

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
        self._trees: HoeffdingTrees | None = None
        self._early: list[tuple[Sequence[float], bool]] = []
        """What is learnt once the first bins are cut."""
        self._positives = 0

    @property
    def knows(self) -> bool:
        """Whether its first bins are cut."""
        return self._trees is not None

    def learn_row(self, row: Sequence[float], y: bool) -> None:
        """Learn one labelled row."""
        if self._sample is None:
            self._sample = Sample(len(row), self.quantiles)
        self._positives += y
        older = self._sample.bins
        if self._sample.add(row, y):
            self._cut(older)
        if self._trees is not None:
            self._grow(self._trees, row, y)
        else:
            self._early.append((row, y))

    def learn_stretch(self, x: Floats, y: Flags, shown: Flags, asked: Flags) -> Floats:
        """Learn labelled rows in their order; see :meth:`~stream.models.rows.OneByOne.learn_rows`."""
        assert self._sample is not None
        assert self._trees is not None
        told = y[shown]
        self._positives += int(told.sum())
        self._sample.extend(x[shown], told)
        weights = np.zeros((self.trees, len(y)), np.intp)
        weights[:, shown] = self._draw(len(told))
        bins = self._bins()
        return self._trees.learn(x, bins.place_all(x), y, weights, bins, asked)

    def predict_row(self, row: Sequence[float]) -> float:
        """Return the share of `True` among such rows as it was shown."""
        if self._trees is None:
            return self._prior()
        return self._trees.share(row)

    def compile(self, prior: float) -> Forest | None:
        """Return the arrays that give the same answers; None before the first bins are cut."""
        if self._trees is None:
            return None
        feature, threshold, child, share, roots = self._trees.nodes()
        return Forest(
            feature=feature.astype(np.int32),
            threshold=threshold,
            child=child.astype(np.int32),
            share=share,
            roots=roots.astype(np.int32),
            weight=np.ones(len(roots)),
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
        if self._trees is not None and older is not None:
            self._trees.recount(older, self._bins())
            return
        growth = Growth(
            trees=self.trees,
            features=self.features,
            grace=self.grace,
            delta=self.delta,
            tie=self.tie,
            worth=self.worth,
            leaning=self.leaning,
            seed=self.seed,
        )
        self._trees = HoeffdingTrees(growth, self._bins(), self._prior())
        early, self._early = self._early, []
        for row, y in early:
            self._grow(self._trees, row, y)

    def _grow(self, trees: HoeffdingTrees, row: Sequence[float], y: bool) -> None:
        bins = self._bins()
        trees.learn_row(row, bins.place(row), y, self._draw(1)[:, 0], bins)

    def _draw(self, rows: int) -> NDArray[np.intp]:
        """Draw the next rows' weights in each tree; the same however many are drawn at a time."""
        drawn = np.frombuffer(self._random.randbytes(4 * rows * self.trees), "<u4").reshape(rows, self.trees)
        return np.searchsorted(self._weights, drawn.T, side="right")


def _poisson(mean: float) -> NDArray[np.uint32]:
    """Return the cumulative probabilities of 0, 1, 2 ... up to all but a millionth, in parts of 2**32."""
    term = exp(-mean)
    steps = [term]
    while steps[-1] < 1.0 - 1e-6:
        term *= mean / len(steps)
        steps.append(steps[-1] + term)
    return np.array([int(one * 2**32) for one in steps], np.uint32)
