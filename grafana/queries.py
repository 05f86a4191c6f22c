"""Queries: the PromQL of the dashboards, apart from how it is drawn.

Every name comes from the catalogue (``stream/adapters/metrics.py``) or a recording rule, which a test checks.
"""

from typing import Final

from grafana.panels import Query

WORKERS: Final = 'job="$job", instance=~"$instance"'
MODELS: Final = f'{WORKERS}, model=~"$model"'
RATE: Final = "$__rate_interval"
SCORER: Final = 'role="score"'
SCORED: Final = 'outcome="scored"'


def total(metric: str, labels: str = "", by: str = "") -> str:
    """Return a counter's rate, summed."""
    selector = f"{WORKERS}, {labels}" if labels else WORKERS
    grouping = f" by ({by})" if by else ""
    return f"sum{grouping} (rate({metric}{{{selector}}}[{RATE}]))"


def quantiles(histogram: str, *shares: float, labels: str = "") -> list[Query]:
    """Return a histogram's quantiles."""
    buckets = total(f"{histogram}_bucket", labels, by="le")
    return [Query(f"histogram_quantile({share:g}, {buckets})", f"p{share * 100:g}") for share in shares]


# Now.
READY_WORKERS: Final = Query(f"sum(fraud_ready{{{WORKERS}}})")
SCORED_PER_SECOND: Final = Query(total("fraud_transactions_total", SCORED))
LATENCY_P99: Final = quantiles("fraud_scoring_latency_seconds", 0.99)[0]
LAG_NOW: Final = Query(f"sum(fraud_consumer_lag_records{{{WORKERS}}})")
CHAMPION: Final = Query(f"max by (model) (fraud_model_champion{{{WORKERS}}} == 1)", "{{model}}")
STREAM_TIME: Final = Query(f'max(fraud_event_timestamp_seconds{{{WORKERS}, role="score"}}) * 1000')
ALERTS_FIRING: Final = Query('sum(ALERTS{alertname=~"Fraud.*", alertstate="firing"}) or vector(0)')

# The flow.
THROUGHPUT: Final = Query(total("fraud_transactions_total", by="outcome"), "{{outcome}}")
LATENCY: Final = quantiles("fraud_scoring_latency_seconds", 0.5, 0.95, 0.99)
SLOW_SHARE: Final = Query('job:fraud_scoring_slow:ratio_rate5m{job="$job"}', "slower than 100 ms")
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
DEAD_LETTERS: Final = Query(
    f"{total('fraud_dead_letters_total', by='topic, reason')} > 0", "{{topic}}: {{reason}}"
)

# Decisions.
ALERTS: Final = Query(total("fraud_alerts_total"), "alerts")
ALERT_SHARE: Final = Query(
    f"{total('fraud_alerts_total')} / {total('fraud_transactions_total', SCORED)}",
    "alerts among the scored",
)
ALERTS_LAST_DAY: Final = Query(f"sum(fraud_alerts_last_day{{{WORKERS}}})", "given")
ALERT_BUDGET: Final = Query(f"sum(fraud_alert_budget{{{WORKERS}}})", "budget")
ALERT_THRESHOLD: Final = Query(f"fraud_alert_threshold{{{WORKERS}}}", "partition {{partition}}")
SCORES: Final = Query(f"sum by (le) (increase(fraud_score_bucket{{{WORKERS}}}[{RATE}]))", "{{le}}")

