"""The customers that a scorer keeps in memory: those used last, so that most need no reading."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

import numpy as np

from stream.features.customer import STATE
from stream.features.packing import Rows, put, take

_FIRST_ROWS: Final = 1_024


class CustomerCache:
    """States of one partition's customers, side by side in one array that grows as they come.

    Examples
    --------
    >>> cache = CustomerCache()
    >>> cache.put(["ann", "bob"], np.zeros(2, STATE), most=1)  # the one put last stays
    >>> cache.known(["ann", "bob"])
    [False, True]
    """

    def __init__(self) -> None:
        self._rows: Rows = np.zeros(0, STATE)
        self._places: dict[str, int] = {}
        """Where each customer's row lies, the one used longest ago first."""
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._places)

    def known(self, names: Iterable[str]) -> list[bool]:
        """Say of each customer whether they are here."""
        return [name in self._places for name in names]

    def get(self, names: Sequence[str]) -> Rows:
        """Return copies of the states of customers that are here."""
        return take(self._rows, [self._places[name] for name in names])

    def put(self, names: Sequence[str], rows: Rows, most: int) -> None:
        """Keep these states, as the newest, and forget those unused for longest beyond so many."""
        places = self._places
        taken = []
        for name in names:
            place = places.pop(name, None)
            if place is None:
                if not self._free:
                    self._grow()
                place = self._free.pop()
            places[name] = place
            taken.append(place)
        put(self._rows, taken, rows)
        for name in list(islice(places, max(0, len(places) - most))):
            self._free.append(places.pop(name))

    def _grow(self) -> None:
        before = len(self._rows)
        rows = np.zeros(max(_FIRST_ROWS, 2 * before), STATE)
        rows[:before] = self._rows
        self._rows = rows
        self._free = list(range(before, len(rows)))
