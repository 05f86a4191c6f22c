"""One by one: how a classifier learns a batch that learns no other way."""

from abc import abstractmethod
from collections.abc import Sequence
from math import nan

import numpy as np

from stream.models.lessons import Flags
from stream.models.parts import Floats


class OneByOne:
    """Learns a batch row by row."""

    @property
    @abstractmethod
    def knows(self) -> bool:
        """Whether it has anything to say yet."""

    @abstractmethod
    def learn_row(self, row: Sequence[float], y: bool) -> None:
        """Learn one row."""

    @abstractmethod
    def predict_row(self, row: Sequence[float]) -> float:
        """Return the share of frauds in the sample among such rows."""

    def learn_rows(self, rows: Floats, y: Flags, shown: Flags, asked: Flags) -> list[float]:
        """See :class:`~stream.models.online.Classifier`."""
        touched = np.flatnonzero(shown | asked)
        answers = []
        for row, is_true, learns, answers_first in zip(
            rows[touched].tolist(),
            y[touched].tolist(),
            shown[touched].tolist(),
            asked[touched].tolist(),
            strict=True,
        ):
            if answers_first:
                answers.append(self.predict_row(row) if self.knows else nan)
            if learns:
                self.learn_row(row, is_true)
        return answers
