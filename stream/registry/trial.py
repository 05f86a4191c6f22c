"""The trial: contenders as they are now, compared on labels as they come in.

The scores that were served are as old as the labels are late: a model that has learnt a new kind of fraud
this morning would be judged by what it said a week ago. In a trial every contender is held still for some
hundred labels, scores those that come in meanwhile, and only then goes on to its present state: each label is
scored by models that have not learnt it (interleaved test-then-train; Gama, Sebastião & Rodrigues 2013), all
of them equally late. What that cannot show is how a model ages until its labels come; all of them do alike.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.evaluation.prequential import PrequentialWindow
from stream.models.compiled import CompiledModel
from stream.models.lessons import Lessons, View
from stream.registry.challengers import Contender


class Heard(NamedTuple):
    """A label as it came in, with all that a model learns of it."""

    offset: int
    transaction_id: str
    features: bytes
    """float32, little-endian."""
    is_fraud: bool
    views: frozenset[View]
    amount: float
    alerted: bool


class Memory:
    """The last labels, each transaction's first: what a newborn is taught, and what is scored in a trial.

    Parameters
    ----------
    capacity
        Labels kept; some 400 bytes each.
    least_frauds
        Frauds that are to be among them: where frauds are rare, more labels are kept for that.
    most
        Labels kept at most, however rare frauds are; None: `capacity`.
    """

    def __init__(self, capacity: int, least_frauds: int = 0, most: int | None = None) -> None:
        self._kept: deque[Heard] = deque()
        self._capacity = capacity
        self._least_frauds = least_frauds
        self._most = capacity if most is None else max(most, capacity)
        self._frauds = 0

    def add(self, heard: Heard) -> None:
        """Keep a label, and let go of what is not needed any more."""
        self._kept.append(heard)
        self._frauds += heard.is_fraud
        while len(self._kept) > self._capacity and (
            self._frauds - self._kept[0].is_fraud >= self._least_frauds or len(self._kept) > self._most
        ):
            self._frauds -= self._kept.popleft().is_fraud

    def last(self, count: int) -> list[Heard]:
        """Return the last `count` labels, or as many as there are, oldest first."""
        return [*islice(reversed(self._kept), count)][::-1]

    def teach(self, contender: Contender, count: int) -> int:
        """Let a newborn learn the last `count` labels, 20 to 60 µs each, and return how many these were.

        Where frauds are rare they are more: as far back as there are `least_frauds` among them.
        """
        some = self._lesson(count)
        if not some:
            return 0
        contender.model.learn_rows(
            Lessons(
                [one.transaction_id for one in some],
                _rows(some),
                np.array([one.is_fraud for one in some], bool),
                [one.views for one in some],
            )
        )
        return len(some)

    def _lesson(self, count: int) -> list[Heard]:
        some: list[Heard] = []
        frauds = 0
        for one in reversed(self._kept):
            if len(some) >= count and frauds >= self._least_frauds:
                break
            some.append(one)
            frauds += one.is_fraud
        return some[::-1]


class Trial:
    """Contenders held still between two looks at them.

    Parameters
    ----------
    capacity
        Labels that the comparison rests on.
    heard
        Labels that had come in before.
    least_frauds, most
        It rests on more labels where there are fewer frauds among them, up to `most`; see
        :class:`PrequentialWindow`.
    """

    def __init__(self, capacity: int, heard: int, least_frauds: int = 0, most: int | None = None) -> None:
        self.heard = heard
        """Labels that had come in at the last :meth:`advance`."""
        self.window = PrequentialWindow(capacity, least_frauds, most)
        """What each contender said of each label."""
        self._still: dict[str, tuple[CompiledModel, int]] = {}
        """By version: its form, and the offset of the last label that it knew."""

    def advance(self, contenders: Mapping[str, Contender], heard: Sequence[Heard], offset: int) -> None:
        """Score what has come in by the forms held, then hold the present ones.

        Parameters
        ----------
        contenders
            Everybody that is to be compared; whoever was not there the last time is scored from now on.
        heard
            The labels since the last call, which the forms held do not know.
        offset
            Of the last label that the contenders have learnt.

        Notes
        -----
        About 10 ms for a contender to be compiled, and 20 µs for it to score a label.
        """
        if heard and self._still:
            self._score(heard)
        self.heard += len(heard)
        self._still = {
            version: (one.model.compile(), offset if one.fitted_to is None else max(offset, one.fitted_to))
            for version, one in contenders.items()
        }

    def _score(self, heard: Sequence[Heard]) -> None:
        rows = _rows(heard)
        scores: dict[str, list[float]] = {}
        for version, (still, _) in self._still.items():
            said: NDArray[np.float64] = still.predict(rows)
            scores[version] = said.tolist()
        for place, one in enumerate(heard):
            # One that was fitted elsewhere may have read labels that have only now come here.
            fair = {
                version: scores[version][place]
                for version, (_, knows) in self._still.items()
                if one.offset > knows
            }
            self.window.add(one.transaction_id, one.is_fraud, fair, alerted=one.alerted, amount=one.amount)


def _rows(heard: Sequence[Heard]) -> NDArray[np.float64]:
    x = np.frombuffer(b"".join(one.features for one in heard), "<f4")
    return x.reshape(len(heard), -1).astype(np.float64)
