"""Replay: publishes a recording's transactions in order, and each label when it was due.

Held to the pipeline's progress, a replay gives the pipeline what it would have seen in real time, only
faster: no transaction at or after a delivery's time is published before every label of that delivery is
applied, and no delivery before every earlier transaction is scored. So what a scorer knows about a
transaction depends on the recording alone, not on the speed of the machine, and equals what a backtest of
the same recording computes.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from producers.hold import Hold, Log
from producers.pace import Pace
from producers.stopping import Stop, StopRequested, never
from stream.adapters.topics import TopicNames
from stream.durations import in_milliseconds
from stream.pipeline.deliveries import Labels, Transactions, deliveries
from stream.recording import Recorded
from stream.records import Label, encode

DEFAULT_LABEL_DELAY: Final = timedelta(days=7)
DEFAULT_LABEL_CADENCE: Final = timedelta(hours=1)

_LOOK_EVERY: Final = 256
"""Records between two looks at whether to stop."""


@dataclass(frozen=True, kw_only=True)
class ReplaySummary:
    """What a replay has published so far."""

    published: int
    """Transactions, the bad ones included."""
    bad_records: int
    """Those among them that the pipeline is to refuse."""
    labels_published: int
    fraud_labels: int
    """Labels among them that say fraud."""
    first_event_time: int | None
    """Of the first transaction, milliseconds since 1970."""
    last_event_time: int | None
    seconds: float
    """Since the replay began."""
    finished: bool
    """Everything is published and, where held, processed."""
    stopped: bool
    """It ended early because somebody asked."""

    @property
    def transactions_per_second(self) -> float:
        """Mean rate over the whole replay."""
        return self.published / self.seconds if self.seconds else 0.0

    def as_json(self) -> dict[str, Any]:
        """Return the summary for ``--summary``, event times as ISO 8601."""
        return asdict(self) | {
            "first_event_time": _iso(self.first_event_time),
            "last_event_time": _iso(self.last_event_time),
            "seconds": round(self.seconds, 3),
            "transactions_per_second": round(self.transactions_per_second, 1),
        }


class Replay:
    """One run of a recording.

    Parameters
    ----------
    source
        In event-time order; may be endless.
    log
        Where to publish.
    topics
        Their names.
    delay
        From a transaction to the knowledge of what it was.
    cadence
        Time between two deliveries of labels, counted from 1970; 0 delivers each label at its own time.
    hold
        Keeps the replay behind the pipeline; None publishes whether or not anybody keeps up.
    pace
        Keeps event time in step with real time; None publishes as fast as it can.
    labels_after_end
        Whether labels that are due only after the last transaction are published at the end. By default
        they are not: at the end of the recording nobody knows them.
    stop
        Asked now and then.
    on_progress
        Called with a summary at most every `progress_seconds`, and once at the end.
    progress_seconds
        Least time between two such calls.
    monotonic
        Returns seconds.

    Notes
    -----
    Kafka's own time of each record is the present, not its event time: a broker with a retention by time
    would drop what happened before it as soon as it came.
    """

    def __init__(
        self,
        source: Iterable[Recorded],
        log: Log,
        topics: TopicNames,
        *,
        delay: timedelta = DEFAULT_LABEL_DELAY,
        cadence: timedelta = DEFAULT_LABEL_CADENCE,
        hold: Hold | None,
        pace: Pace | None = None,
        labels_after_end: bool = False,
        stop: Stop = never,
        on_progress: Callable[[ReplaySummary], object] = lambda _: None,
        progress_seconds: float = 0.2,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._steps = deliveries(
            source, in_milliseconds(delay), in_milliseconds(cadence), after_end=labels_after_end
        )
        self._log = log
        self._topics = topics
        self._hold = hold
        self._pace = pace
        self._stop = stop
        self._on_progress = on_progress
        self._progress_seconds = progress_seconds
        self._monotonic = monotonic
        self._started = self._told = monotonic()
        self._until_look = _LOOK_EVERY
        self._published = self._bad = self._labels = self._fraud_labels = 0
        self._first_ms: int | None = None
        self._last_ms: int | None = None
        self._finished = self._stopped = False

    def run(self) -> ReplaySummary:
        """Publish everything, wait until it is acknowledged and, where held, processed.

        Returns
        -------
        ReplaySummary
            Also when it was asked to stop: what was published until then is acknowledged.

        Raises
        ------
        InfrastructureError
            A record was not delivered, or the pipeline stands still.
        RecordingError
            The source cannot be read on.
        """
        self._started = self._told = self._monotonic()
        try:
            for step in self._steps:
                if isinstance(step, Transactions):
                    self._publish_transactions(step.records)
                else:
                    self._publish_labels(step)
            self._log.flush()
            self._await_pipeline()
            self._finished = True
        except StopRequested:
            self._stopped = True
            self._log.flush()
        summary = self.summary()
        self._on_progress(summary)
        return summary

    def summary(self) -> ReplaySummary:
        """Return how things stand."""
        return ReplaySummary(
            published=self._published,
            bad_records=self._bad,
            labels_published=self._labels,
            fraud_labels=self._fraud_labels,
            first_event_time=self._first_ms,
            last_event_time=self._last_ms,
            seconds=self._monotonic() - self._started,
            finished=self._finished,
            stopped=self._stopped,
        )

    def _publish_transactions(self, records: Sequence[Recorded]) -> None:
        topic = self._topics.transactions
        room = 0 if self._hold else len(records)
        for transaction, _, raw in records:
            if room == 0 and self._hold:
                room = self._hold.room_for_transactions()
            room -= 1
            self._wait_until(transaction.event_time)
            value = encode(transaction) if raw is None else raw
            self._log.publish(topic, transaction.customer_id.encode(), value)
            self._published += 1
            self._bad += raw is not None
            if self._first_ms is None:
                self._first_ms = transaction.event_time
            self._last_ms = transaction.event_time

    def _publish_labels(self, step: Labels) -> None:
        # What happened before the labels became known is scored without them.
        if self._hold:
            self._hold.until_scored()
        room = 0 if self._hold else len(step.labels)
        for label in step.labels:
            if room == 0 and self._hold:
                room = self._hold.room_for_labels()
            room -= 1
            self._publish_label(label)
        if self._hold:
            self._hold.until_learnt()

    def _publish_label(self, label: Label) -> None:
        self._wait_until(label.label_time)
        self._log.publish(self._topics.labels, label.transaction_id.encode(), encode(label))
        self._labels += 1
        self._fraud_labels += label.is_fraud

    def _await_pipeline(self) -> None:
        if self._hold:
            self._hold.until_scored()
            self._hold.until_learnt()

    def _wait_until(self, event_time_ms: int) -> None:
        """Let the moment of a record come, and see now and then whether to go on."""
        if self._pace:
            self._pace.wait_until(event_time_ms)
        self._until_look -= 1
        if self._until_look > 0 and not self._pace:
            return
        self._until_look = _LOOK_EVERY
        if self._stop():
            raise StopRequested
        now = self._monotonic()
        if now - self._told >= self._progress_seconds:
            self._told = now
            self._on_progress(self.summary())


def _iso(event_time_ms: int | None) -> str | None:
    if event_time_ms is None:
        return None
    return datetime.fromtimestamp(event_time_ms / 1000, UTC).isoformat(timespec="milliseconds")
