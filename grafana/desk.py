"""The dashboard *Fraud desk*, for analysts: what is alerted, what it is worth, and what slipped through."""

from typing import Final

from grafana import queries as q
from grafana.frame import ENVIRONMENT, MARKS
from grafana.panels import Json, dashboard, heatmap, row, stat, timeseries

DESK: Final[Json] = dashboard(
    "fraudstream-desk",
    "Fraudstream: fraud desk",
    "Alerts against their budget, the money in them, and what became of it as labels matured.",
    variables=[ENVIRONMENT],
    annotations=MARKS,
    rows=[
        row(
            "Now",
            4,
            stat("Alerts in 24 hours", "Of event time; only with a budget.", q.ALERTS_LAST_DAY),
            stat("Budget", "Alerts a day that are wanted: FRAUD_ALERT_BUDGET.", q.ALERT_BUDGET),
            stat(
                "Amount at risk",
                "Of the transactions alerted in the last 24 hours of the clock.",
                q.AMOUNT_ALERTED_DAY,
            ),
            stat(
                "Precision at the budget",
                "Frauds among the champion's alerts, as far as labels have matured.",
                q.CHAMPION_PRECISION,
                unit="percentunit",
            ),
            stat(
                "Frauds caught",
                "Share of the frauds that were among its alerts, as far as labels have matured.",
                q.CHAMPION_RECALL,
                unit="percentunit",
            ),
            stat(
                "Money caught",
                "Share of the amounts of the frauds known in the last 24 hours of the clock.",
                q.CAUGHT_AMOUNT_SHARE,
                unit="percentunit",
            ),
        ),
        row(
            "Alerts",
            8,
            timeseries(
                "Alerts against the budget",
                "Of the last 24 hours of event time. Empty where alerts are not by budget.",
                q.ALERTS_LAST_DAY,
                q.ALERT_BUDGET,
                alerts=["FraudAlertsOffBudget"],
            ),
            timeseries("Alerts", "An hour: scores at or above their threshold.", q.ALERTS_HOUR),
            timeseries("Amount alerted", "An hour, in units of the account's currency.", q.AMOUNT_HOUR),
            timeseries(
                "Alert share",
                "Alerts among the transactions scored. A jump without a swap is drift or an attack.",
                q.ALERT_SHARE,
                unit="percentunit",
            ),
        ),
        row(
            "What they were worth, as labels mature",
            8,
            timeseries(
                "Frauds caught and missed",
                "An hour, by when they became known: days after the transactions.",
                q.FRAUDS_KNOWN,
                stacked=True,
            ),
            timeseries(
                "Amounts caught and missed",
                "An hour, in units of the account's currency, by when they became known.",
                q.AMOUNTS_KNOWN,
                stacked=True,
            ),
            timeseries(
                "Precision and recall of the champion",
                "Of its alerts, over the window of matured labels.",
                q.CHAMPION_PRECISION,
                q.CHAMPION_RECALL,
                unit="percentunit",
                ceiling=1,
                alerts=["FraudModelDegraded"],
            ),
        ),
        row(
            "Where the line is",
            8,
            timeseries(
                "Alert threshold",
                "Follows the scores, so that the budget is met; 2 while nobody is alerted.",
                q.ALERT_THRESHOLD,
                alerts=["FraudAlertsOffBudget"],
            ),
            heatmap("Score distribution", "The champion's scores.", q.SCORES),
        ),
    ],
)
