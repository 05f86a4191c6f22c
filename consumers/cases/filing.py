"""Filing: scores, alerts and labels, read from Kafka and written to the case store, each exactly once."""

import logging
from collections.abc import Callable, Sequence
from typing import Final

from consumers.cases.backlog import Backlog
from consumers.cases.connection import CaseStoreAwayError
from consumers.cases.store import Batch, CaseStore, Placed
from consumers.cases.verdicts import outbox_of
from consumers.decoder import Decoder
from consumers.metrics import FilingMetrics
from consumers.partition_log import PartitionLog
from consumers.stopping import Stop
from stream.clock import HOUR_MS, Clock
from stream.decoding import label_called
from stream.errors import InfrastructureError, TopicError
from stream.records import Alert, Label, Record, Score
from stream.tokens import NO_TOKENS, Tokens

_log = logging.getLogger(__name__)

BATCH_RECORDS: Final = 5_000
_POLL_SECONDS: Final = 0.1
_STANDBY_SECONDS: Final = 1.0
_LONGEST_WAIT_SECONDS: Final = 30.0
_PUBLISH_EVERY_MS: Final = 5_000
_SWEEP_EVERY_MS: Final = HOUR_MS


class Filing:
    """Follows the topics `scores`, `alerts` and `labels` and files what they say.

    Parameters
    ----------
    open_store
        Connects to the case store; called again when the connection is lost.
    scores, alerts, labels
        The topics.
    publish
        Publishes verdicts that whoever took them could not; may raise InfrastructureError.
    clock
        The present.
    case_days, history_days
        How long cases, and other transactions, are kept: see :meth:`CaseStore.sweep`.
    tokens
        What identifiers are called: labels have them as their source calls them, scores as the stream does.
    metrics
        Where it shows how it does; None: nobody looks.

    Notes
    -----
    How far it has read is written in the same transaction as what was read, and read from there at the start
    and after every trouble: a batch is either filed and never read again, or not filed and read again. Kafka
    is told afterwards, for those who watch the group's lag. Of several that run, one files and the others
    wait.
    """

    def __init__(
        self,
        open_store: Callable[[], CaseStore],
        scores: PartitionLog,
        alerts: PartitionLog,
        labels: PartitionLog,
        *,
        publish: Callable[[CaseStore], int],
        clock: Clock,
        case_days: float,
        history_days: float,
        tokens: Tokens = NO_TOKENS,
        metrics: FilingMetrics | None = None,
    ) -> None:
        self._metrics = metrics or FilingMetrics()
        self._backlog = Backlog((scores, alerts, labels), self._metrics, clock)
        self._tokens = tokens
        self._open_store = open_store
        self._scores, self._alerts, self._labels = scores, alerts, labels
        # Alerts first: whoever waits for one should not wait for a long line of scores.
        self._logs = (alerts, labels, scores)
        self._decode_score, self._decode_alert = Decoder(Score), Decoder(Alert)
        self._decode_label = Decoder(Label)
        self._publish = publish
        self._published_ms = 0
        self._clock = clock
        self._case_days, self._history_days = case_days, history_days
        self._swept_ms = 0
        self.filed = 0
        self.swept = 0
        self.foreign = 0
        """Records passed over: they were not what the topic holds, or PostgreSQL cannot hold them."""
        self._foreign_before = 0
        self.trouble: str | None = None
        """Why nothing is filed now; None while all is well, or while another process files."""

    def run(self, stop: Stop, *, idle_seconds: float | None = None) -> None:
        """File until told to stop, or until nothing has come for `idle_seconds`.

        A database that goes away is waited for; one that is not there at the start is an error.

        Raises
        ------
        CaseStoreAwayError
            The database did not answer the first time.
        TopicError
            A topic is missing, or has been made anew.
        """
        store = self._open_store()
        wait_seconds = _STANDBY_SECONDS
        while True:
            try:
                with store:
                    store.migrate()
                    self._follow(store, stop, idle_seconds)
            except CaseStoreAwayError as error:
                self._is_away(error, wait_seconds)
            else:
                return
            reopened = None
            while reopened is None:
                self._backlog.look()
                if stop.wait(wait_seconds):
                    return
                wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
                try:
                    reopened = self._open_store()
                except CaseStoreAwayError as error:
                    self._is_away(error, wait_seconds)
            store, wait_seconds = reopened, _STANDBY_SECONDS

    def _is_away(self, error: CaseStoreAwayError, wait_seconds: float) -> None:
        _log.warning("%s; next try in %g s", error, wait_seconds)
        self._metrics.up.set(0)
        self._metrics.leading.set(0)
        self.trouble = str(error)

    def _is_well(self, store: CaseStore, *, leads: bool) -> None:
        waiting = outbox_of(store.connection)
        self._metrics.outbox.set(waiting.verdicts)
        self._metrics.outbox_age.set(waiting.oldest_seconds)
        self._metrics.up.set(1)
        self._metrics.leading.set(leads)
        self.trouble = None

    def _follow(self, store: CaseStore, stop: Stop, idle_seconds: float | None) -> None:
        if not self._lead(store, stop):
            return
        self._start(store)
        self._is_well(store, leads=True)
        idle_since = self._clock()
        while not stop.asked:
            batch = self._read()
            if batch.positions:
                self._file(store, batch)
                idle_since = self._clock()
            elif idle_seconds is not None and self._clock() - idle_since >= idle_seconds * 1000:
                return
            self._backlog.look()
            self._publish_verdicts(store)
            self._sweep(store)

    def _lead(self, store: CaseStore, stop: Stop) -> bool:
        said = False
        while not store.lead():
            self._is_well(store, leads=False)
            self._backlog.rest()
            if not said:
                _log.info("another process fills this case store; waiting to take over")
                said = True
            if stop.wait(_STANDBY_SECONDS):
                return False
        return True

    def _start(self, store: CaseStore) -> None:
        """Go to where the store has read to."""
        self._foreign_before = self._foreign_read()
        read = store.positions([log.topic for log in self._logs])
        for log in self._logs:
            positions = {partition: read.get((log.topic, partition), 0) for partition in log.partitions}
            for partition, end in log.ends().items():
                if positions[partition] > end:
                    raise TopicError(
                        f"the case store has read {log.topic!r}, partition {partition}, up to offset"
                        f" {positions[partition]}, but it ends at {end}: it was made anew, or is another"
                        " broker's; give the new topics a database of their own"
                    )
            log.start(positions)
            for partition, position in log.positions.items():
                if 0 < positions[partition] < position:
                    _log.error(
                        "%s/%d: records %d to %d fell off the topic before they were filed",
                        *(log.topic, partition, positions[partition], position - 1),
                    )
        self._backlog.begin(read)

    def _read(self) -> Batch:
        batch = Batch()
        for log in self._logs:
            records = log.poll(BATCH_RECORDS, _POLL_SECONDS)
            if log is self._scores:
                batch.scores += _placed(records, self._decode_score)
            elif log is self._alerts:
                batch.alerts += _placed(records, self._decode_alert)
            else:
                batch.labels += _placed(records, self._read_label)
            batch.positions |= {(record.topic, record.partition): record.offset + 1 for record in records}
        return batch

    def _read_label(self, record: Record) -> Label | None:
        label = self._decode_label(record)
        return None if label is None else label_called(label, self._tokens)

    def _file(self, store: CaseStore, batch: Batch) -> None:
        with self._metrics.batch_seconds.time():
            refused = store.file(batch)
        # What was read and not filed is read again, and must not count again.
        foreign = self._foreign_read() - self._foreign_before
        self._foreign_before = self._foreign_read()
        self.filed += len(batch) - refused
        self.foreign += foreign + refused
        for outcome, count in (("filed", len(batch) - refused), ("foreign", foreign), ("refused", refused)):
            self._metrics.records.labels(outcome).inc(count)
        self._backlog.filed(batch)
        try:
            self._tell_kafka(batch)
        except InfrastructureError as error:
            # The store knows how far it has read; Kafka hears of it with a later batch.
            _log.warning("%s", error)

    def _tell_kafka(self, batch: Batch) -> None:
        for log in self._logs:
            log.commit(
                {place[1]: offset for place, offset in batch.positions.items() if place[0] == log.topic}
            )

    def _foreign_read(self) -> int:
        return self._decode_score.foreign + self._decode_alert.foreign + self._decode_label.foreign

    def _publish_verdicts(self, store: CaseStore) -> None:
        if self._clock() - self._published_ms < _PUBLISH_EVERY_MS:
            return
        try:
            self._metrics.published.inc(self._publish(store))
        except CaseStoreAwayError:
            raise
        except InfrastructureError as error:
            _log.warning("verdicts are still to be published: %s", error)
        self._is_well(store, leads=True)
        self._published_ms = self._clock()

    def _sweep(self, store: CaseStore) -> None:
        now = self._clock()
        if now - self._swept_ms >= _SWEEP_EVERY_MS:
            swept = store.sweep(now, self._case_days, self._history_days)
            self._swept_ms = now
            self.swept += swept.transactions
            if any(swept):
                _log.info("too old: %d transactions, %d labels removed", *swept)


def _placed(
    records: Sequence[Record], decode: Callable[[Record], Score | Alert | Label | None]
) -> list[Placed]:
    decoded = ((decode(record), record) for record in records)
    return [Placed(content, record) for content, record in decoded if content is not None]
