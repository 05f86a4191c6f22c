"""A River classifier that learns from rows on bins: what our own estimators have in common."""

from abc import abstractmethod
from collections.abc import Sequence
from math import nan
from typing import Any

import numpy as np
from river import base

from stream.models.binning import Sample, as_row
from stream.models.lessons import Flags
from stream.models.parts import Floats


class RowClassifier(base.Classifier):  # type: ignore[misc]  # River has no types
    """A binary classifier over numbers in a fixed order, with River's interface around it.

    It learns on bins that are cut from the stream (:mod:`stream.models.binning`); what comes before the first
    cut is kept, and learnt then.

    Parameters
    ----------
    feature_names
        In the order of the rows. None: those of the first transaction that is learnt, sorted; River's
        interface then takes any dictionary. Features that come up later are passed over, missing ones are
        nan.
    quantiles
        Into how many ranges each class's values are cut.
    """

    def __init__(self, feature_names: Sequence[str] | None, quantiles: int) -> None:
        self.feature_names = feature_names
        self.quantiles = quantiles
        self._names = None if feature_names is None else tuple(feature_names)
        self._sample: Sample | None = None
        self._early: list[tuple[list[float], bool]] = []
        """What is learnt once the first bins are cut."""
        self._positives = 0

    @property
    @abstractmethod
    def knows(self) -> bool:
        """Whether its first bins are cut."""

    @abstractmethod
    def predict_row(self, row: Sequence[float]) -> float:
        """Return the probability of `True` for a row, changing nothing."""

    def learn_row(self, row: Sequence[float], y: bool) -> None:
        """Learn one labelled row, in the order of the features."""
        self.learn_rows(np.array([row], float), np.array([bool(y)]), np.array([True]), np.array([False]))

    def learn_rows(self, rows: Floats, y: Flags, shown: Flags, asked: Flags) -> list[float]:
        """See :class:`~stream.models.online.Classifier`."""
        touched = np.flatnonzero(shown | asked)
        rows, y, shown, asked = rows[touched], y[touched], shown[touched], asked[touched]
        left = np.flatnonzero(shown)
        answers: list[float] = []
        begin = 0
        while len(left):
            if self._sample is None:
                self._sample = Sample(rows.shape[1], self.quantiles)
            older = self._sample.bins
            taken = left[: self._sample.add(rows[left], y[left])]
            self._positives += int(y[taken].sum())
            if self._sample.bins is not older:
                # Bins were cut at the last one taken: it is asked on the old ones, and learnt on the new.
                last = int(taken[-1])
                shown[last] = False
                answers += self._take(slice(begin, last + 1), rows, y, shown, asked)
                self._cut_anew(self._sample)
                shown[last], asked[last], begin = True, False, last
            left = left[len(taken) :]
        return answers + self._take(slice(begin, len(rows)), rows, y, shown, asked)

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        """Learn one labelled transaction, as River does."""
        if self._names is None:
            self._names = tuple(sorted(x, key=str))
        self.learn_row(as_row(x, self._names), bool(y))

    def predict_proba_one(self, x: dict[str, Any], **_: Any) -> dict[bool, float]:
        """Return the probability of either class, as River does."""
        probability = 0.5 if self._names is None else self.predict_row(as_row(x, self._names))
        return {False: 1.0 - probability, True: probability}

    @abstractmethod
    def _cut(self, sample: Sample) -> None:
        """Go over to the bins that the sample has cut."""

    @abstractmethod
    def _learn(self, rows: Floats, y: Flags, shown: Flags, asked: Flags) -> list[float]:
        """Learn a batch on the bins that there are; as `learn_rows`."""

    def _take(self, some: slice, rows: Floats, y: Flags, shown: Flags, asked: Flags) -> list[float]:
        if some.start == some.stop:
            return []
        if self.knows:
            return self._learn(rows[some], y[some], shown[some], asked[some])
        kept = np.flatnonzero(shown[some])
        self._early += zip(rows[some][kept].tolist(), y[some][kept].tolist(), strict=True)
        return [nan] * int(asked[some].sum())

    def _cut_anew(self, sample: Sample) -> None:
        self._cut(sample)
        early, self._early = self._early, []
        if early:
            every = np.ones(len(early), bool)
            self._learn(np.array([row for row, _ in early]), np.array([y for _, y in early]), every, ~every)

    def _prior(self) -> float:
        seen = self._sample.seen if self._sample is not None else 0
        return (self._positives + 0.5) / (seen + 1.0)
