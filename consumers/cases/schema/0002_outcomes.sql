-- What a transaction is held to be, in one place: for alerts, for a customer's history, and for what a verdict changes.

-- A verdict holds from the moment it is given; once its label has come round, whichever label is last does. No row
-- while nothing is known.
CREATE FUNCTION outcome_of(wanted text) RETURNS TABLE (is_fraud boolean, source text) LANGUAGE sql STABLE AS $$
    SELECT
        CASE WHEN said.is_under_way THEN said.is_fraud ELSE label.is_fraud END,
        CASE WHEN said.is_under_way THEN 'analyst' ELSE label.source END
    FROM (SELECT) AS one
    LEFT JOIN LATERAL (
        SELECT l.is_fraud, l.source FROM labels l WHERE l.transaction_id = wanted ORDER BY l.log_offset DESC LIMIT 1
    ) AS label ON true
    LEFT JOIN LATERAL (
        SELECT
            v.is_fraud,
            NOT EXISTS (
                SELECT FROM labels l
                WHERE l.transaction_id = wanted AND l.source = 'analyst' AND l.label_time = v.label_time
            ) AS is_under_way
        FROM verdicts v WHERE v.transaction_id = wanted ORDER BY v.id DESC LIMIT 1
    ) AS said ON true
    WHERE label.source IS NOT NULL OR said.is_under_way
$$;

CREATE OR REPLACE VIEW cases AS
SELECT
    a.transaction_id, t.event_time, t.customer_id, t.terminal_id, t.amount, t.score, t.threshold,
    t.model_version, t.snapshot, t.scored_at, a.reasons, a.shadow, codes.reason_codes, codes.reason_texts,
    CASE WHEN held.is_fraud IS NULL THEN 'open' WHEN held.is_fraud THEN 'fraud' ELSE 'legitimate' END AS state,
    held.source AS state_source, said.who AS analyst, said.why, said.decided_at
FROM alerts a
JOIN transactions t USING (transaction_id)
CROSS JOIN LATERAL (
    SELECT
        string_agg(reason ->> 'feature', ', ' ORDER BY place) AS reason_codes,
        string_agg(reason ->> 'text', '; ' ORDER BY place) AS reason_texts
    FROM jsonb_array_elements(a.reasons) WITH ORDINALITY AS each (reason, place)
) AS codes
LEFT JOIN LATERAL outcome_of(a.transaction_id) AS held ON true
LEFT JOIN LATERAL (
    SELECT v.who, v.why, v.decided_at FROM verdicts v
    WHERE v.transaction_id = a.transaction_id ORDER BY v.id DESC LIMIT 1
) AS said ON true;

-- The same as state = 'open', found without asking what each alert of half a year turned out to be.
CREATE OR REPLACE VIEW open_alerts AS
SELECT * FROM cases c
WHERE NOT EXISTS (SELECT FROM labels l WHERE l.transaction_id = c.transaction_id)
    AND NOT EXISTS (SELECT FROM verdicts v WHERE v.transaction_id = c.transaction_id);
