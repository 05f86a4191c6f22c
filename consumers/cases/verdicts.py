"""Verdicts: an analyst's word on a transaction, written down with who, when and why, and made a label."""

from datetime import datetime
from typing import Any, Final, Literal, NamedTuple, Self

from psycopg import Connection

from consumers.cases.connection import away
from stream.clock import DAY_MS, Clock
from stream.errors import FraudstreamError
from stream.ports import Emitter, Outgoing
from stream.records import Label, encode
from stream.tokens import Tokens

LONGEST_NAME: Final = 64
LONGEST_REASON: Final = 1_000
_PUBLISHER: Final = 0x66726175640003
"""Key of the advisory lock under which labels are published, so that they leave in the verdicts' order."""
_AT_ONCE: Final = 500

Via = Literal["cli", "desk", "api"]


class VerdictError(FraudstreamError):
    """A verdict that cannot be taken: nobody's, without a reason, or on a transaction that is not known."""


class Verdict(NamedTuple):
    """What somebody has decided."""

    transaction_id: str
    is_fraud: bool
    who: str
    """Who decided; up to 64 characters."""
    why: str
    """What they saw; up to 1,000 characters."""
    via: Via

    def without_cards(self, tokens: Tokens) -> Self:
        """Return it as it may be kept: the transaction as we call it, and no card number in what was said."""
        return self._replace(
            transaction_id=tokens.identifier(self.transaction_id),
            who=tokens.note(self.who),
            why=tokens.note(self.why),
        )


class Outbox(NamedTuple):
    """Verdicts that are written down and no labels yet."""

    verdicts: int
    oldest_seconds: float
    """For how long the first of them has waited, by PostgreSQL's clock; 0 when none does."""


class Recorded(NamedTuple):
    """What became of a verdict."""

    is_new: bool
    """False when the last verdict said the same and still holds: nothing is written, nothing published."""
    before: str | None
    """What was held until now, `fraud` or `legitimate`; None when nothing was."""
    before_source: str | None
    """Who had said so."""


def record(connection: Connection[Any], verdict: Verdict, clock: Clock) -> Recorded:
    """Write a verdict down, to be published by :func:`publish_due`.

    Its label's time is the present. On a recorded or simulated stream, whose clock stands elsewhere by more
    than a day, it is the latest event time instead: features and models count by the stream's own clock.

    Raises
    ------
    VerdictError
        Why it cannot be taken.
    CaseStoreAwayError
        The database does not answer; nothing was written.
    """
    _check(verdict)
    now_ms = clock()
    with away(), connection.transaction():
        # Verdicts on one transaction come one after the other.
        known = connection.execute(
            "SELECT FROM transactions WHERE transaction_id = %s FOR UPDATE", [verdict.transaction_id]
        ).fetchone()
        if known is None:
            raise VerdictError(
                f"transaction {verdict.transaction_id!r} is not in the case store: look at its spelling, at"
                " FRAUD_CASE_STORE, and whether `fraudstream cases` is running; it may be too old"
            )
        held = connection.execute(
            "SELECT is_fraud, source FROM outcome_of(%s)", [verdict.transaction_id]
        ).fetchone()
        is_fraud, source = held or (None, None)
        last = connection.execute(
            "SELECT is_fraud, label_time FROM verdicts WHERE transaction_id = %s ORDER BY id DESC LIMIT 1",
            [verdict.transaction_id],
        ).fetchone()
        before = None if is_fraud is None else "fraud" if is_fraud else "legitimate"
        if last is not None and last[0] == is_fraud == verdict.is_fraud:
            return Recorded(is_new=False, before=before, before_source=source)
        connection.execute(
            "INSERT INTO verdicts (transaction_id, is_fraud, who, why, via, decided_at, label_time,"
            " before_is_fraud, before_source) VALUES (%s, %s, %s, %s, %s,"
            " to_timestamp(%s / 1000.0), to_timestamp(%s / 1000.0), %s, %s)",
            [
                *(verdict.transaction_id, verdict.is_fraud, verdict.who.strip(), verdict.why.strip()),
                *(verdict.via, now_ms, _label_ms(connection, now_ms, last and last[1]), is_fraud, source),
            ],
        )
    return Recorded(is_new=True, before=before, before_source=source)


def publish_due(connection: Connection[Any], emitter: Emitter, labels_topic: str) -> int:
    """Publish the verdicts that were written down and are no labels yet, in their order.

    What is published and not marked, because of a crash between the two, goes out again: the same label,
    which the learner recognises as a repetition.

    Returns
    -------
    int
        How many.

    Raises
    ------
    InfrastructureError
        Kafka or the database does not answer. What is due stays due.
    """
    published = 0
    while True:
        with away(), connection.transaction():
            connection.execute("SET LOCAL lock_timeout = '15s'")
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [_PUBLISHER])
            due = connection.execute(
                "SELECT id, transaction_id, is_fraud, label_time FROM verdicts WHERE published_at IS NULL"
                " ORDER BY id LIMIT %s",
                [_AT_ONCE],
            ).fetchall()
            if not due:
                return published
            labels = [_label(name, is_fraud, time) for _, name, is_fraud, time in due]
            emitter.emit(
                Outgoing(labels_topic, label.transaction_id.encode(), encode(label)) for label in labels
            )
            connection.execute(
                "UPDATE verdicts SET published_at = now() WHERE id = ANY(%s)", [[row[0] for row in due]]
            )
        published += len(due)


def outbox_of(connection: Connection[Any]) -> Outbox:
    """Return what :func:`publish_due` would publish now."""
    with away():
        row = connection.execute(
            "SELECT count(*), coalesce(extract(epoch FROM now() - min(decided_at)), 0) FROM verdicts"
            " WHERE published_at IS NULL"
        ).fetchone()
    assert row is not None
    return Outbox(int(row[0]), max(0.0, float(row[1])))


def _check(verdict: Verdict) -> None:
    for what, text, longest in (
        ("who decided", verdict.who, LONGEST_NAME),
        ("why", verdict.why, LONGEST_REASON),
        ("the transaction", verdict.transaction_id, LONGEST_NAME),
    ):
        if not text.strip():
            raise VerdictError(f"a verdict must say {what}")
        if len(text) > longest:
            raise VerdictError(f"a verdict says {what} in {longest} characters at most, not {len(text)}")
        if "\0" in text:
            raise VerdictError(f"a verdict says {what} without a NUL character")


def _label_ms(connection: Connection[Any], now_ms: int, last: datetime | None) -> int:
    row = connection.execute("SELECT max(event_time) FROM transactions").fetchone()
    assert row is not None
    latest_ms = _milliseconds(row[0])
    label_ms = now_ms if abs(now_ms - latest_ms) <= DAY_MS else latest_ms
    # By its time a verdict recognises its own label.
    return label_ms if last is None else max(label_ms, _milliseconds(last) + 1)


def _label(transaction_id: str, is_fraud: bool, label_time: datetime) -> Label:
    return Label(
        transaction_id=transaction_id,
        is_fraud=is_fraud,
        source="analyst",
        label_time=_milliseconds(label_time),
    )


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
