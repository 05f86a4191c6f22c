"""Scoring: a record batch and its state in; features, scores, decisions and new state out."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream import kernel
from stream.clock import DAY_MS, HOUR_MS
from stream.columns import Transactions
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
    of: NDArray[np.int64]
    """For each transaction, the place of its own."""
    rows: Rows
    """Zeros for one of whom nothing is known."""

    @classmethod
    def nothing(cls, names: list[str], dtype: np.dtype[Any]) -> "Known":
        """Return rows of zeros for the `names` in a batch, each of which may stand there several times."""
        of = np.empty(len(names), np.int64)
        if kernel.in_use():
            places = kernel.features.number(names, of)
        else:
            places = {name: place for place, name in enumerate(dict.fromkeys(names))}
            of[:] = [places[name] for name in names]
        return cls(places, of, np.zeros(len(places), dtype))


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
    def nothing(cls, transactions: Transactions) -> "BatchState":
        """Return what is known when nobody in the batch was ever seen."""
        customers = Known.nothing(transactions.customers, STATE)
        terminals = Known.nothing(transactions.terminals, RISK)
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
    transactions: Transactions,
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
    fresh, customers, terminals = _fresh(transactions, state)
    new = np.ones(len(fresh), np.bool_)
    if state.done:
        new[:] = [name not in state.done for name in fresh.names]
    features = _features(fresh, customers, terminals, new, state)
    batch = _judge(fresh, features, models, decider, new, now_ms)
    answers = Answers.to(transactions.names, batch, state.pending)
    if not new.all():
        batch = batch.take(np.flatnonzero(new).tolist())
    return ScoredBatch(answers, batch, list(dict.fromkeys(batch.customers)))


def _fresh(
    transactions: Transactions, state: BatchState
) -> tuple[Transactions, NDArray[np.int64], NDArray[np.int64]]:
    """Return those that were not scored before, each once, and where their customers and terminals lie."""
    names, customers, terminals = transactions.names, state.customers.of, state.terminals.of
    firsts = dict(zip(reversed(names), range(len(names) - 1, -1, -1), strict=True))
    if len(firsts) == len(names) and not state.pending:
        return transactions, customers, terminals
    places = sorted(place for name, place in firsts.items() if name not in state.pending)
    return transactions.take(places), customers[places], terminals[places]


def _features(
    transactions: Transactions,
    customers: NDArray[np.int64],
    terminals: NDArray[np.int64],
    new: NDArray[np.bool_],
    state: BatchState,
) -> NDArray[np.float32]:
    """Return the features in the order of the catalogue; what is new is part of its customer's past then."""
    features = np.empty((len(transactions), WIDTH), np.float32)
    times, rows = transactions.event_times, state.customers.rows
    features[:, 0] = transactions.amounts
    features[:, 1] = times % DAY_MS / HOUR_MS
    if new.all():
        features[:, _OF_CUSTOMER] = observe_all(rows, customers, transactions)
    else:
        done, fresh = np.flatnonzero(~new), np.flatnonzero(new)
        # What is stored holds those that are done: they are described by copies of it.
        copies, those = take(rows, customers[done]), transactions.take(done.tolist())
        features[done, _OF_CUSTOMER] = observe_all(copies, np.arange(len(done)), those)
        those = transactions.take(fresh.tolist())
        features[fresh, _OF_CUSTOMER] = observe_all(rows, customers[fresh], those)
    features[:, _OF_TERMINAL] = terminal_risks(state.terminals.rows, terminals, times)
    features[:, _OF_RISK] = customer_risks(state.customer_risks, customers, times)
    return features


def _judge(
    transactions: Transactions,
    features: NDArray[np.float32],
    models: Sequence[Served],
    decider: Decider,
    new: NDArray[np.bool_],
    now_ms: int,
) -> PendingBatch:
    x = features.astype(np.float64)
    # As they are stored: the first answer and a repeated one are equal, and are decided on alike.
    rounded = np.empty((len(x), len(models)), np.float32)
    for n, served in enumerate(models):
        rounded[:, n] = served.model.predict(x)
    scores = rounded.astype(np.float64)
    versions = tuple(served.version for served in models)
    champion = models[0]
    one = transactions
    thresholds = decider.thresholds(Asked(one.event_times, one.amounts, scores, versions, new))
    alerts = (scores[:, 0] >= thresholds).nonzero()[0]
    return PendingBatch(
        one.names,
        lineup_of(SCHEMA, versions, WIDTH),
        features,
        scores,
        champion.snapshot,
        thresholds,
        one.event_times,
        one.amounts,
        one.customers,
        one.terminals,
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
