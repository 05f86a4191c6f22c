"""The scorer's host: its role, wired to the transactions and to the metrics."""

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from stream.adapters.metrics import Metrics, observe_many
from stream.adapters.record_batches import batch_topic
from stream.adapters.topics import TopicNames
from stream.clock import wall_clock
from stream.records import Record
from stream.roles.scorer import Committed, ScorerPolicy, ScorerReport, ScorerRole
from stream.settings import Settings
from stream.worker.host import Host

_log = logging.getLogger(__name__)


class ScorerHost(Host):
    """Feeds a :class:`ScorerRole` with the partitions of ``transactions`` that Kafka assigns."""

    overlapping = True

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        super().__init__("score", TopicNames.of(settings).transactions, settings, metrics)
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="models")
        self.role = ScorerRole(
            self.store,
            self.emitter,
            self.topics,
            wall_clock,
            ScorerPolicy.of(settings),
            self.signing_key,
            self.waits,
            self._beside,
        )
        self._begins: dict[int, int] = {}
        self._served: set[str] = set()
        self._shown_day = -1
        self.app.agent(batch_topic(self.app, self.input_topic), name="score")(self.consume)

    def close(self) -> None:
        """Let go of connections and threads."""
        self._beside.shutdown(wait=False)
        super().close()

    def assign(self, partitions: Iterable[int]) -> None:
        """Take the assigned partitions over, those held before included: they are read anew."""
        for partition in self.role.partitions:
            self.role.revoke(partition)
        self.metrics.forget_budgets()
        self._begins.clear()
        for partition in partitions:
            resumption = self.role.assign(partition, self.input_log)
            if resumption.remedy is not None:
                self._begins[partition] = resumption.begin
                self.metrics.state_lost.labels(self.name, resumption.remedy).set(wall_clock() / 1000)

    def start_offset(self, _topic: str, partition: int) -> int | None:
        """Read from where it was committed, unless Redis has lost what was stored before that."""
        return self._begins.get(partition)

    def tick(self) -> None:
        """Notice lost state also without transactions."""
        self.role.verify()

    def handle(self, batch: Sequence[Record]) -> Committed:
        """Score a batch, and store its effects."""
        return self.role.score(batch, self.nearly_done)

    def conclude(self, outcome: Committed) -> ScorerReport:
        """Emit a batch's scores."""
        return self.role.emit(outcome)

    def _show_population(self, report: ScorerReport) -> None:
        metrics, population = self.metrics, self.role.population
        for event in report.events:
            metrics.signals_fired.labels(str(event.evidence["signal"])).inc()
            _log.info("%s: %s", event.kind, event.detail)
        if self._shown_day == population.ended:
            return
        self._shown_day = population.ended
        for signal, value in population.figures.items():
            metrics.signal.labels(signal).set(value)
        for feature, shift in population.features.items():
            metrics.feature_shift.labels(feature).set(shift)

    def observe(self, report: ScorerReport) -> None:
        """Put a batch's report into the metrics."""
        metrics = self.metrics
        metrics.batch_records.labels("score").observe(report.records)
        for stage, seconds in report.stages.items():
            metrics.batch_seconds.labels("score", stage).observe(seconds)
        scored = report.scored
        metrics.transactions.labels("scored").inc(len(scored.names))
        metrics.transactions.labels("rebuilt").inc(report.rebuilt)
        metrics.transactions.labels("redelivered").inc(report.redelivered)
        metrics.transactions.labels("duplicate").inc(report.duplicates)
        metrics.transactions.labels("dead_letter").inc(len(report.dead_letters))
        metrics.alerts.inc(report.alerts)
        metrics.alerted_amount.inc(float(scored.amounts[scored.scores[:, 0] >= scored.thresholds].sum()))
        metrics.tokenised.inc(report.tokenised)
        if report.spent is not None:
            metrics.show_budget(report.partition, *report.spent)
        for letter in report.dead_letters:
            metrics.dead_letters.labels("transactions", letter.reason.value).inc()
        self._show_population(report)
        if report.gap:
            metrics.offset_gaps.labels("transactions").inc(report.gap)
        now = wall_clock()
        observe_many(metrics.scoring_latency, [max(0, now - ms) / 1000 for ms in report.timestamps])
        observe_many(metrics.scores, scored.scores[:, 0])
        if scored.names:
            metrics.event_time.labels("score").set(int(scored.event_times.max()) / 1000)
        serving = {served.version: served.snapshot for served in report.models}
        for version, snapshot in serving.items():
            metrics.snapshot.labels(version).set(snapshot)
        for retired in self._served - serving.keys():
            metrics.forget_model(retired)
        self._served = set(serving)
