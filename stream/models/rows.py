"""A River classifier that learns from rows: what our own estimators have in common."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from river import base

from stream.models.binning import as_row


class RowClassifier(base.Classifier):  # type: ignore[misc]  # River has no types
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

    @abstractmethod
    def learn_row(self, row: Sequence[float], y: bool) -> None:
        """Learn one labelled row, in the order of the features."""

    @abstractmethod
    def predict_row(self, row: Sequence[float]) -> float:
        """Return the probability of `True` for a row, changing nothing."""

    def learn_one(self, x: dict[str, Any], y: Any) -> None:
        """Learn one labelled transaction, as River does."""
        if self._names is None:
            self._names = tuple(sorted(x, key=str))
        self.learn_row(as_row(x, self._names), bool(y))

    def predict_proba_one(self, x: dict[str, Any], **_: Any) -> dict[bool, float]:
        """Return the probability of either class, as River does."""
        probability = 0.5 if self._names is None else self.predict_row(as_row(x, self._names))
        return {False: 1.0 - probability, True: probability}
