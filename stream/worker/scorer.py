"""The scorer's host: its role, wired to the transactions and to the metrics."""

import logging
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from stream.adapters.metrics import Metrics, observe_many
from stream.adapters.topics import TopicNames
from stream.clock import wall_clock
from stream.records import ModelEvent, Record
from stream.roles.scorer import Committed, ScorerPolicy, ScorerReport, ScorerRole
from stream.roles.steps import Begun, Read, Worked
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

    def read(self, batch: Sequence[Record]) -> Read:
        """Decode a batch, and ask for what it needs."""
        return self.role.read(batch)

    def forget(self, read: Read) -> None:
        """Let go of a batch that was read."""
        self.role.forget(read)

    def handle(self, read: Read) -> Worked:
        """Score a batch."""
        return self.role.work_on(read)

    def commit(self, worked: Worked) -> Begun:
        """Begin to store its effects."""
        return self.role.commit(worked)

    def settle(self, outcome: Begun) -> Committed:
        """Wait until a batch's effects are stored."""
        return self.role.settle(outcome)

    def launch(self, outcome: Committed) -> None:
        """Send a batch's scores."""
        self.role.launch(outcome)

    def conclude(self, outcome: Committed) -> ScorerReport:
        """Wait until a batch's scores have arrived."""
        return self.role.emit(outcome)

    def observe(self, reports: Sequence[ScorerReport]) -> None:
        """Put the reports of some batches into the metrics."""
        metrics, last = self.metrics, reports[-1]
        observe_many(metrics.batch_records.labels("score"), [one.records for one in reports])
        for stage in last.stages:
            seconds = [one.stages[stage] for one in reports]
            observe_many(metrics.batch_seconds.labels("score", stage), seconds)
        scored = [one.scored for one in reports if one.scored.names]
        count = metrics.transactions.labels
        count("scored").inc(sum(len(some.names) for some in scored))
        count("rebuilt").inc(sum(one.rebuilt for one in reports))
        count("redelivered").inc(sum(one.redelivered for one in reports))
        count("duplicate").inc(sum(one.duplicates for one in reports))
        count("dead_letter").inc(sum(len(one.dead_letters) for one in reports))
        metrics.alerts.inc(sum(one.alerts for one in reports))
        metrics.tokenised.inc(sum(one.tokenised for one in reports))
        for partition, spent in {one.partition: one.spent for one in reports}.items():
            if spent is not None:
                metrics.show_budget(partition, *spent)
        for one in reports:
            for letter in one.dead_letters:
                metrics.dead_letters.labels("transactions", letter.reason.value).inc()
            if one.gap:
                metrics.offset_gaps.labels("transactions").inc(one.gap)
        waited = [one.emitted_at - np.asarray(one.timestamps, np.float64) for one in reports]
        observe_many(metrics.scoring_latency, np.maximum(0.0, np.concatenate(waited)) / 1000)
        if scored:
            scores = np.concatenate([some.scores[:, 0] for some in scored])
            amounts = np.concatenate([some.amounts for some in scored])
            alerted = scores >= np.concatenate([some.thresholds for some in scored])
            metrics.alerted_amount.inc(float(amounts[alerted].sum()))
            observe_many(metrics.scores, scores)
            metrics.event_time.labels("score").set(int(scored[-1].event_times.max()) / 1000)
        self._show_population([event for one in reports for event in one.events])
        serving = {served.version: served.snapshot for served in last.models}
        for version, snapshot in serving.items():
            metrics.snapshot.labels(version).set(snapshot)
        for retired in self._served - serving.keys():
            metrics.forget_model(retired)
        self._served = set(serving)

    def _show_population(self, events: Sequence[ModelEvent]) -> None:
        metrics, population = self.metrics, self.role.population
        for event in events:
            metrics.signals_fired.labels(str(event.evidence["signal"])).inc()
            _log.info("%s: %s", event.kind, event.detail)
        if self._shown_day == population.ended:
            return
        self._shown_day = population.ended
        for signal, value in population.figures.items():
            metrics.signal.labels(signal).set(value)
        for feature, shift in population.features.items():
            metrics.feature_shift.labels(feature).set(shift)
