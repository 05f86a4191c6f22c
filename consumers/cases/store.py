"""The case store as those who fill it, sweep it and erase from it see it."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import msgspec
import psycopg
from psycopg import Connection, Cursor

from consumers.cases.connection import away, connect
from consumers.cases.migrations import migrate
from stream.clock import DAY_MS
from stream.records import Alert, Label, Record, Score

_log = logging.getLogger(__name__)

_ONE_FILLER: Final = 0x66726175640002
"""Key of the advisory lock that its one filler holds."""
_SWEPT_AT_ONCE: Final = 5_000

Place = tuple[str, int]
"""Topic and partition."""


class Placed(NamedTuple):
    """What a record held, and where it lay."""

    content: Score | Alert | Label
    record: Record


@dataclass
class Batch:
    """Records to be filed together, and how far each partition has been read with them."""

    scores: list[Placed] = field(default_factory=list)
    """From `scores`; alerts are among `alerts`, whichever topic was read first."""
    alerts: list[Placed] = field(default_factory=list)
    labels: list[Placed] = field(default_factory=list)
    positions: dict[Place, int] = field(default_factory=dict)
    """The next offset to read."""

    def __len__(self) -> int:
        return len(self.scores) + len(self.alerts) + len(self.labels)


class Swept(NamedTuple):
    """What was too old."""

    transactions: int
    labels: int
    """Those whose transaction was never seen."""


class CaseStore:
    """The database of cases, over one connection of its own.

    Parameters
    ----------
    conninfo
        As :func:`consumers.cases.connection.conninfo_of` returns it.

    Raises
    ------
    CaseStoreAwayError
        From here and from every method: the server is away. What was under way was not written.
    SettingsError
        The database's schema is later than this code.
    """

    def __init__(self, conninfo: str) -> None:
        self._connection: Connection[Any] = connect(conninfo)

    def migrate(self) -> int:
        """Bring the schema up to date; return how many steps that took."""
        with away():
            taken = migrate(self._connection)
        if taken:
            _log.info("the case store's schema was brought up to date: %d step(s)", taken)
        return taken

    def lead(self) -> bool:
        """Become the one that fills it, until the connection ends; False while another is."""
        with away():
            row = self._connection.execute("SELECT pg_try_advisory_lock(%s)", [_ONE_FILLER]).fetchone()
        assert row is not None
        return bool(row[0])

    def positions(self, topics: Sequence[str]) -> dict[Place, int]:
        """Return how far the partitions of `topics` have been read: the next offset."""
        with away():
            rows = self._connection.execute(
                "SELECT topic, partition, next_offset FROM positions WHERE topic = ANY(%s)", [list(topics)]
            ).fetchall()
        return {(topic, partition): offset for topic, partition, offset in rows}

    def file(self, batch: Batch) -> int:
        """Write a batch and its positions, all or nothing. What is there already stays as it is.

        Returns
        -------
        int
            How many of its records PostgreSQL cannot hold: they are logged and passed over.
        """
        with away():
            try:
                with self._connection.transaction(), self._connection.cursor() as cursor:
                    _write(cursor, batch.scores, batch.alerts, batch.labels)
                    _move(cursor, batch.positions)
            except psycopg.DataError:
                # One of them, perhaps: a text with a NUL character, or a time that no calendar has.
                with self._connection.transaction(), self._connection.cursor() as cursor:
                    refused = sum(self._refuses(cursor, *one) for one in _one_by_one(batch))
                    _move(cursor, batch.positions)
                return refused
            return 0

    def sweep(self, now_ms: int, case_days: float, history_days: float) -> Swept:
        """Remove what is too old: a little at a time, so that nobody waits for long.

        Parameters
        ----------
        now_ms
            The present, in milliseconds since 1970.
        case_days
            For how many days after it was scored an alert is kept, with its labels and verdicts.
        history_days
            For how many any other transaction is; at most as long as alerts are.
        """
        cases_before = now_ms - round(case_days * DAY_MS)
        others_before = now_ms - round(min(history_days, case_days) * DAY_MS)
        transactions = self._sweep_some(_OLD_CASES, cases_before)
        transactions += self._sweep_some(_OLD_OTHERS, others_before)
        return Swept(transactions, self._sweep_some(_OLD_LABELS, cases_before))

    @property
    def connection(self) -> Connection[Any]:
        """What it is connected by."""
        return self._connection

    def erase(self, customer_id: str) -> int:
        """Remove everything about a customer: transactions, alerts, labels, verdicts.

        Returns
        -------
        int
            How many transactions there were.
        """
        with away(), self._connection.transaction():
            return self._connection.execute(
                "WITH gone AS (DELETE FROM transactions WHERE customer_id = %s RETURNING transaction_id),"
                " unlabelled AS (DELETE FROM labels USING gone"
                " WHERE labels.transaction_id = gone.transaction_id)"
                " SELECT FROM gone",
                [customer_id],
            ).rowcount

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _refuses(
        self,
        cursor: Cursor[Any],
        record: Record,
        scores: list[Placed],
        alerts: list[Placed],
        labels: list[Placed],
    ) -> bool:
        try:
            with self._connection.transaction():
                _write(cursor, scores, alerts, labels)
        except psycopg.DataError as error:
            # Its content may be anything: the place is enough to look it up.
            _log.warning(
                "%s/%d at %d cannot be stored and is passed over: %s",
                *(record.topic, record.partition, record.offset, type(error).__name__),
            )
            return True
        return False

    def _sweep_some(self, statement: Any, before_ms: int) -> int:
        total = 0
        while True:
            with away(), self._connection.transaction():
                removed = self._connection.execute(
                    statement, {"before": before_ms, "limit": _SWEPT_AT_ONCE}
                ).rowcount
            total += removed
            if removed < _SWEPT_AT_ONCE:
                return total


def is_being_filled(connection: Connection[Any]) -> bool:
    """Tell whether a process is the one that fills the case store now."""
    with away():
        row = connection.execute(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1"
            " AND (classid::bigint << 32) | objid::bigint = %s"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
            [_ONE_FILLER],
        ).fetchone()
    assert row is not None
    return bool(row[0])


_INSERT_TRANSACTIONS: Final = """
INSERT INTO transactions (
    transaction_id, event_time, customer_id, terminal_id, amount, score, threshold, model_version, snapshot,
    scored_at
)
SELECT
    id, to_timestamp(event_ms / 1000.0), customer, terminal, amount, score, threshold, model, snapshot,
    to_timestamp(scored_ms / 1000.0)
