"""The summary: what a demo did, as JSON and as a table."""

import json
import platform
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Self

import confluent_kafka
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stream import __version__
from stream.demo.services import Services
from stream.demo.story import Story
from stream.demo.wording import duration, event_line, number, share, wrapped

_PACKAGES: Final = ("river", "faust-streaming", "aiokafka", "redis", "confluent-kafka")


@dataclass(frozen=True, kw_only=True)
class Summary:
    """Everything that a demo has to say at its end. The fields are those of ``--summary``'s JSON."""

    finished: bool
    """Whether the simulation came to its end; False when somebody stopped it."""
    published: int
    """Transactions, the unreadable ones included."""
    scored: int
    dead_lettered: int
    """Transactions that could not be used."""
    dead_letters: dict[str, int]
    """The same by reason."""
    labels_published: int
    labels_joined: int
    labels_not_joined: int
    """Duplicates, corrections, dead letters, and labels that found no transaction."""
    learned: int
    alerts: int
    drift_events: int
    swaps: int
    champion_version: str | None
    average_precision: dict[str, float | None]
    """By model, the champion first: over the last labels; None for a model not judged yet."""
    seconds: float
    """From the first transaction to everything processed."""
    total_seconds: float
    """From the start of the demo, that of the processes included."""
    transactions_per_second: float
    latency_seconds: dict[str, float | None]
    """Quantiles of the time from a transaction's arrival at the broker to its score."""
    stage_seconds: dict[str, dict[str, float]]
    """Time that scorer and learner spent in each stage of their batches."""
    simulated_until: str | None
    """The newest event time, ISO 8601."""
    model_events: list[dict[str, Any]]
    """Drifts, swaps and the like, in their order."""
    scenario: str
    seed: int
    broker: str
    redis: str
    versions: dict[str, str]

    @classmethod
    def of(cls, story: Story, services: Services, *, seconds: float, finished: bool) -> Self:
        """Sum a story up.

        Parameters
        ----------
        story
            As it stands once everything is processed.
        services
            What it ran on.
        seconds
            From the first transaction to everything processed.
        finished
            Whether the simulation came to its end.
        """
        figures = story.figures
        joined = figures.labels.get("joined", 0)
        quantiles = {f"p{q * 100:g}": figures.latency.quantile(q) for q in (0.5, 0.95, 0.99)}
        until = (
            datetime.fromtimestamp(figures.event_time_seconds, UTC) if figures.event_time_seconds else None
        )
        return cls(
            finished=finished,
            published=figures.published,
            scored=figures.scored,
            dead_lettered=story.dead_lettered,
            dead_letters=dict(story.dead_letters.most_common()),
            labels_published=figures.labels_published,
            labels_joined=joined,
            labels_not_joined=figures.labels_read - joined,
            learned=figures.learned,
            alerts=figures.alerts,
            drift_events=figures.drifts,
            swaps=figures.swaps,
            champion_version=figures.champion,
            average_precision=figures.judged(),
            seconds=round(seconds, 2),
            total_seconds=round(story.seconds, 2),
            transactions_per_second=round(figures.published / seconds, 1) if seconds else 0.0,
            latency_seconds=quantiles,
            stage_seconds=figures.stage_seconds,
            simulated_until=until.isoformat(timespec="seconds") if until else None,
            model_events=[
                {
                    "kind": event.kind,
                    "model_version": event.model_version,
                    "detail": event.detail,
                    "event_time": datetime.fromtimestamp(event.event_time / 1000, UTC).isoformat(
                        timespec="seconds"
                    ),
                    "label_offset": event.label_offset,
                }
                for event in story.model_events
            ],
            scenario=story.plan.scenario,
            seed=story.plan.seed,
            broker=services.broker,
            redis=services.redis,
            versions=_versions(),
        )

    @property
    def unaccounted(self) -> int:
        """Transactions published of which nothing has become: 0, or something is wrong."""
        return self.published - self.scored - self.dead_lettered

    def write(self, path: Path) -> None:
        """Write the JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    def table(self) -> RenderableType:
        """Return the summary for people."""
        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="dim", no_wrap=True)
        rows.add_column()
        for name, text in self._rows():
            rows.add_row(name, text)
        return Group(Text("Summary" if self.finished else "Summary of what was done", style="bold"), rows)

    def _rows(self) -> Iterator[tuple[str, str | Text]]:
        reasons = ", ".join(f"{n} {reason.replace('_', ' ')}" for reason, n in self.dead_letters.items())
        p50, p99 = self.latency_seconds["p50"], self.latency_seconds["p99"]
        scored, refused = number(self.scored), number(self.dead_lettered)
        yield "transactions", f"{number(self.published)} published = {scored} scored + {refused} dead letters"
        yield "dead letters", reasons or "none"
        joined, learned = number(self.labels_joined), number(self.learned)
        yield "labels", f"{number(self.labels_published)} published, {joined} joined, {learned} learnt"
        yield "alerts", number(self.alerts)
        yield "drift alarms", number(self.drift_events)
        yield "swaps", number(self.swaps)
        for model, value in self.average_precision.items():
            text = f"{model}, average precision {share(value)}"
            champion = model == self.champion_version
            yield ("champion" if champion else "challenger"), Text(text, "bold" if champion else "")
        rate = number(self.transactions_per_second)
        yield "speed", f"{rate} transactions/s for {self.seconds:.0f} s; {self.total_seconds:.0f} s in all"
        yield "latency", f"{duration(p50)} median, {duration(p99)} 99th percentile, from arrival to score"
        yield "simulated until", (self.simulated_until or "nothing")[:10]


def timeline(story: Story) -> RenderableType:
    """Return what happened to the models, in order."""
    if not story.model_events:
        return Text("No drift, no swap.", style="dim")
    return Group(*(wrapped(event_line(event)) for event in story.model_events))


def _versions() -> dict[str, str]:
    return {
        "fraudstream": __version__,
        "python": platform.python_version(),
        **{package: version(package) for package in _PACKAGES},
        "librdkafka": str(confluent_kafka.libversion()[0]),
    }
