"""The dashboard *Operations*, for whoever is on call: is it up, is it in time, and what is in the way."""

from collections.abc import Mapping
from typing import Final

from grafana import queries as q
from grafana.frame import ENVIRONMENT, MARKS, WORKER
from grafana.panels import Json, dashboard, row, stat, timeline, timeseries

_GOOD_FROM: Final[Mapping[float | None, str]] = {None: "red", 1: "green"}
_LATENCY: Final = ("FraudLatencyFastBurn", "FraudLatencySlowBurn", "FraudLatencyBudgetLeak")
_UNDECIDED: Final = ("FraudUndecidedFastBurn", "FraudUndecidedSlowBurn", "FraudUndecidedBudgetLeak")
_LABELS: Final = ("FraudLabelDelayFastBurn", "FraudLabelDelaySlowBurn", "FraudLabelDelayBudgetLeak")

OPERATIONS: Final[Json] = dashboard(
    "fraudstream-operations",
    "Fraudstream: operations",
    "Rate, errors, duration and lag of the pipeline, what it stands on, and its workers.",
    variables=[ENVIRONMENT, WORKER],
    annotations=MARKS,
    rows=[
        row(
            "Now",
            4,
            stat(
                "Alerts firing",
                "Of Prometheus; the runbook has a section on each.",
                q.ALERTS_FIRING,
                colours={None: "green", 1: "red"},
            ),
            stat(
                "Workers ready",
                "Whose /health/ready says yes.",
                q.READY_WORKERS,
                colours=_GOOD_FROM,
                alerts=["FraudWorkerNotReady", "FraudNoScorer", "FraudNoLearner"],
            ),
            stat("Transactions scored", "A second.", q.SCORED_PER_SECOND, unit="reqps"),
            stat(
                "Latency, p99",
                "From arrival at the broker to the delivered score. The objective: 99 % within 100 ms.",
                q.LATENCY_P99,
                unit="s",
                colours={None: "green", 0.1: "red"},
                alerts=_LATENCY,
            ),
            stat("Lag", "Records that wait, on both topics.", q.LAG_NOW),
            stat(
                "Stream time",
                "The newest event time scored: far from now when a recorded file is being replayed.",
                q.STREAM_TIME,
                unit="dateTimeAsIso",
            ),
        ),
        row(
            "Objectives",
            8,
            timeseries(
                "Error budget burn",
                "Over an hour: at 1 an objective is just kept, at 14.4 the budget of 30 days is spent in two,"
                " and somebody is paged.",
                *q.BURN_RATES,
                limit=14.4,
                alerts=(*_LATENCY, *_UNDECIDED, *_LABELS),
            ),
            timeseries(
                "Share slower than 100 ms",
                "Over five minutes. The objective allows 1 %.",
                q.SLOW_SHARE,
                unit="percentunit",
                limit=0.01,
                alerts=_LATENCY,
            ),
        ),
        row(
            "Rate and errors",
            8,
            timeseries(
                "Throughput",
                "Transactions a second by what became of them. Redelivered: after a crash or a hand-over.",
                q.THROUGHPUT,
                unit="reqps",
                stacked=True,
                alerts=["FraudScorerStalled"],
            ),
            timeseries(
                "Dead letters by reason",
                "Records a second that could not be used. They lie whole on dead-letters.",
                q.DEAD_LETTERS,
                q.TOKENISED,
                q.SUSPECT_LABELS,
                unit="reqps",
                bars=True,
                alerts=["FraudDeadLetters", "FraudDeadLetterSpike"],
            ),
            timeseries(
                "Lost and refused",
                "A second: batches of a worker that was replaced; records lost unread; states forgotten.",
                q.FENCED,
                q.LOST,
                q.FORGOTTEN,
                unit="reqps",
                alerts=["FraudFencedRepeatedly", "FraudOffsetGap", "FraudStateLost", "FraudForgetting"],
            ),
        ),
        row(
            "Duration and lag",
            8,
            timeseries(
                "Latency",
                "From a transaction's arrival at the broker to its delivered score.",
                *q.LATENCY,
                unit="s",
                limit=0.1,
                logarithmic=True,
                alerts=_LATENCY,
            ),
            timeseries(
                "Lag",
                "Records that wait, by topic. When it grows, more comes in than is worked off.",
                q.LAG,
                alerts=["FraudConsumerLagGrowing", "FraudLearnerStalled", "FraudFitterStalled"],
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
        ),
        row(
            "Redis and Kafka",
            8,
            timeseries(
                "Waiting for a service",
                "1 while work waits for it to answer again.",
                q.WAITING,
                ceiling=1,
                alerts=["FraudWaiting"],
            ),
            timeseries(
                "Failed calls", "A second, by service; each was tried again.", q.FAILED_CALLS, unit="reqps"
            ),
            timeseries(
                "Redis, p99",
                "A batch's reads and its commit, as the workers see them.",
                *q.REDIS_P99,
                unit="s",
            ),
            timeseries(
                "Kafka, p99",
                "From handing a batch's records to the client to the broker's word that it has them all.",
                q.KAFKA_P99,
                unit="s",
            ),
        ),
        row(
            "Learner",
            5,
            timeseries(
                "Time to join",
                "From a label's arrival to its effects being stored. The objective: 99 % within 60 s.",
                *q.LABEL_JOIN,
                unit="s",
                limit=60,
                logarithmic=True,
                alerts=_LABELS,
            ),
            stat(
                "Parked labels", "That wait for their transaction.", q.PARKED, alerts=["FraudLabelsStopped"]
            ),
            stat(
                "Checkpoint age",
                "Since the last was stored. Grows without harm while no labels come.",
                q.CHECKPOINT_AGE,
                unit="s",
                alerts=["FraudCheckpointOld"],
            ),
            stat("Checkpoint", "Its size.", q.CHECKPOINT_BYTES, unit="bytes"),
            stat("Label offset", "The last label applied.", q.LABEL_OFFSET),
        ),
        row(
            "Case store and desk",
            8,
            timeline(
                "Case store",
                "Whether it answers those who need it: its filler and the desk.",
                q.CASE_STORE_UP,
                {0: ("away", "red"), 1: ("answers", "green")},
                alerts=["FraudCaseStoreAway"],
            ),
            stat(
                "Fillers",
                "Processes that fill the case store: one, however many run.",
                q.FILLERS,
                colours=_GOOD_FROM,
                alerts=["FraudCasesNotFilled"],
            ),
            timeseries(
                "Waiting to be filed",
                "Records by topic. Alerts first: what waits there, no analyst can see.",
                q.CASES_LAG,
                alerts=["FraudCasesBehind"],
            ),
            timeseries(
                "Case store behind",
                "While records wait: how old the last one filed of the topic is.",
                q.CASES_BEHIND,
                unit="s",
                limit=300,
                alerts=["FraudCasesBehind"],
            ),
            timeseries(
                "Filed",
                "Records a second. Foreign and refused ones are passed over; the log says where they lie.",
                q.CASES_FILED,
                unit="reqps",
                stacked=True,
            ),
        ),
        row(
            "Desk's answers",
            7,
            timeseries(
                "Requests at the desk",
                "A second by the answer's class: 5xx is a bug, or the case store away. Logins beside.",
                q.DESK_REQUESTS,
                q.DESK_LOGINS,
                unit="reqps",
            ),
            timeseries(
                "Desk, p99",
                "Time of an answer by page, and of filing a batch.",
                q.DESK_P99,
                q.FILING_P99,
                unit="s",
            ),
            timeseries(
                "Verdicts that wait",
                "Written down and no labels yet.",
                q.VERDICTS_WAITING,
                alerts=["FraudVerdictsStuck"],
            ),
            timeseries(
                "Oldest verdict that waits",
                "The filler publishes what the desk could not, every five seconds.",
                q.VERDICT_WAIT,
                unit="s",
                limit=600,
                alerts=["FraudVerdictsStuck"],
            ),
        ),
        row(
            "Workers",
            7,
            timeline(
                "Readiness",
                "By worker.",
                q.READY,
                {0: ("not ready", "red"), 1: ("ready", "green")},
                alerts=["FraudWorkerNotReady", "FraudTargetDown"],
            ),
            timeseries("Assigned partitions", "By worker.", q.PARTITIONS, stacked=True),
            timeseries(
                "Standing still",
                "For how long a role has done nothing though records wait; it ends itself at"
                " FRAUD_STALL_SECONDS.",
                q.STALLED,
                unit="s",
                alerts=["FraudStandsStill"],
            ),
        ),
        row(
            "Processes",
            7,
            timeseries("CPU", "Cores used.", q.CPU),
            timeseries("Memory", "Resident.", q.MEMORY, unit="bytes"),
            timeseries("Open files", "Sockets included.", q.OPEN_FILES),
            timeseries(
                "Age of the process",
                "Since it was started: a saw-tooth is a worker that ends again and again.",
                q.PROCESS_AGE,
                unit="s",
                alerts=["FraudWorkerRestarts"],
            ),
            stat("Builds", "Workers by version and role: two versions mean a release under way.", q.BUILDS),
        ),
    ],
)
