"""The training window: the sample of recent labels that a batch model is fitted on."""

from collections import OrderedDict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.models.sampling import keeps
from stream.records import Label


class TrainingSet(NamedTuple):
    """What a model is fitted on: plain arrays, which may cross to another process."""

    x: NDArray[np.float32]
    """Features as they were scored, shape (rows, width), in label order."""
    y: NDArray[np.bool_]
    """Whether it was fraud, shape (rows,)."""
    negative_rate: float
    """Share of the legitimate transactions that is among the rows."""
    first_label_ms: int
    last_label_ms: int
    """Label time of the first row and of the last, milliseconds since 1970."""

    @property
    def frauds(self) -> int:
        """How many of the rows are frauds."""
        return int(self.y.sum())


class TrainingWindow:
    """All frauds and a sample of the legitimate transactions whose labels came in the last days.

    Parameters
    ----------
    days
        Of label time, counted by the newest label seen: a label leaves so long after it came.
    negative_rate
        Share of the legitimate transactions to keep at first, in (0, 1].
    salt
        Decides, with a transaction's id, which ones (`stream.models.sampling.keeps`).
    most_rows
        Before there are more, every other legitimate one leaves, and as many of those that come are left out
        from then on: a window that is full goes as far back as one that is not. Where most rows are frauds,
        the oldest leave.

    Notes
    -----
    About 2 µs a label, and 350 bytes a row with 25 features. A label that comes out of order counts as having
    come when it did, so that rows leave in the order in which they came.

    Examples
    --------
    >>> def label(name, day, is_fraud):
    ...     time = day * 86_400_000
    ...     return Label(transaction_id=name, is_fraud=is_fraud, source="chargeback", label_time=time)
    >>> window = TrainingWindow(days=60, negative_rate=1.0, salt=7, most_rows=1_000)
    >>> for name, day in [("a", 1), ("b", 10), ("c", 65)]:
    ...     window.add(label(name, day, is_fraud=name != "b"), np.ones(2, "<f4").tobytes())
    >>> window.rows, window.frauds
    (2, 1)
    """

    def __init__(self, *, days: float, negative_rate: float, salt: int, most_rows: int) -> None:
        self._days_ms = round(days * 86_400_000)
        self._negative_rate = negative_rate
        self._salt = salt
        self._most_rows = most_rows
        self._rows: OrderedDict[str, _Row] = OrderedDict()
        self.now_ms = 0
        """The newest label time seen: the window's clock."""
        self.frauds = 0
        """How many of the rows are frauds."""

    @property
    def rows(self) -> int:
        """How many transactions it holds."""
        return len(self._rows)

    def add(self, label: Label, features: bytes) -> None:
        """Take a label in, with the features that its transaction was scored on.

        Parameters
        ----------
        label
            In the order of the topic. One that contradicts an earlier one replaces it; but a settlement,
            which only says that nobody spoke, contradicts nobody.
        features
            float32, little-endian, all finite.
        """
        self.now_ms = max(self.now_ms, label.label_time)
        self._expire()
        name = label.transaction_id
        known = self._rows.get(name)
        if known is not None and (known.is_fraud == label.is_fraud or label.source == "settlement"):
            return
        if known is not None:
            self._drop(name)
        if label.is_fraud or keeps(name, self._negative_rate, self._salt):
            self._rows[name] = _Row(self.now_ms, label.is_fraud, features)
            self.frauds += label.is_fraud
        if len(self._rows) > self._most_rows:
            self._thin()

    def sample(self) -> TrainingSet:
        """Return the rows as arrays.

        Raises
        ------
        ValueError
            There are none.
        """
        rows = list(self._rows.values())
        if not rows:
            raise ValueError("an empty window has nothing to fit on")
        joined = b"".join(row.features for row in rows)
        return TrainingSet(
            np.frombuffer(joined, dtype="<f4").reshape(len(rows), -1),
            np.array([row.is_fraud for row in rows]),
            self._negative_rate,
            rows[0].known_ms,
            rows[-1].known_ms,
        )

    def _expire(self) -> None:
        while self._rows:
            oldest = next(iter(self._rows))
            if self.now_ms - self._rows[oldest].known_ms < self._days_ms:
                break
            self._drop(oldest)

    def _thin(self) -> None:
        if self.rows >= 2 * self.frauds:
            self._negative_rate /= 2
            for name, row in list(self._rows.items()):
                if not row.is_fraud and not keeps(name, self._negative_rate, self._salt):
                    self._drop(name)
        if self.rows > self._most_rows:
            self._drop(next(iter(self._rows)))

    def _drop(self, name: str) -> None:
        self.frauds -= self._rows.pop(name).is_fraud


class _Row(NamedTuple):
    known_ms: int
    is_fraud: bool
    features: bytes
