"""Queries: the PromQL of the dashboards, apart from how it is drawn.

Every name comes from the catalogue (``stream/adapters/metrics.py``) or a recording rule, which a test checks.
"""

from typing import Final

from grafana.panels import Query

ALL: Final = 'job="$environment"'
WORKERS: Final = f'{ALL}, instance=~"$instance"'
MODELS: Final = f'{ALL}, model=~"$model"'
RATE: Final = "$__rate_interval"
HOUR: Final = 3600
SCORER: Final = 'role="score"'
SCORED: Final = 'outcome="scored"'


def total(metric: str, labels: str = "", by: str = "", of: str = WORKERS) -> str:
    """Return a counter's rate, summed."""
    selector = f"{of}, {labels}" if labels else of
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate({metric}{{{selector}}}[{RATE}]))"


def quantiles(histogram: str, *shares: float, of: str = WORKERS) -> list[Query]:
    """Return a histogram's quantiles."""
    buckets = total(f"{histogram}_bucket", by="le", of=of)
    return [Query(f"histogram_quantile({share:g}, {buckets})", f"p{share * 100:g}") for share in shares]


def _stage_p99(stage: str) -> Query:
    buckets = total("fraud_batch_seconds_bucket", f'stage="{stage}"', by="le, role")
    return Query(f"histogram_quantile(0.99, {buckets})", f"{{{{role}}}}: {stage}")


def of_champion(metric: str) -> str:
    """Return a figure of the model that serves."""
    return f"max({metric}{{{ALL}}} and on (job, instance, model) fraud_model_champion{{{ALL}}} == 1)"


def by_model(metric: str) -> str:
    """Return a figure of each model."""
    return f"max by (model) ({metric}{{{MODELS}}})"


def of_labels(signals: str) -> str:
    """Return daily figures of how labels arrive; `signals` is a regular expression."""
    return f'max by (signal, source) (fraud_label_signal{{{ALL}, signal=~"{signals}"}})'


def by_week(metric: str) -> Query:
    """Return the mean of a week of a figure of each model."""
    return Query(f"avg_over_time(job_model:{metric}:max{{{MODELS}}}[7d])", "{{model}}")


# Operations: now.
READY_WORKERS: Final = Query(f"sum(fraud_ready{{{WORKERS}}})")
SCORED_PER_SECOND: Final = Query(total("fraud_transactions_total", SCORED))
LATENCY_P99: Final = quantiles("fraud_scoring_latency_seconds", 0.99)[0]
LAG_NOW: Final = Query(f"sum(fraud_consumer_lag_records{{{WORKERS}}})")
STREAM_TIME: Final = Query(f'max(fraud_event_timestamp_seconds{{{WORKERS}, role="score"}}) * 1000')
ALERTS_FIRING: Final = Query('sum(ALERTS{alertname=~"Fraud.*", alertstate="firing"}) or vector(0)')

# The flow.
THROUGHPUT: Final = Query(total("fraud_transactions_total", by="outcome"), "{{outcome}}")
LATENCY: Final = quantiles("fraud_scoring_latency_seconds", 0.5, 0.95, 0.99)
SLOW_SHARE: Final = Query('job:fraud_scoring_slow:ratio_rate5m{job="$environment"}', "slower than 100 ms")
LAG: Final = Query(f"sum by (topic) (fraud_consumer_lag_records{{{WORKERS}}})", "{{topic}}")
STAGES: Final = Query(
    f"{total('fraud_batch_seconds_sum', SCORER, by='stage')}"
    f" / on () group_left () {total('fraud_batch_records_sum', SCORER)}",
    "{{stage}}",
)
BATCH_RECORDS: Final = Query(
    f"{total('fraud_batch_records_sum', by='role')} / {total('fraud_batch_records_count', by='role')}",
    "{{role}}",
)
BATCH_P99: Final = Query(
    f"histogram_quantile(0.99, {total('fraud_batch_seconds_bucket', SCORER, by='le, stage')})",
    "{{stage}}",
)
SUSPECT_LABELS: Final = Query(total("fraud_suspect_labels_total", by="source"), "unlikely: {{source}}")
DEAD_LETTERS: Final = Query(
    f"{total('fraud_dead_letters_total', by='topic, reason')} > 0", "{{topic}}: {{reason}}"
)
TOKENISED: Final = Query(total("fraud_tokenised_transactions_total"), "came with card numbers")

