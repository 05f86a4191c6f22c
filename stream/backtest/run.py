"""The backtest: recorded transactions through the same roles as in production, with no Kafka and no Redis.

In event-time order, each label at its delivery, each score the one that would have been served.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from stream.adapters.memory import InMemoryStore
from stream.adapters.topics import TopicNames
from stream.backtest.analysts import Analysts, by_day
from stream.backtest.answers import Answers
from stream.backtest.fit_process import FitProcess
from stream.backtest.tally import Tally
from stream.clock import ManualClock
from stream.durations import in_milliseconds
from stream.pipeline.deliveries import Transactions, deliveries
from stream.pipeline.learning import Learner
from stream.pipeline.pending import Pending
from stream.pipeline.scoring import Served
from stream.ports import Burst, Outgoing
from stream.recording import Recorded, tokenised
from stream.records import Label, ModelEvent, Record, encode
from stream.roles.fitter import FitterPolicy, FitterRole
from stream.roles.learner import LearnerPolicy, LearnerRole
from stream.roles.patience import Patience, Waits
from stream.roles.scorer import ScorerPolicy, ScorerRole
from stream.settings import Settings

Scored = Mapping[str, Pending]
"""What a step was answered, by transaction id, in event-time order."""


@dataclass
class BacktestSummary:
    """What a backtest came to."""

    transactions: int = 0
    scored: int = 0
    dead_lettered: int = 0
    alerts: int = 0
    labels: int = 0
    labels_joined: int = 0
    learned: int = 0
    drift_events: int = 0
    swaps: int = 0
    fits: int = 0
    """Of the batch challenger."""
    champion_version: str = ""
    average_precision: dict[str, float] = field(default_factory=dict)
    """Of each model, over the window of the last labels."""
    expected_calibration_error: float | None = None
    brier: float | None = None
    """Of the scores served, over every transaction whose truth is in the recording; None without any."""
    alert_precision: float | None = None
    """Share of frauds among the alerts; None without alerts."""
    alert_recall: float | None = None
    """Share of the frauds that were alerts; None without frauds."""
    alerts_per_day: float | None = None
    """Mean over whole days: those between the first and the last; None without any."""
    events: list[dict[str, Any]] = field(default_factory=list)
    """Drift, births, swaps, refusals, in order."""
    first_event_time: int | None = None
    last_event_time: int | None = None
    seconds: float = 0.0
    transactions_per_second: float = 0.0


class Backtest:
    """One run over one recording.

    Parameters
    ----------
    settings
        Models, threshold, cadences: what production would be run with. Kafka's and Redis's are not used.
    analysts
        Whose verdicts come before the labels mature; None: nobody's.

    Notes
    -----
    Memory: the pending records of `settings.pending_days` of the stream, about 0.5 KB a transaction.
    """

    def __init__(self, settings: Settings, analysts: Analysts | None = None) -> None:
        self._clock = ManualClock()
        self._batch_records = settings.batch_records
        self._tokens = settings.tokens
        store = InMemoryStore(
            pending_ttl=timedelta(days=settings.pending_days),
            state_ttl=timedelta(days=settings.state_days),
            clock=self._clock,
        )
        topics = TopicNames.of(settings)
        waits = Waits.alike(Patience(threading.Event(), lambda _: None))
        # One partition: customers do not meet, so how they are spread changes no score. The alert budget
        # has one threshold then, where every partition of a deployment finds its own.
        # And no time passes between two batches of labels, by which snapshots could be held back.
        alone = settings.model_copy(update={"partitions": 1, "snapshot_gap_seconds": 0.0})
        self._scorer = ScorerRole(store, _Nowhere(), topics, self._clock, ScorerPolicy.of(alone), None, waits)
        self._learner = LearnerRole(
            store, _Nowhere(), topics, self._clock, LearnerPolicy.of(alone), None, waits
        )
        self._fit_process = FitProcess() if settings.batch == "on" else None
        self._fitter = (
            FitterRole(store, self._clock, FitterPolicy.of(alone), None, waits, self._fit_process)
            if self._fit_process is not None
            else None
        )
        self._analysts = analysts
        self._on_stages: Callable[[str, Mapping[str, float]], None] = lambda _role, _stages: None
        self._offsets = {"transactions": 0, "labels": 0}
        self.summary = BacktestSummary()
        self.tally = Tally()
        """What the served scores came to so far."""

    @property
    def served(self) -> tuple[Served, ...]:
        """The models as the scorer has them, the champion first."""
        return self._scorer.models

    @property
    def learner(self) -> Learner:
        """The models as they learn, and their evaluation."""
        return self._learner.learner

    def run(
        self,
        recording: Iterable[Recorded],
        delay: timedelta,
        cadence: timedelta,
        *,
        on_scored: Callable[[Scored], None] = lambda _: None,
        on_answers: Callable[[Answers], None] = lambda _: None,
        on_events: Callable[[Sequence[ModelEvent]], None] = lambda _: None,
        on_stages: Callable[[str, Mapping[str, float]], None] = lambda _role, _stages: None,
    ) -> BacktestSummary:
        """Feed a recording through scorer and learner.

        Parameters
        ----------
        recording
            In event-time order.
        delay, cadence
            When labels become known: see ``stream.pipeline.deliveries``.
        on_scored
            Told of each step's answers, in event-time order.
        on_answers
            Told of the same, as columns and with the truth.
        on_events
            Told of drift, births and swaps as they happen.
        on_stages
            Told for each batch of ``score``, ``learn`` or ``fit`` how many seconds each stage took.
        """
        self._on_stages = on_stages
        started = time.perf_counter()
        self._learner.start()
        self._scorer.assign(0)
        if self._fitter is not None:
            self._fitter.start()
        with self._fit_process or nullcontext():
            called = tokenised(recording, self._tokens)
            for step in deliveries(called, in_milliseconds(delay), in_milliseconds(cadence)):
                if isinstance(step, Transactions) and self._analysts is not None:
                    for records in by_day(step.records):
                        verdicts = self._analysts.due(records[0].transaction.event_time)
                        self._learn(verdicts, on_events)
                        self._score(records, on_scored, on_answers)
                elif isinstance(step, Transactions):
                    self._score(step.records, on_scored, on_answers)
                else:
                    self._learn(step.labels, on_events)
        self._finish(time.perf_counter() - started)
        return self.summary

    def _score(
        self,
        records: Sequence[Recorded],
        on_scored: Callable[[Scored], None],
        on_answers: Callable[[Answers], None],
    ) -> None:
        summary = self.summary
        summary.transactions += len(records)
        if summary.first_event_time is None:
            summary.first_event_time = records[0].transaction.event_time
        summary.last_event_time = records[-1].transaction.event_time
        for start in range(0, len(records), self._batch_records):
            chunk = records[start : start + self._batch_records]
            self._clock.now_ms = chunk[-1].transaction.event_time
            report = self._scorer.handle([self._transaction(recorded) for recorded in chunk])
            self._on_stages("score", report.stages)
            pendings = report.pendings
            summary.scored += len(pendings)
            summary.dead_lettered += len(report.dead_letters)
            summary.alerts += report.alerts
            summary.events += [_plain(event) for event in report.events]
            if self._analysts is not None:
                self._analysts.see(chunk, pendings)
            on_scored(pendings)
            answers = Answers.of(chunk, pendings)
            self.tally.add(answers)
            on_answers(answers)

    def _learn(self, labels: Sequence[Label], on_events: Callable[[Sequence[ModelEvent]], None]) -> None:
        summary = self.summary
        summary.labels += len(labels)
        for start in range(0, len(labels), self._batch_records):
            chunk = labels[start : start + self._batch_records]
            self._clock.now_ms = max(self._clock.now_ms, chunk[-1].label_time)
            records = [self._label(label) for label in chunk]
            report = self._learner.handle(records)
            self._on_stages("learn", report.stages)
            summary.labels_joined += len(report.joined)
            summary.events += [_plain(event) for event in report.events]
            if report.events:
                on_events(report.events)
            # After the learner, which therefore meets a new fit with its next batch, wherever it runs.
            if self._fitter is not None:
                self._fit(self._fitter, records)

    def _fit(self, fitter: FitterRole, records: Sequence[Record]) -> None:
        report = fitter.handle(records)
        fits = sum(done.seconds for done in report.fits)
        self._on_stages("fit", {**report.stages, "fit": fits})
        self.summary.fits += len(report.fits)

    def _finish(self, seconds: float) -> None:
        summary, learner, tally = self.summary, self.learner, self.tally
        summary.learned = learner.learned
        summary.swaps = learner.swaps
        summary.drift_events = learner.drifts
        summary.champion_version = learner.field.champion
        summary.average_precision = {
            version: judged.average_precision
            for version, judged in learner.quality().items()
            if judged.frauds
        }
        summary.expected_calibration_error = _known(tally.calibration.expected_calibration_error)
        summary.brier = _known(tally.calibration.brier)
        total = tally.total
        summary.alert_precision, summary.alert_recall = total.precision, total.recall
        summary.alerts_per_day = tally.alerts_per_day
        summary.seconds = seconds
        summary.transactions_per_second = summary.transactions / seconds if seconds else 0.0

    def _transaction(self, recorded: Recorded) -> Record:
        transaction = recorded.transaction
        value = recorded.raw if recorded.raw is not None else encode(transaction)
        key = transaction.customer_id.encode()
        return Record("transactions", 0, self._next("transactions"), transaction.event_time, key, value)

    def _label(self, label: Label) -> Record:
        key = label.transaction_id.encode()
        return Record("labels", 0, self._next("labels"), label.label_time, key, encode(label))

    def _next(self, topic: str) -> int:
        offset = self._offsets[topic]
        self._offsets[topic] += 1
        return offset


class _Nowhere:
    """An emitter for scores that nobody reads: the reports hold them already."""

    def emit(self, records: Iterable[Outgoing]) -> None:
        """Drop everything."""

    def send(self, bursts: Iterable[Burst]) -> None:
        """Drop everything."""

    def settle(self) -> None:
        """Be done with it."""


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _plain(event: ModelEvent) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "model_version": event.model_version,
        "previous_version": event.previous_version,
        "event_time": event.event_time,
        "detail": event.detail,
        "evidence": event.evidence,
    }