# Models.
AVERAGE_PRECISION: Final = Query(f"max by (model) (fraud_model_average_precision{{{MODELS}}})", "{{model}}")
LOG_LOSS: Final = Query(f"max by (model) (fraud_model_log_loss{{{MODELS}}})", "{{model}}")
CALIBRATION_ERROR: Final = Query(
    f"max by (model) (fraud_model_calibration_error{{{MODELS}}})", "{{model}} calibration error"
)
BRIER: Final = Query(f"max by (model) (fraud_model_brier{{{MODELS}}})", "{{model}} Brier")
PRECISION: Final = Query(f"max by (model) (fraud_model_alert_precision{{{MODELS}}})", "{{model}} precision")
RECALL: Final = Query(f"max by (model) (fraud_model_alert_recall{{{MODELS}}})", "{{model}} recall")
WINDOW: Final = Query(f"max by (model) (fraud_model_window_labels{{{MODELS}}})", "{{model}}")
CHAMPIONS: Final = Query(f"max by (model) (fraud_model_champion{{{MODELS}}})", "{{model}}")
SNAPSHOTS: Final = Query(f"fraud_model_snapshot{{{MODELS}}}", "{{instance}}: {{model}}")
LEARNED: Final = Query(f"sum by (model) (rate(fraud_learned_total{{{MODELS}}}[{RATE}]))", "{{model}}")
DRIFT: Final = Query(
    f"sum by (signal) (increase(fraud_drift_total{{{WORKERS}}}[{RATE}])) > 0", "drift: {{signal}}"
)
SWAPS: Final = Query(f"sum(increase(fraud_swaps_total{{{WORKERS}}}[{RATE}]))", "swap")
ROLLBACKS: Final = Query(f"sum(increase(fraud_rollbacks_total{{{WORKERS}}}[{RATE}]))", "rollback")
GATE: Final = Query(
    f"sum by (decision) (increase(fraud_gate_decisions_total{{{WORKERS}}}[{RATE}]))", "gate {{decision}}"
)

# Labels.
LABELS: Final = Query(total("fraud_labels_total", by="outcome"), "{{outcome}}")
LABEL_DELAY: Final = quantiles("fraud_label_delay_seconds", 0.1, 0.5, 0.9)
LABEL_JOIN: Final = quantiles("fraud_label_join_seconds", 0.5, 0.99)
PARKED: Final = Query(f"sum(fraud_parked_labels{{{WORKERS}}})", "parked")
CHECKPOINT_AGE: Final = Query(f"time() - max(fraud_checkpoint_timestamp_seconds{{{WORKERS}}} > 0)", "age")
CHECKPOINT_BYTES: Final = Query(f"max(fraud_checkpoint_bytes{{{WORKERS}}})", "size")
LABEL_OFFSET: Final = Query(f"max(fraud_label_offset{{{WORKERS}}})", "offset")

# The batch challenger.
FITS: Final = Query(f"sum(increase(fraud_fits_total{{{WORKERS}}}[{RATE}]))", "fitted")
OFFERS: Final = Query(
    f"sum by (decision) (increase(fraud_offers_total{{{WORKERS}}}[{RATE}]))", "{{decision}}"
)
FIT_AGE: Final = Query(
    f'max(fraud_event_timestamp_seconds{{{WORKERS}, role="fit"}})'
    f" - max(fraud_fit_timestamp_seconds{{{WORKERS}}} > 0)",
    "age",
)
FIT_SECONDS: Final = Query(
    f"sum(fraud_fit_seconds_sum{{{WORKERS}}}) / sum(fraud_fit_seconds_count{{{WORKERS}}})", "time"
)
FIT_ROWS: Final = Query(f"max by (outcome) (fraud_fit_rows{{{WORKERS}}})", "{{outcome}}")
FIT_LABELS: Final = Query(total("fraud_fit_labels_total", by="outcome"), "{{outcome}}")

# Workers.
READY: Final = Query(f"fraud_ready{{{WORKERS}}}", "{{instance}}")
BUILDS: Final = Query(f"count by (version, role) (fraud_build_info{{{WORKERS}}})", "{{version}} {{role}}")
PARTITIONS: Final = Query(f"fraud_assigned_partitions{{{WORKERS}}}", "{{instance}} {{role}}")
WAITING: Final = Query(f"max by (service) (fraud_waiting{{{WORKERS}}})", "waiting for {{service}}")
FAILED_CALLS: Final = Query(total("fraud_infrastructure_errors_total", by="service"), "{{service}}")
FENCED: Final = Query(total("fraud_fenced_total", by="role"), "fenced: {{role}}")
LOST: Final = Query(total("fraud_offset_gap_records_total", by="topic"), "lost unread: {{topic}}")
CPU: Final = Query(f"rate(process_cpu_seconds_total{{{WORKERS}}}[{RATE}])", "{{instance}}")
MEMORY: Final = Query(f"process_resident_memory_bytes{{{WORKERS}}}", "{{instance}}")
