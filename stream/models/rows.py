"""Classifiers that learn from rows: one at a time, or many at once, which is to be the same."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from river import base

from stream.models.binning import Sample, as_row
from stream.models.parts import Floats

Flags = NDArray[np.bool_]


class OneByOne:
    """A classifier that learns many rows by learning one after the other."""

    @abstractmethod
    def learn_row(self, row: Sequence[float], y: bool) -> None:
        """Learn one labelled row."""

    @abstractmethod
    def predict_row(self, row: Sequence[float]) -> float:
        """Return the probability of fraud for a row, changing nothing."""

    def learn_rows(self, x: Floats, y: Flags, shown: Flags, asked: Flags) -> Floats:
        """Learn labelled rows in their order, and say of some what was known of them before.

        Parameters
        ----------
        x, y
            Shapes (n, features) and (n,).
        shown
            Shape (n,): which rows are learnt.
        asked
            Shape (n,): of which rows is to be said what :meth:`predict_row` would have, before they are
            learnt themselves.

        Returns
        -------
        Floats
            Shape (n,); 0 where nobody asked. Neither this nor what is learnt depends on how rows were cut
            into batches, to the last bit.
        """
        said = np.zeros(len(y))
        for number, row in enumerate(x.tolist()):
            if asked[number]:
                said[number] = self.predict_row(row)
            if shown[number]:
                self.learn_row(row, bool(y[number]))
        return said


class RowClassifier(OneByOne, base.Classifier):  # type: ignore[misc]  # River has no types
    """A binary classifier over numbers in a fixed order, with River's interface around it.

    Parameters
    ----------
    feature_names
        In the order of the rows. None: those of the first transaction that is learnt, sorted; River's
        interface then takes any dictionary. Features that come up later are passed over, missing ones are
        nan.
    """

    def __init__(self, feature_names: Sequence[str] | None = None) -> None:
        self.feature_names = feature_names
        self._names = None if feature_names is None else tuple(feature_names)
        self._sample: Sample | None = None
        """What bins are cut from."""

    @abstractmethod
    def learn_stretch(self, x: Floats, y: Flags, shown: Flags, asked: Flags) -> Floats:
        """Do what :meth:`learn_rows` does for rows that all lie in the bins that there are."""

    def learn_rows(self, x: Floats, y: Flags, shown: Flags, asked: Flags) -> Floats:
        """Learn labelled rows in their order; see :meth:`OneByOne.learn_rows`."""
        said = np.zeros(len(y))
        start = 0
        while start < len(y):
            ahead = start + np.flatnonzero(shown[start:])
            room = self._sample.room if self._sample is not None else 0
            # A row that may cut the bins is learnt by itself.
            learn, length = (self.learn_stretch, room) if room else (super().learn_rows, 1)
            end = len(y) if len(ahead) <= length else int(ahead[length])
            part = slice(start, end)
            said[part] = learn(x[part], y[part], shown[part], asked[part])
            start = end
        return said

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        """Learn one labelled transaction, as River does."""
        if self._names is None:
            self._names = tuple(sorted(x, key=str))
        self.learn_row(as_row(x, self._names), bool(y))

    def predict_proba_one(self, x: dict[str, Any], **_: Any) -> dict[bool, float]:
        """Return the probability of either class, as River does."""
        probability = 0.5 if self._names is None else self.predict_row(as_row(x, self._names))
        return {False: 1.0 - probability, True: probability}
