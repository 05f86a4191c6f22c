"""Scoring: a record batch and its state in; features, scores, decisions and new state out."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.clock import DAY_MS, HOUR_MS
from stream.features.catalogue import FEATURE_NAMES, SCHEMA
from stream.features.customer import CustomerState, observe
from stream.features.risk import NO_CUSTOMER_RISK, NO_TERMINAL_RISK, RiskRecord, customer_risk, terminal_risk
from stream.features.words import say
from stream.models.compiled import CompiledModel
from stream.pipeline.decision import Asked, Decider
from stream.pipeline.pending import LAYOUT, Pending
from stream.records import Transaction

REASONS: Final = 3
"""How many reasons an alert gives."""


class Served(NamedTuple):
    """A model as scorers run it."""

    version: str
    snapshot: int
    model: CompiledModel


class BatchState(NamedTuple):
    """What the store knew of the batch's customers, terminals and transactions."""

    customers: dict[str, CustomerState]
    """By customer id. Those of scored transactions are changed in place, and new ones added: whoever calls
    forgets them all when the commit fails."""
    terminals: Mapping[str, RiskRecord]
    customer_risks: Mapping[str, RiskRecord]
    pending: Mapping[str, Pending]
    """By transaction id: transactions that were scored before, here or by an earlier owner."""
    done: frozenset[str] = frozenset()
    """Transactions whose effects are stored, by offset, even if their pending records have expired."""


class ScoredBatch(NamedTuple):
    """What a record batch led to."""

    answers: list[tuple[str, Pending]]
    """Transaction id and what was decided, one for each transaction of the batch in its order."""
    new: dict[str, Pending]
    """Those among them that were not scored before, by transaction id."""
    customers: dict[str, CustomerState]
    """The states that changed, by customer id."""


def score_batch(
    transactions: Sequence[Transaction],
    state: BatchState,
    models: Sequence[Served],
    decider: Decider,
    now_ms: int,
) -> ScoredBatch:
    """Score a batch of transactions of one partition.

    Parameters
    ----------
    transactions
        In offset order.
    state
        What is known; see :class:`BatchState` for what is changed in place.
    models
        The champion first; every one scores every transaction.
    decider
        Tells the partition's alerts by the champion's scores; what it remembers is changed in place, too.
    now_ms
        The present, milliseconds since 1970: goes into ``scored_at``.

    Returns
    -------
    ScoredBatch
        A transaction that was scored before, or stands twice in the batch, gets its first answer again and
        changes nothing. One that is done but no longer pending is scored anew, and changes nothing either.

    Notes
    -----
    Models see the features rounded to float32, as they are kept for learning.
    """
    fresh: dict[str, Transaction] = {}
    rows: list[tuple[float, ...]] = []
    changed: dict[str, CustomerState] = {}
    for transaction in transactions:
        if transaction.transaction_id in state.pending or transaction.transaction_id in fresh:
            continue
        fresh[transaction.transaction_id] = transaction
        customer = state.customers.get(transaction.customer_id)
        if transaction.transaction_id in state.done:
            customer = deepcopy(customer) if customer is not None else CustomerState()
        else:
            if customer is None:
                customer = state.customers[transaction.customer_id] = CustomerState()
            changed[transaction.customer_id] = customer
        rows.append(_row(transaction, customer, state))
    features = np.array(rows, dtype=np.float32).reshape(len(rows), len(FEATURE_NAMES))
    judged = _judge(list(fresh.values()), features, models, decider, state.done, now_ms)
    scored = dict(zip(fresh, judged, strict=True))
    answers = [
        (t.transaction_id, state.pending.get(t.transaction_id) or scored[t.transaction_id])
        for t in transactions
    ]
    new = {name: pending for name, pending in scored.items() if name not in state.done}
    return ScoredBatch(answers, new, changed)


def _row(transaction: Transaction, customer: CustomerState, state: BatchState) -> tuple[float, ...]:
    time = transaction.event_time
    terminal = state.terminals.get(transaction.terminal_id)
    risk = state.customer_risks.get(transaction.customer_id)
    return (
        transaction.amount,
        time % DAY_MS / HOUR_MS,
        *observe(customer, transaction),
        *(terminal_risk(terminal, time) if terminal is not None else NO_TERMINAL_RISK),
        *(customer_risk(risk, time) if risk is not None else NO_CUSTOMER_RISK),
    )


def _judge(
    transactions: Sequence[Transaction],
    features: NDArray[np.float32],
    models: Sequence[Served],
    decider: Decider,
    done: frozenset[str],
    now_ms: int,
) -> list[Pending]:
    if not transactions:
        return []
    x = features.astype(np.float64)
    scores = np.column_stack([served.model.predict(x) for served in models])
    versions = tuple(served.version for served in models)
    champion = models[0]
    asked = Asked(
        np.array([t.event_time for t in transactions]),
        np.array([t.amount for t in transactions]),
        scores,
        versions,
        np.array([t.transaction_id not in done for t in transactions]),
    )
    thresholds = decider.thresholds(asked)
    alerts = np.flatnonzero(scores[:, 0] >= thresholds)
    reasons = dict(zip(alerts.tolist(), _reasons(x[alerts], champion.model), strict=True))
    packed = features.astype("<f4", copy=False)
    return [
        Pending(
            LAYOUT,
            SCHEMA,
            packed[n].tobytes(),
            versions,
            tuple(row),
            champion.snapshot,
            threshold,
            transaction.event_time,
            transaction.amount,
            transaction.customer_id,
            transaction.terminal_id,
            now_ms,
            reasons.get(n, ()),
        )
        for n, (transaction, row, threshold) in enumerate(
            zip(transactions, scores.tolist(), thresholds.tolist(), strict=True)
        )
    ]


def _reasons(x: NDArray[np.float64], model: CompiledModel) -> list[tuple[tuple[str, float, float, str], ...]]:
    """Name for each row the features that pushed its score up most.

    Where none did, as with a model that says the same to everybody, the one that pushed it down least.
    """
    if not len(x):
        return []
    reasons = []
    for values, pushes in zip(x.tolist(), model.contributions(x).tolist(), strict=True):
        row = dict(zip(FEATURE_NAMES, values, strict=True))
        # Stable: of equal pushes, the first of the catalogue.
        ranked = sorted(zip(FEATURE_NAMES, pushes, strict=True), key=lambda pair: -pair[1])
        strongest = [(name, push) for name, push in ranked[:REASONS] if push > 0] or ranked[:1]
        reasons.append(tuple((name, row[name], push, say(name, row)) for name, push in strongest))
    return reasons
