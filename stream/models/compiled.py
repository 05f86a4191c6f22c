"""Compiled models: plain arrays that score a whole matrix at once, and can be checked before they are used.

A scorer never unpickles what came over the network. It gets numbers, looks at their shapes and ranges, and
descends them.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from stream.errors import SnapshotError

Floats = NDArray[np.float64]
Arrays = Mapping[str, NDArray[Any]]
_SIGMOID_CLIP: Final = 30.0
"""River's sigmoid is 0 below its negative and 1 above it."""


class CompiledModel(Protocol):
    """What scorers run."""

    kind: str

    def predict(self, x: Floats) -> Floats:
        """Return the probability of fraud of each row; (n, features) to (n,).

        A row's result does not depend on the rows beside it, to the last bit.
        """
        ...

    def contributions(self, x: Floats) -> Floats:
        """Return what each feature adds to a row's log-odds; (n, features) to the same."""
        ...

    def to_parts(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return metadata and arrays, from which :func:`compiled_from_parts` makes an equal model."""
        ...


class Constant:
    """The same probability for everybody: what a model says that has not learnt enough yet.

    Examples
    --------
    >>> Constant(0.01).predict(np.zeros((2, 3))).tolist()
    [0.01, 0.01]
    """

    kind = "constant"

    def __init__(self, probability: float) -> None:
        self.probability = probability

    def predict(self, x: Floats) -> Floats:
        """Return the one probability for each row."""
        return np.full(len(x), self.probability)

    def contributions(self, x: Floats) -> Floats:
        """Return zeros: no feature counts."""
        return np.zeros_like(x)

    def to_parts(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """See :class:`CompiledModel`."""
        return {"probability": self.probability}, {}


class Linear:
    """A logistic regression on standardised features.

    Parameters
    ----------
    mean, scale, weight
        Shape (features,): a row's log-odds are the intercept plus the sum of (x - mean) * scale * weight.
    intercept
        Log-odds of the average row.
    """

    kind = "linear"

    def __init__(self, mean: Floats, scale: Floats, weight: Floats, intercept: float) -> None:
        self.mean, self.scale, self.weight, self.intercept = mean, scale, weight, intercept

    def predict(self, x: Floats) -> Floats:
        """Return the sigmoid of each row's log-odds, 0 and 1 beyond 30 as River has it."""
        # A sum per row, not a matrix product: BLAS rounds differently with the number of rows.
        z = self.contributions(x).sum(axis=1) + self.intercept
        p = 1.0 / (1.0 + np.exp(-np.clip(z, -_SIGMOID_CLIP, _SIGMOID_CLIP)))
        result: Floats = np.where(z > _SIGMOID_CLIP, 1.0, np.where(z < -_SIGMOID_CLIP, 0.0, p))
        return result

    def contributions(self, x: Floats) -> Floats:
        """Return each feature's share of the log-odds: exact, against the average row."""
        return (x - self.mean) * self.scale * self.weight

    def to_parts(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """See :class:`CompiledModel`."""
        arrays = {"mean": self.mean, "scale": self.scale, "weight": self.weight}
        return {"intercept": self.intercept}, arrays


class Forest:
    """Binary trees whose leaves hold probabilities, averaged, then corrected for undersampling.

    Parameters
    ----------
    feature, left, right
        Shape (nodes,), int32. A leaf has feature -1; children lie behind their parents.
    threshold
        Shape (nodes,): a row goes left when its feature is at or under it.
    fraud, legitimate
        Shape (nodes,): the probabilities of a node's stream of labels, both 0 for a tree that knows nothing.
    roots
        Shape (trees,), int32.
    negative_rate
        Share of the legitimate transactions that the trees were shown.
    prior
        The probability when no tree knows anything.

    Notes
    -----
    All trees are descended at once, one level of all rows and trees at a time: about as fast as a compiled
    library at batches of some hundred rows, and nothing but arrays to validate.

    References
    ----------
    Dal Pozzolo, Caelen, Johnson & Bontempi (2015), Calibrating Probability with Undersampling: the correction
    p = b s / (b s - s + 1) of a score s learnt with a share b of the negatives.
    """

    kind = "forest"

    def __init__(
        self,
        feature: NDArray[np.int32],
        threshold: Floats,
        left: NDArray[np.int32],
        right: NDArray[np.int32],
        fraud: Floats,
        legitimate: Floats,
        roots: NDArray[np.int32],
        negative_rate: float,
        prior: float,
    ) -> None:
        self.feature, self.threshold = feature, threshold
        self.left, self.right = left, right
        self.fraud, self.legitimate = fraud, legitimate
        self.roots = roots
        self.negative_rate, self.prior = negative_rate, prior

    def predict(self, x: Floats) -> Floats:
        """Return the corrected mean over the trees."""
        leaves = self._descend(x)[-1]
        fraud = self.fraud[leaves].sum(axis=1)
        total = fraud + self.legitimate[leaves].sum(axis=1)
        known = total > 0
        share = np.divide(fraud, total, out=np.zeros_like(fraud), where=known)
        return np.where(known, self._corrected(share), self.prior)

    def contributions(self, x: Floats) -> Floats:
        """Return by feature how the log-odds changed at the splits on the way down, averaged over the trees.

        A node's probability is smoothed towards a half by one label in a hundred, to keep log-odds finite.
        After Saabas (2014), here on log-odds.
        """
        share = np.divide(
            self.fraud,
            self.fraud + self.legitimate,
            out=np.full_like(self.fraud, 0.5),
            where=self.fraud + self.legitimate > 0,
        )
        smooth = (self._corrected(share) + 0.005) / 1.01
        log_odds = np.log(smooth / (1 - smooth))
        pushes = np.zeros_like(x)
        rows = np.arange(len(x))[:, None]
        path = self._descend(x)
        for before, after in pairwise(path):
            moved = before != after
            row = np.broadcast_to(rows, before.shape)[moved]
            change = log_odds[after[moved]] - log_odds[before[moved]]
            np.add.at(pushes, (row, self.feature[before[moved]]), change / len(self.roots))
        return pushes

    def to_parts(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """See :class:`CompiledModel`."""
        names = ("feature", "threshold", "left", "right", "fraud", "legitimate", "roots")
        meta = {"negative_rate": self.negative_rate, "prior": self.prior}
        return meta, {name: getattr(self, name) for name in names}

    def _descend(self, x: Floats) -> list[NDArray[np.int32]]:
        """Return the nodes that rows stand at, level by level, each of shape (n, trees)."""
        nodes = np.broadcast_to(self.roots, (len(x), len(self.roots)))
        path = [nodes]
        rows = np.arange(len(x))[:, None]
        while True:
            feature = self.feature[nodes]
            inner = feature >= 0
            if not inner.any():
                return path
            value = x[rows, np.maximum(feature, 0)]
            down = np.where(value <= self.threshold[nodes], self.left[nodes], self.right[nodes])
            nodes = np.where(inner, down, nodes)
            path.append(nodes)

    def _corrected(self, share: Floats) -> Floats:
        rate = self.negative_rate
        result: Floats = rate * share / (rate * share - share + 1.0)
        return result


def compiled_from_parts(kind: str, meta: Mapping[str, Any], arrays: Arrays, features: int) -> CompiledModel:
    """Rebuild a compiled model, after looking at every part of it.

    Parameters
    ----------
    kind
        Of the model.
    meta, arrays
        As `to_parts` returned them.
    features
        How many columns its matrices have.

    Raises
    ------
    SnapshotError
        A part is missing, of another shape or type, not finite, or a tree is not a tree.
    """
    try:
        if kind == "constant":
            return Constant(_probability(meta, "probability"))
        if kind == "linear":
            mean, scale, weight = (_floats(arrays, name, features) for name in ("mean", "scale", "weight"))
            return Linear(mean, scale, weight, _finite(meta, "intercept"))
        if kind == "forest":
            return _forest(meta, arrays, features)
    except (KeyError, TypeError, ValueError) as error:
        raise SnapshotError(f"a snapshot of kind {kind!r} is damaged: {error}") from error
    raise SnapshotError(f"a snapshot of kind {kind!r} is unknown to this version: upgrade the scorers first")


def _forest(meta: Mapping[str, Any], arrays: Arrays, features: int) -> Forest:
    nodes = len(arrays["feature"])
    feature, left, right = (_integers(arrays, name, nodes) for name in ("feature", "left", "right"))
    roots = _integers(arrays, "roots", len(arrays["roots"]))
    threshold, fraud, legitimate = (
        _floats(arrays, name, nodes) for name in ("threshold", "fraud", "legitimate")
    )
    if not len(roots) or roots.min() < 0 or roots.max() >= nodes:
        raise ValueError("a root is not a node")
    if feature.min() < -1 or feature.max() >= features:
        raise ValueError(f"a split on a feature outside 0..{features - 1}")
    inner = np.flatnonzero(feature >= 0)
    for children in (left[inner], right[inner]):
        # Behind the parent: so every walk ends.
        if len(inner) and not ((children > inner) & (children < nodes)).all():
            raise ValueError("a child does not lie behind its parent")
    if (fraud < 0).any() or (legitimate < 0).any():
        raise ValueError("a negative probability")
    rate = _probability(meta, "negative_rate")
    if rate == 0:
        raise ValueError("negative_rate is 0")
    return Forest(
        feature, threshold, left, right, fraud, legitimate, roots, rate, _probability(meta, "prior")
    )


def _floats(arrays: Arrays, name: str, size: int) -> Floats:
    array = np.ascontiguousarray(arrays[name], dtype=np.float64)
    if array.shape != (size,) or not np.isfinite(array).all():
        raise ValueError(f"{name} has shape {array.shape} where ({size},) finite numbers should be")
    return array


def _integers(arrays: Arrays, name: str, size: int) -> NDArray[np.int32]:
    if arrays[name].dtype != np.int32 or arrays[name].shape != (size,):
        raise ValueError(f"{name} is {arrays[name].dtype}{arrays[name].shape} where int32({size},) should be")
    return np.ascontiguousarray(arrays[name])


def _finite(meta: Mapping[str, Any], name: str) -> float:
    value = float(meta[name])
    if not np.isfinite(value):
        raise ValueError(f"{name} is {value}")
    return value


def _probability(meta: Mapping[str, Any], name: str) -> float:
    value = _finite(meta, name)
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}")
    return value
