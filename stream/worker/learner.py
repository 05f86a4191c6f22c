"""The learner's host: its role, wired to the labels, the metrics and the checkpoints' clock."""

import logging
from collections.abc import Iterable, Sequence
from typing import Final

from stream.adapters.metrics import Metrics, observe_many
from stream.adapters.topics import TopicNames
from stream.clock import wall_clock
from stream.pipeline.label_sources import SUSPECT_SCORE
from stream.records import ModelEvent, Record
from stream.registry.case_state import STATES
from stream.roles.learner import LearnerPolicy, LearnerReport, LearnerRole
from stream.settings import Settings
from stream.worker.host import Host

_log = logging.getLogger(__name__)

_GATHER_SECONDS: Final = 0.25
"""Labels are days old: a quarter of a second more is nothing, and leaves the processor to the scorers."""
_BLOCKED_SECONDS: Final = 180.0
"""Opening a large checkpoint at the start takes longer than any batch."""


class LearnerHost(Host):
    """Feeds the one :class:`LearnerRole` with ``labels``, and stores its checkpoints."""

    blocked_seconds = _BLOCKED_SECONDS
    gather_seconds = _GATHER_SECONDS

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        super().__init__("learn", TopicNames.of(settings).labels, settings, metrics)
        self.role = LearnerRole(
            self.store,
            self.emitter,
            self.topics,
            wall_clock,
            LearnerPolicy.of(settings),
            self.signing_key,
            self.waits,
        )
        self._next_offset: int | None = None
        self._checkpointed_at = 0
        self._checkpointed_offset = -1
        self._models: set[str] = set()
        self._shown = -1
        self._shown_day = -1
        self._learned: dict[str, int] = {}

    def assign(self, partitions: Iterable[int]) -> None:
        """Become the learner, from the newest good checkpoint on."""
        self._next_offset = None
        if list(partitions):
            self._next_offset = self.role.start(self.input_log, self.scorers())
            remedy = self.role.resumption.remedy
            if remedy is not None:
                self.metrics.state_lost.labels(self.name, remedy).set(wall_clock() / 1000)
        self._checkpointed_offset = self.role.offset
        self._checkpointed_at = wall_clock()
        contenders = self.role.learner.field.contenders
        self._learned = {version: one.model.taught for version, one in contenders.items()}
        self.metrics.label_offset.set(self.role.offset)
        self.metrics.checkpoint_time.set(wall_clock() / 1000)

    def start_offset(self, _topic: str, _partition: int) -> int | None:
        """Read from after the checkpoint, whatever was committed to Kafka."""
        return self._next_offset

    def handle(self, read: Sequence[Record]) -> LearnerReport:
        """Learn from a batch."""
        return self.role.handle(read)

    def observe(self, reports: Sequence[LearnerReport]) -> None:
        """Put the reports of batches into the metrics, and their events into the log."""
        for report in reports:
            self._show(report)

    def _show(self, report: LearnerReport) -> None:
        metrics = self.metrics
        learner = self.role.learner
        metrics.batch_records.labels("learn").observe(report.labels)
        for stage, seconds in report.stages.items():
            metrics.batch_seconds.labels("learn", stage).observe(seconds)
        first = len(report.joined) - report.duplicates - report.corrections
        metrics.labels.labels("joined").inc(first)
        metrics.labels.labels("duplicate").inc(report.duplicates)
        metrics.labels.labels("corrected").inc(report.corrections)
        metrics.labels.labels("parked").inc(report.newly_parked)
        metrics.labels.labels("unmatched").inc(report.unmatched)
        metrics.labels.labels("dead_letter").inc(len(report.dead_letters) - report.unmatched)
        metrics.parked.set(report.parked)
        for label, pending in report.joined:
            if label.is_fraud and pending.scores[0] < SUSPECT_SCORE:
                metrics.suspect_labels.labels(label.source).inc()
        for letter in report.dead_letters:
            metrics.dead_letters.labels("labels", letter.reason.value).inc()
        if report.offer is not None:
            metrics.offers.labels(report.offer).inc()
        if report.gap:
            metrics.offset_gaps.labels("labels").inc(report.gap)
        now = wall_clock()
        observe_many(metrics.label_latency, [max(0, now - ms) / 1000 for ms in report.timestamps])
        delays = [max(0, label.label_time - pending.event_time) / 1000 for label, pending in report.joined]
        observe_many(metrics.label_delay, delays)
        for fraud in report.frauds:
            outcome = "caught" if fraud.decision == "alert" else "missed"
            metrics.frauds.labels(outcome).inc()
            metrics.frauds_amount.labels(outcome).inc(fraud.amount)
        self._count_learned()
        metrics.label_offset.set(self.role.offset)
        metrics.event_time.labels("learn").set(learner.label_time / 1000)
        count_events(metrics, report.events)
        self._show_arrivals()

    def tick(self) -> None:
        """Try parked labels, hand snapshots on, store a checkpoint, show how good the models are."""
        report = self.role.tick()
        if report is not None:
            self._show(report)
        if wall_clock() - self._checkpointed_at >= self.settings.checkpoint_seconds * 1000:
            self._checkpoint()
        self._show_quality()

    def finish(self) -> None:
        """Store a last checkpoint."""
        self._checkpoint()

    def _show_arrivals(self) -> None:
        arrivals = self.role.arrivals
        if self._shown_day == arrivals.ended:
            return
        self._shown_day = arrivals.ended
        # What cannot be said of that day must not be shown as if it could.
        self.metrics.label_signal.clear()
        for names, value in arrivals.figures.items():
            self.metrics.label_signal.labels(*names).set(value)

    def _count_learned(self) -> None:
        before, self._learned = self._learned, {}
        for version, contender in self.role.learner.field.contenders.items():
            if contender.fitted_to is not None:
                continue  # it learns elsewhere, from a window that may shrink
            self._learned[version] = contender.model.taught
            self.metrics.learned.labels(version).inc(contender.model.taught - before.get(version, 0))

    def _checkpoint(self) -> None:
        self._checkpointed_at = wall_clock()
        if self.role.offset == self._checkpointed_offset:
            return
        self.metrics.checkpoint_bytes.set(self.role.checkpoint())
        self._checkpointed_offset = self.role.offset
        self.metrics.checkpoint_time.set(wall_clock() / 1000)

    def _show_quality(self) -> None:
        metrics, learner = self.metrics, self.role.learner
        for state in STATES:
            metrics.case_state.labels(state).set(state == learner.case.state)
        if self._shown == learner.window.added:
            return
        self._shown = learner.window.added
        quality = learner.quality()
        for version, judged in quality.items():
            metrics.model_ap.labels(version).set(judged.average_precision)
            metrics.model_log_loss.labels(version).set(judged.log_loss)
            metrics.model_calibration_error.labels(version).set(judged.calibration_error)
            metrics.model_brier.labels(version).set(judged.brier)
            metrics.model_precision.labels(version).set(judged.precision)
            metrics.model_recall.labels(version).set(judged.recall)
            metrics.model_window.labels(version).set(judged.labels)
            metrics.champion.labels(version).set(version == learner.field.champion)
        for retired in self._models - quality.keys():
            metrics.forget_model(retired)
        self._models = set(quality)


def count_events(metrics: Metrics, events: Sequence[ModelEvent]) -> None:
    """Count what happened to the models, and log it."""
    for event in events:
        if event.kind == "drift":
            metrics.drift.labels(str(event.evidence["signal"])).inc()
        elif event.kind == "swap":
            metrics.swaps.inc()
            if event.evidence["trigger"] not in ("order", "refit"):  # these did not ask the gate
                metrics.gate.labels("passed").inc()
        elif event.kind == "signal":
            signal, source = str(event.evidence["signal"]), str(event.evidence["source"])
            metrics.label_signals_fired.labels(signal, source).inc()
        elif event.kind in ("rollback", "fit_undone"):
            metrics.rollbacks.inc()
        elif event.kind == "gate_refused":
            metrics.gate.labels("refused").inc()
        _log.info("%s: %s", event.kind, event.detail)
