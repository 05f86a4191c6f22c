"""The alert budget: a threshold that moves with the stream, so that about so many alerts a day are given.

Two questions are kept apart. *How many transactions does a day have?* is answered by the counts of the last
seven whole days, so that neither night nor weekend bends it. *Which score does the wanted share of them
reach?* is answered by a forgetting histogram of the scores of each model that is served, challengers
included: a swap finds the right threshold at once, and no label is waited for. What both get wrong is
corrected by the ledger's balance of alerts due and alerts given.
"""

from math import exp
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.clock import HOUR_MS
from stream.errors import SnapshotError
from stream.models.parts import within
from stream.pipeline.decision import NOBODY, Asked, Spent
from stream.records import UNREADABLE

LAYOUT: Final = 1

_DAY: Final = 24
_WEEK: Final = 7 * _DAY
_BINS: Final = 400
_TOP: Final = 10.0
"""The bins cover log-odds from -10 to 10, scores from 0.00005 to 0.99995, in steps of 0.05."""
_STEP: Final = 2 * _TOP / _BINS
_UNIT: Final = 16_384
"""One transaction in a histogram. Whole numbers, so that a sum does not depend on its order."""
_MOST_SHARE: Final = 0.5
"""However large the budget: what is less suspect than the median is no alert."""
_TIE: Final = 4.0
"""A bin that holds so many times what is wanted holds a tie, and is left out whole."""
_TIE_SHARE: Final = 0.25
"""So does one that holds so much of everything."""
_FEWEST: Final = 12.0
"""Alerts that a balance is judged by: of fewer, chance alone makes a budget look overdrawn."""
_SHORTEST: Final = 2.0
_LONGEST: Final = 7.0
"""Half-life of a histogram, days."""
_UPDATES: Final = 8
"""The threshold is set anew after this part of a day's alerts, not only on the hour."""


