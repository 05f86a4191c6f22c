"""The dashboard *Fraud desk*, for analysts: what is alerted, what it is worth, and what slipped through."""

from typing import Final

from grafana import queries as q
from grafana import statements as s
from grafana.frame import ENVIRONMENT, MARKS
from grafana.panels import (
    Column,
    Json,
    bars,
    constant,
    dashboard,
    heatmap,
    row,
    rows,
    stat,
    timeseries,
    total_of,
)

CASE_PAGE: Final = "http://localhost:8090"
"""Where the page for verdicts is served."""
_HITS: Final = {
    "alerts": Column("Alerts"),
    "alerts_open": Column("Of them open"),
    "frauds": Column("Known frauds"),
    "amount_of_frauds": Column("Their amount"),
    "amount_open": Column("Amount still open"),
}
_LATELY: Final = f"in the last {s.DAYS} days of the stream"

DESK: Final[Json] = dashboard(
    "fraudstream-desk",
    "Fraudstream: fraud desk",
    "Alerts against their budget, the money in them, and what became of it as labels matured.",
    variables=[ENVIRONMENT, constant("desk", CASE_PAGE)],
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
            total_of(
                "Open alerts", "That wait for a verdict or a label.", s.OPEN_ALERTS, colours={None: "text"}
            ),
            total_of("Money in open alerts", "What can still be stopped or claimed back.", s.AMOUNT_OPEN),
            stat(
                "Money caught",
                "Share of the amounts of the frauds known in the last 24 hours of the clock.",
                q.CAUGHT_AMOUNT_SHARE,
                unit="percentunit",
            ),
        ),
        row(
            "Cases: what lies on the desk",
            11,
            rows(
                "Alerts to judge",
                "Open ones first, then what became of the others; the newest first. From the case store, that"
                " `fraudstream cases` fills.",
                s.CASES,
                {
                    "event_time": Column("Time", "dateTimeAsIso", 170),
                    "transaction_id": Column("Transaction", link="${desk}/case?transaction=${__value.raw}"),
                    "customer_id": Column("Customer"),
                    "terminal_id": Column("Terminal"),
                    "amount": Column("Amount", width=90),
                    "score": Column("Score", "percentunit", 80),
                    "reason_codes": Column("Reason codes"),
                    "reason_texts": Column("Why", width=420),
                    "state": Column(
                        "Verdict",
                        width=90,
                        colours={"open": "orange", "fraud": "red", "legitimate": "green"},
                    ),
                    "state_source": Column("Said by", width=110),
                    "analyst": Column("Analyst", width=110),
                    "model_version": Column("Model", width=120),
                },
            ),
        ),
        row(
            "Cases: day by day",
            8,
            bars(
                "Alerts by outcome",
                f"By the day of the transaction, {_LATELY}; frauds missed were no alert.",
                s.OUTCOMES,
                {
                    "frauds caught": "green",
                    "false alerts": "#808080",
                    "open": "orange",
                    "frauds missed": "red",
                },
            ),
            bars(
                "Money by outcome",
                f"Amounts of frauds caught and missed, and of alerts that are open, {_LATELY}.",
                s.AMOUNTS,
                {"caught": "green", "open": "orange", "missed": "red"},
            ),
            bars(
                "Precision and recall by day",
                "Precision: frauds among the alerts judged. Recall: known frauds that were alerts. The newest"
                " days change as labels come.",
                s.PRECISION,
                {"precision": "blue", "recall": "purple"},
                unit="percentunit",
                stacked=False,
            ),
        ),
        row(
            "Cases: what they have in common",
            9,
            bars(
                "Reasons",
                f"How many alerts gave each reason {_LATELY}, and what they turned out to be: one that is"
                " mostly legitimate wastes time.",
                s.REASONS,
                {"fraud": "red", "legitimate": "green", "open": "orange"},
                lying=True,
            ),
            rows(
                "Most-hit terminals",
                f"By known frauds, then alerts, {_LATELY}.",
                s.most_hit("terminal"),
                {"id": Column("Terminal"), **_HITS},
            ),
            rows(
                "Most-hit customers",
                f"By known frauds, then alerts, {_LATELY}.",
                s.most_hit("customer"),
                {"id": Column("Customer"), **_HITS},
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
            "How the desk keeps up",
            8,
            timeseries(
                "Verdicts",
                "An hour, by what was said: published is a label at once; waits becomes one when Kafka"
                " answers, published later; unchanged had been said before.",
                q.VERDICTS_HOUR,
                q.VERDICTS_PUBLISHED_HOUR,
                stacked=True,
            ),
            stat(
                "Verdicts that wait",
                "Written down, and not yet a label that the models learn from.",
                q.VERDICTS_IN_OUTBOX,
                alerts=["FraudVerdictsStuck"],
            ),
            timeseries(
                "From alert to desk",
                "How long after it was given an alert can be seen in the list.",
                *q.ALERT_TO_DESK,
                unit="s",
                logarithmic=True,
                alerts=["FraudCasesBehind", "FraudCaseStoreAway", "FraudCasesNotFilled"],
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
