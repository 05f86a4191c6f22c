"""The customers that a scorer keeps in memory: those used last, so that most need no reading."""

from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream import kernel
from stream.features.customer import STATE
from stream.features.packing import Rows, put, take

_FIRST_ROWS: Final = 1_024


class CustomerCache:
    """States of one partition's customers, side by side in one array that grows as they come.

    Examples
    --------
    >>> cache = CustomerCache()
    >>> cache.put(["ann", "bob"], np.zeros(2, STATE), most=1)  # the one put last stays
    >>> (cache.find(["ann", "bob"]) >= 0).tolist()
    [False, True]
    """

    def __init__(self) -> None:
        self._rows: Rows = np.zeros(0, STATE)
        self._places: dict[str, int] = {}
        """Where each customer's row lies, the one used longest ago first."""
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._places)

    def find(self, names: list[str]) -> NDArray[np.int64]:
        """Return where each customer's state lies, for :meth:`get`; -1 for one who is not here."""
        found = np.empty(len(names), np.int64)
        if kernel.in_use():
            kernel.features.find(self._places, names, found)
        else:
            found[:] = [self._places.get(name, -1) for name in names]
        return found

    def get(self, found: NDArray[np.int64]) -> Rows:
        """Return copies of the states that lie in places that :meth:`find` has found."""
        return take(self._rows, found)

    def put(self, names: list[str], rows: Rows, most: int) -> None:
        """Keep these states, as the newest, and forget those unused for longest beyond so many."""
        places, taken = self._places, np.empty(len(names), np.int64)
        while len(self._free) < len(names):
            self._grow()
        if kernel.in_use():
            kernel.features.renew(places, names, self._free, taken)
        else:
            for number, name in enumerate(names):
                place = places.pop(name, None)
                taken[number] = places[name] = self._free.pop() if place is None else place
        put(self._rows, taken, rows)
        beyond = max(0, len(places) - most)
        if kernel.in_use():
            kernel.features.evict(places, beyond, self._free)
        else:
            self._free += [places.pop(name) for name in list(islice(places, beyond))]

    def _grow(self) -> None:
        before = len(self._rows)
        rows = np.zeros(max(_FIRST_ROWS, 2 * before), STATE)
        rows[:before] = self._rows
        self._rows = rows
        self._free += range(before, len(rows))
