"""Transactions side by side: what a record batch tells, as columns, which is how the hot path takes it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.records import Transaction


@dataclass(frozen=True, slots=True, eq=False)
class Transactions:
    """Transactions of one partition, in offset order; each column has as many elements.

    Examples
    --------
    >>> one = Transaction(transaction_id="t1", event_time=9, customer_id="c1", terminal_id="m1", amount=2.5)
    >>> both = Transactions.of([one, one])
    >>> len(both), both.names, both.amounts.tolist(), both.countries
    (2, ['t1', 't1'], [2.5, 2.5], [None, None])
    """

    names: list[str]
    """Transaction ids."""
    customers: list[str]
    terminals: list[str]
    event_times: NDArray[np.int64]
    """Milliseconds since 1970, shape (n,)."""
    amounts: NDArray[np.float64]
    """Currency units, shape (n,)."""
    countries: list[str | None]
    categories: list[str | None]
    """Merchant categories."""
    channels: list[str | None]

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(cls, some: Sequence[Transaction]) -> "Transactions":
        """Put transactions side by side."""
        return cls(
            [one.transaction_id for one in some],
            [one.customer_id for one in some],
            [one.terminal_id for one in some],
            np.array([one.event_time for one in some], np.int64),
            np.array([one.amount for one in some], np.float64),
            [one.country for one in some],
            [one.merchant_category for one in some],
            [one.channel for one in some],
        )

    def take(self, places: Sequence[int]) -> "Transactions":
        """Return some of them, in the order of their `places`."""
        where = np.asarray(places, np.intp)
        return Transactions(
            [self.names[place] for place in places],
            [self.customers[place] for place in places],
            [self.terminals[place] for place in places],
            self.event_times[where],
            self.amounts[where],
            [self.countries[place] for place in places],
            [self.categories[place] for place in places],
            [self.channels[place] for place in places],
        )
