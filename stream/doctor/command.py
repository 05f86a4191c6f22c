"""The command `fraudstream doctor`."""

import os
import shutil
import sys
import textwrap
from collections import Counter

import click

from stream.clock import wall_clock
from stream.doctor.examination import examine
from stream.doctor.finding import Finding, State

_COLOURS = {State.GOOD: "green", State.WARNING: "yellow", State.WRONG: "red"}
_MARGIN = 24


@click.command()
@click.option("--broker", help="Kafka's HOST:PORT, comma-separated [FRAUD_BROKER].")
@click.option("--redis", help="URL of Redis [FRAUD_REDIS].")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a service may take for each answer.",
)
def doctor(broker: str | None, redis: str | None, timeout: float) -> None:
    """Look at settings, Kafka, topics, Redis, keys, clock, case store and versions; say what to do.

    Run it where a worker is to run, or a desk, with the same environment. It changes nothing. Exit code 1:
    something is wrong, and a worker would not run, or not for long. Warnings alone leave it at 0.

    \b
    Examples:
      fraudstream doctor
      FRAUD_BROKER=kafka:9092 FRAUD_REDIS=redis://redis:6379/0 fraudstream doctor
    """  # noqa: D301 - \b has click leave lines as they are
    states: Counter[State] = Counter()
    for finding in examine(os.environ, wall_clock, timeout_seconds=timeout, broker=broker, redis=redis):
        states[finding.state] += 1
        click.echo(_line(finding))
    if states[State.WRONG]:
        click.echo(
            f"\n{states[State.WRONG]} wrong, {states[State.WARNING]} to be looked at: mend from the top"
        )
        sys.exit(1)
    rest = f"; {states[State.WARNING]} to be looked at" if states[State.WARNING] else ""
    click.echo(f"\nnothing is wrong{rest}")


def _line(finding: Finding) -> str:
    """Lay a finding out in columns; the last one is wrapped to the terminal."""
    width = max(shutil.get_terminal_size().columns, _MARGIN + 40)
    lines = textwrap.wrap(finding.text, width - _MARGIN, break_long_words=False, break_on_hyphens=False)
    state = click.style(f"{finding.state.value:<9}", fg=_COLOURS[finding.state])
    return f"{state}{finding.about:<{_MARGIN - 9}}" + f"\n{' ' * _MARGIN}".join(lines)
