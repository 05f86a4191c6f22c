"""The commands `fraudstream replay` and `fraudstream simulate`."""

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from producers.display import Display
from producers.hold import Hold
from producers.pace import Pace
from producers.parameters import Column, Duration
from producers.publisher import Publisher
from producers.replay import DEFAULT_LABEL_CADENCE, DEFAULT_LABEL_DELAY, Replay
from producers.scenarios import SCENARIOS, Scenario
from producers.simulator import DEFAULT_DAYS, DEFAULT_START, Simulator, as_recorded
from producers.stopping import StopSignal
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.recorded import RecordedFile
from stream.adapters.recorded_columns import TimeUnit
from stream.adapters.redis_store import RedisStore
from stream.adapters.topics import TopicNames
from stream.clock import DAY_MS, wall_clock
from stream.decoding import MAX_FUTURE_MS
from stream.durations import format_duration
from stream.errors import SettingsError
from stream.recording import Recorded, tokenised
from stream.settings import Settings, load_settings


@dataclass(frozen=True, kw_only=True)
class _Manner:
    """How to publish: the options that both commands have."""

    broker: str | None
    redis: str | None
    topic_prefix: str | None
    namespace: str | None
    speed: float | None
    label_delay: timedelta
    label_cadence: timedelta
    labels_after_end: bool
    hold: bool
    in_flight: int
    stall_seconds: float
    summary: Path | None

    def settings(self) -> Settings:
        """Return the environment's settings under these options."""
        return load_settings(
            broker=self.broker, redis=self.redis, topic_prefix=self.topic_prefix, namespace=self.namespace
        )


