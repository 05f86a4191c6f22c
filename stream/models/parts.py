"""Parts: the numbers and arrays a compiled model is sent as, looked at one by one before they are used."""

from collections.abc import Mapping
from math import inf, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.errors import SnapshotError

Floats = NDArray[np.float64]
Integers = NDArray[np.int32]
Metadata = dict[str, Any]
Arrays = dict[str, NDArray[Any]]


def within(values: Floats, low: float, high: float) -> Floats:
    """Return the values, none below `low` or above `high`: what :func:`numpy.clip` does, of a few in a third.

    Examples
    --------
    >>> within(np.array([-2.0, 0.5, 7.0]), 0.0, 1.0).tolist()
    [0.0, 0.5, 1.0]
    """
    held: Floats = np.minimum(np.maximum(values, low), high)
    return held


class Parts:
    """Metadata and arrays from elsewhere: whatever is read from them has been checked.

    Parameters
    ----------
    kind
        The kind of model, for the errors' sentences.
    metadata, arrays
        By name, as a model's ``to_parts`` returned them.

    Raises
    ------
    SnapshotError
        From every method: the part is missing, or is not what was asked for.

    Examples
    --------
    >>> Parts("linear", {"intercept": float("nan")}, {}).number("intercept")
    Traceback (most recent call last):
    stream.errors.SnapshotError: a linear model is damaged: intercept is nan, not a number within -inf..inf
    """

    def __init__(self, kind: str, metadata: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self.kind = kind
        self.metadata = dict(metadata)
        self.arrays = dict(arrays)

    def under(self, prefix: str) -> "Parts":
        """Return the parts whose names begin with `prefix`, without it."""
        cut = len(prefix)
        return Parts(
            self.kind,
            {name[cut:]: value for name, value in self.metadata.items() if name.startswith(prefix)},
            {name[cut:]: array for name, array in self.arrays.items() if name.startswith(prefix)},
        )

    def number(self, name: str, low: float = -inf, high: float = inf) -> float:
        """Return a finite number within `low` and `high`, both included."""
        value = self.metadata.get(name)
        # A bool is an int to Python, and never what was meant.
        if isinstance(value, bool) or not isinstance(value, float | int):
            raise self.damaged(f"{name} is {value!r}, not a number")
        if not isfinite(value) or not low <= value <= high:
            raise self.damaged(f"{name} is {value}, not a number within {low}..{high}")
        return float(value)

    def floats(self, name: str, size: int | None = None, low: float = -inf, high: float = inf) -> Floats:
        """Return a vector of `size` (any, when None) finite float64 within `low` and `high`."""
        array = self._vector(name, "f8", size)
        if not (np.isfinite(array).all() and (array >= low).all() and (array <= high).all()):
            raise self.damaged(f"{name} holds numbers that are not finite or not within {low}..{high}")
        return np.ascontiguousarray(array, dtype=np.float64)

    def integers(self, name: str, low: int, high: int, size: int | None = None) -> Integers:
        """Return a vector of `size` (any, when None) int32 within `low` and `high`, both included."""
        array = self._vector(name, "i4", size)
        if not ((array >= low).all() and (array <= high).all()):
            raise self.damaged(f"{name} holds numbers that are not within {low}..{high}")
        return np.ascontiguousarray(array, dtype=np.int32)

    def damaged(self, what: str) -> SnapshotError:
        """Make the error that says what is wrong."""
        return SnapshotError(f"a {self.kind} model is damaged: {what}")

    def _vector(self, name: str, dtype: str, size: int | None) -> NDArray[Any]:
        array = self.arrays.get(name)
        if array is None:
            raise self.damaged(f"it has no {name}")
        if array.dtype.str[1:] != dtype or array.ndim != 1 or size not in (None, len(array)):
            wanted = "any number" if size is None else size
            raise self.damaged(
                f"{name} is of type {array.dtype} and shape {array.shape}, not {wanted} of type {dtype}"
            )
        return array
