"""The command `fraudstream`: its own subcommands, and those that other packages add by entry points."""

import json
import logging
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, get_args

import click
from click.shell_completion import get_completion_class

from stream import __version__
from stream.cards import mask_cards
from stream.discreet import Discreet
from stream.errors import FraudstreamError
from stream.examples import examples_of
from stream.records import json_schemas
from stream.settings import Party, Settings, load_settings

_EPILOG = "Settings come from the environment, FRAUD_...: `fraudstream settings` lists them."


class _Commands(click.Group):
    """Finds the subcommands of installed packages, and turns our errors into one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        others = entry_points(group="fraudstream.commands").names
        return sorted({*super().list_commands(ctx), *_LAZY, *others})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = self._find(ctx, cmd_name)
        if command is not None and command.epilog is None:
            command.epilog = examples_of(cmd_name)
        return command

    def _find(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        own = super().get_command(ctx, cmd_name)
        if own is not None:
            return own
        if cmd_name in _LAZY:
            module, attribute = _LAZY[cmd_name]
            lazy = getattr(import_module(module), attribute)
            assert isinstance(lazy, click.Command)
            return lazy
        for found in entry_points(group="fraudstream.commands", name=cmd_name):
            command = found.load()
            assert isinstance(command, click.Command)
            return command
        return None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by what they are for."""
        names = self.list_commands(ctx)
        told = {name for chapter in _CHAPTERS.values() for name in chapter}
        chapters = {**_CHAPTERS, "More": tuple(name for name in names if name not in told)}
        for title, chapter in chapters.items():
            found = [(name, self.get_command(ctx, name)) for name in chapter if name in names]
            if not found:  # another package's commands, and that package is not installed, or was anew
                continue
            with formatter.section(title):
                formatter.write_dl(
                    [
                        (name.ljust(max(map(len, names))), command.get_short_help_str(_WHOLE))
                        for name, command in found
                        if command
                    ]
                )

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except FraudstreamError as error:
            click.echo(f"fraudstream: {mask_cards(str(error))}", err=True)
            ctx.exit(2)


_LAZY = {
    "backtest": ("stream.backtest.command", "backtest"),
    "demo": ("stream.demo.command", "demo"),
    "doctor": ("stream.doctor.command", "doctor"),
    "models": ("stream.steering", "models"),
}
"""Our own commands whose imports take a while: module and attribute."""

_WHOLE = 300
"""Longer than a command's first sentence: it is wrapped, not cut off."""

_CHAPTERS = {
    "Start here": ("demo", "doctor"),
    "Run the pipeline": ("topics", "worker"),
    "Send to it": ("simulate", "replay", "settle"),
    "Read from it": ("alerts", "archive", "redrive"),
    "Forget somebody": ("forget",),
    "Judge alerts": ("cases", "desk", "desk-user", "verdict"),
    "Look into it": ("backtest", "features", "models", "settings"),
}
"""Commands in the order in which one meets them; those that are not here come last."""


@click.group(cls=_Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fraudstream")
def main() -> None:
    """Streaming fraud detection that goes on learning.

    Transactions and labels come in from Kafka; scores, alerts, metrics and a model that learns and swaps
    itself go out.

    \b
    A first look, on embedded services:     fraudstream demo
    On your own Kafka and Redis:            export FRAUD_BROKER=kafka:9092 FRAUD_REDIS=redis://redis:6379/0
                                            fraudstream doctor
                                            fraudstream topics create
                                            fraudstream worker --role all
    What it would have said of your data:   fraudstream backtest FILE.parquet --report R.html

    `fraudstream COMMAND --help` explains each.
    """  # noqa: D301 - \b has click leave lines as they are
    if logging.lastResort is not None:  # shows what is logged where a command has not said how
        logging.lastResort.setFormatter(Discreet())


@main.command()
@click.option(
    "--role", type=click.Choice(["score", "learn", "fit", "all"]), help="What it does [FRAUD_ROLE]."
)
@click.option("--broker", help="Kafka's HOST:PORT, comma-separated [FRAUD_BROKER].")
@click.option("--redis", help="URL of Redis [FRAUD_REDIS].")
@click.option("--http-port", type=int, help="Port of metrics and health, 0 for any [FRAUD_HTTP_PORT].")
def worker(**overrides: Any) -> None:
    """Score transactions, learn from labels, or both, until told to stop; or fit the batch challenger."""
    from stream.worker import run_worker  # noqa: PLC0415 - Faust takes a second to import

    run_worker(load_settings(**overrides))


@main.group()
def topics() -> None:
    """Make or check the topics on a broker."""


_broker = click.option("--broker", help="Kafka's HOST:PORT, comma-separated [FRAUD_BROKER].")


@topics.command()
@_broker
def create(broker: str | None) -> None:
    """Create the topics that are missing."""
    from stream.adapters.topics import create_topics  # noqa: PLC0415 - only topics needs the admin client

    settings = load_settings(broker=broker)
    made = create_topics(settings)
    for name in made:
        click.echo(f"created {name}")
    if not made:
        click.echo("every topic was there")


@topics.command()
@_broker
def check(broker: str | None) -> None:
    """Say what is wrong with the topics; exit 1 when anything is."""
    from stream.adapters.topics import check_topics  # noqa: PLC0415 - only topics needs the admin client

    problems = check_topics(load_settings(broker=broker))
    for problem in problems:
        click.echo(problem)
    if problems:
        sys.exit(1)
    click.echo("every topic is as it should be")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path), default=Path("docs/schemas"))
