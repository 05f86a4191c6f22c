"""Plain lines: the story for logs and pipes, where nothing can be drawn over."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from stream.demo.story import Story
from stream.demo.wording import alert_head, alert_reasons, clock, duration, event_line, number, share

_STATUS_SECONDS: Final = 5.0
_FIRST_ALERTS: Final = 5
_SURE: Final = 0.5
"""Before anything is learnt the budget goes to scores that mean nothing: no alerts to show a newcomer."""


class PlainLines:
    """Writes what is new: events and the first sure alerts as they come, a status line every few seconds.

    Parameters
    ----------
    story
        As it goes on.
    write
        Takes one line.
    """

    def __init__(self, story: Story, write: Callable[[str], object]) -> None:
        self._story = story
        self._write = write
        self._events = 0
        self._alerts: set[str] = set()
        self._status_due = 0.0

    def refresh(self) -> None:
        """Write what has come since the last call."""
        story = self._story
        for event in story.model_events[self._events :]:
            self._write(event_line(event).plain)
        self._events = len(story.model_events)
        for alert in list(story.alerts) if len(self._alerts) < _FIRST_ALERTS else ():
            if alert.score < _SURE or alert.transaction_id in self._alerts:
                continue
            self._alerts.add(alert.transaction_id)
            self._write(f"alert {alert_head(alert).plain}: {alert_reasons(alert).plain}")
            if len(self._alerts) == _FIRST_ALERTS:
                self._write("(further alerts are counted only)")
                break
        if story.seconds >= self._status_due:
            self._status_due = story.seconds + _STATUS_SECONDS
            self._write(status_line(story))


def status_line(story: Story) -> str:
    """Say in one line how things stand."""
    figures = story.figures
    if not figures.event_time_seconds:
        return f"[{clock(story.seconds)}] waiting for the first transactions"
    now = datetime.fromtimestamp(figures.event_time_seconds, UTC)
    models = ", ".join(
        f"{'*' if model == figures.champion else ''}{model} {share(value)}"
        for model, value in figures.judged().items()
    )
    return (
        f"[{clock(story.seconds)}] {now:%Y-%m-%d}:"
        f" {number(figures.scored + story.dead_lettered)} of {number(story.plan.transactions)} done"
        f" at {number(story.transactions_per_second)}/s,"
        f" latency {duration(story.latency(0.5))} p50 {duration(story.latency(0.99))} p99,"
        f" lag {number(figures.transactions_lag)},"
        f" {number(story.dead_lettered)} dead letters, {number(figures.alerts)} alerts,"
        f" {number(figures.labels.get('joined', 0))} labels joined; average precision: {models or 'none yet'}"
    )
