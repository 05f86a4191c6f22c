"""The command `fraudstream backtest`."""

import itertools
import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stream import kernel
from stream.adapters.recorded import RecordedFile
from stream.backtest.analysts import Analysts
from stream.backtest.answers import Answers
from stream.backtest.report.collector import Collector
from stream.backtest.report.findings import find
from stream.backtest.run import Backtest, BacktestSummary, Scored
from stream.backtest.score_file import ScoreFile
from stream.durations import parse_duration
from stream.errors import SettingsError
from stream.garbage import calm_collector
from stream.recording import Recorded
from stream.records import ModelEvent
from stream.settings import load_settings

_PLAIN_EVERY = 50_000


def _duration(_context: click.Context, _option: click.Parameter, text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _columns(_context: click.Context, _option: click.Parameter, pairs: Sequence[str]) -> dict[str, str]:
    columns = {}
    for pair in pairs:
        field, equals, name = pair.partition("=")
        if not (field and equals and name):
            raise click.BadParameter(f"{pair!r} is not FIELD=NAME, such as amount=TX_AMOUNT")
        columns[field] = name
    return columns


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--label-delay", default="7d", show_default=True, callback=_duration, help="From transaction to label."
)
@click.option(
    "--label-cadence",
    default="1h",
    show_default=True,
    callback=_duration,
    help="Labels come in deliveries this far apart; 0: each at its own time.",
)
@click.option(
    "--analysts",
    type=click.IntRange(1),
    help="Simulate analysts who judge so many customers a day, the most suspect, at the day's end.",
)
@click.option("--limit", type=click.IntRange(1), help="Stop after so many transactions.")
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="FIELD=NAME",
    callback=_columns,
    help="The file's name of a field.",
)
@click.option(
    "--time-unit", type=click.Choice(["ms", "s"]), default="ms", help="What numeric event times count."
)
@click.option(
    "--scores", type=click.Path(path_type=Path), help="Write every score served to this Parquet file."
)
@click.option(
    "--report", type=click.Path(path_type=Path), help="Write a report with charts to this HTML file."
)
@click.option("--summary", type=click.Path(path_type=Path), help="Write the summary to this JSON file.")
def backtest(
    file: Path,
    label_delay: timedelta,
    label_cadence: timedelta,
    analysts: int | None,
    limit: int | None,
    columns: dict[str, str],
    time_unit: Any,
    scores: Path | None,
    report: Path | None,
    summary: Path | None,
) -> None:
    """Run FILE (Parquet or CSV) through the code of production, in event-time order.

    Needs neither Kafka nor Redis. FILE has transaction_id, event_time, customer_id, terminal_id, amount and
    is_fraud, under these names or others given with --column.
    """
    recording = RecordedFile(file, columns=columns, time_unit=time_unit)
    if report is not None:
        _check_report(report)
    settings = load_settings()
    kernel.choose(settings.kernel)
    calm_collector()
    collector = Collector(settings.seed) if report else None
    happened: list[ModelEvent] = []
    known = [n for n in (recording.rows, limit) if n is not None]
    with ExitStack() as stack:
        written = stack.enter_context(ScoreFile(scores)) if scores else None
        show = stack.enter_context(_Shown(min(known, default=None)))
        run = Backtest(settings, Analysts(analysts) if analysts else None)

        def on_scored(scored: Scored) -> None:
            if written is not None:
                written.add(scored)

        def on_answers(answers: Answers) -> None:
            if collector is not None:
                collector.add(answers)

        def on_events(events: Sequence[ModelEvent]) -> None:
            happened.extend(events)
            show.events(events)

        result = run.run(
            show.counted(itertools.islice(recording, limit)),
            label_delay,
            label_cadence,
            on_scored=on_scored,
            on_answers=on_answers,
            on_events=on_events,
        )
    if summary is not None:
        summary.write_text(json.dumps(asdict(result), indent=2) + "\n")
    _print(result)
    if report is not None and collector is not None:
        from stream.backtest.report.page import Run, render  # noqa: PLC0415 - needs the extra `report`

        budget = getattr(settings, "alert_budget", None)
        facts = Run(file.name, settings, label_delay, label_cadence, limit, result, happened, budget)
        report.write_text(render(find(collector, run.tally, run.served), facts), encoding="utf-8")
        click.echo(f"report: {report}")


