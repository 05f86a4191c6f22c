-- What the stream has said, and what people made of it. docs/case-store.md describes it for readers.

-- How far each partition has been read: moved in the same transaction as what was read.
CREATE TABLE positions (
    topic text NOT NULL,
    partition integer NOT NULL,
    next_offset bigint NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- Every scored transaction.
CREATE TABLE transactions (
    transaction_id text PRIMARY KEY,
    event_time timestamptz NOT NULL,
    customer_id text NOT NULL,
    terminal_id text NOT NULL,
    amount double precision NOT NULL,
    score double precision NOT NULL,
    threshold double precision NOT NULL,
    model_version text NOT NULL,
    snapshot bigint NOT NULL,
    scored_at timestamptz NOT NULL
);
CREATE INDEX transactions_of_customer ON transactions (customer_id, event_time);
CREATE INDEX transactions_by_event_time ON transactions (event_time);
-- Written nearly in its order: a summary of each range of blocks is enough to find what is too old.
CREATE INDEX transactions_by_scored_at ON transactions USING brin (scored_at);

-- Those of them that became alerts.
CREATE TABLE alerts (
    transaction_id text PRIMARY KEY REFERENCES transactions ON DELETE CASCADE,
    reasons jsonb NOT NULL,
    shadow jsonb NOT NULL
);

-- Every label, those that contradict each other too: the one with the largest offset holds. No foreign key, since a
-- label may be read before the score of its transaction.
CREATE TABLE labels (
    transaction_id text NOT NULL,
    log_offset bigint NOT NULL,
    is_fraud boolean NOT NULL,
    source text NOT NULL,
    label_time timestamptz NOT NULL,
    stored_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (transaction_id, log_offset)
);
CREATE INDEX labels_of_frauds ON labels (transaction_id, log_offset) WHERE is_fraud;
CREATE INDEX labels_by_stored_at ON labels USING brin (stored_at);

-- What analysts decided: the audit, and what is still to be published as a label.
CREATE TABLE verdicts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    transaction_id text NOT NULL REFERENCES transactions ON DELETE CASCADE,
    is_fraud boolean NOT NULL,
    who text NOT NULL,
    why text NOT NULL,
    via text NOT NULL,
    decided_at timestamptz NOT NULL,
    label_time timestamptz NOT NULL,
    -- What held before; null where nothing did.
    before_is_fraud boolean,
    before_source text,
    published_at timestamptz
);
CREATE INDEX verdicts_of_transaction ON verdicts (transaction_id, id);
CREATE INDEX verdicts_unpublished ON verdicts (id) WHERE published_at IS NULL;

CREATE FUNCTION refuse_rewriting_verdicts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a verdict is written once; only published_at is set later';
END
$$;
CREATE TRIGGER verdicts_are_written_once
    BEFORE UPDATE OF id, transaction_id, is_fraud, who, why, via, decided_at, label_time, before_is_fraud, before_source
    ON verdicts FOR EACH STATEMENT EXECUTE FUNCTION refuse_rewriting_verdicts();

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

-- One row for each alert, with what it turned out to be so far.
CREATE VIEW cases AS
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
CREATE VIEW open_alerts AS
SELECT * FROM cases c
WHERE NOT EXISTS (SELECT FROM labels l WHERE l.transaction_id = c.transaction_id)
    AND NOT EXISTS (SELECT FROM verdicts v WHERE v.transaction_id = c.transaction_id);

-- Every transaction that is known to be a fraud, whether there was an alert or not.
CREATE VIEW frauds AS
SELECT
    t.transaction_id, t.event_time, t.customer_id, t.terminal_id, t.amount, t.score, t.model_version,
    l.source, l.label_time, a.transaction_id IS NOT NULL AS caught
FROM labels l
JOIN transactions t USING (transaction_id)
LEFT JOIN alerts a USING (transaction_id)
WHERE l.is_fraud AND NOT EXISTS (
    SELECT FROM labels later
    WHERE later.transaction_id = l.transaction_id AND later.log_offset > l.log_offset
);

-- By the day of the event, UTC. Amounts are sums over transactions; precision and recall are null where nothing is known.
CREATE VIEW outcomes_by_day AS
SELECT
    day,
    coalesce(c.alerts, 0) AS alerts,
    coalesce(c.alerts_open, 0) AS alerts_open,
    coalesce(c.frauds_caught, 0) AS frauds_caught,
    coalesce(c.false_alerts, 0) AS false_alerts,
    coalesce(m.frauds_missed, 0) AS frauds_missed,
    coalesce(c.amount_alerted, 0) AS amount_alerted,
    coalesce(c.amount_open, 0) AS amount_open,
    coalesce(c.amount_caught, 0) AS amount_caught,
    coalesce(m.amount_missed, 0) AS amount_missed,
    c.frauds_caught::double precision / nullif(c.frauds_caught + c.false_alerts, 0) AS precision,
    coalesce(c.frauds_caught, 0)::double precision
        / nullif(coalesce(c.frauds_caught, 0) + coalesce(m.frauds_missed, 0), 0) AS recall
FROM (
    SELECT
        date_trunc('day', event_time, 'UTC') AS day,
        count(*) AS alerts,
        count(*) FILTER (WHERE state = 'open') AS alerts_open,
        count(*) FILTER (WHERE state = 'fraud') AS frauds_caught,
        count(*) FILTER (WHERE state = 'legitimate') AS false_alerts,
        sum(amount) AS amount_alerted,
        coalesce(sum(amount) FILTER (WHERE state = 'open'), 0) AS amount_open,
        coalesce(sum(amount) FILTER (WHERE state = 'fraud'), 0) AS amount_caught
    FROM cases GROUP BY 1
) AS c
FULL JOIN (
    SELECT date_trunc('day', event_time, 'UTC') AS day, count(*) AS frauds_missed, sum(amount) AS amount_missed
    FROM frauds WHERE NOT caught GROUP BY 1
) AS m USING (day);

-- Which terminals and customers the alerts and frauds of a day are about.
CREATE VIEW hits_by_day AS
SELECT
    date_trunc('day', event_time, 'UTC') AS day,
    about.kind,
    about.id,
    count(*) FILTER (WHERE alerted) AS alerts,
    count(*) FILTER (WHERE is_open) AS alerts_open,
    count(*) FILTER (WHERE is_fraud) AS frauds,
    coalesce(sum(amount) FILTER (WHERE is_fraud), 0) AS amount_of_frauds,
    coalesce(sum(amount) FILTER (WHERE is_open), 0) AS amount_open
FROM (
    SELECT event_time, customer_id, terminal_id, amount, true AS alerted, state = 'open' AS is_open,
        state = 'fraud' AS is_fraud
    FROM cases
    UNION ALL
    SELECT event_time, customer_id, terminal_id, amount, false, false, true FROM frauds WHERE NOT caught
) AS one
CROSS JOIN LATERAL (VALUES ('terminal', terminal_id), ('customer', customer_id)) AS about (kind, id)
GROUP BY 1, 2, 3;