class Ledger:
    """One partition's account of its alert budget.

    Parameters
    ----------
    per_day
        The partition's share of the budget, alerts a day of event time, above 0.
    threshold
        That of the first day of a partition or model, unless the scores seen so far ask for a higher one.

    Notes
    -----
    Everything is set at points of the partition's own order: when event time passes a full hour, when an
    eighth of a day's alerts was given since, and when another model takes over. How a stream is cut into
    batches therefore changes nothing, and a ledger that is restored from its bytes goes on as the one they
    were taken of.

    The hour is the latest that two transactions in a row have reached: a single wrong event time does not
    move it, a late one does not move it back. Hours without transactions are hours of the stream, but a
    silence of more than a day counts as one day.

    Costs about 0.5 us a transaction at 500 in a batch, and 3.2 KB of memory for each model.

    Examples
    --------
    >>> hours = np.arange(960) // 20  # twenty transactions an hour, two days long
    >>> scores = np.tile(np.linspace(0.01, 0.2, 20), 48)[:, None]
    >>> asked = Asked(hours * HOUR_MS, np.ones(960), scores, ("logistic-1",), np.ones(960, bool))
    >>> thresholds = Ledger(per_day=24, threshold=0.3).thresholds(asked)
    >>> float(thresholds[0]), bool(0.19 < thresholds[-1] < 0.2)  # 24 of 480 a day: the highest in each hour
    (0.3, True)
    """

    def __init__(self, per_day: float, threshold: float) -> None:
        self._per_day = per_day
        self._cold = threshold
        # The longer, the rarer alerts are: what is wanted is estimated from thirty of them or so.
        days = min(_LONGEST, max(_SHORTEST, 20.0 / per_day))
        self._kept_an_hour = 0.5 ** (1.0 / (days * _DAY))
        self._quota = max(1, round(per_day / _UPDATES))
        self._state = _State(threshold=threshold)
        self._masses: NDArray[np.float64] = np.zeros((0, _BINS))

    @property
    def spent(self) -> Spent:
        """How the partition stands with its budget."""
        return Spent(self._per_day, sum(self._state.alerts), self._state.threshold)

    def thresholds(self, asked: Asked) -> NDArray[np.float64]:
        """Return the threshold of each transaction, and enter those that are new; see :class:`Decider`."""
        state, new = self._state, asked.new
        if state.versions != asked.versions:
            self._change_models(asked.versions)
        thresholds = np.full(len(new), state.threshold)
        if new.any():
            scores = asked.scores[new]
            thresholds[new] = self._enter(asked.event_times[new] // HOUR_MS, scores[:, 0], _bins(scores))
        return thresholds

    def _enter(
        self, hours: NDArray[np.int64], served: NDArray[np.float64], bins: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        state = self._state
        if state.hour is None:
            state.hour = state.previous = int(hours[0])
        # The earlier of two in a row; and never back.
        reached = np.minimum(hours, np.concatenate(([state.previous], hours[:-1])))
        reached = np.maximum.accumulate(np.maximum(reached, state.hour))
        state.previous = int(hours[-1])
        thresholds = np.empty(len(hours))
        start = 0
        # The last is the latest: nearly always the hour goes on.
        passed = int(reached[-1]) != state.hour
        turns = np.diff(reached, prepend=state.hour).nonzero()[0].tolist() if passed else ()
        for turn in turns:
            self._within_an_hour(thresholds[start:turn], served[start:turn], bins[start:turn])
            self._pass_hours(int(reached[turn]) - state.hour)
            state.hour = int(reached[turn])
            start = turn
        self._within_an_hour(thresholds[start:], served[start:], bins[start:])
        return thresholds

    def _within_an_hour(
        self, thresholds: NDArray[np.float64], served: NDArray[np.float64], bins: NDArray[np.int64]
    ) -> None:
        state, start = self._state, 0
        while start < len(served):
            alerted = (served[start:] >= state.threshold).nonzero()[0]
            missing = max(1, self._quota - state.given)
            full = len(alerted) >= missing
            end = start + int(alerted[missing - 1]) + 1 if full else len(served)
            thresholds[start:end] = state.threshold
            counts = np.bincount(bins[start:end].ravel(), minlength=self._masses.size)
            self._masses += _UNIT * counts.reshape(self._masses.shape)
            state.counted += end - start
            given = missing if full else len(alerted)
            state.given += given
            state.alerted += given
            if full:
                self._set_threshold()
            start = end

    def _pass_hours(self, passed: int) -> None:
        state = self._state
        hours = min(passed, _DAY)
        state.volume = [*[0] * (hours - 1), state.counted, *state.volume][:_WEEK]
        state.alerts = [*[0] * (hours - 1), state.alerted, *state.alerts][:_DAY]
        state.counted = state.alerted = 0
        state.seen = [min(_WEEK, seen + hours) for seen in state.seen]
        np.floor(self._masses * self._kept_an_hour**hours, out=self._masses)
        state.balance += self._per_day * hours / _DAY
        self._set_threshold()

    def _change_models(self, versions: tuple[str, ...]) -> None:
        state = self._state
        rows = {version: row for row, version in enumerate(state.versions)}
        masses = np.zeros((len(versions), _BINS))
        for row, version in enumerate(versions):
            if version in rows:
                masses[row] = self._masses[rows[version]]
        state.seen = [state.seen[rows[version]] if version in rows else 0 for version in versions]
        changed = bool(state.versions) and state.versions[0] != versions[0]
        state.versions, self._masses = versions, masses
        if changed:
            self._set_threshold()

    def _set_threshold(self) -> None:
        state, per_day = self._state, self._per_day
        limit = max(per_day, _FEWEST / 2)
        state.balance = min(max(state.balance - state.given, -4 * limit), 2 * limit)
        state.given = 0
        days = len(state.volume) // _DAY
        volume = sum(state.volume[: days * _DAY]) / days if days else sum(state.volume) + state.counted
        masses = self._masses[0]
        total = float(masses.sum())
        reached, held_back = self._cold, True
        if total and volume:
            share = min(per_day * self._correction() / volume, _MOST_SHARE)
            reached, held_back = _quantile(masses, share * total, total)
        if (not days or state.seen[0] < _DAY) and reached < self._cold:
            reached, held_back = self._cold, True
        if held_back:
            # What the first day or a model without an opinion keeps back is not owed: it would be made up for
            # all at once.
            state.balance = min(state.balance, 0.0)
        state.threshold = reached

    def _correction(self) -> float:
        """Return by what factor more than the budget is aimed at, to bring the balance back to nothing."""
        balance, per_day = self._state.balance, self._per_day
        much = max(0.0, abs(balance) - max(per_day, _FEWEST) / 2)
        pull = abs(balance) / max(2 * per_day, _FEWEST) + 4 * much / max(per_day, _FEWEST)
        return exp(pull if balance > 0 else -pull)

    def pack(self) -> bytes:
        """Encode the account for the store; some 1 KB and 1 to 2 KB for each model."""
        state = self._state
        state.masses = self._masses.astype(np.int64).tolist()
        packed = _ENCODER.encode(state)
        state.masses = []
        return packed

    def unpack(self, packed: bytes) -> None:
        """Go on from a stored account; from a new one when none is stored.

        Raises
        ------
        SnapshotError
            The bytes are not an account of this layout.
        """
        if not packed:
            return
        try:
            state = _DECODER.decode(packed)
        except UNREADABLE as error:
            raise SnapshotError(f"a stored alert budget is damaged ({error}): delete its key") from error
        shape = [_BINS] * len(state.versions)
        if state.layout != LAYOUT or [len(masses) for masses in state.masses] != shape:
            raise SnapshotError(
                f"a stored alert budget has layout {state.layout}, this version reads {LAYOUT}:"
                " delete its key"
            )
        self._masses = np.array(state.masses, dtype=np.float64).reshape(len(shape), _BINS)
        state.masses = []
        self._state = state


class _State(msgspec.Struct, array_like=True):
    """What is stored of a ledger."""

    layout: int = LAYOUT
    hour: int | None = None
    """The clock: hours of event time since 1970; None before the first transaction."""
    previous: int = 0
    """Hour of the last transaction, however late or early it was."""
    volume: list[int] = []
    """Transactions of the last 168 whole hours, newest first."""
    counted: int = 0
    """Transactions of the current hour."""
    alerts: list[int] = []
    """Alerts of the last 24 whole hours, newest first."""
    alerted: int = 0
    """Alerts of the current hour."""
    given: int = 0
    """Alerts since the threshold was last set."""
    balance: float = 0.0
    """Alerts due less alerts given, within limits."""
    threshold: float = 0.0
    versions: tuple[str, ...] = ()
    """The models, the champion first."""
    seen: list[int] = []
    """For how many hours each has been served, at most 168."""
    masses: list[list[int]] = []
    """Histogram of each."""


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(_State)


def _bins(scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return each score's place in the flattened histograms of all models; shape (n, models)."""
    inside = within(scores, 1e-9, 1 - 1e-9)
    steps = (np.log(inside / (1 - inside)) + _TOP) / _STEP
    return within(steps, 0, _BINS - 1).astype(np.int64) + np.arange(scores.shape[1]) * _BINS


def _quantile(masses: NDArray[np.float64], wanted: float, total: float) -> tuple[float, bool]:
    """Return the score that so much of the mass lies above, and whether very many are tied there.

    Where a tie lies across the edge, the score is one above it: rather fewer. One that stays across it makes
    the balance grow, and is alerted in part, an eighth of a day's alerts at a time; but not one of a quarter
    of all transactions, in which there is nothing to tell apart.
    """
    above = np.cumsum(masses[::-1])
    whole = int(np.searchsorted(above, wanted, side="right"))
    mass = float(masses[_BINS - 1 - whole])
    edge = _TOP - whole * _STEP
    blind = mass > _TIE_SHARE * total
    if blind or mass > _TIE * wanted:
        return (1 / (1 + exp(-edge)) if whole else NOBODY), blind
    missing = wanted - (float(above[whole - 1]) if whole else 0.0)
    return 1 / (1 + exp(_STEP * missing / mass - edge)), False