# The objectives: what was bad in the last hour, over what may be.
BURN_RATES: Final = [
    Query(f"job:{recorded}:ratio_rate1h{{{ALL}}} / {budget}", objective)
    for recorded, budget, objective in (
        ("fraud_scoring_slow", "0.01", "scored within 100 ms"),
        ("fraud_scoring_undecided", "0.001", "decided within 10 s"),
        ("fraud_labels_slow", "0.01", "labels joined within 60 s"),
    )
]

# The services.
WAITING: Final = Query(f"max by (service) (fraud_waiting{{{WORKERS}}})", "{{service}}")
FAILED_CALLS: Final = Query(total("fraud_infrastructure_errors_total", by="service"), "{{service}}")
REDIS_P99: Final = [_stage_p99(stage) for stage in ("load", "commit")]
KAFKA_P99: Final = _stage_p99("emit")

# The learner.
LABEL_JOIN: Final = quantiles("fraud_label_join_seconds", 0.5, 0.99)
PARKED: Final = Query(f"sum(fraud_parked_labels{{{WORKERS}}})", "parked")
CHECKPOINT_AGE: Final = Query(f"time() - max(fraud_checkpoint_timestamp_seconds{{{WORKERS}}} > 0)", "age")
CHECKPOINT_BYTES: Final = Query(f"max(fraud_checkpoint_bytes{{{WORKERS}}})", "size")
LABEL_OFFSET: Final = Query(f"max(fraud_label_offset{{{WORKERS}}})", "offset")

# Workers.
READY: Final = Query(f"fraud_ready{{{WORKERS}}}", "{{instance}}")
BUILDS: Final = Query(f"count by (version, role) (fraud_build_info{{{WORKERS}}})", "{{version}} {{role}}")
PARTITIONS: Final = Query(f"fraud_assigned_partitions{{{WORKERS}}}", "{{instance}} {{role}}")
STALLED: Final = Query(
    f"max by (instance, role) (fraud_stalled_seconds{{{WORKERS}}})", "{{instance}} {{role}}"
)
FENCED: Final = Query(total("fraud_fenced_total", by="role"), "fenced: {{role}}")
FORGOTTEN: Final = Query(total("fraud_forgotten_total"), "states forgotten")
LOST: Final = Query(total("fraud_offset_gap_records_total", by="topic"), "lost unread: {{topic}}")
CPU: Final = Query(f"rate(process_cpu_seconds_total{{{WORKERS}}}[{RATE}])", "{{instance}}")
MEMORY: Final = Query(f"process_resident_memory_bytes{{{WORKERS}}}", "{{instance}}")
OPEN_FILES: Final = Query(f"process_open_fds{{{WORKERS}}}", "{{instance}}")
PROCESS_AGE: Final = Query(f"time() - process_start_time_seconds{{{WORKERS}}}", "{{instance}}")

# The case store and the desk's process.
CASE_STORE_UP: Final = Query(f"fraud_case_store_up{{{WORKERS}}}", "{{instance}}")
FILLERS: Final = Query(f"sum(fraud_cases_leading{{{WORKERS}}})", "filling")
CASES_LAG: Final = Query(f"max by (topic) (fraud_cases_lag_records{{{WORKERS}}})", "{{topic}}")
CASES_BEHIND: Final = Query(f"max by (topic) (fraud_cases_behind_seconds{{{WORKERS}}})", "{{topic}}")
CASES_FILED: Final = Query(total("fraud_cases_records_total", by="outcome"), "{{outcome}}")
FILING_P99: Final = Query(quantiles("fraud_cases_batch_seconds", 0.99)[0].expr, "filing a batch")
DESK_REQUESTS: Final = Query(total("fraud_desk_requests_total", by="code"), "{{code}}")
DESK_P99: Final = Query(
    f"histogram_quantile(0.99, {total('fraud_desk_request_seconds_bucket', by='le, route')}) >= 0",
    "{{route}}",
)
DESK_LOGINS: Final = Query(total("fraud_desk_logins_total", by="outcome"), "login: {{outcome}}")
VERDICTS_WAITING: Final = Query(f"max(fraud_verdict_outbox_verdicts{{{WORKERS}}})", "verdicts")
VERDICT_WAIT: Final = Query(f"max(fraud_verdict_outbox_oldest_seconds{{{WORKERS}}})", "oldest")

