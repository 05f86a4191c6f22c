"""Prequential evaluation: each model judged by the score it gave before the label was known.

Scores are those of the moment of decision, joined with their labels when these arrive, so the delay of the
labels is part of what is measured (Gama, Sebastião & Rodrigues 2013; Grzenda, Gomes & Bifet 2020).
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.evaluation.ranking import average_precision, caught_among_top, log_loss
from stream.evaluation.reliability import CalibrationTally


class Quality(NamedTuple):
    """How good one model was over the window."""

    average_precision: float
    log_loss: float
    calibration_error: float
    """Expected calibration error over 15 bins of equal width."""
    brier: float
    precision: float
    """Share of frauds among the model's highest scores, as many as were alerted; nan without any alert."""
    recall: float
    """Share of the frauds that are among those; nan without any fraud."""
    labels: int
    frauds: int


class Paired(NamedTuple):
    """What two models said of the same transactions; arrays of shape (n,), oldest first."""

    is_fraud: NDArray[np.bool_]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    amount: NDArray[np.float64]
    alerted: NDArray[np.bool_]
    """Whether there was an alert on it, whoever gave it."""


class _Matured(NamedTuple):
    """A label as it was added."""

    transaction_id: str
    is_fraud: bool
    alerted: bool
    amount: float
    scores: Mapping[str, float]


_MOST_WAITING: Final = 1_000
"""Labels that are put into the columns together, at the most."""


