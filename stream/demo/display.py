"""The display: where the story is shown, drawn over and over on a terminal or written in lines."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.live import Live

from stream.demo.plain import PlainLines
from stream.demo.story import Story
from stream.demo.view import View


class Display(Protocol):
    """Shows a story within its context."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def refresh(self) -> None:
        """Show the story as it stands."""
        ...


class LiveDisplay:
    """Draws the view over itself, and wipes it away at the end: the summary takes its place."""

    def __init__(self, story: Story, console: Console) -> None:
        self._live = Live(
            View(story), console=console, auto_refresh=False, transient=True, vertical_overflow="crop"
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def refresh(self) -> None:
        """Draw the story as it stands."""
        self._live.refresh()


class PlainDisplay:
    """Writes what is new, line by line."""

    def __init__(self, story: Story, console: Console) -> None:
        self._lines = PlainLines(
            story, lambda line: console.print(line, soft_wrap=True, markup=False, highlight=False)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.refresh()

    def refresh(self) -> None:
        """Write what has come."""
        self._lines.refresh()
