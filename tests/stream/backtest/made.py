"""Answers made by hand: what a backtest could have told its collector."""

import numpy as np

from stream.backtest.answers import Answers
from stream.clock import DAY_MS, HOUR_MS
from stream.features.catalogue import SCHEMA, WIDTH
from stream.pipeline.pending import LAYOUT, Pending
from stream.recording import Recorded
from stream.records import Transaction

START_MS = 1_735_689_600_000
"""2025-01-01, a midnight."""


def pending(
    time_ms: int,
    scores: tuple[float, ...],
    models: tuple[str, ...],
    *,
    customer: str = "c",
    amount: float = 10.0,
    threshold: float = 0.5,
) -> Pending:
    """Make what was decided on a transaction; its features are all its amount."""
    features = np.full(WIDTH, amount, "<f4").tobytes()
    return Pending(
        LAYOUT, SCHEMA, features, models, scores, 1, threshold, time_ms, amount, customer, "m", time_ms
    )


def answers(
    rows: list[tuple[float, bool | None, tuple[float, ...]]],
    models: tuple[str, ...] = ("a-1",),
    *,
    start_ms: int = START_MS,
    customers: tuple[str, ...] = ("c1", "c2", "c3"),
    threshold: float = 0.5,
) -> Answers:
    """Make the answers to one record batch.

    Parameters
    ----------
    rows
        Days since `start_ms`, truth and scores of each transaction. The n-th costs 10 (n + 1).
    models
        Of the scores, the champion first.
    start_ms
        Milliseconds since 1970.
    customers
        Take turns.
    threshold
        Scores at or above it are alerts.
    """
    records = []
    pendings = {}
    for n, (day, truth, scores) in enumerate(rows):
        time, amount, customer = start_ms + round(day * DAY_MS), 10.0 * (n + 1), customers[n % len(customers)]
        transaction = Transaction(
            transaction_id=f"t{n}", event_time=time, customer_id=customer, terminal_id="m", amount=amount
        )
        records.append(Recorded(transaction, truth))
        pendings[f"t{n}"] = pending(
            time, scores, models, customer=customer, amount=amount, threshold=threshold
        )
    return Answers.of(records, pendings)


def month(models: tuple[str, ...] = ("a-1", "b-1"), *, start_ms: int = START_MS, days: int = 28) -> Answers:
    """Make some weeks of six transactions a day, one of them a fraud, which the first model ranks well."""
    random = np.random.default_rng(3)
    rows: list[tuple[float, bool | None, tuple[float, ...]]] = []
    for n in range(6 * days):
        fraud = n % 6 == 0
        good = 0.6 * fraud + 0.39 * random.random()
        rows.append(
            ((n + 0.5) * 4 * HOUR_MS / DAY_MS, fraud, (good, *random.random(len(models) - 1).tolist()))
        )
    customers = tuple(f"c{n}" for n in range(41))
    return answers(rows, models, start_ms=start_ms, customers=customers)