def _publishing(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `_Manner`, as its argument `manner`."""

    @functools.wraps(command)
    def wrapper(**options: Any) -> None:
        ours = {name: options.pop(name) for name in _Manner.__dataclass_fields__}
        command(manner=_Manner(**ours), **options)

    for option in reversed(
        [
            click.option("--broker", help="Kafka's HOST:PORT, comma-separated [FRAUD_BROKER]."),
            click.option("--redis", help="URL of the pipeline's Redis, for the hold [FRAUD_REDIS]."),
            click.option("--topic-prefix", help="Put before every topic's name [FRAUD_TOPIC_PREFIX]."),
            click.option("--namespace", help="First part of the keys in Redis [FRAUD_NAMESPACE]."),
            click.option(
                "--speed",
                type=click.FloatRange(min=0, min_open=True),
                help="Multiple of real time; by default as fast as the pipeline can take it.",
            ),
            click.option(
                "--label-delay",
                type=Duration(),
                default=format_duration(DEFAULT_LABEL_DELAY),
                show_default=True,
                help="From a transaction to the knowledge of what it was.",
            ),
            click.option(
                "--label-cadence",
                type=Duration(),
                default=format_duration(DEFAULT_LABEL_CADENCE),
                show_default=True,
                help="Time between two deliveries of labels; 0 delivers each by itself.",
            ),
            click.option(
                "--labels-after-end/--no-labels-after-end",
                help="Publish at the end the labels that are due only after the last transaction.",
            ),
            click.option(
                "--hold/--no-hold",
                default=True,
                show_default=True,
                help="Never run ahead of the pipeline: every label due before a transaction is learnt first.",
            ),
            click.option(
                "--in-flight",
                type=click.IntRange(min=1),
                default=10_000,
                show_default=True,
                help="Most transactions published and not yet scored, where held.",
            ),
            click.option(
                "--stall-seconds",
                type=click.FloatRange(min=1),
                default=60.0,
                show_default=True,
                help="Give up when the pipeline stands still for so long.",
            ),
            click.option(
                "--summary",
                type=click.Path(dir_okay=False, path_type=Path),
                help="Write a summary here, as JSON, kept up to date.",
            ),
        ]
    ):
        wrapper = option(wrapper)
    return wrapper


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--limit", type=click.IntRange(min=1), help="Most transactions to publish.")
@click.option(
    "--column",
    "columns",
    type=Column(),
    multiple=True,
    help="The column of a field that has another name, such as amount=TX_AMOUNT.",
)
@click.option(
    "--time-unit",
    type=click.Choice(["ms", "s"]),
    default="ms",
    show_default=True,
    help="What an event_time of numbers counts since 1970.",
)
@click.option("--labels/--no-labels", default=True, show_default=True, help="Publish what is_fraud says.")
@_publishing
def replay(
    file: Path,
    limit: int | None,
    columns: tuple[tuple[str, str], ...],
    time_unit: TimeUnit,
    labels: bool,
    manner: _Manner,
) -> None:
    """Publish recorded transactions from FILE (Parquet or CSV), and each label when it was due."""
    recording = RecordedFile(file, columns=dict(columns), time_unit=time_unit, labelled=labels)
    total = min((n for n in (limit, recording.rows) if n is not None), default=None)
    _publish(itertools.islice(recording, limit), total, manner)


@click.command()
@click.option("--transactions", type=click.IntRange(min=1), help="End after so many.")
@click.option(
    "--days",
    type=click.IntRange(min=0),
    help=f"End after so many days, 0 for never.  [default: {DEFAULT_DAYS}, or as --transactions needs]",
)
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Of all randomness.")
@click.option("--customers", type=click.IntRange(min=1), default=1000, show_default=True, help="How many.")
@click.option("--terminals", type=click.IntRange(min=1), default=2000, show_default=True, help="How many.")
@click.option(
    "--scenario",
    type=click.Choice(SCENARIOS),
    default="stationary",
    show_default=True,
    help="How fraud changes.",
)
@click.option("--change-day", type=click.IntRange(min=1), help="When it changes.  [default: half-way]")
@click.option(
    "--change-size",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="How much of the change comes about.",
)
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%d"]),
    default=f"{DEFAULT_START:%Y-%m-%d}",
    show_default=True,
    help="The first day.",
)
@click.option(
    "--bad-records",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of transactions sent as something that cannot be read.",
)
@_publishing
def simulate(
    transactions: int | None,
    days: int | None,
    seed: int,
    customers: int,
    terminals: int,
    scenario: Scenario,
    change_day: int | None,
    change_size: float,
    start: datetime,
    bad_records: float,
    manner: _Manner,
) -> None:
    """Publish simulated transactions, and each label when it is due."""
    if days is None and transactions is None:
        days = DEFAULT_DAYS
    simulator = Simulator(
        customers=customers,
        terminals=terminals,
        seed=seed,
        start=start.replace(tzinfo=UTC),
        days=days or None,
        transactions=transactions,
        scenario=scenario,
        change_day=change_day,
        change_size=change_size,
    )
    _refuse_the_future(start.replace(tzinfo=UTC), simulator.expected_days or 0.0)
    total = transactions
    if total is None and simulator.expected_days is not None:
        total = round(simulator.expected_days * simulator.expected_per_day)
    _publish(as_recorded(simulator, bad_share=bad_records, seed=seed), total, manner)


def _refuse_the_future(start: datetime, days: float) -> None:
    if start.timestamp() * 1000 + days * DAY_MS > wall_clock() + MAX_FUTURE_MS:
        raise SettingsError(
            f"a simulation of {days:.0f} day(s) from {start:%Y-%m-%d} ends in the future, which the pipeline"
            " takes for a fault of the sender; choose an earlier --start"
        )


def _publish(source: Iterable[Recorded], total: int | None, manner: _Manner) -> None:
    settings = manner.settings()
    topics = TopicNames.of(settings)
    with (
        contextlib.ExitStack() as ending,
        StopSignal() as stop,
        Publisher(KafkaAccess.of(settings)) as publisher,
        Display(total, manner.summary) as display,
    ):
        hold = None
        if manner.hold:
            hold = Hold(
                RedisStore.of(settings),
                publisher,
                topics,
                in_flight=manner.in_flight,
                stall_seconds=manner.stall_seconds,
                stop=stop,
            )
        else:
            for topic in (topics.transactions, topics.labels):
                publisher.partitions(topic)  # says so when there is no such topic, before anything is sent
        # Sleeping, it goes on taking in delivery reports.
        pace = Pace(manner.speed, sleep=publisher.serve, stop=stop) if manner.speed else None
        run = Replay(
            tokenised(source, settings.tokens),
            publisher,
            topics,
            delay=manner.label_delay,
            cadence=manner.label_cadence,
            hold=hold,
            pace=pace,
            labels_after_end=manner.labels_after_end,
            stop=stop,
            on_progress=display.update,
        )
        # After the bar is gone; and also when it fails, for what was published until then.
        ending.callback(lambda: display.conclude(run.summary()))
        run.run()
