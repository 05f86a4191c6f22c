"""The fitter's role: keep a window of matured labels, fit on it now and then, offer what comes of it."""

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import river

from stream.batch.fit import PARAMETERS, fit, require_lightgbm
from stream.batch.window import TrainingSet, TrainingWindow
from stream.clock import DAY_MS, Clock
from stream.decoding import decode_labels
from stream.errors import SnapshotError
from stream.features.catalogue import SCHEMA, WIDTH
from stream.models.boosted import Boosted
from stream.ports import FitterStore, Token
from stream.records import Record
from stream.registry.seal import Key
from stream.registry.snapshot import SnapshotInfo, decode_roster, decode_snapshot, encode_snapshot
from stream.roles.patience import Waits
from stream.roles.pendings import PendingReader
from stream.roles.resumption import CatchUp
from stream.settings import Settings
from stream.tokens import NO_TOKENS, Tokens

_log = logging.getLogger(__name__)

RECIPE: Final = "lightgbm"
"""What its models are called in the roster."""

Fit = Callable[[TrainingSet, int], Boosted]
"""Fits a model on a sample with a seed."""


@dataclass(frozen=True)
class FitterPolicy:
    """On what the fitter fits, and when."""

    every_ms: int = 3 * DAY_MS
    """Label time from one fit to the next; an alarm asks for one in between."""
    window_days: float = 28.0
    """Label time that the window reaches back."""
    min_frauds: int = 200
    """With fewer in the window it does not fit."""
    negative_rate: float = 1.0
    """Share of the legitimate transactions in the window, until there are too many."""
    most_rows: int = 400_000
    """Of the window."""
    seed: int = 7
    partitions: int = 4
    """Of the transactions topic: pending records are looked for in each."""
    tokens: Tokens = NO_TOKENS
    """What identifiers are called."""

    @classmethod
    def of(cls, settings: Settings) -> "FitterPolicy":
        """Return what `settings` ask for."""
        return cls(
            every_ms=round(settings.batch_every_days * DAY_MS),
            window_days=settings.batch_window_days,
            min_frauds=settings.batch_min_frauds,
            negative_rate=settings.batch_negative_rate,
            most_rows=settings.batch_rows,
            seed=settings.seed,
            partitions=settings.partitions,
            tokens=settings.tokens,
        )


class FitDone(NamedTuple):
    """One fit that was offered."""

    revision: int
    rows: int
    frauds: int
    fitted_to_ms: int
    """Label time of the last label it was fitted on."""
    seconds: float
    on_alarm: bool
    """Whether it was fitted since the learner has raised an alarm, and not as scheduled."""


class FitterReport(NamedTuple):
    """What a batch of labels led to, for metrics and logs."""

    labels: int
    joined: int
    skipped: int
    """Labels without a pending record, or with one of other features."""
    rows: int
    frauds: int
    """In the window now."""
    fits: list[FitDone]
    gap: int
    """Labels that had fallen off the topic before this batch."""
    stages: dict[str, float]
    """Seconds spent in each stage."""


