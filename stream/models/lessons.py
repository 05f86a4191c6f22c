"""Lessons: what a batch of labels teaches every model, as columns."""

from collections.abc import Sequence
from functools import cached_property
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from stream.models.parts import Floats
from stream.models.sampling import places

View = Literal["all", "analyst", "matured"]
"""Which labels a classifier learns from: the first of each transaction, analysts' verdicts only, or only what
time has brought out (chargebacks and settlement)."""
EVERY_VIEW: Final[frozenset[View]] = frozenset({"all", "analyst", "matured"})

Flags = NDArray[np.bool_]


class Lessons:
    """Labelled transactions in the order in which they are to be learnt.

    What several models ask of the same labels is found out once.

    Parameters
    ----------
    names
        Transaction ids.
    rows
        Shape (n, features), finite.
    is_fraud
        Shape (n,).
    views
        To whom each label is news.
    """

    def __init__(
        self, names: Sequence[str], rows: Floats, is_fraud: Flags, views: Sequence[frozenset[View]]
    ) -> None:
        self.names = names
        self.rows = rows
        self.is_fraud = is_fraud
        self._views = views
        self._draws: dict[int, Floats] = {}

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def _news(self) -> dict[View, Flags]:
        kinds = {kind: number for number, kind in enumerate(dict.fromkeys(self._views))}
        each = np.array([kinds[views] for views in self._views], dtype=np.intp)
        return {view: np.array([view in kind for kind in kinds], dtype=bool)[each] for view in EVERY_VIEW}

    def news(self, view: View) -> Flags:
        """Say which labels are news to those who learn from one side; shape (n,)."""
        return self._news[view]

    def draws(self, salt: int) -> Floats:
        """Return where each stands in the draw of a sample, in [0, 1), a fraud at 0; shape (n,)."""
        drawn = self._draws.get(salt)
        if drawn is None:
            drawn = self._draws[salt] = np.zeros(len(self))
            legitimate = np.flatnonzero(~self.is_fraud)
            drawn[legitimate] = places([self.names[number] for number in legitimate.tolist()], salt)
        return drawn
