"""A forest, compiled: trees whose leaves hold shares of frauds."""

from typing import Final

import numpy as np

from stream import kernel
from stream.models.grove import Grove
from stream.models.parts import Arrays, Floats, Integers, Metadata, Parts, within
from stream.models.sampling import corrected

_CERTAINTY: Final = 1e-6
"""Log-odds are taken of shares held this far from 0 and 1."""


class Forest:
    """Binary trees whose leaves hold shares of frauds, averaged and corrected for undersampling.

    Parameters
    ----------
    feature, threshold, child, roots
        The trees' nodes, as :class:`~stream.models.grove.Grove` takes them.
    share
        Shape (nodes,): frauds among what reached a node, in [0, 1].
    weight
        Shape (trees,): a tree's weight in the mean; 0 for a tree that knows nothing.
    negative_rate
        Share of the legitimate transactions that the trees were grown on.
    prior
        The probability when no tree knows anything.

    Notes
    -----
    On numpy all rows descend all trees together, level by level, leaves looping to themselves; the kernel
    takes one row after the other. Measured at 512 rows and ten trees up to 21 splits deep, per row: 0.1 µs by
    the kernel, 0.6 to 0.9 on numpy, 0.9 with treelite, whose input cannot be checked as simply, and 58 with
    River; a single row takes 2, 60, 19 and 58.

    Examples
    --------
    One tree, one split on the only feature at 0.5:

    >>> stump = Forest(
    ...     feature=np.array([0, -1, -1], np.int32), threshold=np.array([0.5, 0.0, 0.0]),
    ...     child=np.array([1, 0, 0], np.int32), share=np.array([0.2, 0.1, 0.8]),
    ...     roots=np.array([0], np.int32), weight=np.array([1.0]), negative_rate=1.0, prior=0.005,
    ... )
    >>> stump.predict(np.array([[0.5], [0.6]])).round(9).tolist()
    [0.1, 0.8]
    """

    kind = "forest"

    def __init__(
        self,
        *,
        feature: Integers,
        threshold: Floats,
        child: Integers,
        share: Floats,
        roots: Integers,
        weight: Floats,
        negative_rate: float,
        prior: float,
    ) -> None:
        self._grove = Grove(feature=feature, threshold=threshold, child=child, roots=roots)
        self.feature, self.threshold, self.child, self.share = feature, threshold, child, share
        self.roots, self.weight = roots, weight
        self.negative_rate, self.prior = negative_rate, prior
        self._total_weight = float(weight.sum())

    @property
    def depth(self) -> int:
        """Of the deepest tree, in splits."""
        return self._grove.depth

    def predict(self, x: Floats) -> Floats:
        """See :class:`~stream.models.compiled.CompiledModel`."""
        if self._total_weight <= 0:
            return np.full(len(x), self.prior)
        return corrected(self._mean_of(x), self.negative_rate)

    def contributions(self, x: Floats) -> Floats:
        """See :class:`~stream.models.compiled.CompiledModel`.

        By what each split on a row's paths changed the share of frauds (Saabas 2014), averaged over the
        trees; then scaled for the row as a whole, so that the sum is the difference of the log-odds.
        """
        if self._total_weight <= 0 or not len(x):
            return np.zeros(x.shape)
        pushes = self._grove.pushes(x, self.share, self.weight / self._total_weight)
        average = self._mean(np.repeat(self.share[self.roots][:, None], len(x), axis=1))
        return pushes * _slope(average, self._mean_of(x))[:, None]

    def to_parts(self) -> tuple[Metadata, Arrays]:
        """See :class:`~stream.models.compiled.CompiledModel`."""
        metadata = {"negative_rate": self.negative_rate, "prior": self.prior}
        return metadata, {**self._grove.to_arrays(), "share": self.share, "weight": self.weight}

    @classmethod
    def from_parts(cls, parts: Parts, features: int) -> "Forest":
        """Undo `to_parts`, checking everything."""
        grove = Grove.from_parts(parts, features)
        return cls(
            feature=grove.feature,
            threshold=grove.threshold,
            child=grove.child,
            share=parts.floats("share", len(grove.feature), 0.0, 1.0),
            roots=grove.roots,
            weight=parts.floats("weight", len(grove.roots), low=0.0),
            negative_rate=parts.number("negative_rate", np.finfo(float).tiny, 1.0),
            prior=parts.number("prior", 0.0, 1.0),
        )

    def _mean_of(self, x: Floats) -> Floats:
        """Return the mean share of the leaves that each row comes to."""
        if kernel.in_use():
            total = self._grove.sums(x, self.share, self.weight)
            return np.minimum(total / self._total_weight, 1.0)
        return self._mean(self.share.take(self._grove.leaves(x)))

    def _mean(self, shares: Floats) -> Floats:
        """Return the weighted mean over the trees; (trees, n) to (n,)."""
        total = np.zeros(shares.shape[1])
        # Tree by tree: in which order numpy sums over an axis, and so the last bit, depends on the batch.
        for weight, share in zip(self.weight, shares, strict=True):
            total += weight * share
        return np.minimum(total / self._total_weight, 1.0)


def _slope(start: Floats, end: Floats) -> Floats:
    """Return by how much the log-odds rise per share, on the way from `start` to `end`."""
    low, high = (within(share, _CERTAINTY, 1.0 - _CERTAINTY) for share in (start, end))
    way = end - start
    level = np.abs(way) < _CERTAINTY
    rise = np.log(high / (1.0 - high)) - np.log(low / (1.0 - low))
    return np.where(level, 1.0 / (low * (1.0 - low)), rise / np.where(level, 1.0, way))