class FitterRole:
    """Reads every label from the start of the log, and fits when it is time. There is one at a time.

    Parameters
    ----------
    store
        The feature store.
    clock
        The present.
    policy
        On what it fits, and when.
    signing_key
        That snapshots are signed with; None: they are only checksummed.
    waits
        How work waits for whatever is away.
    fit
        Fits a model; elsewhere, where this process has other work.

    Raises
    ------
    SettingsError
        LightGBM is not installed.

    Notes
    -----
    It keeps nothing between two starts: the window is read again from the labels, as far back as pending
    records are kept, and the schedule goes on from its last offer in the store.

    When the learner has opened a case on the champion, which the roster tells, there is a fit at once, on top
    of those that are scheduled: for frauds have changed, and it knows some of the new ones.

    A label that finds no pending record is left out, and counted. The learner parks it and tries again; a
    sample of many weeks loses nothing that matters, and reading the whole log would try thousands in vain.
    """

    def __init__(
        self,
        store: FitterStore,
        clock: Clock,
        policy: FitterPolicy,
        signing_key: Key,
        waits: Waits,
        fit: Fit = fit,
    ) -> None:
        require_lightgbm()
        self._store = store
        self._clock = clock
        self._policy = policy
        self._signing_key = signing_key
        self._waits = waits
        self._pendings = PendingReader(store, waits.redis)
        self._fit = fit
        self._token = Token(0)
        self._scorers: CatchUp | None = None
        self._window = self._fresh_window()
        self._fits = 0
        self._scheduled_ms: int | None = None
        """Label time of the last fit on schedule, from which the next one counts."""
        self._fitted_offset = -1
        """Of the last label that went into a fit."""
        self._alarm = -1
        """What the roster said at the last batch."""
        self.offset = -1
        """Offset of the last label read; -1 before the first."""
        self.fitted_to_ms: int | None = None
        """Label time up to which the last offer was fitted, milliseconds since 1970; None before any."""

    @property
    def label_time_ms(self) -> int:
        """The newest label time read: the stream's own clock."""
        return self._window.now_ms

    def start(self, scorers: CatchUp | None = None) -> int:
        """Take the role over, fencing off whoever had it, with an empty window.

        Parameters
        ----------
        scorers
            What labels wait for, when the scorers have lost state.

        Returns
        -------
        int
            The offset of the first label to read: the log's first.
        """
        self._token = self._waits.redis(self._store.take_fitter)
        self._window = self._fresh_window()
        self.offset = -1
        self._fits, self.fitted_to_ms, self._scheduled_ms = 0, None, None
        self._fitted_offset = -1
        self._scorers = scorers
        if scorers is not None:
            scorers.begin()
        last = self._waits.redis(self._store.offered, 0)
        if last is not None:
            self._continue_from(last[1])
        return 0

    def handle(self, batch: Sequence[Record]) -> FitterReport:
        """Take in a batch of labels, and fit if it is time; those read before are passed over.

        Raises
        ------
        FencedError
            Another fitter has taken over: this one must stop.
        StoppedError
            The process is to stop; the batch will come again.
        """
        if self._scorers is not None:
            self._scorers.wait()
        started = time.perf_counter()
        fresh = [record for record in batch if record.offset > self.offset]
        # What fell off the topic is not in the window, which forgets all labels in time.
        gap = fresh[0].offset - self.offset - 1 if fresh and self.offset >= 0 else 0
        decoded = decode_labels(fresh, self._clock(), self._policy.tokens)
        ids = list(dict.fromkeys(label.transaction_id for label in decoded.records))
        packed = self._waits.redis(self._store.find_pending, ids, self._policy.partitions) if ids else {}
        found = self._pendings.open(packed, range(self._policy.partitions))
        loaded = time.perf_counter()
        joined = 0
        self._alarm = self._look_for_alarm()
        fits: list[FitDone] = []
        for label, place in zip(decoded.records, decoded.places, strict=True):
            pending = found.get(label.transaction_id)
            if pending is None or pending.feature_schema != SCHEMA:
                continue
            joined += 1
            self._window.add(label, pending.features)
            # After each label, not after each batch: how labels are cut into batches changes nothing.
            if self._window.frauds < self._policy.min_frauds:
                continue
            scheduled = self._due()
            if scheduled or self._wanted(place.offset):
                fits.append(self._fit_and_offer(place.offset, on_alarm=not scheduled))
        if fresh:
            self.offset = fresh[-1].offset
        fitting = sum(done.seconds for done in fits)
        return FitterReport(
            labels=len(decoded.records),
            joined=joined,
            skipped=len(decoded.records) - joined,
            rows=self._window.rows,
            frauds=self._window.frauds,
            fits=fits,
            gap=gap,
            stages={"load": loaded - started, "compute": time.perf_counter() - loaded - fitting},
        )

    def _due(self) -> bool:
        return self._scheduled_ms is None or self._window.now_ms - self._scheduled_ms >= self._policy.every_ms

    def _wanted(self, offset: int) -> bool:
        """Tell whether there was an alarm by this label, and no fit since that knows what it was about."""
        return self._fitted_offset < self._alarm <= offset

    def _look_for_alarm(self) -> int:
        """Read from the roster at which label a case on the champion was opened last."""
        sealed = self._waits.redis(self._store.roster)
        if sealed is None:
            return -1
        try:
            return decode_roster(sealed, self._signing_key).alarm
        except SnapshotError as error:
            _log.error("the roster cannot be read, fitting by the schedule alone: %s", error)
            return -1

    def _fit_and_offer(self, offset: int, *, on_alarm: bool) -> FitDone:
        started = time.perf_counter()
        sample = self._window.sample()
        model = self._fit(sample, self._policy.seed)
        fitted_to_ms = self._window.now_ms
        scheduled_ms = self._scheduled_ms if on_alarm and self._scheduled_ms is not None else fitted_to_ms
        info = SnapshotInfo(
            model_version=RECIPE,
            snapshot=self._fits + 1,
            recipe=RECIPE,
            parameters=dict(PARAMETERS),
            parents=(),
            feature_schema=SCHEMA,
            features=WIDTH,
            label_offset=offset,
            river_version=river.__version__,
            metrics={
                "learned": float(len(sample.y)),
                "frauds_learned": float(sample.frauds),
                "first_label_time": float(sample.first_label_ms),
                "last_label_time": float(fitted_to_ms),
                "schedule_label_time": float(scheduled_ms),
            },
        )
        sealed = encode_snapshot(info, model, self._signing_key)
        revision = self._waits.redis(self._store.offer, self._token, sealed)
        self._fits += 1
        self.fitted_to_ms, self._scheduled_ms, self._fitted_offset = fitted_to_ms, scheduled_ms, offset
        seconds = time.perf_counter() - started
        return FitDone(revision, len(sample.y), sample.frauds, fitted_to_ms, seconds, on_alarm)

    def _continue_from(self, sealed: bytes) -> None:
        """Go on with the schedule of whoever offered last."""
        try:
            info, _ = decode_snapshot(sealed, self._signing_key, SCHEMA)
            fitted_to_ms = round(info.metrics["last_label_time"])
            scheduled_ms = round(info.metrics.get("schedule_label_time", fitted_to_ms))
        except (SnapshotError, KeyError) as error:
            _log.error("the last offer cannot be read, fitting anew: %s", error)
            return
        self._fits, self.fitted_to_ms, self._scheduled_ms = info.snapshot, fitted_to_ms, scheduled_ms
        self._fitted_offset = info.label_offset
        _log.info("going on after fit %d, of label offset %d", info.snapshot, info.label_offset)

    def _fresh_window(self) -> TrainingWindow:
        policy = self._policy
        return TrainingWindow(
            days=policy.window_days,
            negative_rate=policy.negative_rate,
            salt=policy.seed,
            most_rows=policy.most_rows,
        )
