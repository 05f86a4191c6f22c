"""The live view: the story on a terminal, in one column or, where there is room, in two."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from stream.clock import DAY_MS, SECOND_MS
from stream.demo.plan import START
from stream.demo.sparkline import column_of, sparkline
from stream.demo.story import Story
from stream.demo.wording import alert_head, alert_reasons, clock, duration, event_line, number, share

_TWO_COLUMNS: Final = 120
"""Characters from which on there are two columns."""
_FIGURES: Final = 4
"""Lines of figures."""
_MOST_ALERTS: Final = 15
_LEGEND: Final = "decides, the others score in shadow; 1 is perfect, a guess 0.01"
_DAY_SECONDS: Final = DAY_MS // SECOND_MS


class _Room(NamedTuple):
    events: int
    alerts: int


class View:
    """Draws a story as it stands whenever it is rendered.

    Parameters
    ----------
    story
        Changes between two renderings.

    Notes
    -----
    Never higher than the terminal: old alerts and events make room.
    """

    def __init__(self, story: Story) -> None:
        self._story = story

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render for this width and height."""
        width, height = options.max_width, console.size.height
        models = max(1, len(self._story.figures.average_precision))
        yield self._head(width)
        if width < _TWO_COLUMNS:
            # Head, four titles, the figures, the models with their heading and legend, the foot.
            room = _share_out(height - 1 - (2 + 4 + _FIGURES + models + 2 + 1))
            yield self._stream()
            yield self._models(width, options.ascii_only)
            yield self._events(console, width, room.events)
            yield self._alerts(room.alerts)
        else:
            left = width * 2 // 5
            room = _share_out(height - 1 - (2 + 2 + 1))
            columns = Table.grid(expand=True, padding=(0, 0))
            columns.add_column(width=left)
            columns.add_column(width=2)
            columns.add_column(ratio=1)
            columns.add_row(
                Group(self._stream(), self._models(left, options.ascii_only)),
                "",
                Group(self._events(console, width - left - 2, room.events), self._alerts(room.alerts)),
            )
            yield columns
        # A short last line: the ^C that terminals echo after it must not wrap and shift what is drawn next.
        yield Text("Ctrl-C stops", "dim")

    def _head(self, width: int) -> RenderableType:
        story = self._story
        figures, plan = story.figures, story.plan
        done = min(figures.scored + figures.refused, plan.transactions)
        rate = story.transactions_per_second
        left = f", {clock((plan.transactions - done) / rate)} left" if rate else ""
        now = datetime.fromtimestamp(figures.event_time_seconds, UTC)
        date = f"simulated {now:%Y-%m-%d}" if figures.event_time_seconds else "starting"
        title = Table.grid(expand=True)
        title.add_column(no_wrap=True)
        title.add_column(justify="right", no_wrap=True)
        title.add_row(
            Text.assemble(("fraudstream demo", "bold"), f"  {date}"),
            f"{clock(story.seconds)} elapsed{left}",
        )
        counted = f" {number(done)} of {number(plan.transactions)} {done / plan.transactions:4.0%}"
        bar = Table.grid(expand=True)
        bar.add_column(ratio=1)
        bar.add_column(no_wrap=True)
        bar.add_row(
            ProgressBar(
                plan.transactions,
                done,
                width=max(10, width - len(counted)),
                style="dim",
                complete_style="green",
                finished_style="green",
            ),
            counted,
        )
        return Group(title, bar)

    def _stream(self) -> RenderableType:
        story, figures = self._story, self._story.figures
        joined, lag = figures.labels.get("joined", 0), figures.transactions_lag
        cells = [
            ("throughput", f"{number(story.transactions_per_second)}/s"),
            ("latency p50", duration(story.latency(0.5))),
            ("scored", number(figures.scored)),
            ("latency p99", duration(story.latency(0.99))),
            ("dead letters", number(story.dead_lettered)),
            ("lag", f"{number(lag)} + {number(figures.labels_lag)} labels"),
            ("alerts", number(figures.alerts)),
            ("labels", f"{number(joined)} joined, {number(figures.learned)} learnt"),
        ]
        grid = Table.grid(expand=True, padding=(0, 1))
        for ratio in (2, 3):
            grid.add_column(style="dim", no_wrap=True, width=12)
            grid.add_column(no_wrap=True, ratio=ratio, overflow="ellipsis")
        for (name, text), (other, other_text) in zip(cells[::2], cells[1::2], strict=True):
            grid.add_row(name, text, other, other_text)
        return Group(_title("Stream"), grid)

    def _models(self, width: int, ascii_only: bool) -> RenderableType:
        story = self._story
        judged = story.figures.judged()
        start, plan = START.timestamp(), story.plan
        end = start + plan.days * _DAY_SECONDS
        longest = max((len(model) for model in judged), default=0)
        room = max(8, width - longest - 12)
        grid = Table.grid(padding=(0, 1))
        for _ in range(3):
            grid.add_column(no_wrap=True)
        grid.add_column(no_wrap=True, width=room)
        change = ""
        if plan.change_day is not None:
            column = column_of(start + plan.change_day * _DAY_SECONDS, start, end, room)
            change = f"{' ' * column}{'v' if ascii_only else '▼'} fraud changes"
        grid.add_row("", "", "", Text(change[:room], "magenta"))
        for model, value in judged.items():
            line = sparkline(story.quality.get(model, []), start, end, room, ascii_only=ascii_only)
            champion = model == story.figures.champion
            style = "bold" if champion else ""
            mark = ("*" if ascii_only else "★") if champion else " "
            grid.add_row(
                Text(mark, "bold green"),
                Text(model, style),
                Text(share(value), style),
                Text(line, "green" if champion else "dim"),
            )
        title = _title("Average precision of the models, over the last labels")
        legend = Text(f" {'*' if ascii_only else '★'} {_LEGEND}", "dim", no_wrap=True, overflow="ellipsis")
        return (
            Group(title, grid, legend)
            if judged
            else Group(title, Padding(Text("no labels yet", "dim"), (0, 1)))
        )

    def _events(self, console: Console, width: int, room: int) -> RenderableType:
        """Show the last events whole; of the very last as much as there is room for."""
        lines: list[Text] = []
        for event in reversed(self._story.model_events):
            wrapped = list(event_line(event).wrap(console, width - 1))
            if lines and len(lines) + len(wrapped) > room:
                break
            lines = [*wrapped[:room], *lines]
        return _section("Drift and swaps", lines, "nothing yet")

    def _alerts(self, room: int) -> RenderableType:
        lines: list[Text] = []
        for alert in list(self._story.alerts)[-room:] if room else []:
            lines += [alert_head(alert), Text.assemble("  ", alert_reasons(alert))]
        return _section("Last alerts", lines, "nothing yet")


def _share_out(lines: int) -> _Room:
    """Give a third of the lines to events, the rest to alerts, which take two each."""
    events = max(1, lines // 3)
    return _Room(events, min(_MOST_ALERTS, max(0, (lines - events) // 2)))


def _title(text: str) -> Rule:
    return Rule(Text(text, "bold"), align="left", style="dim")


def _section(title: str, lines: Iterable[Text], otherwise: str) -> RenderableType:
    shown = list(lines) or [Text(otherwise, "dim")]
    for line in shown:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(_title(title), *(Padding(line, (0, 0, 0, 1)) for line in shown))
