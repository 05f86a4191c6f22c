"""The consumers' part of the catalogue of metrics: what the case store's filler and the desk export.

Labels are bounded: routes and outcomes, never a customer, a transaction or an analyst.
"""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from stream.adapters.metrics import Entry, Exported

TOPICS: Final = ("scores", "alerts", "labels")
ROUTES: Final = (
    *("home", "login", "logout", "alerts", "judged", "case", "judge"),
    *("api_alerts", "api_case", "api_verdicts", "style", "health", "none"),
)
"""Pages of the desk; `none` is any address that is no page."""
CODES: Final = ("2xx", "3xx", "4xx", "5xx")
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LATE_SECONDS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86_400.0)


class CaseStoreMetrics(Exported):
    """What both know of the case store."""

    up = Entry(
        Gauge, "fraud_case_store_up", "1 while the case store answers this process as it should, else 0."
    )
    outbox = Entry(
        Gauge,
        "fraud_verdict_outbox_verdicts",
        "Verdicts that are written down and no labels yet.",
    )
    outbox_age = Entry(
        Gauge,
        "fraud_verdict_outbox_oldest_seconds",
        "For how long the oldest of those has waited; 0 when none does.",
    )


class FilingMetrics(CaseStoreMetrics):
    """The metrics of `fraudstream cases`."""

    records = Entry(
        Counter,
        "fraud_cases_records_total",
        "Records read by what became of them: filed; foreign, not what the topic holds; or refused, as"
        " PostgreSQL cannot hold them. The last two are passed over, and the log says where they lie.",
        {"outcome": ("filed", "foreign", "refused")},
    )
    batch_seconds = Entry(
        Histogram, "fraud_cases_batch_seconds", "Time that filing a batch took.", buckets=_SECONDS
    )
    alert_seconds = Entry(
        Histogram,
        "fraud_cases_alert_seconds",
        "From the broker's timestamp of an alert to its being a case that an analyst can see.",
        buckets=_LATE_SECONDS,
    )
    lag = Entry(
        Gauge,
        "fraud_cases_lag_records",
        "Records on a topic (named without its prefix) after the last one filed.",
        {"topic": TOPICS},
    )
    behind = Entry(
        Gauge,
        "fraud_cases_behind_seconds",
        "While records of a topic wait to be filed: how old the last one filed is, or how long none has been."
        " 0 while none waits.",
        {"topic": TOPICS},
    )
    leading = Entry(
        Gauge, "fraud_cases_leading", "1 for the process that fills the case store, 0 for one that stands by."
    )
    published = Entry(
        Counter,
        "fraud_cases_verdicts_published_total",
        "Verdicts that were published by the filler, as whoever took them could not.",
    )


class DeskMetrics(CaseStoreMetrics):
    """The metrics of `fraudstream desk`."""

    requests = Entry(
        Counter,
        "fraud_desk_requests_total",
        "Requests by the page asked for and the class of the answer's status.",
        {"route": ROUTES, "code": CODES},
    )
    request_seconds = Entry(
        Histogram,
        "fraud_desk_request_seconds",
        "Time that an answer took.",
        {"route": ROUTES},
        _SECONDS,
    )
    logins = Entry(
        Counter,
        "fraud_desk_logins_total",
        "Logins: let in, or refused as the token was nobody's.",
        {"outcome": ("in", "refused")},
    )
    verdicts = Entry(
        Counter,
        "fraud_desk_verdicts_total",
        "Verdicts taken, by what they say and what became of them: published as labels; written down and"
        " waiting for Kafka; or said before, and so unchanged.",
        {"judged": ("fraud", "legitimate"), "outcome": ("published", "waits", "unchanged")},
    )


CATALOGUE: Final = tuple(dict.fromkeys([*FilingMetrics.catalogue(), *DeskMetrics.catalogue()]))
"""Every metric of the two."""
