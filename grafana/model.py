"""The dashboard *Model*, for whoever answers for the scores: how good each model is, who serves, and why."""

from typing import Final

from grafana import queries as q
from grafana.frame import ENVIRONMENT, MARKS
from grafana.frame import MODEL as CHOICE
from grafana.panels import Json, dashboard, row, stat, table, timeline, timeseries

MODEL: Final[Json] = dashboard(
    "fraudstream-model",
    "Fraudstream: model",
    "How good each model is on matured labels, who serves, what drifts, and how labels arrive.",
    variables=[ENVIRONMENT, CHOICE],
    annotations=MARKS,
    rows=[
        row(
            "Now",
            7,
            stat("Serving now", "The model whose scores decide.", q.CHAMPION, named=True),
            stat(
                "Champion's average precision",
                "Over the window of matured labels, of the scores given at decision time.",
                q.CHAMPION_AP,
                alerts=["FraudModelDegraded"],
            ),
            stat(
                "Lead of the best challenger",
                "Its average precision less the champion's. The gate swaps when it is more than chance.",
                q.CHALLENGER_LEAD,
                colours={None: "green", 0.05: "red"},
                alerts=["FraudModelBehindChallenger"],
            ),
            stat("Labels behind these figures", "Matured, in the champion's window.", q.CHAMPION_WINDOW),
        ),
        row(
            "Models side by side",
            7,
            table(
                "Models now",
                "Over the window of matured labels. Precision and recall: of each model's highest scores, as"
                " many as were alerted. Champion: 1 for the model that serves.",
                {
                    "Champion": q.CHAMPIONS,
                    "Average precision": q.AVERAGE_PRECISION,
                    "Precision at the budget": q.PRECISION,
                    "Recall at the budget": q.RECALL,
                    "Log loss": q.LOG_LOSS,
                    "Calibration error": q.CALIBRATION_ERROR,
                    "Labels": q.WINDOW,
                },
                "model",
            ),
        ),
        row(
            "Quality",
            8,
            timeseries(
                "Average precision by model",
                "Of the scores given at decision time, over a window of matured labels.",
                q.AVERAGE_PRECISION,
                ceiling=1,
                alerts=["FraudModelDegraded"],
            ),
            timeseries(
                "Precision and recall at the budget",
                "Of each model's highest scores, as many as were alerted.",
                q.PRECISION,
                q.RECALL,
                unit="percentunit",
                ceiling=1,
            ),
            timeseries(
                "Calibration by model",
                "Expected calibration error and Brier score over the same window. Lower is better: at an"
                " error of 0.005, scores are half a percentage point off on average.",
                q.CALIBRATION_ERROR,
                q.BRIER,
            ),
            timeseries("Log loss by model", "Over the same window. Lower is better.", q.LOG_LOSS),
        ),
        row(
            "Week by week",
            8,
            timeseries(
                "Average precision by week",
                "The mean of each week, for the twelve weeks before.",
                q.AP_BY_WEEK,
                ceiling=1,
                weeks=12,
            ),
            timeseries(
                "Precision at the budget by week",
                "The mean of each week, for the twelve weeks before.",
                q.PRECISION_BY_WEEK,
                unit="percentunit",
                ceiling=1,
                weeks=12,
            ),
            timeseries(
                "Calibration error by week",
                "The mean of each week, for the twelve weeks before.",
                q.CALIBRATION_BY_WEEK,
                weeks=12,
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
                alerts=["FraudSwapFlapping", "FraudRollback"],
            ),
            timeline(
                "Case",
                "Where the champion stands: serving, suspected, on probation, cooling down.",
                q.CASE,
                {0: ("elsewhere", "#808080"), 1: ("here", "green")},
            ),
            timeseries(
                "Drift, gate and swaps",
                "Events; each is on model-events with its evidence.",
                q.DRIFT,
                q.GATE,
                q.SWAPS,
                q.ROLLBACKS,
                bars=True,
                alerts=["FraudSwapFlapping", "FraudRollback"],
            ),
            timeseries(
                "Signals without labels",
                "Of the last whole day of event time. One that has left its band is on model-events, too.",
                q.SIGNALS,
                q.SIGNS,
            ),
            timeseries(
                "Features that moved most",
                "Population stability index against the two weeks before; under 0.1 is usual.",
                q.SHIFTS,
                limit=0.1,
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
            timeseries(
                "Labels by outcome",
                "A second.",
                q.LABELS,
                unit="reqps",
                stacked=True,
                alerts=["FraudLabelsStopped"],
            ),
            timeseries(
                "Verification latency",
                "From a transaction to the knowledge of what it was.",
                *q.LABEL_DELAY,
                unit="s",
            ),
            timeseries("Labels learnt", "A second, by model.", q.LEARNED, unit="reqps"),
        ),
        row(
            "Labels by their days",
            8,
            timeseries(
                "Labels in a day",
                "The last whole day of label time, by source; for how many days in succession none came.",
                q.LABEL_COUNTS,
                q.LABEL_SILENCE,
                alerts=["FraudLabelSourceSilent", "FraudLabelsStopped"],
            ),
            timeseries(
                "Verification latency in a week",
                "Median and 95th percentile of the labels of the week that ended with that day.",
                q.LABEL_DELAYS,
                unit="s",
            ),
            timeseries(
                "What labels say in a week",
                "Shares of that week's labels: frauds; those that contradict an earlier label; those that"
                " found no transaction.",
                q.LABEL_SHARES,
                unit="percentunit",
            ),
            timeseries(
                "Signals of labels",
                "Figures that have left the band of the four weeks before; each is on model-events with its"
                " evidence.",
                q.LABEL_SIGNS,
                bars=True,
            ),
        ),
        row(
            "Batch challenger",
            5,
            stat("Age of the last fit", "In label time: of the model offered last.", q.FIT_AGE, unit="s"),
            stat("Time of a fit", "Mean.", q.FIT_SECONDS, unit="s"),
            timeseries("Window", "Transactions that it is fitted on.", q.FIT_ROWS, stacked=True),
            timeseries(
                "Labels read",
                "A second: joined, or skipped.",
                q.FIT_LABELS,
                unit="reqps",
                stacked=True,
                alerts=["FraudFitterStalled"],
            ),
            timeseries("Fits and offers", "Offers by what the learner did.", q.FITS, q.OFFERS, bars=True),
        ),
    ],
)
