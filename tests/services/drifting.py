"""A recording in which fraud changes half-way: what the champion has learnt is of no use any more."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from stream.clock import DAY_MS
from stream.recording import Recorded
from stream.records import Transaction
from tests.services.traffic import START_MS

_CUSTOMERS = 60
_TERMINALS = 40
_FAKE_TERMINALS = 3
_FRAUD_SHARE = 0.12


def drifting(count: int = 9_000, days: int = 30, seed: int = 1) -> list[Recorded]:
    """Return a recording: first large amounts are frauds, then small ones at a few new terminals.

    Parameters
    ----------
    count
        How many transactions.
    days
        How long it takes them, from 2025-01-01.
    seed
        Of all randomness.
    """
    random = np.random.default_rng(seed)
    times = START_MS + np.sort(random.integers(0, days * DAY_MS, count))
    recording = []
    for number, time in enumerate(times.tolist()):
        is_fraud = bool(random.random() < _FRAUD_SHARE)
        customer = int(random.integers(_CUSTOMERS))
        terminal = int(random.integers(_TERMINALS))
        amount = float(random.gamma(4, 10))
        if is_fraud and time < START_MS + days * DAY_MS / 2:
            amount += 300
        elif is_fraud:
            terminal = _TERMINALS + int(random.integers(_FAKE_TERMINALS))
            amount = float(random.uniform(1, 5))
        transaction = Transaction(
            transaction_id=f"t{number}",
            event_time=time,
            customer_id=f"c{customer}",
            terminal_id=f"m{terminal}",
            amount=round(amount, 2),
        )
        recording.append(Recorded(transaction, is_fraud))
    return recording


def write_recording(recording: list[Recorded], path: Path) -> None:
    """Write a recording as Parquet, in the columns that `fraudstream replay` reads."""
    columns = ("transaction_id", "customer_id", "terminal_id", "amount")
    table = {name: [getattr(one.transaction, name) for one in recording] for name in columns}
    times = [one.transaction.event_time for one in recording]
    table |= {"event_time": pa.array(times, pa.timestamp("ms", "UTC"))}
    table |= {"is_fraud": [one.is_fraud for one in recording]}
    pq.write_table(pa.table(table), path)