class PrequentialWindow:
    """The last `capacity` matured transactions with every model's score; more where frauds are rare.

    Memory is 8 bytes per label and model plus about 160 per label. Adding costs about a microsecond.
    What can be said of a model hangs on the frauds among the labels: where fewer than `least_frauds` of the
    last `capacity` are frauds, the window reaches back to that many, or over `most` labels.

    Thresholds move, and those of models differ. What compares them is an equal number of alerts: each model
    is judged on its highest scores, as many as alerts were given in the window, whoever gave them.

    Parameters
    ----------
    capacity
        Labels kept.
    least_frauds
        Frauds that are to be among them.
    most
        Labels kept at most, however rare frauds are; None: `capacity`.

    Examples
    --------
    >>> window = PrequentialWindow(capacity=3)
    >>> for n, (fraud, score) in enumerate([(True, 0.9), (False, 0.2), (True, 0.1)]):
    ...     window.add(f"t{n}", fraud, {"logistic-1": score}, alerted=score > 0.5)
    >>> quality = window.quality("logistic-1")
    >>> quality.recall, quality.precision, quality.frauds
    (0.5, 1.0, 2)
    """

    def __init__(self, capacity: int, least_frauds: int = 0, most: int | None = None) -> None:
        self.capacity = capacity
        """Rows that there are; they grow by half where frauds are rare, and stay."""
        self._oldest = 0
        """Position of the oldest label that has a row."""
        self._least = capacity
        self._least_frauds = least_frauds
        self._most = capacity if most is None else max(most, capacity)
        self.added = 0
        """Labels added since the beginning; the position of the next one."""
        self.frauds = 0
        """Frauds among them, as their labels first said."""
        self._is_fraud = np.zeros(capacity, dtype=np.bool_)
        self._alerted = np.zeros(capacity, dtype=np.bool_)
        self._amount = np.zeros(capacity, dtype=np.float64)
        self._scores: dict[str, NDArray[np.float64]] = {}
        self._ids: list[str | None] = [None] * capacity
        self._waiting: list[_Matured] = []
        """What was added last, until somebody looks: put into its columns together."""

    def add(
        self,
        transaction_id: str,
        is_fraud: bool,
        scores: Mapping[str, float],
        *,
        alerted: bool = False,
        amount: float = 0.0,
    ) -> None:
        """Add a matured transaction with the scores of the models that judged it, and what was decided."""
        self._waiting.append(_Matured(transaction_id, is_fraud, alerted, amount, scores))
        self.added += 1
        self.frauds += bool(is_fraud)
        if len(self._waiting) >= min(_MOST_WAITING, self.capacity):
            self._settle()

    def _settle(self) -> None:
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        self._make_room(self.added - len(waiting))
        names, is_fraud, alerted, amounts, scores = zip(*waiting, strict=True)
        rows = np.arange(self.added - len(names), self.added) % self.capacity
        for row, name in zip(rows.tolist(), names, strict=True):
            self._ids[row] = name
        self._is_fraud[rows], self._alerted[rows], self._amount[rows] = is_fraud, alerted, amounts
        for said in scores:
            for version in said:
                if version not in self._scores:
                    self._scores[version] = np.full(self.capacity, np.nan)
        for version, column in self._scores.items():
            column[rows] = [said.get(version, np.nan) for said in scores]

    def _make_room(self, settled: int) -> None:
        """Have rows for what is added: new ones rather than those of frauds that there are too few of."""
        while self.added - self._oldest > self.capacity:
            if self.capacity < self._most and int(self._is_fraud.sum()) < self._least_frauds:
                self._grow(np.arange(self._oldest, settled))
            else:
                self._oldest = self.added - self.capacity

    def _grow(self, positions: NDArray[np.intp]) -> None:
        old, ids = positions % self.capacity, self._ids
        self.capacity = min(self._most, self.capacity + self.capacity // 2 + 1)
        new = positions % self.capacity
        self._is_fraud = _moved(self._is_fraud, old, new, np.zeros(self.capacity, np.bool_))
        self._alerted = _moved(self._alerted, old, new, np.zeros(self.capacity, np.bool_))
        self._amount = _moved(self._amount, old, new, np.zeros(self.capacity))
        self._scores = {
            version: _moved(column, old, new, np.full(self.capacity, np.nan))
            for version, column in self._scores.items()
        }
        self._ids = [None] * self.capacity
        for row, place in zip(old.tolist(), new.tolist(), strict=True):
            self._ids[place] = ids[row]

    def __getstate__(self) -> dict[str, Any]:
        self._settle()
        return self.__dict__.copy()

    def correct(self, transaction_id: str, is_fraud: bool) -> bool:
        """Change the verdict on a transaction; False when it has left the window."""
        self._settle()
        row = self._row(transaction_id)
        if row is None:
            return False
        self._is_fraud[row] = is_fraud
        return True

    def _row(self, transaction_id: str) -> int | None:
        """Find where a transaction was added last; the newest are looked at first."""
        # Some 400 µs in vain, for each label that contradicts another: an index would cost all labels more.
        newest = self.added % self.capacity
        for begin, end in ((0, newest), (newest, self.capacity)):
            some = self._ids[begin:end][::-1]
            if transaction_id in some:
                return end - 1 - some.index(transaction_id)
        return None

    @property
    def begin(self) -> int:
        """Position of the first label that counts."""
        self._settle()
        least = max(self._oldest, self.added - self._least)
        if self._oldest == least or not self._least_frauds:
            return least
        positions = np.arange(self._oldest, self.added)
        frauds = positions[self._is_fraud[positions % self.capacity]]
        if len(frauds) < self._least_frauds:
            return self._oldest
        return min(least, int(frauds[-self._least_frauds]))

    def forget(self, version: str) -> None:
        """Drop a retired model's scores."""
        self._settle()
        self._scores.pop(version, None)

    def quality(self, version: str) -> Quality:
        """Judge one model on those transactions of the window that it scored."""
        rows = self._rows()
        column = self._scores.get(version)
        if column is None:
            return Quality(*(np.nan,) * 6, 0, 0)
        rows = rows[~np.isnan(column[rows])]
        is_fraud, score = self._is_fraud[rows], column[rows]
        alerts, frauds = int(self._alerted[rows].sum()), int(is_fraud.sum())
        caught = caught_among_top(is_fraud, score, alerts)
        calibration = CalibrationTally()
        calibration.add(is_fraud, score)
        return Quality(
            average_precision(is_fraud, score),
            log_loss(is_fraud, score),
            calibration.expected_calibration_error,
            calibration.brier,
            caught / alerts if alerts else np.nan,
            caught / frauds if frauds else np.nan,
            len(score),
            frauds,
        )

    def paired(self, first: str, second: str, since: int = 0) -> Paired:
        """Return what two models said of the transactions that both scored.

        Parameters
        ----------
        first, second
            Model versions; one that never scored has no transactions in common with any.
        since
            Only labels from this position on (see `added`).
        """
        rows = self._rows(since)
        empty = np.full(self.capacity, np.nan)
        one = self._scores.get(first, empty)[rows]
        other = self._scores.get(second, empty)[rows]
        both = ~(np.isnan(one) | np.isnan(other))
        rows = rows[both]
        return Paired(self._is_fraud[rows], one[both], other[both], self._amount[rows], self._alerted[rows])

    def _rows(self, since: int = 0) -> NDArray[np.intp]:
        """Return the rows of the labels that count, oldest first."""
        return np.arange(max(since, self.begin), self.added) % self.capacity


def _moved(
    column: NDArray[Any], old: NDArray[np.intp], new: NDArray[np.intp], into: NDArray[Any]
) -> NDArray[Any]:
    """Put the rows of a column into those of a longer one."""
    into[new] = column[old]
    return into
