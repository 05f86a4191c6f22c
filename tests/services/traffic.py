"""Hand-made traffic: transactions of a small population, and their labels, the same for the same seed."""

from collections.abc import Iterable

import numpy as np

from stream.clock import DAY_MS, MINUTE_MS
from stream.records import Label, Transaction

START_MS = 1_735_689_600_000
"""2025-01-01."""
LARGE = 200.0
"""What the frauds of this traffic cost at least."""


def transactions(
    count: int, population: str = "a", *, customers: int = 40, terminals: int = 30, seed: int = 1
) -> list[Transaction]:
    """Return transactions a minute apart, one in ten of them a fraud by its amount.

    Parameters
    ----------
    count
        How many.
    population
        Begins every identifier: two populations share neither customers nor terminals.
    customers, terminals
        Size of the population.
    seed
        Of all randomness.
    """
    random = np.random.default_rng(seed)
    return [
        Transaction(
            transaction_id=f"{population}{number}",
            event_time=START_MS + number * MINUTE_MS,
            customer_id=f"{population}-customer-{random.integers(customers)}",
            terminal_id=f"{population}-terminal-{random.integers(terminals)}",
            amount=round(float(random.gamma(4, 10)) + (LARGE if random.random() < 0.1 else 0), 2),
        )
        for number in range(count)
    ]


def label(transaction: Transaction, *, is_fraud: bool | None = None, after_days: float = 7) -> Label:
    """Return the label of a transaction: the truth, or what is given instead."""
    fraud = transaction.amount >= LARGE if is_fraud is None else is_fraud
    return Label(
        transaction_id=transaction.transaction_id,
        is_fraud=fraud,
        source="chargeback" if fraud else "settlement",
        label_time=transaction.event_time + round(after_days * DAY_MS),
    )


def labels(some: Iterable[Transaction]) -> list[Label]:
    """Return the true label of each transaction."""
    return [label(transaction) for transaction in some]
