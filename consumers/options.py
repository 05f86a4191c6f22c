"""The options that the consumers' commands share."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import click

from stream.durations import parse_duration
from stream.settings import Settings


class Duration(click.ParamType):
    """A duration such as 30d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return it as a timedelta; a wrong one ends the command with a usage error."""
        if isinstance(value, timedelta):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say where the stream is."""
    options = (
        click.option("--broker", help="Kafka's HOST:PORT, comma-separated [FRAUD_BROKER]."),
        click.option("--topic-prefix", help="Put before every topic's name [FRAUD_TOPIC_PREFIX]."),
        click.option("--namespace", help="First part of the consumer group's name [FRAUD_NAMESPACE]."),
    )
    for option in reversed(options):
        command = option(command)
    return command


until_idle_option = click.option(
    "--until-idle",
    type=float,
    metavar="SECONDS",
    help="Stop by itself once nothing has come for so long; otherwise Ctrl-C.",
)


def group_of(settings: Settings, name: str) -> str:
    """Return the consumer group of a command."""
    return f"{settings.namespace}-{name}"