def _check_report(path: Path) -> None:
    """Find out before the run, not after it, that a report cannot be written."""
    if not path.absolute().parent.is_dir():
        raise SettingsError(f"there is no folder for --report {path}; make it first")
    if missing := [name for name in ("jinja2", "matplotlib") if find_spec(name) is None]:
        raise SettingsError(
            f"--report needs {' and '.join(missing)}: install them with pip install 'fraudstream[report]'"
        )


class _Shown:
    """Progress on standard error: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, total: int | None) -> None:
        self._total = total
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("backtest {task.fields[date]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task = self._progress.add_task("", total=total, date="", rate="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def counted(self, recording: Iterable[Recorded]) -> Iterable[Recorded]:
        """Pass a recording on and show how far it has come."""
        done = 0
        for done, recorded in enumerate(recording, start=1):
            if done % 2_000 == 0:
                self._advance(done, recorded.transaction.event_time)
            yield recorded
        self._progress.update(self._task, completed=done)

    def events(self, events: Sequence[ModelEvent]) -> None:
        """Show what happened to the models."""
        for event in events:
            self._console.print(
                f"{_date(event.event_time)}  {event.kind}: {event.detail}", highlight=False, soft_wrap=True
            )

    def _advance(self, done: int, event_time_ms: int) -> None:
        task, date = self._progress.tasks[0], _date(event_time_ms)
        self._progress.update(self._task, completed=done, date=date)
        # Of the last half minute: the first days, with no labels yet, go by faster than the rest.
        rate = f"{task.speed:,.0f}/s" if task.speed else ""
        self._progress.update(self._task, rate=rate)
        if not self._console.is_terminal and done % _PLAIN_EVERY == 0:
            of_total = f" of {self._total:,}" if self._total else ""
            left = f", {timedelta(seconds=task.time_remaining)} left" if task.time_remaining else ""
            click.echo(f"{date}  {done:,}{of_total} transactions, {rate}{left}", err=True)


def _print(result: BacktestSummary) -> None:
    click.echo(
        f"{result.transactions:,} transactions in {result.seconds:.1f} s"
        f" ({result.transactions_per_second:,.0f}/s): {result.scored:,} scored, {result.alerts:,} alerts,"
        f" {result.dead_lettered:,} dead letters"
    )
    click.echo(
        f"{result.labels:,} labels, {result.labels_joined:,} joined, {result.learned:,} learnt;"
        f" {result.drift_events} drifts, {result.swaps} swaps"
        f"{f', {result.fits} fits' if result.fits else ''}; champion {result.champion_version}"
    )
    if result.alert_recall is not None:
        whole_day = "" if result.alerts_per_day is None else f", {result.alerts_per_day:.1f} on a whole day"
        precision = "none" if result.alert_precision is None else f"{result.alert_precision:.1%}"
        click.echo(
            f"of the alerts {precision} were frauds, of the frauds {result.alert_recall:.1%} were alerts"
            f"{whole_day}"
        )
    if result.expected_calibration_error is not None:
        click.echo(
            f"served score: expected calibration error {result.expected_calibration_error:.4f},"
            f" Brier score {result.brier:.4f}"
        )
    for version, quality in sorted(result.average_precision.items(), key=lambda pair: -pair[1]):
        click.echo(f"  {version:<14} average precision {quality:.3f} on the last labels")


def _date(event_time_ms: int) -> str:
    return datetime.fromtimestamp(event_time_ms / 1000, UTC).strftime("%Y-%m-%d")
