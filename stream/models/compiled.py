"""Compiled models: plain arrays that score a whole matrix at once, and can be checked before they are used.

A scorer never unpickles what came over the network. It gets numbers, looks at their shapes and ranges, and
computes with them.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from stream.errors import SnapshotError
from stream.models.binned import Binned
from stream.models.blend import Blend
from stream.models.boosted import Boosted
from stream.models.forest import Forest
from stream.models.linear import Linear
from stream.models.parts import Arrays, Floats, Metadata, Parts


class CompiledModel(Protocol):
    """What scorers run. Immutable, and nothing but arrays and numbers."""

    @property
    def kind(self) -> str:
        """Which of the kinds that :func:`compiled_from_parts` knows."""
        ...

    def predict(self, x: Floats) -> Floats:
        """Return the probability of fraud of each row; (n, features) to (n,).

        A row's result does not depend on the rows beside it, to the last bit: batches may be cut anywhere.
        """
        ...

    def contributions(self, x: Floats) -> Floats:
        """Return each feature's push on the log-odds of each row; (n, features) to the same shape.

        A row's pushes sum up to its log-odds minus those of the model's average row. Some 10 µs a row and
        more: for the few rows that become alerts.
        """
        ...

    def to_parts(self) -> tuple[Metadata, Arrays]:
        """Return metadata and arrays, from which :func:`compiled_from_parts` makes the same model."""
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
        return np.zeros(x.shape)

    def to_parts(self) -> tuple[Metadata, Arrays]:
        """See :class:`CompiledModel`."""
        return {"probability": self.probability}, {}

    @classmethod
    def from_parts(cls, parts: Parts) -> "Constant":
        """Undo `to_parts`, checking everything."""
        return cls(parts.number("probability", 0.0, 1.0))


def compiled_from_parts(
    kind: str, metadata: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], features: int
) -> CompiledModel:
    """Rebuild a compiled model, after looking at every part of it.

    Parameters
    ----------
    kind
        Of the model.
    metadata, arrays
        As `to_parts` returned them.
    features
        How many columns its matrices have.

    Raises
    ------
    SnapshotError
        A part is missing, of another shape or type, not finite, or a tree is not a tree.

    Examples
    --------
    >>> compiled_from_parts("constant", {"probability": 0.25}, {}, features=3).predict(np.zeros((1, 3)))
    array([0.25])
    """
    parts = Parts(kind, metadata, arrays)
    match kind:
        case Constant.kind:
            return Constant.from_parts(parts)
        case Linear.kind:
            return Linear.from_parts(parts, features)
        case Forest.kind:
            return Forest.from_parts(parts, features)
        case Binned.kind:
            return Binned.from_parts(parts, features)
        case Blend.kind:
            numbers = range(Blend.count_members(parts))
            return Blend.from_parts(parts, [_member(parts, number, features) for number in numbers])
        case Boosted.kind:
            return Boosted.from_parts(parts, features)
    raise SnapshotError(f"models of kind {kind!r} are unknown here: upgrade the scorers before the learner")


def _member(parts: Parts, number: int, features: int) -> CompiledModel:
    own = parts.under(f"{number}.")
    kind = own.metadata.pop("kind", None)
    if kind == Blend.kind:
        raise parts.damaged("a member is a blend itself")
    return compiled_from_parts(str(kind), own.metadata, own.arrays, features)
