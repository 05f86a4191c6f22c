"""How a replay looks to whoever started it: a bar on a terminal, plain lines elsewhere."""

import json
import os
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from producers.replay import ReplaySummary

_LINE_SECONDS: Final = 10.0
_FILE_SECONDS: Final = 1.0


class Display(AbstractContextManager["Display"]):
    """Shows a replay's progress on stderr, and keeps a summary file up to date.

    Parameters
    ----------
    total
        Transactions to expect; None when nobody knows.
    summary_file
        Rewritten every second, whole at any moment, and at the end with ``"finished": true``.
    monotonic
        Returns seconds.
    """

    def __init__(
        self,
        total: int | None,
        summary_file: Path | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._total = total
        self._summary_file = summary_file
        self._monotonic = monotonic
        self._bar: Progress | None = None
        self._line_due = monotonic() + _LINE_SECONDS
        self._file_due = monotonic()
        console = Console(stderr=True)
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=console,
            )
            self._task = self._bar.add_task("transactions", total=total)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def update(self, summary: ReplaySummary) -> None:
        """Show how things stand."""
        now = self._monotonic()
        if self._bar:
            self._bar.update(self._task, completed=summary.published, description=_date(summary))
        elif now >= self._line_due:
            self._line_due = now + _LINE_SECONDS
            of = "" if self._total is None else f" of {self._total}"
            click.echo(f"{_date(summary)}: {summary.published}{of} transactions", err=True)
        if self._summary_file and now >= self._file_due:
            self._file_due = now + _FILE_SECONDS
            _write(self._summary_file, summary.as_json())

    def conclude(self, summary: ReplaySummary) -> None:
        """Write the summary to its file, and a line of it to stdout."""
        if self._summary_file:
            _write(self._summary_file, summary.as_json())
        click.echo(
            f"published {summary.published} transactions and {summary.labels_published} labels"
            f" in {summary.seconds:.1f} s ({summary.transactions_per_second:.0f} transactions a second)"
            + (f", {summary.bad_records} of them bad records" if summary.bad_records else "")
            + ("; stopped early" if summary.stopped else "")
        )


def _date(summary: ReplaySummary) -> str:
    return (summary.as_json()["last_event_time"] or "starting")[:10]


def _write(path: Path, content: dict[str, Any]) -> None:
    # Whoever reads it meanwhile sees the old file or the new one, never half of one.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=2) + "\n")
    temporary.replace(path)
