"""Scoring: a record batch and its state in; features, scores, decisions and new state out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.clock import DAY_MS, HOUR_MS
from stream.features.catalogue import FEATURE_NAMES, SCHEMA, WIDTH
from stream.features.cohort import observe_all
from stream.features.customer import CUSTOMER_FEATURES, STATE
from stream.features.packing import Rows, take
from stream.features.risk import RISK, TERMINAL_FEATURES, customer_risks, terminal_risks
from stream.features.words import SAID_OF_THE_AMOUNT, say
from stream.models.compiled import CompiledModel
from stream.pipeline.answers import Answers
from stream.pipeline.decision import Asked, Decider
from stream.pipeline.lineup import lineup_of
from stream.pipeline.pending import Pending, PendingBatch, Reasons
from stream.records import Transaction

_OF_CUSTOMER: Final = slice(2, 2 + len(CUSTOMER_FEATURES))
_OF_TERMINAL: Final = slice(_OF_CUSTOMER.stop, _OF_CUSTOMER.stop + len(TERMINAL_FEATURES))
_OF_RISK: Final = slice(_OF_TERMINAL.stop, WIDTH)
REASONS: Final = 3
"""How many reasons an alert gives."""


class Served(NamedTuple):
    """A model as scorers run it."""

    version: str
    snapshot: int
    model: CompiledModel


class Known(NamedTuple):
    """What is known of some customers or terminals, side by side."""

    places: dict[str, int]
    """Where each one's row lies."""
    rows: Rows
    """Zeros for one of whom nothing is known."""

    @classmethod
    def nothing(cls, names: Iterable[str], dtype: np.dtype[Any]) -> "Known":
        """Return rows of zeros for `names`."""
        places = {name: place for place, name in enumerate(dict.fromkeys(names))}
        return cls(places, np.zeros(len(places), dtype))


class BatchState(NamedTuple):
    """What the store knew of the batch's customers, terminals and transactions."""

    customers: Known
    """States (``stream.features.customer.STATE``) of all customers of the batch; those of scored transactions
    are changed in place: whoever calls forgets them all when the commit fails."""
    customer_risks: Rows
    """Their risk records (``stream.features.risk.RISK``), in the same places."""
    terminals: Known
    """Risk records of all terminals of the batch."""
    pending: Mapping[str, Pending]
    """By transaction id: transactions that were scored before, here or by an earlier owner."""
    done: frozenset[str] = frozenset()
    """Transactions whose effects are stored, by offset, even if their pending records have expired."""

    @classmethod
    def nothing(cls, transactions: Sequence[Transaction]) -> "BatchState":
        """Return what is known when nobody in the batch was ever seen."""
        customers = Known.nothing((one.customer_id for one in transactions), STATE)
        terminals = Known.nothing((one.terminal_id for one in transactions), RISK)
        return cls(customers, np.zeros(len(customers.places), RISK), terminals, {})


class ScoredBatch(NamedTuple):
    """What a record batch led to."""

    answers: Answers
    """One for each transaction of the batch, in its order."""
    scored: PendingBatch
    """Those transactions among them that were not scored before."""
    changed: list[str]
    """The customers whose states changed."""


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
    for one in transactions:
        if one.transaction_id not in state.pending:
            fresh.setdefault(one.transaction_id, one)
    to_score = list(fresh.values())
    new = np.array([one.transaction_id not in state.done for one in to_score], np.bool_)
    batch = _judge(to_score, _features(to_score, new, state), models, decider, new, now_ms)
    answers = Answers.to([one.transaction_id for one in transactions], batch, state.pending)
    if not new.all():
        batch = batch.take(np.flatnonzero(new).tolist())
    return ScoredBatch(answers, batch, list(dict.fromkeys(batch.customers)))


def _features(
    transactions: Sequence[Transaction], new: NDArray[np.bool_], state: BatchState
) -> NDArray[np.float32]:
    """Return the features in the order of the catalogue; what is new is part of its customer's past then."""
    features = np.empty((len(transactions), WIDTH), np.float32)
    if not transactions:
        return features
    times = np.array([one.event_time for one in transactions])
    customers = [state.customers.places[one.customer_id] for one in transactions]
    terminals = [state.terminals.places[one.terminal_id] for one in transactions]
    features[:, 0] = [one.amount for one in transactions]
    features[:, 1] = times % DAY_MS / HOUR_MS
    rows = state.customers.rows
    done, fresh = np.flatnonzero(~new).tolist(), np.flatnonzero(new).tolist()
    # What is stored holds those that are done: they are described by copies of it.
    copies = take(rows, [customers[n] for n in done])
    features[done, _OF_CUSTOMER] = observe_all(copies, range(len(done)), [transactions[n] for n in done])
    whose, those = [customers[n] for n in fresh], [transactions[n] for n in fresh]
    features[fresh, _OF_CUSTOMER] = observe_all(rows, whose, those)
    features[:, _OF_TERMINAL] = terminal_risks(take(state.terminals.rows, terminals), times)
    features[:, _OF_RISK] = customer_risks(take(state.customer_risks, customers), times)
    return features


def _judge(
    transactions: Sequence[Transaction],
    features: NDArray[np.float32],
    models: Sequence[Served],
    decider: Decider,
    new: NDArray[np.bool_],
    now_ms: int,
) -> PendingBatch:
    x = features.astype(np.float64)
    # As they are stored: the first answer and a repeated one are equal, and are decided on alike.
    scores = (
        np.column_stack([served.model.predict(x) for served in models]).astype(np.float32).astype(np.float64)
    )
    versions = tuple(served.version for served in models)
    champion = models[0]
    event_times = np.array([one.event_time for one in transactions], np.int64)
    amounts = np.array([one.amount for one in transactions], np.float64)
    thresholds = decider.thresholds(Asked(event_times, amounts, scores, versions, new))
    alerts = np.flatnonzero(scores[:, 0] >= thresholds)
    return PendingBatch(
        [one.transaction_id for one in transactions],
        lineup_of(SCHEMA, versions, WIDTH),
        features,
        scores,
        champion.snapshot,
        thresholds,
        event_times,
        amounts,
        [one.customer_id for one in transactions],
        [one.terminal_id for one in transactions],
        now_ms,
        dict(zip(alerts.tolist(), _reasons(x[alerts], champion.model), strict=True)),
    )


def _reasons(x: NDArray[np.float64], model: CompiledModel) -> list[Reasons]:
    """Name for each row the features that pushed its score up most, of those that say the same the strongest.

    Where none did, as with a model that says the same to everybody, the one that pushed it down least.
    """
    if not len(x):
        return []
    reasons = []
    for values, pushes in zip(x.tolist(), model.contributions(x).tolist(), strict=True):
        row = dict(zip(FEATURE_NAMES, values, strict=True))
        # Stable: of equal pushes, the first of the catalogue.
        ranked = sorted(zip(FEATURE_NAMES, pushes, strict=True), key=lambda pair: -pair[1])
        strongest = [pair for pair in _distinct(ranked)[:REASONS] if pair[1] > 0] or ranked[:1]
        reasons.append(tuple((name, row[name], push, say(name, row)) for name, push in strongest))
    return reasons


def _distinct(ranked: list[tuple[str, float]]) -> list[tuple[str, float]]:
    amounts = [name for name, _ in ranked if name in SAID_OF_THE_AMOUNT]
    return [pair for pair in ranked if pair[0] not in amounts[1:]]
