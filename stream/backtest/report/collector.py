"""The collector: keeps of a running backtest what its report will need, as compact arrays."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream.backtest.answers import Answers
from stream.features.catalogue import WIDTH
from stream.pipeline.pending import Pending

SAMPLE: Final = 4_000
"""Transactions that feature importances are computed on."""


class Reign(NamedTuple):
    """A stretch of event time in which one champion served; milliseconds since 1970."""

    version: str
    first_ms: int
    last_ms: int


class Columns(NamedTuple):
    """All scored transactions in event-time order; arrays of shape (n,)."""

    event_time: NDArray[np.int64]
    customer: NDArray[np.int64]
    """Codes, in the order of the identifiers."""
    truth: NDArray[np.int8]
    served: NDArray[np.float64]
    """The champion's score of the moment."""


class Collector:
    """Takes in answers as a backtest gives them.

    Parameters
    ----------
    seed
        Of the sample of transactions.
    sample
        How many to keep with their features.

    Notes
    -----
    Memory: 21 bytes a transaction, and 4 for each model that scored it. Time: about a microsecond each.
    """

    def __init__(self, seed: int, sample: int = SAMPLE) -> None:
        self._size = 0
        self._event_time: list[NDArray[np.int64]] = []
        self._customer: list[NDArray[np.int32]] = []
        self._truth: list[NDArray[np.int8]] = []
        self._served: list[NDArray[np.float64]] = []
        self._scores: defaultdict[str, list[tuple[int, NDArray[np.float32]]]] = defaultdict(list)
        self._codes: dict[str, int] = {}
        self._reigns: list[Reign] = []
        self._lives: dict[str, tuple[int, int]] = {}
        self._sample = _Sample(seed, sample)

    def add(self, answers: Answers) -> None:
        """Take in a batch's answers."""
        count = len(answers.pendings)
        if not count:
            return
        codes = self._codes
        self._event_time.append(answers.event_time)
        self._customer.append(
            np.fromiter(
                (codes.setdefault(one.customer_id, len(codes)) for one in answers.pendings), np.int32, count
            )
        )
        self._truth.append(answers.truth)
        self._served.append(answers.scores[:, 0].copy())
        for version, column in zip(answers.models, answers.scores.T, strict=True):
            # Of the models' curves, seven digits are enough.
            self._scores[version].append((self._size, column.astype(np.float32)))
        self._note_times(answers)
        self._sample.add(answers.pendings)
        self._size += count

    @property
    def reigns(self) -> list[Reign]:
        """Who served when, in order."""
        return self._reigns

    @property
    def lives(self) -> Mapping[str, tuple[int, int]]:
        """By version the first and the last event time that it scored, in order of appearance."""
        return self._lives

    @property
    def sample(self) -> NDArray[np.float64]:
        """Features of transactions drawn evenly from all of them; shape (n, features)."""
        return self._sample.matrix

    def columns(self) -> Columns:
        """Return everything scored so far."""
        # Of customers with equal scores the smaller identifier comes first, so codes follow identifiers.
        order = np.empty(len(self._codes), np.int64)
        for rank, name in enumerate(sorted(self._codes)):
            order[self._codes[name]] = rank
        return Columns(
            _joined(self._event_time, np.int64),
            order[_joined(self._customer, np.int32)],
            _joined(self._truth, np.int8),
            _joined(self._served, np.float64),
        )

    def scores(self, version: str) -> NDArray[np.float32]:
        """Return one model's scores of all transactions, nan where it gave none; shape (n,)."""
        scores = np.full(self._size, np.nan, np.float32)
        for start, column in self._scores[version]:
            scores[start : start + len(column)] = column
        return scores

    def _note_times(self, answers: Answers) -> None:
        first, last = int(answers.event_time[0]), int(answers.event_time[-1])
        for version in answers.models:
            self._lives[version] = (self._lives.get(version, (first, last))[0], last)
        champion = answers.models[0]
        if self._reigns and self._reigns[-1].version == champion:
            self._reigns[-1] = self._reigns[-1]._replace(last_ms=last)
        else:
            self._reigns.append(Reign(champion, first, last))


class _Sample:
    """A sample without replacement: the rows with the smallest random numbers stay."""

    def __init__(self, seed: int, size: int) -> None:
        self._random = np.random.default_rng(seed)
        self._size = size
        self._limit = 1.0
        self._drawn: list[tuple[float, bytes]] = []

    def add(self, pendings: Sequence[Pending]) -> None:
        """Draw for each row whether it stays."""
        numbers = self._random.random(len(pendings))
        for row in np.flatnonzero(numbers < self._limit).tolist():
            self._drawn.append((float(numbers[row]), pendings[row].features))
        # Not at every row that is drawn: looking through the sample takes longer than adding to it.
        if len(self._drawn) >= 2 * self._size:
            self._drawn = self._kept()
            self._limit = max(number for number, _ in self._drawn)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The rows' features, in the order in which they came."""
        packed = b"".join(features for _, features in self._kept())
        return np.frombuffer(packed, "<f4").reshape(-1, WIDTH).astype(np.float64)

    def _kept(self) -> list[tuple[float, bytes]]:
        order = np.argsort([number for number, _ in self._drawn])[: self._size]
        return [self._drawn[row] for row in np.sort(order).tolist()]


_Number = TypeVar("_Number", bound=np.generic)


def _joined(parts: list[NDArray[_Number]], dtype: type[_Number]) -> NDArray[_Number]:
    return np.concatenate(parts) if parts else np.empty(0, dtype)
