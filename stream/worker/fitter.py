"""The fitter's host: its role, wired to the labels and the metrics."""

import logging
from collections.abc import Iterable, Sequence
from typing import Final

from stream.adapters.metrics import Metrics
from stream.adapters.topics import TopicNames
from stream.clock import wall_clock
from stream.records import Record
from stream.roles.fitter import FitterPolicy, FitterReport, FitterRole
from stream.settings import Settings
from stream.worker.host import Host

_log = logging.getLogger(__name__)

_SLOW_SECONDS: Final = 300.0
"""A fit on a full window takes some ten seconds, on a busy machine minutes."""
_BLOCKED_SECONDS: Final = 1_800.0


class FitterHost(Host):
    """Feeds the one :class:`FitterRole` with every label there is, in a consumer group of its own.

    The fit runs in the role's thread: heartbeats and health go on beside it.
    """

    slow_seconds = _SLOW_SECONDS
    blocked_seconds = _BLOCKED_SECONDS

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        super().__init__("fit", TopicNames.of(settings).labels, settings, metrics)
        self.role = FitterRole(
            self.store, wall_clock, FitterPolicy.of(settings), self.signing_key, self.waits
        )
        self._next_offset: int | None = None

    def assign(self, partitions: Iterable[int]) -> None:
        """Become the fitter, with an empty window."""
        self._next_offset = self.role.start(self.scorers()) if list(partitions) else None
        self._show_last_fit()

    def start_offset(self, _topic: str, _partition: int) -> int | None:
        """Read from the start of the log, whatever was committed to Kafka."""
        return self._next_offset

    def handle(self, read: Sequence[Record]) -> FitterReport:
        """Take in a batch, and fit if it is time."""
        return self.role.handle(read)

    def observe(self, reports: Sequence[FitterReport]) -> None:
        """Put the reports of batches into the metrics, and their fits into the log."""
        for report in reports:
            self._show(report)

    def _show(self, report: FitterReport) -> None:
        metrics = self.metrics
        metrics.batch_records.labels("fit").observe(report.labels)
        for stage, seconds in report.stages.items():
            metrics.batch_seconds.labels("fit", stage).observe(seconds)
        metrics.fit_labels.labels("joined").inc(report.joined)
        metrics.fit_labels.labels("skipped").inc(report.skipped)
        metrics.fit_rows.labels("fraud").set(report.frauds)
        metrics.fit_rows.labels("legitimate").set(report.rows - report.frauds)
        if report.gap:
            metrics.offset_gaps.labels("labels").inc(report.gap)
        metrics.label_offset.set(self.role.offset)
        metrics.event_time.labels("fit").set(self.role.label_time_ms / 1000)
        for done in report.fits:
            metrics.fits.inc()
            metrics.fit_seconds.observe(done.seconds)
            _log.info(
                "fitted %s on %d labels with %d frauds in %.1f s, offered as revision %d",
                "after an alarm" if done.on_alarm else "as scheduled",
                done.rows,
                done.frauds,
                done.seconds,
                done.revision,
            )
        self._show_last_fit()

    def _show_last_fit(self) -> None:
        self.metrics.fit_time.set((self.role.fitted_to_ms or 0) / 1000)