def schemas(folder: Path) -> None:
    """Write the JSON Schema of every record into FOLDER."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in json_schemas().items():
        (folder / f"{name}.json").write_text(json.dumps(schema, indent=2) + "\n")
        click.echo(f"{folder / name}.json")


@main.command()
def settings() -> None:
    """List every setting: its variable, its value now, and what it means."""
    current = load_settings()
    for name, field in Settings.model_fields.items():
        click.echo(f"FRAUD_{name.upper()}={getattr(current, name)}\n    {field.description}")


_SHELLS = {
    "bash": "fraudstream completion bash > ~/.local/share/bash-completion/completions/fraudstream",
    "zsh": "fraudstream completion zsh > ~/.zfunc/_fraudstream    (with ~/.zfunc in fpath, before compinit)",
    "fish": "fraudstream completion fish > ~/.config/fish/completions/fraudstream.fish",
}
_COMPLETION_HELP = "\n".join(
    [
        "Print the script that completes commands and options in a shell.",
        "",
        "\b",
        "Put it where the shell looks, once, and open a new one:",
        *(f"  {command}" for command in _SHELLS.values()),
    ]
)


@main.command(help=_COMPLETION_HELP)
@click.argument("shell", type=click.Choice([*_SHELLS]))
def completion(shell: str) -> None:
    """Print a shell's completion script."""
    found = get_completion_class(shell)
    assert found is not None  # click has every one of these
    click.echo(found(main, {}, "fraudstream", "_FRAUDSTREAM_COMPLETE").source())


@main.command()
@click.argument("service", type=click.Choice(["redis", "kafka"]))
@click.argument("parties", nargs=-1, type=click.Choice([*get_args(Party)]), metavar="[WHO]...")
def rights(service: str, parties: tuple[Party, ...]) -> None:
    """Print the rules that allow each worker's role and each command what it needs, and no more.

    For Redis, the lines of an ACL file; for Kafka, calls of kafka-acls.sh. Each user is called as WHO it is
    for; all of them by default.
    """
    from stream.adapters.rights import kafka_acls, redis_acl  # noqa: PLC0415 - it needs Kafka's client

    rules = redis_acl if service == "redis" else kafka_acls
    for line in rules(load_settings(), parties or get_args(Party)):
        click.echo(line)


@main.group()
def features() -> None:
    """Look at what is known of a customer or a terminal."""


@features.command()
@click.argument("kind", type=click.Choice(["customer", "terminal"]))
@click.argument("name", metavar="ID")
@click.option("--redis", help="URL of Redis [FRAUD_REDIS].")
def show(kind: str, name: str, redis: str | None) -> None:
    """Print the stored state of a customer or terminal."""
    from stream.inspection import describe  # noqa: PLC0415 - only this needs Redis

    lines = describe(load_settings(redis=redis), "customer" if kind == "customer" else "terminal", name)
    for line in lines or [f"nothing is known of {kind} {name!r}"]:
        click.echo(line)
    if not lines:
        sys.exit(1)
