"""The command `fraudstream demo`."""

import os
import sys
from pathlib import Path

import click

from stream.settings import load_settings

_SCENARIOS = ("stationary", "sudden", "gradual", "incremental", "recurring")


@click.command()
@click.option(
    "--transactions",
    type=click.IntRange(min=1),
    help="How many; they fill about 120 simulated days.  [default: 300000]",
)
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Of the simulation.")
@click.option(
    "--scenario",
    type=click.Choice(_SCENARIOS),
    default="sudden",
    show_default=True,
    help="How fraud changes.",
)
@click.option(
    "--summary",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write what happened here, as JSON.",
)
@click.option("--broker", help="A real Kafka's HOST:PORT, instead of the embedded broker [FRAUD_BROKER].")
@click.option("--redis", help="URL of a real Redis, instead of the embedded one [FRAUD_REDIS].")
@click.option(
    "--plain/--no-plain", default=None, help="Plain lines, or the live view.  [default: by the terminal]"
)
def demo(
    transactions: int | None,
    seed: int,
    scenario: str,
    summary: Path | None,
    broker: str | None,
    redis: str | None,
    plain: bool | None,
) -> None:
    """Run the whole stream here, with simulated transactions whose frauds change half-way.

    A plain logistic regression serves first, so that there is something for a better model to take over from.

    Needs nothing: broker and Redis are embedded unless they are named. On real ones, topics and keys of its
    own, demo-TIME, keep it apart from everything else.

    Ctrl-C ends it in good order, with a summary and exit code 130; a second one at once. Exit code 1: one of
    its processes died, or a transaction is unaccounted for.
    """
    from rich.console import Console  # noqa: PLC0415 - the other commands need not wait for it

    from stream.demo.crew import DemoError  # noqa: PLC0415
    from stream.demo.plan import DEFAULT_TRANSACTIONS, Plan  # noqa: PLC0415
    from stream.demo.run import DemoOptions, run_demo  # noqa: PLC0415

    plan = Plan.of(transactions or DEFAULT_TRANSACTIONS, scenario, seed)
    settings = load_settings(broker=broker, redis=redis)
    if "alert_budget" not in settings.model_fields_set:
        settings = settings.model_copy(update={"alert_budget": plan.alert_budget})
    if "snapshot_gap_seconds" not in settings.model_fields_set:
        # A second here is days there.
        settings = settings.model_copy(update={"snapshot_gap_seconds": 0.0})
    if not {"champion", "challengers"} & settings.model_fields_set:
        # The story begins before the model that is served by default has earned its place.
        settings = settings.model_copy(update={"champion": "logistic", "challengers": ("ensemble",)})
    console = Console()
    live = console.is_terminal and not console.is_dumb_terminal if plain is None else not plain
    options = DemoOptions(plan=plan, live=live, summary=summary)
    try:
        code = run_demo(options, settings, os.environ, console)
    except DemoError as error:
        click.echo(f"fraudstream: {error}", err=True)
        code = 1
    except KeyboardInterrupt:
        click.echo("fraudstream: stopped at once", err=True)
        code = 130
    sys.exit(code)