# The desk.
ALERT_TO_DESK: Final = quantiles("fraud_cases_alert_seconds", 0.5, 0.99, of=ALL)
VERDICTS_HOUR: Final = Query(
    f"{total('fraud_desk_verdicts_total', by='judged, outcome', of=ALL)} * {HOUR}", "{{judged}}: {{outcome}}"
)
VERDICTS_PUBLISHED_HOUR: Final = Query(
    f"{total('fraud_cases_verdicts_published_total', of=ALL)} * {HOUR}", "published later"
)
VERDICTS_IN_OUTBOX: Final = Query(f"max(fraud_verdict_outbox_verdicts{{{ALL}}})", "verdicts")
ALERTS_LAST_DAY: Final = Query(f"sum(fraud_alerts_last_day{{{ALL}}})", "given")
ALERT_BUDGET: Final = Query(f"sum(fraud_alert_budget{{{ALL}}})", "budget")
ALERT_THRESHOLD: Final = Query(f"fraud_alert_threshold{{{ALL}}}", "partition {{partition}}")
ALERT_SHARE: Final = Query(
    f"{total('fraud_alerts_total', of=ALL)} / {total('fraud_transactions_total', SCORED, of=ALL)}",
    "alerts among the scored",
)
ALERTS_HOUR: Final = Query(f"{HOUR} * {total('fraud_alerts_total', of=ALL)}", "alerts")
AMOUNT_HOUR: Final = Query(f"{HOUR} * {total('fraud_alerted_amount_total', of=ALL)}", "amount")
AMOUNT_ALERTED_DAY: Final = Query(f"sum(increase(fraud_alerted_amount_total{{{ALL}}}[1d]))", "amount")
FRAUDS_KNOWN: Final = Query(f"{HOUR} * {total('fraud_frauds_total', by='outcome', of=ALL)}", "{{outcome}}")
AMOUNTS_KNOWN: Final = Query(
    f"{HOUR} * {total('fraud_frauds_amount_total', by='outcome', of=ALL)}", "{{outcome}}"
)
CAUGHT_AMOUNT_SHARE: Final = Query(
    f'sum(increase(fraud_frauds_amount_total{{{ALL}, outcome="caught"}}[1d]))'
    f" / sum(increase(fraud_frauds_amount_total{{{ALL}}}[1d]))",
    "caught",
)
CHAMPION_PRECISION: Final = Query(of_champion("fraud_model_alert_precision"), "precision")
CHAMPION_RECALL: Final = Query(of_champion("fraud_model_alert_recall"), "recall")
SCORES: Final = Query(f"sum by (le) (increase(fraud_score_bucket{{{ALL}}}[{RATE}]))", "{{le}}")

