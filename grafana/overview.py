"""The dashboard *fraudstream*: the whole system on one page, what is asked first at the top."""

from collections.abc import Mapping
from typing import Final

from grafana import queries as q
from grafana.panels import Json, annotation, dashboard, heatmap, row, stat, timeline, timeseries, variable

_GOOD_FROM: Final[Mapping[float | None, str]] = {None: "red", 1: "green"}

OVERVIEW: Final[Json] = dashboard(
    "fraudstream",
    "fraudstream",
    "Transactions in; scores, alerts and models that learn and swap, out.",
    variables=[
        variable("job", "Deployment", "label_values(fraud_build_info, job)", many=False),
        variable("instance", "Worker", 'label_values(fraud_build_info{job="$job"}, instance)', many=True),
        variable(
            "model", "Model", 'label_values(fraud_model_average_precision{job="$job"}, model)', many=True
        ),
    ],
    annotations=[
        annotation(
            "Swaps",
            'sum(increase(fraud_swaps_total{job="$job"}[1m])) > 0',
            "Swap",
            "A challenger became the champion; model-events has the evidence.",
            "green",
        ),
        annotation(
            "Rollbacks",
            'sum(increase(fraud_rollbacks_total{job="$job"}[1m])) > 0',
            "Rollback",
            "The new champion failed its probation.",
            "red",
        ),
        annotation(
            "Drift",
            'sum by (signal) (increase(fraud_drift_total{job="$job"}[1m])) > 0',
            "Drift: {{signal}}",
            "A detector fired.",
            "orange",
        ),
    ],
    rows=[
        row(
            "Now",
            4,
            stat(
                "Alerts firing",
                "Of Prometheus; docs/runbook.md has a section on each.",
                q.ALERTS_FIRING,
                colours={None: "green", 1: "red"},
            ),
            stat("Workers ready", "Whose /health/ready says yes.", q.READY_WORKERS, colours=_GOOD_FROM),
            stat("Transactions scored", "A second.", q.SCORED_PER_SECOND, unit="reqps"),
            stat(
                "Latency, p99",
                "From arrival at the broker to the delivered score. The objective: 99 % within 100 ms.",
                q.LATENCY_P99,
                unit="s",
                colours={None: "green", 0.1: "red"},
            ),
            stat("Lag", "Records that wait, on both topics.", q.LAG_NOW),
            stat("Champion", "The model whose scores decide.", q.CHAMPION, named=True),
            stat(
                "Stream time",
                "The newest event time scored: far from now when a recorded file is being replayed.",
                q.STREAM_TIME,
                unit="dateTimeAsIso",
            ),
        ),
        row(
            "Flow",
            8,
            timeseries(
                "Throughput",
                "Transactions a second by what became of them. Redelivered: after a crash or a hand-over.",
                q.THROUGHPUT,
                unit="reqps",
                stacked=True,
            ),
            timeseries(
                "Latency",
                "From a transaction's arrival at the broker to its delivered score.",
                *q.LATENCY,
                unit="s",
                limit=0.1,
                logarithmic=True,
            ),
            timeseries(
                "Lag",
                "Records that wait, by topic. When it grows, more comes in than is worked off.",
                q.LAG,
            ),
        ),
        row(
            "Work",
            8,
            timeseries(
                "Time per transaction by stage",
                "Of scorers, mean. load and commit are Redis, emit is Kafka, the rest is CPU.",
                q.STAGES,
                unit="s",
                stacked=True,
            ),
            timeseries(
                "Batch stages, p99",
                "Of scorers. All stages together are to stay under 25 ms.",
                q.BATCH_P99,
                unit="s",
            ),
            timeseries(
                "Records in a batch", "Mean. At FRAUD_BATCH_RECORDS all the time: lag.", q.BATCH_RECORDS
            ),
            timeseries(
                "Share slower than 100 ms",
                "Over five minutes. The objective allows 1 %.",
                q.SLOW_SHARE,
                unit="percentunit",
                limit=0.01,
            ),
        ),
        row(
            "Decisions",
            8,
            timeseries(
                "Alerts against the budget",
                "Of the last 24 hours of event time. Empty where alerts are not by budget.",
                q.ALERTS_LAST_DAY,
                q.ALERT_BUDGET,
            ),
            timeseries(
                "Alert threshold",
                "Follows the scores, so that the budget is met; 2 while nobody is alerted.",
                q.ALERT_THRESHOLD,
            ),
            timeseries("Alerts", "A second: scores at or above their threshold.", q.ALERTS, unit="reqps"),
            timeseries(
                "Alert share",
                "Alerts among the transactions scored. A jump without a swap is drift or an attack.",
                q.ALERT_SHARE,
                unit="percentunit",
            ),
        ),
        row(
            "Scores and refusals",
            8,
            heatmap("Score distribution", "The champion's scores.", q.SCORES),
            timeseries(
                "Dead letters by reason",
                "Records a second that could not be used. They lie whole on dead-letters.",
                q.DEAD_LETTERS,
                unit="reqps",
                bars=True,
            ),
        ),
        row(
            "Model quality",
            8,
            timeseries(
                "Average precision by model",
                "Of the scores given at decision time, over a window of matured labels.",
                q.AVERAGE_PRECISION,
                ceiling=1,
            ),
            timeseries("Log loss by model", "Over the same window. Lower is better.", q.LOG_LOSS),
            timeseries(
                "Calibration by model",
                "Expected calibration error and Brier score over the same window. Lower is better: at an"
                " error of 0.005, scores are half a percentage point off on average.",
                q.CALIBRATION_ERROR,
                q.BRIER,
            ),
            timeseries(
                "Precision and recall at the budget",
                "Of each model's highest scores, as many as were alerted.",
                q.PRECISION,
                q.RECALL,
                unit="percentunit",
                ceiling=1,
            ),
        ),
        row(
            "Champion, drift and swaps",
            7,
            timeline(
                "Champion",
                "Who decided when.",
                q.CHAMPIONS,
                {0: ("challenger", "#808080"), 1: ("champion", "green")},
            ),
            timeseries(
                "Drift, gate and swaps",
                "Events; each is on model-events with its evidence.",
                q.DRIFT,
                q.GATE,
                q.SWAPS,
                q.ROLLBACKS,
                bars=True,
            ),
            timeseries(
                "Snapshots served",
                "Number of each model's snapshot, by scorer. One that stays behind loads no new ones.",
                q.SNAPSHOTS,
            ),
            timeseries("Labels in the window", "Matured labels that the figures rest on.", q.WINDOW),
        ),
        row(
            "Labels",
            8,
            timeseries("Labels by outcome", "A second.", q.LABELS, unit="reqps", stacked=True),
            timeseries(
                "Verification latency",
                "From a transaction to the knowledge of what it was.",
                *q.LABEL_DELAY,
                unit="s",
            ),
            timeseries(
                "Time to join",
                "From a label's arrival to its effects being stored. The objective: 99 % within 60 s.",
                *q.LABEL_JOIN,
                unit="s",
                limit=60,
                logarithmic=True,
            ),
            timeseries("Labels learnt", "A second, by model.", q.LEARNED, unit="reqps"),
        ),
        row(
            "Learner",
            4,
            stat("Parked labels", "That wait for their transaction.", q.PARKED),
            stat(
                "Checkpoint age",
                "Since the last was stored. Grows without harm while no labels come.",
                q.CHECKPOINT_AGE,
                unit="s",
            ),
            stat("Checkpoint", "Its size.", q.CHECKPOINT_BYTES, unit="bytes"),
            stat("Label offset", "The last label applied.", q.LABEL_OFFSET),
        ),
        row(
            "Batch challenger",
            5,
            stat("Age of the last fit", "In label time: of the model offered last.", q.FIT_AGE, unit="s"),
            stat("Time of a fit", "Mean.", q.FIT_SECONDS, unit="s"),
            timeseries("Window", "Transactions that it is fitted on.", q.FIT_ROWS, stacked=True),
            timeseries(
                "Labels read", "A second: joined, or skipped.", q.FIT_LABELS, unit="reqps", stacked=True
            ),
            timeseries("Fits and offers", "Offers by what the learner did.", q.FITS, q.OFFERS, bars=True),
        ),
        row(
            "Workers",
            7,
            timeline("Readiness", "By worker.", q.READY, {0: ("not ready", "red"), 1: ("ready", "green")}),
            timeseries("Assigned partitions", "By worker.", q.PARTITIONS, stacked=True),
            timeseries(
                "Trouble",
                "Waiting is 0 or 1. A second: failed calls, tried again; batches refused because another"
                " worker had taken over; records lost unread.",
                q.WAITING,
                q.FAILED_CALLS,
                q.FENCED,
                q.LOST,
            ),
        ),
        row(
            "Processes",
            7,
            timeseries("CPU", "Cores used.", q.CPU),
            timeseries("Memory", "Resident.", q.MEMORY, unit="bytes"),
            stat("Builds", "Workers by version and role: two versions mean a release under way.", q.BUILDS),
        ),
    ],
)
