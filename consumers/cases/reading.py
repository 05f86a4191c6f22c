"""The case store as analysts see it: open alerts, and all that is known around one transaction."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, LiteralString

from psycopg import Connection, sql
from psycopg.rows import class_row

State = Literal["open", "fraud", "legitimate"]
Order = Literal["score", "amount", "newest"]

HISTORY: Final = 40
"""Transactions of a customer that are shown around one."""
_ORDERS: Final[dict[Order, LiteralString]] = {
    "score": "score DESC, event_time DESC",
    "amount": "amount DESC, event_time DESC",
    "newest": "event_time DESC",
}


@dataclass(frozen=True)
class Alerted:
    """A line in the list of alerts."""

    transaction_id: str
    event_time: datetime
    customer_id: str
    terminal_id: str
    amount: float
    score: float
    reasons: list[dict[str, Any]]
    state: State
    state_source: str | None
    analyst: str | None
    decided_at: datetime | None


@dataclass(frozen=True)
class Totals:
    """How much waits."""

    alerts_open: int
    amount_open: float


@dataclass(frozen=True)
class Case:
    """A transaction, with the alert that it was, if it was one."""

    transaction_id: str
    event_time: datetime
    customer_id: str
    terminal_id: str
    amount: float
    score: float
    threshold: float
    model_version: str
    snapshot: int
    scored_at: datetime
    reasons: list[dict[str, Any]] | None
    """None when it was no alert."""
    shadow: dict[str, float] | None
    state: State
    """`open` as long as nobody has said what it was, alert or not."""
    state_source: str | None


@dataclass(frozen=True)
class Payment:
    """One of a customer's transactions."""

    transaction_id: str
    event_time: datetime
    terminal_id: str
    amount: float
    score: float
    alerted: bool
    state: State


@dataclass(frozen=True)
class Said:
    """A verdict or a label, as it stands in the log of a case."""

    said_at: datetime
    is_fraud: bool
    source: str
    who: str | None
    why: str | None
    published: bool


@dataclass(frozen=True)
class Around:
    """What else is known of the customer and of the terminal."""

    customer_payments: int
    customer_frauds: int
    customer_usual: float | None
    """Median amount of the customer's other transactions."""
    terminal_frauds: int
    """Frauds at the terminal in the 30 days before this transaction."""
    terminal_alerts: int


def totals(connection: Connection[Any]) -> Totals:
    """Return how much waits for a verdict."""
    with connection.cursor(row_factory=class_row(Totals)) as cursor:
        found = cursor.execute(
            "SELECT count(*) AS alerts_open, coalesce(sum(amount), 0) AS amount_open FROM open_alerts"
        ).fetchone()
    assert found is not None
    return found


def open_alerts(connection: Connection[Any], order: Order, limit: int) -> list[Alerted]:
    """Return alerts that nobody has judged."""
    statement = sql.SQL(
        "SELECT transaction_id, event_time, customer_id, terminal_id, amount, score, reasons, state,"
        " state_source, analyst, decided_at FROM open_alerts ORDER BY {} LIMIT %s"
    ).format(sql.SQL(_ORDERS[order]))
    with connection.cursor(row_factory=class_row(Alerted)) as cursor:
        return cursor.execute(statement, [limit]).fetchall()


def judged_alerts(connection: Connection[Any], limit: int) -> list[Alerted]:
    """Return the newest alerts of which it is known what they were."""
    with connection.cursor(row_factory=class_row(Alerted)) as cursor:
        return cursor.execute(
            "SELECT transaction_id, event_time, customer_id, terminal_id, amount, score, reasons, state,"
            " state_source, analyst, decided_at FROM cases WHERE state <> 'open'"
            " ORDER BY coalesce(decided_at, event_time) DESC LIMIT %s",
            [limit],
        ).fetchall()


def case_of(connection: Connection[Any], transaction_id: str) -> Case | None:
    """Return a transaction, whether it was an alert or not; None when it is not known."""
    with connection.cursor(row_factory=class_row(Case)) as cursor:
        return cursor.execute(
            "SELECT t.*, a.reasons, a.shadow, CASE WHEN held.is_fraud IS NULL THEN 'open' WHEN held.is_fraud"
            " THEN 'fraud' ELSE 'legitimate' END AS state, held.source AS state_source"
            " FROM transactions t LEFT JOIN alerts a USING (transaction_id)"
            " LEFT JOIN LATERAL outcome_of(t.transaction_id) AS held ON true WHERE t.transaction_id = %s",
            [transaction_id],
        ).fetchone()