FROM unnest(
    %s::text[], %s::bigint[], %s::text[], %s::text[], %s::double precision[], %s::double precision[],
    %s::double precision[], %s::text[], %s::bigint[], %s::bigint[]
) AS new (id, event_ms, customer, terminal, amount, score, threshold, model, snapshot, scored_ms)
ON CONFLICT DO NOTHING"""
_INSERT_ALERTS: Final = """
INSERT INTO alerts (transaction_id, reasons, shadow)
SELECT id, reasons::jsonb, shadow::jsonb
FROM unnest(%s::text[], %s::text[], %s::text[]) AS new (id, reasons, shadow)
ON CONFLICT DO NOTHING"""
_INSERT_LABELS: Final = """
INSERT INTO labels (transaction_id, log_offset, is_fraud, source, label_time)
SELECT id, log_offset, is_fraud, source, to_timestamp(label_ms / 1000.0)
FROM unnest(%s::text[], %s::bigint[], %s::boolean[], %s::text[], %s::bigint[])
    AS new (id, log_offset, is_fraud, source, label_ms)
ON CONFLICT DO NOTHING"""
_MOVE: Final = """
INSERT INTO positions (topic, partition, next_offset)
SELECT * FROM unnest(%s::text[], %s::integer[], %s::bigint[])
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset"""

# What belongs to a transaction goes with it: the foreign keys see to alerts and verdicts.
_OLD_CASES: Final = """
WITH old AS (
    SELECT transaction_id FROM transactions
    WHERE scored_at < to_timestamp(%(before)s / 1000.0) LIMIT %(limit)s
), gone AS (
    DELETE FROM transactions USING old WHERE transactions.transaction_id = old.transaction_id
    RETURNING transactions.transaction_id
), unlabelled AS (DELETE FROM labels USING gone WHERE labels.transaction_id = gone.transaction_id)
SELECT FROM gone"""
# Frauds that were missed stay as long as alerts: what was lost is counted against what was caught.
_OLD_OTHERS: Final = """
WITH old AS (
    SELECT transaction_id FROM transactions t
    WHERE scored_at < to_timestamp(%(before)s / 1000.0)
        AND NOT EXISTS (SELECT FROM alerts a WHERE a.transaction_id = t.transaction_id)
        AND NOT EXISTS (SELECT FROM labels l WHERE l.transaction_id = t.transaction_id AND l.is_fraud)
    LIMIT %(limit)s
), gone AS (
    DELETE FROM transactions USING old WHERE transactions.transaction_id = old.transaction_id
    RETURNING transactions.transaction_id
), unlabelled AS (DELETE FROM labels USING gone WHERE labels.transaction_id = gone.transaction_id)
SELECT FROM gone"""
_OLD_LABELS: Final = """
WITH old AS (
    SELECT transaction_id, log_offset FROM labels l
    WHERE stored_at < to_timestamp(%(before)s / 1000.0)
        AND NOT EXISTS (SELECT FROM transactions t WHERE t.transaction_id = l.transaction_id)
    LIMIT %(limit)s
)
DELETE FROM labels USING old
WHERE labels.transaction_id = old.transaction_id AND labels.log_offset = old.log_offset"""


def _write(
    cursor: Cursor[Any], scores: Sequence[Placed], alerts: Sequence[Placed], labels: Sequence[Placed]
) -> None:
    # An alert brings its transaction along: the topics are read beside each other.
    scored = [placed.content for placed in (*scores, *alerts) if isinstance(placed.content, Score)]
    if scored:
        columns = zip(*map(_transaction, scored), strict=True)
        cursor.execute(_INSERT_TRANSACTIONS, [list(column) for column in columns])
    alerted = [placed.content for placed in alerts if isinstance(placed.content, Alert)]
    if alerted:
        columns = zip(*map(_alert, alerted), strict=True)
        cursor.execute(_INSERT_ALERTS, [list(column) for column in columns])
    if labels:
        columns = zip(*map(_label, labels), strict=True)
        cursor.execute(_INSERT_LABELS, [list(column) for column in columns])


def _one_by_one(
    batch: Batch,
) -> Iterator[tuple[Record, list[Placed], list[Placed], list[Placed]]]:
    yield from ((placed.record, [placed], [], []) for placed in batch.scores)
    yield from ((placed.record, [], [placed], []) for placed in batch.alerts)
    yield from ((placed.record, [], [], [placed]) for placed in batch.labels)


def _transaction(score: Score) -> tuple[Any, ...]:
    return (
        *(score.transaction_id, score.event_time, score.customer_id, score.terminal_id, score.amount),
        *(score.score, score.threshold, score.model_version, score.snapshot, score.scored_at),
    )


def _alert(alert: Alert) -> tuple[str, str, str]:
    return (
        alert.transaction_id,
        msgspec.json.encode(alert.reasons).decode(),
        msgspec.json.encode(alert.shadow).decode(),
    )


def _label(placed: Placed) -> tuple[Any, ...]:
    label, record = placed
    assert isinstance(label, Label)
    return label.transaction_id, record.offset, label.is_fraud, label.source, label.label_time


def _move(cursor: Cursor[Any], positions: Mapping[Place, int]) -> None:
    if positions:
        topics, partitions = zip(*positions, strict=True)
        cursor.execute(_MOVE, [list(topics), list(partitions), list(positions.values())])
