"""Statements: the SQL of the dashboards, on the views of docs/case-store.md.

Days are those of the stream, back from the newest one in the store: a recorded file that is being replayed
shows as much as the present does.
"""

from typing import Final

DAYS: Final = 30
"""How far back the panels look."""
_SINCE: Final = f"(SELECT max(day) FROM outcomes_by_day) - interval '{DAYS} days'"

OPEN_ALERTS: Final = "SELECT count(*) AS open_alerts FROM open_alerts"
AMOUNT_OPEN: Final = "SELECT coalesce(sum(amount), 0) AS amount FROM open_alerts"
CASES: Final = """
SELECT
    event_time, transaction_id, customer_id, terminal_id, amount, score, reason_codes, reason_texts, state,
    state_source, analyst, model_version
FROM cases
ORDER BY (state = 'open') DESC, event_time DESC
LIMIT 200""".strip()
OUTCOMES: Final = f"""
SELECT
    to_char(day, 'YYYY-MM-DD') AS day, frauds_caught AS "frauds caught", false_alerts AS "false alerts",
    alerts_open AS "open", frauds_missed AS "frauds missed"
FROM outcomes_by_day WHERE day > {_SINCE}
ORDER BY outcomes_by_day.day""".strip()
AMOUNTS: Final = f"""
SELECT
    to_char(day, 'YYYY-MM-DD') AS day,
    amount_caught AS "caught", amount_open AS "open", amount_missed AS "missed"
FROM outcomes_by_day WHERE day > {_SINCE}
ORDER BY outcomes_by_day.day""".strip()
PRECISION: Final = f"""
SELECT to_char(day, 'YYYY-MM-DD') AS day, precision, recall
FROM outcomes_by_day WHERE day > {_SINCE}
ORDER BY outcomes_by_day.day""".strip()
REASONS: Final = f"""
SELECT
    reason ->> 'feature' AS reason,
    count(*) FILTER (WHERE state = 'fraud') AS "fraud",
    count(*) FILTER (WHERE state = 'legitimate') AS "legitimate",
    count(*) FILTER (WHERE state = 'open') AS "open"
FROM cases CROSS JOIN LATERAL jsonb_array_elements(reasons) AS each (reason)
WHERE event_time > {_SINCE}
GROUP BY 1
ORDER BY count(*) DESC
LIMIT 12""".strip()


def most_hit(kind: str) -> str:
    """Return the statement that ranks terminals or customers by their alerts and frauds."""
    return f"""
SELECT
    id, sum(alerts) AS alerts, sum(alerts_open) AS alerts_open, sum(frauds) AS frauds,
    sum(amount_of_frauds) AS amount_of_frauds, sum(amount_open) AS amount_open
FROM hits_by_day WHERE kind = '{kind}' AND day > {_SINCE}
GROUP BY id
ORDER BY sum(frauds) DESC, sum(alerts) DESC, id
LIMIT 15""".strip()
