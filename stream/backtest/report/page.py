"""The page: a report's findings and charts as one HTML file that loads nothing else."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isnan
from typing import Final, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from stream import __version__
from stream.backtest.report import charts
from stream.backtest.report.baselines import PUBLISHED, START
from stream.backtest.report.charts import Chart
from stream.backtest.report.drawing import styled
from stream.backtest.report.findings import Findings
from stream.backtest.run import BacktestSummary
from stream.clock import DAY_MS
from stream.evaluation.handbook import DELAY_DAYS, Week
from stream.features.catalogue import WIDTH
from stream.records import ModelEvent
from stream.secret_files import is_secret
from stream.settings import Settings
from stream.transport import TransportSettings

_UNUSED: Final = frozenset(
    {
        *("namespace", "topic_prefix", "partitions", "replication", "role"),
        *("http_host", "http_port", "log_level", "session_timeout_seconds", "offset_gap", "lost_state"),
        *("snapshot_seconds", "snapshot_gap_seconds", "models_wait_seconds", "checkpoint_seconds"),
        *("niceness", "stall_seconds", "case_days", "desk_host", "desk_port"),
        *("cases_metrics_port", "desk_metrics_port"),
        *TransportSettings.model_fields,
        *(name for name, field in Settings.model_fields.items() if is_secret(field)),
    }
)
"""Settings that a backtest does not use; some are secrets."""
_NOTHING: Final = "\N{EN DASH}"


@dataclass(frozen=True)
class Run:
    """What was run, and what it came to."""

    file_name: str
    settings: Settings
    label_delay: timedelta
    label_cadence: timedelta
    limit: int | None
    summary: BacktestSummary
    events: Sequence[ModelEvent]
    alert_budget: float | None = None
    """Alerts a day that were asked for, if any were."""


class Table(NamedTuple):
    """Text in rows; the first column is what a row is about."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


class Section(NamedTuple):
    """A chart with its numbers, or the reason why there is none."""

    name: str
    title: str
    missing: str
    chart: Chart | None
    table: Table | None


class Figure(NamedTuple):
    """One of the numbers at the top."""

    value: str
    name: str
    note: str = ""


