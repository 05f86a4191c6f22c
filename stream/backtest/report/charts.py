"""Charts: each draws one of a report's findings and says how it is read."""

from collections.abc import Callable, Sequence
from datetime import UTC
from typing import Final, NamedTuple

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from stream.backtest.report.drawing import (
    CAUGHT,
    FALSE_ALERT,
    INK,
    LIMIT,
    MARKERS,
    MODELS,
    MUTED,
    PAPER,
    as_svg,
    new_figure,
    put_legend,
)
from stream.backtest.report.findings import WEEK_MS, Findings
from stream.clock import DAY_MS
from stream.evaluation.handbook import Week
from stream.records import ModelEvent

SHOWN_FEATURES: Final = 20
_LOGIT_TICKS: Final = (0.0001, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
_EDGE: Final = 5e-5
"""The reliability chart shows what is nearer to 0 or 1 at this distance from them."""
_END: Final = 3e-5
"""Its axes end at this distance."""
_EVENTS: Final = {
    "drift": ("drift", "X", FALSE_ALERT),
    "swap": ("swap", "^", CAUGHT),
    "rollback": ("rollback", "v", LIMIT),
    "fit_undone": ("fit undone", "<", LIMIT),
    "signal": ("signal", "d", FALSE_ALERT),
    "confirmed": ("probation passed", "p", CAUGHT),
    "born": ("birth", "o", INK),
    "retired": ("retirement", "s", MUTED),
    "gate_passed": ("gate passed", "P", CAUGHT),
    "gate_refused": ("refusal", "D", MUTED),
}
"""By kind: word, marker, colour."""


class Chart(NamedTuple):
    """A drawing with the words around it."""

    title: str
    caption: str
    """One sentence: how to read it."""
    svg: Markup


def weekly_precision(findings: Findings) -> Chart:
    """Draw each week's average precision, of the served score and of every model."""
    return _weekly(
        findings,
        "weekly-ap",
        "Average precision, week by week",
        "Average precision",
        lambda week: week.average_precision,
        "The higher, the more of the frauds stand at the top of the list: 1 would be all frauds before"
        " everything else; the thick line is the score that was served, the band below says whose it was.",
    )


def weekly_cards(findings: Findings) -> Chart:
    """Draw each week's card precision at 100."""
    return _weekly(
        findings,
        "weekly-cp",
        "Card precision@100, week by week",
        "Card precision@100",
        lambda week: week.card_precision,
        "Of the 100 most suspect cards of a day, the share that were compromised, averaged over the week's"
        " days; a card that was found leaves the list, so few compromised cards leave little to reach.",
    )


def reliability(findings: Findings) -> Chart:
    """Draw what happened over what was said."""
    figure = new_figure(5.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    curve = findings.curve
    said = np.clip([point.mean_score for point in curve], _EDGE, 1 - _EDGE)
    share = np.clip([point.fraud_share for point in curve], _EDGE, 1 - _EDGE)
    low, high = (
        np.clip([getattr(point, end) for point in curve], _EDGE, 1 - _EDGE)
        for end in ("share_low", "share_high")
    )
    line = np.array([_END, 1 - _END])
    upper.plot(line, line, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="as said, so it happens")
    errors = np.maximum(0, [share - low, high - share])
    upper.errorbar(
        said,
        share,
        errors,
        color=MODELS[0],
        marker="o",
        markersize=5,
        linewidth=1.5,
        elinewidth=1,
        capsize=2,
        label="served score, with 95 % interval",
    )
    upper.set(
        xscale="logit",
        yscale="logit",
        xlim=(_END, 1 - _END),
        ylim=(_END, 1 - _END),
        ylabel="Share of frauds that followed",
    )
    for axis in (upper.xaxis, upper.yaxis):
        axis.set_major_locator(FixedLocator(_LOGIT_TICKS))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
    upper.text(
        0.98,
        0.04,
        f"ECE {findings.served.calibration_error:.4f}\nBrier {findings.served.brier:.4f}",
        transform=upper.transAxes,
        ha="right",
        va="bottom",
    )
    counts = [point.transactions for point in curve]
    lower.bar(said, counts, width=_widths(said), color=MODELS[0], alpha=0.7)
    lower.set(yscale="log", ylabel="Transactions", xlabel="Mean score (probability of fraud)")
    lower.yaxis.set_major_locator(LogLocator(numticks=4))
    lower.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    lower.yaxis.set_minor_locator(NullLocator())
    put_legend(figure, upper)
    title = "Reliability of the served score"
    caption = (
        "On the dashed line, of the transactions scored 10 % one in ten is a fraud; points above it mean more"
        " frauds than said, points below fewer, and both axes are stretched towards 0 and 100 %."
    )
    summary = (
        f"Expected calibration error {findings.served.calibration_error:.4f}, Brier score"
        f" {findings.served.brier:.4f}, in {len(curve)} bins of scores."
    )
    return Chart(title, caption, as_svg(figure, "reliability", title, summary))


def daily_alerts(findings: Findings, budget: float | None) -> Chart:
    """Draw the alerts of each day, and what they were, against the budget if there is one."""
    days = sorted(findings.tally.days)
    of_day = [findings.tally.days[number] for number in days]
    dates = [number + 0.5 for number in days]
    thresholds = [day.threshold for day in of_day]
    moving = max(thresholds) - min(thresholds) > 1e-9  # noqa: PLR2004 - rounding of a mean
    figure = new_figure(4.4 if moving else 3.4)
    if moving:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        below.plot(dates, thresholds, color=INK, linewidth=1.2)
        below.set(ylabel="Threshold", ylim=(0, None))
    else:
        axes = below = figure.subplots()
    caught = np.array([day.caught for day in of_day])
    wrong = np.array([day.judged_alerts for day in of_day]) - caught
    open_ = np.array([day.alerts for day in of_day]) - caught - wrong
    axes.bar(dates, caught, width=0.85, color=CAUGHT, label="alerts that were frauds")
    axes.bar(dates, wrong, width=0.85, bottom=caught, color=FALSE_ALERT, label="false alerts")
    if open_.any():
        axes.bar(
            dates, open_, width=0.85, bottom=caught + wrong, color=MUTED, label="alerts of unknown truth"
        )
    axes.plot(dates, [day.frauds for day in of_day], color=INK, linewidth=1.2, label="frauds, found or not")
    if budget is not None:
        axes.axhline(
            budget, color=LIMIT, linewidth=1.5, linestyle=(0, (5, 3)), label=f"budget, {budget:g} a day"
        )
    axes.set(ylabel="Transactions a day", ylim=(0, None))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    _dates(below, findings)
    put_legend(figure, axes)
    title = "Alerts per day"
    against = (
        f"the dashed line is the budget of {budget:g} alerts a day"
        if budget is not None
        else "no budget was set, so every score at or above the threshold is an alert"
    )
    caption = (
        "Bars are the alerts of a day (UTC), divided by what they turned out to be, and the line is how many"
        f" frauds there were to be found; {against}."
    )
    mean = findings.tally.alerts_per_day
    summary = (
        f"{len(days)} days" + ("" if mean is None else f", {mean:.1f} alerts on a whole day on average") + "."
    )
    return Chart(title, caption, as_svg(figure, "alerts", title, summary))


def timeline(findings: Findings, events: Sequence[ModelEvent]) -> Chart:
    """Draw each model's life, when it served, and what happened to it."""
    models = sorted(findings.models, key=lambda line: (line.first_ms, line.version))
    rows = {line.version: row for row, line in enumerate(models)}
    # Models that were born and retired between two transactions have events, and no scores.
    for event in events:
        rows.setdefault(event.model_version, len(rows))
    figure = new_figure(1.5 + 0.32 * len(rows))
    axes = figure.subplots()
    colours = _colours(findings)
    for line in models:
        life = _date(line.first_ms), _date(line.last_ms)
        axes.plot(life, [rows[line.version]] * 2, color=colours[line.version][0], linewidth=2, alpha=0.5)
    for reign in findings.reigns:
        stretch = _date(reign.first_ms), _date(reign.last_ms)
        colour = colours[reign.version][0]
        axes.plot(stretch, [rows[reign.version]] * 2, color=colour, linewidth=9, solid_capstyle="butt")
    for kind, (word, marker, colour) in _EVENTS.items():
        of_kind = [event for event in events if event.kind == kind]
        if of_kind:
            axes.plot(
                [_date(event.event_time) for event in of_kind],
                [rows[event.model_version] for event in of_kind],
                linestyle="none",
                marker=marker,
                markersize=8,
                color=colour,
                markeredgecolor=PAPER,
                label=word,
            )
    axes.set(ylim=(len(rows) - 0.4, -0.6))
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylabel("Model version")
    axes.grid(visible=False, axis="y")
    _dates(axes, findings)
    if events:
        put_legend(figure, axes, columns=7)
    title = "Models, drifts and swaps"
    caption = (
        "A thin line is the time that a model gave scores, a thick one the time that it served; marks stand"
        " on the line of the model that the event is about, at the time of the label that led to it."
    )
    counts = {word: sum(event.kind == kind for event in events) for kind, (word, _, _) in _EVENTS.items()}
    said = ", ".join(f"{word}: {count}" for word, count in counts.items() if count) or "no events"
    return Chart(title, caption, as_svg(figure, "timeline", title, f"{len(rows)} models; {said}."))


def importances(findings: Findings) -> Chart:
    """Draw which features move the champion's scores."""
    shown = findings.importances[:SHOWN_FEATURES]
    figure = new_figure(1.0 + 0.24 * len(shown))
    axes = figure.subplots()
    axes.barh(range(len(shown)), [one.push for one in shown], color=MODELS[0], height=0.7)
    axes.set_yticks(range(len(shown)), [one.feature.name for one in shown])
    axes.set(ylim=(len(shown) - 0.4, -0.6), xlabel="Mean absolute contribution (log-odds)", ylabel="Feature")
    axes.grid(visible=False, axis="y")
    title = "What moves the scores"
    champion = findings.reigns[-1].version
    caption = (
        f"How far each feature pushes the scores of {champion} up or down, on average over"
        f" {findings.sampled:,} transactions drawn from all; 0.7 doubles or halves the odds of fraud."
    )
    summary = "Strongest: " + ", ".join(f"{one.feature.name} {one.push:.2f}" for one in shown[:5]) + "."
    return Chart(title, caption, as_svg(figure, "importances", title, summary))


def _weekly(
    findings: Findings,
    name: str,
    title: str,
    unit: str,
    value: Callable[[Week], float],
    caption: str,
) -> Chart:
    figure = new_figure(3.9)
    axes, band = figure.subplots(2, 1, sharex=True, height_ratios=[12, 1])
    middles = [_date(week.first_ms + WEEK_MS // 2) for week in findings.weeks]
    served = [value(week.served) for week in findings.weeks]
    axes.plot(middles, served, color=INK, linewidth=3.5, alpha=0.45, label="served")
    for version, (colour, marker) in _colours(findings).items():
        values = [
            value(week.models[version]) if version in week.models else float("nan") for week in findings.weeks
        ]
        if not np.isnan(values).all():
            line = axes.plot(middles, values, color=colour, marker=marker, markersize=5, linewidth=1.3)[0]
            # Marks on the axis itself are shown whole.
            line.set(label=version, clip_on=False)
    axes.set(ylabel=f"{unit} (0 to 1)", ylim=(0, None))
    _band(band, findings)
    _dates(band, findings)
    put_legend(figure, axes)
    summary = (
        f"{unit} of the served score in {len(served)} weeks: {served[0]:.3f} in the first,"
        f" {served[-1]:.3f} in the last, {np.nanmean(served):.3f} on average."
    )
    return Chart(title, caption, as_svg(figure, name, title, summary))


def _band(axes: Axes, findings: Findings) -> None:
    """Draw who served when as a band of the models' colours."""
    colours = _colours(findings)
    for reign in findings.reigns:
        stretch = _date(reign.first_ms), _date(reign.last_ms)
        axes.plot(stretch, [0, 0], color=colours[reign.version][0], linewidth=10, solid_capstyle="butt")
    axes.set(ylim=(-1, 1))
    axes.set_yticks([0], ["served by"])
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _colours(findings: Findings) -> dict[str, tuple[str, str]]:
    """Give each model its colour and marker; the later ones of many share the last."""
    longest = sorted(findings.models, key=lambda line: (-line.days_served, line.first_ms - line.last_ms))
    chosen = {}
    for number, line in enumerate(longest):
        known = number < len(MODELS)
        chosen[line.version] = (MODELS[number], MARKERS[number]) if known else (MUTED, ".")
    return {line.version: chosen[line.version] for line in findings.models}


def _widths(middles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return bar widths that look alike on a stretched axis: proportional to its slope."""
    return 0.3 * middles * (1 - middles)


def _dates(axes: Axes, findings: Findings) -> None:
    # The library has annotations for all but these two.
    locator = AutoDateLocator(tz=UTC)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    formatter = ConciseDateFormatter(locator, tz=UTC, show_offset=False)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_formatter(formatter)
    first, last = (np.datetime64(day(findings.tally.days), "D") for day in (min, max))
    axes.set_xlabel(f"Event time (UTC), {first} to {last}")


def _date(time_ms: int) -> float:
    """Return days since 1970, which is how Matplotlib counts."""
    return time_ms / DAY_MS