# Models.
CHAMPION: Final = Query(f"max by (model) (fraud_model_champion{{{ALL}}} == 1)", "{{model}}")
CHAMPION_AP: Final = Query(of_champion("fraud_model_average_precision"), "average precision")
CHAMPION_WINDOW: Final = Query(of_champion("fraud_model_window_labels"), "labels")
CHALLENGER_LEAD: Final = Query(
    f"job:fraud_challenger_average_precision:max{{{ALL}}}"
    f" - job:fraud_champion_average_precision:max{{{ALL}}}",
    "lead",
)
AVERAGE_PRECISION: Final = Query(by_model("fraud_model_average_precision"), "{{model}}")
LOG_LOSS: Final = Query(by_model("fraud_model_log_loss"), "{{model}}")
CALIBRATION_ERROR: Final = Query(by_model("fraud_model_calibration_error"), "{{model}} calibration error")
BRIER: Final = Query(by_model("fraud_model_brier"), "{{model}} Brier")
PRECISION: Final = Query(by_model("fraud_model_alert_precision"), "{{model}} precision")
RECALL: Final = Query(by_model("fraud_model_alert_recall"), "{{model}} recall")
AP_BY_WEEK: Final = by_week("fraud_model_average_precision")
PRECISION_BY_WEEK: Final = by_week("fraud_model_alert_precision")
CALIBRATION_BY_WEEK: Final = by_week("fraud_model_calibration_error")
WINDOW: Final = Query(by_model("fraud_model_window_labels"), "{{model}}")
CHAMPIONS: Final = Query(by_model("fraud_model_champion"), "{{model}}")
SNAPSHOTS: Final = Query(f"fraud_model_snapshot{{{MODELS}}}", "{{instance}}: {{model}}")
LEARNED: Final = Query(total("fraud_learned_total", by="model", of=MODELS), "{{model}}")
DRIFT: Final = Query(
    f"sum by (signal) (increase(fraud_drift_total{{{ALL}}}[{RATE}])) > 0", "drift: {{signal}}"
)
SWAPS: Final = Query(f"sum(increase(fraud_swaps_total{{{ALL}}}[{RATE}]))", "swap")
ROLLBACKS: Final = Query(f"sum(increase(fraud_rollbacks_total{{{ALL}}}[{RATE}]))", "rollback")
SIGNALS: Final = Query(f"max by (signal) (fraud_population_signal{{{ALL}}})", "{{signal}}")
SIGNS: Final = Query(
    f"sum by (signal) (increase(fraud_population_signals_total{{{ALL}}}[{RATE}])) > 0", "signal: {{signal}}"
)
SHIFTS: Final = Query(f"topk(5, max by (feature) (fraud_feature_shift{{{ALL}}}))", "{{feature}}")
CASE: Final = Query(f"max by (state) (fraud_case_state{{{ALL}}})", "{{state}}")
GATE: Final = Query(
    f"sum by (decision) (increase(fraud_gate_decisions_total{{{ALL}}}[{RATE}]))", "gate {{decision}}"
)

# Labels.
LABELS: Final = Query(total("fraud_labels_total", by="outcome", of=ALL), "{{outcome}}")
LABEL_DELAY: Final = quantiles("fraud_label_delay_seconds", 0.1, 0.5, 0.9, of=ALL)
LABEL_COUNTS: Final = Query(of_labels("labels"), "{{source}}")
LABEL_SILENCE: Final = Query(of_labels("silent_days"), "{{source}}: days without any")
LABEL_SHARES: Final = Query(of_labels(".*_share"), "{{source}}: {{signal}}")
LABEL_SIGNS: Final = Query(
    f"sum by (signal, source) (increase(fraud_label_signals_total{{{ALL}}}[{RATE}])) > 0",
    "signal: {{signal}} of {{source}}",
)
LABEL_DELAYS: Final = Query(of_labels("delay_.*"), "{{source}}: {{signal}}")

# The batch challenger.
FITS: Final = Query(f"sum(increase(fraud_fits_total{{{ALL}}}[{RATE}]))", "fitted")
OFFERS: Final = Query(f"sum by (decision) (increase(fraud_offers_total{{{ALL}}}[{RATE}]))", "{{decision}}")
FIT_AGE: Final = Query(
    f'max(fraud_event_timestamp_seconds{{{ALL}, role="fit"}})'
    f" - max(fraud_fit_timestamp_seconds{{{ALL}}} > 0)",
    "age",
)
FIT_SECONDS: Final = Query(
    f"sum(fraud_fit_seconds_sum{{{ALL}}}) / sum(fraud_fit_seconds_count{{{ALL}}})", "time"
)
FIT_ROWS: Final = Query(f"max by (outcome) (fraud_fit_rows{{{ALL}}})", "{{outcome}}")
FIT_LABELS: Final = Query(total("fraud_fit_labels_total", by="outcome", of=ALL), "{{outcome}}")