def render(findings: Findings, run: Run) -> str:
    """Return the report's HTML.

    Parameters
    ----------
    findings
        Its numbers.
    run
        Names in it may come from anybody: all of them are escaped.
    """
    environment = Environment(
        loader=PackageLoader("stream.backtest.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    with styled():
        sections = _sections(findings, run)
    return environment.get_template("page.html").render(
        version=__version__,
        run=run,
        first=_day(run.summary.first_event_time),
        last=_day(run.summary.last_event_time),
        label_delay=_span(run.label_delay),
        lead=_lead(findings, run),
        figures=_figures(findings, run),
        sections=sections,
        baselines=_baselines(findings),
        remark=_remark(findings, run),
        models=_models(findings),
        settings=_settings(run),
    )


def _lead(findings: Findings, run: Run) -> str:
    """Say in two sentences what a first reader wants to know."""
    total, days = findings.tally.total, run.summary.alerts_per_day
    if not total.frauds:
        return (
            "Nothing in this recording is known to be a fraud, so it cannot tell how well frauds are found."
        )
    lead = (
        f"Of {total.frauds:,} known frauds, {total.caught:,} were alerts: {_share(total.recall)} of them,"
        f" with {_share(total.amount_recall)} of their money."
    )
    if total.caught:
        effort = f"{total.judged_alerts / total.caught:.1f}".removesuffix(".0")
        lead += f" To find one, analysts had to look at {effort} alerts on average"
        lead += "." if days is None else f", {days:.0f} a day in all."
    return f"{lead} The first days weigh on this: nothing had been learnt yet."


def _figures(findings: Findings, run: Run) -> list[Figure]:
    summary, total = run.summary, findings.tally.total
    amounts = _share(total.amount_precision), _share(total.amount_recall)
    days = summary.alerts_per_day
    return [
        Figure(
            f"{summary.transactions:,}",
            "transactions",
            f"{summary.dead_lettered:,} refused" if summary.dead_lettered else "",
        ),
        Figure(
            f"{total.frauds:,}",
            "frauds",
            f"{_share(total.frauds / total.judged, 2)} of those judged" if total.judged else "",
        ),
        Figure(f"{summary.labels:,}", "labels in time", f"{summary.learned:,} learnt"),
        Figure(f"{summary.alerts:,}", "alerts", "" if days is None else f"{days:.1f} on a whole day"),
        Figure(
            _share(total.precision), "of the alerts were frauds (precision)", f"{amounts[0]} of their amount"
        ),
        Figure(_share(total.recall), "of the frauds were alerts (recall)", f"{amounts[1]} of their amount"),
        Figure(
            _number(findings.served.average_precision), "average precision", "of the served score, whole file"
        ),
        Figure(
            _number(findings.served.calibration_error, 4),
            "expected calibration error",
            f"{_number(findings.equal_count_error, 4)} over bins of equal counts",
        ),
        Figure(_number(findings.served.brier, 4), "Brier score"),
        Figure(f"{summary.swaps:,}", "swaps", f"drifts: {summary.drift_events:,}"),
        Figure(summary.champion_version, "serves at the end"),
        Figure(
            f"{summary.transactions_per_second:,.0f}",
            "transactions a second",
            f"{summary.seconds:,.0f} s in all",
        ),
    ]


def _sections(findings: Findings, run: Run) -> list[Section]:
    judged = any(week.served.frauds for week in findings.weeks)
    no_week = "There is no whole week with a fraud in the recording, so nothing is compared week by week."
    return [
        _section(
            "weekly-ap",
            "Average precision, week by week",
            no_week,
            (lambda: charts.weekly_precision(findings)) if judged else None,
            lambda: _weekly(findings, lambda week: week.average_precision),
        ),
        _section(
            "weekly-cp",
            "Card precision@100, week by week",
            no_week,
            (lambda: charts.weekly_cards(findings)) if judged else None,
            lambda: _weekly(findings, lambda week: week.card_precision),
        ),
        _section(
            "reliability",
            "Reliability of the served score",
            "The recording says of no transaction whether it was a fraud: there is no truth to compare with.",
            (lambda: charts.reliability(findings)) if findings.curve else None,
            lambda: _curve(findings),
        ),
        _section(
            "alerts",
            "Alerts per day",
            "No transaction was scored, so there were no alerts.",
            (lambda: charts.daily_alerts(findings, run.alert_budget)) if findings.tally.days else None,
            lambda: _daily(findings),
        ),
        _section(
            "timeline",
            "Models, drifts and swaps",
            "No transaction was scored, so no model served.",
            (lambda: charts.timeline(findings, run.events)) if findings.models else None,
            lambda: _events(run.events),
        ),
        _section(
            "importances",
            "What moves the scores",
            f"The champion had not learnt enough for its scores to depend on any of the {WIDTH} features.",
            (lambda: charts.importances(findings)) if findings.importances else None,
            lambda: _importances(findings),
        ),
    ]


def _section(
    name: str, title: str, missing: str, draw: Callable[[], Chart] | None, tabulate: Callable[[], Table]
) -> Section:
    if draw is None:
        return Section(name, title, missing, None, None)
    return Section(name, title, "", draw(), tabulate())


def _weekly(findings: Findings, value: Callable[[Week], float]) -> Table:
    versions = list(dict.fromkeys(version for week in findings.weeks for version in week.models))
    rows = [
        [
            _day(week.first_ms),
            f"{week.served.transactions:,}",
            f"{week.served.frauds:,}",
            _number(value(week.served)),
            *(_number(value(week.models[v])) if v in week.models else _NOTHING for v in versions),
        ]
        for week in findings.weeks
    ]
    return Table(["Week from", "Transactions", "Frauds", "Served", *versions], rows)


def _curve(findings: Findings) -> Table:
    rows = [
        [
            f"{100 * point.low:g} to {100 * point.high:g} %",
            f"{point.transactions:,}",
            f"{point.frauds:,}",
            _share(point.mean_score, 3),
            _share(point.fraud_share, 3),
            f"{_share(point.share_low, 3)} to {_share(point.share_high, 3)}",
        ]
        for point in findings.curve
    ]
    return Table(["Scores", "Transactions", "Frauds", "Mean score", "Share of frauds", "95 % interval"], rows)


def _daily(findings: Findings) -> Table:
    rows = [
        [
            _day(number * DAY_MS),
            f"{day.transactions:,}",
            f"{day.frauds:,}",
            f"{day.alerts:,}",
            f"{day.caught:,}",
            _share(day.precision),
            _share(day.recall),
            _number(day.threshold),
        ]
        for number, day in sorted(findings.tally.days.items())
    ]
    head = ["Day", "Transactions", "Frauds", "Alerts", "of them frauds", "Precision", "Recall", "Threshold"]
    return Table(head, rows)


def _events(events: Iterable[ModelEvent]) -> Table:
    rows = [
        [_moment(event.event_time), event.kind.replace("_", " "), event.model_version, event.detail]
        for event in events
    ]
    return Table(["Time (UTC)", "Event", "Model", "What happened"], rows)


def _importances(findings: Findings) -> Table:
    rows = [
        [one.feature.name, _number(one.push), one.feature.window or _NOTHING, one.feature.definition]
        for one in findings.importances
    ]
    return Table(["Feature", "Mean |push|", "Window", "Definition"], rows)


def _baselines(findings: Findings) -> Table:
    rows = [
        [
            f"published: {one.model}",
            *map(_number, (one.four_weeks, one.average_precision, one.auc, one.card_precision)),
        ]
        for one in PUBLISHED
    ]
    weeks = findings.comparison.weeks
    ours = ["this run, as it was served", *[_NOTHING] * 4]
    if weeks:
        four = findings.comparison.four_weeks
        ours[1] = _NOTHING if four is None else _number(four)
        ours[2:] = map(_number, (weeks[0].average_precision, weeks[0].auc, weeks[0].card_precision))
    head = [
        "Model",
        "AP, mean of four weeks",
        f"AP, week of {START:%Y-%m-%d}",
        "AUC, that week",
        "Card precision@100, that week",
    ]
    return Table(head, [ours, *rows])


def _remark(findings: Findings, run: Run) -> str:
    remark = findings.comparison.remark
    if findings.comparison.weeks and run.label_delay != timedelta(days=DELAY_DAYS):
        remark += f" The published figures rest on labels {DELAY_DAYS} days late, this run on ones"
        remark += f" {_span(run.label_delay)} late."
    return remark


def _models(findings: Findings) -> Table:
    rows = [
        [
            line.version,
            line.role,
            f"{_day(line.first_ms)} to\n{_day(line.last_ms)}",
            f"{line.days_served:.1f}",
            f"{line.goodness.judged:,}",
            f"{line.goodness.frauds:,}",
            _number(line.goodness.average_precision),
            _number(line.goodness.log_loss, 4),
            _number(line.goodness.calibration_error, 4),
            _number(line.goodness.brier, 4),
            _NOTHING if line.snapshot is None else f"{line.snapshot:,}",
        ]
        for line in findings.models
    ]
    head = [
        "Model",
        "At the end",
        "Scored",
        "Days served",
        "Judged on",
        "Frauds",
        "AP",
        "Log loss",
        "ECE",
        "Brier",
    ]
    return Table([*head, "Snapshot"], rows)


def _settings(run: Run) -> Table:
    rows = [
        ["FILE", run.file_name, "What was run."],
        ["--label-delay", _span(run.label_delay), "From a transaction to its label."],
        ["--label-cadence", _span(run.label_cadence), "Between two deliveries of labels."],
        ["--limit", _NOTHING if run.limit is None else f"{run.limit:,}", "The most transactions."],
    ]
    for name, value in run.settings.model_dump(exclude=set(_UNUSED)).items():
        field = Settings.model_fields[name]
        values = [f"{key}={part}" for key, part in value.items()] if isinstance(value, dict) else value
        said = (", ".join(map(str, values)) or _NOTHING) if isinstance(values, tuple | list) else str(values)
        rows.append(
            [
                f"FRAUD_{name.upper()}",
                said + ("" if value == field.get_default(call_default_factory=True) else " (set)"),
                field.description or "",
            ]
        )
    return Table(["Setting", "Value", "Meaning"], rows)


def _number(value: float, digits: int = 3) -> str:
    return _NOTHING if isnan(value) else f"{value:.{digits}f}"


def _share(value: float | None, digits: int = 1) -> str:
    return _NOTHING if value is None else f"{100 * value:.{digits}f} %"


def _span(span: timedelta) -> str:
    hours = span / timedelta(hours=1)
    return f"{hours / 24:g} days" if hours >= 24 else f"{hours:g} h"  # noqa: PLR2004 - of a day


def _day(time_ms: int | None) -> str:
    return _NOTHING if time_ms is None else f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d}"


def _moment(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M}"
