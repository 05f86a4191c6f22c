"""The command `fraudstream backtest`."""

import itertools
import json
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stream.adapters.recorded import RecordedFile
from stream.backtest.run import Backtest, BacktestSummary, Scored
from stream.backtest.score_file import ScoreFile
from stream.durations import parse_duration
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
@click.option("--summary", type=click.Path(path_type=Path), help="Write the summary to this JSON file.")
def backtest(
    file: Path,
    label_delay: timedelta,
    label_cadence: timedelta,
    limit: int | None,
    columns: dict[str, str],
    time_unit: Any,
    scores: Path | None,
    summary: Path | None,
) -> None:
    """Run FILE (Parquet or CSV) through the code of production, in event-time order.

    Needs neither Kafka nor Redis. FILE has transaction_id, event_time, customer_id, terminal_id, amount and
    is_fraud, under these names or others given with --column.
    """
    recording = RecordedFile(file, columns=columns, time_unit=time_unit)
    known = [n for n in (recording.rows, limit) if n is not None]
    with ExitStack() as stack:
        written = stack.enter_context(ScoreFile(scores)) if scores else None
        show = stack.enter_context(_Shown(min(known, default=None)))
        run = Backtest(load_settings())

        def on_scored(scored: Scored) -> None:
            if written is not None:
                written.add(scored)

        result = run.run(
            show.counted(itertools.islice(recording, limit)),
            label_delay,
            label_cadence,
            on_scored=on_scored,
            on_events=show.events,
        )
    if summary is not None:
        summary.write_text(json.dumps(asdict(result), indent=2) + "\n")
    _print(result)


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
            self._console.print(f"{_date(event.event_time)}  {event.kind}: {event.detail}", highlight=False)

    def _advance(self, done: int, event_time_ms: int) -> None:
        task = self._progress.tasks[0]
        rate = f"{done / task.elapsed:,.0f}/s" if task.elapsed else ""
        date = _date(event_time_ms)
        self._progress.update(self._task, completed=done, date=date, rate=rate)
        if not self._console.is_terminal and done % _PLAIN_EVERY == 0:
            left = ""
            if self._total and task.elapsed:
                left = f", {task.elapsed * (self._total - done) / done:.0f} s left"
            click.echo(f"{date}  {done:,} transactions, {rate}{left}", err=True)


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
    for version, precision in sorted(result.average_precision.items(), key=lambda pair: -pair[1]):
        click.echo(f"  {version:<14} average precision {precision:.3f} on the last labels")


def _date(event_time_ms: int) -> str:
    return datetime.fromtimestamp(event_time_ms / 1000, UTC).strftime("%Y-%m-%d")
