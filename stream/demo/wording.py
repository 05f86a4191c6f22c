"""Wording: numbers, alerts and events as people read them; in colours that suit a dark and a light ground."""

from datetime import UTC, datetime
from typing import Final

from rich.padding import Padding
from rich.text import Text

from stream.records import Alert, ModelEvent

# Of the terminal's own palette, and neither its yellow (unreadable on white) nor its blue (on black).
STYLES: Final = {
    "born": "",
    "drift": "magenta",
    "gate_passed": "green",
    "gate_refused": "",
    "swap": "bold green",
    "rollback": "bold red",
    "confirmed": "green",
    "resumed": "dim",
    "retired": "dim",
    "refitted": "dim",
    "fit_undone": "bold red",
    "order_refused": "",
    "roster_restored": "bold red",
    "signal": "magenta",
}


def number(value: float) -> str:
    """Write a count or a rate.

    Examples
    --------
    >>> number(1234567)
    '1,234,567'
    """
    return f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """Write a short time with two or three digits.

    Examples
    --------
    >>> duration(0.0184), duration(2.345), duration(None)
    ('18 ms', '2.3 s', '-')
    """
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f} ms" if seconds < 0.9995 else f"{seconds:.1f} s"  # noqa: PLR2004 - 1 s, rounded


def clock(seconds: float) -> str:
    """Write a time span as minutes and seconds.

    Examples
    --------
    >>> clock(83.4)
    '1:23'
    """
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def share(value: float | None) -> str:
    """Write an average precision.

    Examples
    --------
    >>> share(0.7561), share(None)
    ('0.756', '-')
    """
    return "-" if value is None else f"{value:.3f}"


def day(event_time_ms: int) -> str:
    """Write the day of an event time."""
    return f"{datetime.fromtimestamp(event_time_ms / 1000, UTC):%Y-%m-%d}"


def alert_head(alert: Alert) -> Text:
    """Say what was alerted on."""
    moment = datetime.fromtimestamp(alert.event_time / 1000, UTC)
    return Text.assemble(
        (f"{moment:%Y-%m-%d %H:%M} ", "dim"),
        ("score ", "dim"),
        (f"{alert.score:.2f}", "bold red"),
        f"  {alert.amount:.2f} paid by {alert.customer_id} at {alert.terminal_id}",
    )


def alert_reasons(alert: Alert) -> Text:
    """Say why."""
    reasons = "; ".join(reason.text for reason in alert.reasons)
    return Text(reasons or "no single feature stands out", "italic")


def event_line(event: ModelEvent) -> Text:
    """Say what happened to a model."""
    kind = event.kind.replace("_", " ")
    return Text.assemble(
        (f"{day(event.event_time)} ", "dim"), (f"{kind:<8} ", STYLES[event.kind]), event.detail
    )


def wrapped(line: Text) -> Padding:
    """Indent a line that may be longer than the terminal is wide."""
    return Padding(line, (0, 0, 0, 2))