def history_of(connection: Connection[Any], case: Case, limit: int = HISTORY) -> list[Payment]:
    """Return the customer's transactions up to this one and after it, the newest first."""
    half = limit // 2
    with connection.cursor(row_factory=class_row(Payment)) as cursor:
        return cursor.execute(
            "WITH near AS ("
            " (SELECT * FROM transactions WHERE customer_id = %(customer)s AND event_time <= %(time)s"
            " ORDER BY event_time DESC LIMIT %(before)s)"
            " UNION ALL"
            " (SELECT * FROM transactions WHERE customer_id = %(customer)s AND event_time > %(time)s"
            " ORDER BY event_time LIMIT %(after)s))"
            " SELECT near.transaction_id, near.event_time, near.terminal_id, near.amount, near.score,"
            " a.transaction_id IS NOT NULL AS alerted, CASE WHEN held.is_fraud IS NULL THEN 'open'"
            " WHEN held.is_fraud THEN 'fraud' ELSE 'legitimate' END AS state"
            " FROM near LEFT JOIN alerts a USING (transaction_id)"
            " LEFT JOIN LATERAL outcome_of(near.transaction_id) AS held ON true"
            " ORDER BY near.event_time DESC",
            {
                "customer": case.customer_id,
                "time": case.event_time,
                "before": limit - half // 2,
                "after": half // 2,
            },
        ).fetchall()


def log_of(connection: Connection[Any], transaction_id: str) -> list[Said]:
    """Return verdicts and the labels of others, the newest first."""
    with connection.cursor(row_factory=class_row(Said)) as cursor:
        return cursor.execute(
            "SELECT decided_at AS said_at, is_fraud, 'analyst' AS source, who, why,"
            " published_at IS NOT NULL AS published FROM verdicts WHERE transaction_id = %(id)s"
            " UNION ALL"
            " SELECT label_time, is_fraud, source, NULL, NULL, true FROM labels l"
            " WHERE transaction_id = %(id)s AND NOT (source = 'analyst' AND EXISTS (SELECT FROM verdicts v"
            " WHERE v.transaction_id = l.transaction_id AND v.label_time = l.label_time))"
            " ORDER BY 1 DESC",
            {"id": transaction_id},
        ).fetchall()


def around(connection: Connection[Any], case: Case) -> Around:
    """Return what is known of the customer and of the terminal beside this transaction."""
    with connection.cursor(row_factory=class_row(Around)) as cursor:
        found = cursor.execute(
            "SELECT"
            " (SELECT count(*) FROM transactions WHERE customer_id = %(customer)s"
            " AND transaction_id <> %(id)s) AS customer_payments,"
            " (SELECT count(*) FROM transactions t CROSS JOIN LATERAL outcome_of(t.transaction_id) AS held"
            " WHERE t.customer_id = %(customer)s AND t.transaction_id <> %(id)s AND held.is_fraud)"
            " AS customer_frauds,"
            " (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY amount) FROM transactions"
            " WHERE customer_id = %(customer)s AND transaction_id <> %(id)s) AS customer_usual,"
            " (SELECT count(*) FROM frauds WHERE terminal_id = %(terminal)s AND transaction_id <> %(id)s"
            " AND event_time BETWEEN %(time)s - interval '30 days' AND %(time)s) AS terminal_frauds,"
            " (SELECT count(*) FROM alerts JOIN transactions t USING (transaction_id)"
            " WHERE t.terminal_id = %(terminal)s AND t.transaction_id <> %(id)s"
            " AND t.event_time BETWEEN %(time)s - interval '30 days' AND %(time)s) AS terminal_alerts",
            {
                "customer": case.customer_id,
                "id": case.transaction_id,
                "terminal": case.terminal_id,
                "time": case.event_time,
            },
        ).fetchone()
    assert found is not None
    return found
