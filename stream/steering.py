"""The command `fraudstream models`: look at the models that serve, and order another to."""

import getpass
import time
from collections.abc import Callable
from typing import Final, Literal

import click

from stream.adapters.redis_store import RedisStore
from stream.clock import Clock, wall_clock
from stream.errors import SettingsError, SnapshotError
from stream.features.catalogue import SCHEMA
from stream.ports import OperatorStore
from stream.registry.orders import Order, encode_order
from stream.registry.seal import Key
from stream.registry.snapshot import Member, Roster, SnapshotInfo, decode_roster, decode_snapshot
from stream.settings import Settings, load_settings

_POLL_SECONDS: Final = 0.2

_redis = click.option("--redis", help="URL of Redis [FRAUD_REDIS].")
_who = click.option(
    "--who", default=getpass.getuser, show_default="your login", help="Who orders it; for the audit."
)
_why = click.option("--why", required=True, help="For what reason; for the audit.")
_wait = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for the learner's answer.",
)


@click.group()
def models() -> None:
    """Look at the models that serve, and steer which one does."""


@models.command("list")
@_redis
def list_models(redis: str | None) -> None:
    """List the champion and its challengers."""
    store, settings = _open(redis)
    roster = _roster(store, settings)
    width = max(len(member.version) for member in roster.members)
    click.echo(f"{'':2}{'model':{width}}  snapshot    labels  frauds  born of")
    for member in roster.members:
        info = _info(store, settings, member)
        mark = "* " if member.version == roster.champion else "  "
        learned, frauds = (info.metrics.get(name, 0.0) for name in ("learned", "frauds_learned"))
        parents = ", ".join(info.parents) or "-"
        click.echo(
            f"{mark}{member.version:{width}}  {member.snapshot:8d} {learned:9,.0f} {frauds:7,.0f}  {parents}"
        )
    click.echo("* serves; how good each is: fraud_model_average_precision on the learner's /metrics")


@models.command()
@click.argument("version")
@_redis
def show(version: str, redis: str | None) -> None:
    """Show one model: where it comes from, what it has learnt."""
    store, settings = _open(redis)
    roster = _roster(store, settings)
    member = next((one for one in roster.members if one.version == version), None)
    if member is None:
        known = ", ".join(one.version for one in roster.members)
        raise SettingsError(f"there is no model {version}; there are: {known}")
    info = _info(store, settings, member)
    facts: dict[str, object] = {
        "version": info.model_version,
        "serves": "yes" if version == roster.champion else "no, in shadow",
        "recipe": info.recipe,
        "snapshot": info.snapshot,
        "born of": ", ".join(info.parents) or "nobody",
        "last label": f"offset {info.label_offset}",
        "features": f"{info.features}, schema {info.feature_schema}",
        **{name.replace("_", " "): f"{value:g}" for name, value in info.metrics.items()},
        **{f"parameter {name}": f"{value:g}" for name, value in info.parameters.items()},
    }
    for name, value in facts.items():
        click.echo(f"{name:<24}{value}")


@models.command()
@click.argument("version")
@_why
@_who
@_wait
@_redis
def promote(version: str, why: str, who: str, wait: float, redis: str | None) -> None:
    """Make a challenger the champion, on probation as after any swap."""
    store, settings = _open(redis)
    give(store, settings.keyring(), _order(settings, "promote", version, who, why), wait, wall_clock)


@models.command()
@_why
@_who
@_wait
@_redis
def rollback(why: str, who: str, wait: float, redis: str | None) -> None:
    """Make the champion's predecessor serve again."""
    store, settings = _open(redis)
    give(store, settings.keyring(), _order(settings, "rollback", "", who, why), wait, wall_clock)


def give(
    store: OperatorStore,
    key: Key,
    order: Order,
    wait_seconds: float,
    clock: Clock,
    pause: Callable[[float], None] = time.sleep,
) -> None:
    """Leave an order, wait for its answer and print it.

    Parameters
    ----------
    store
        Where it is left.
    key
        That orders are signed with.
    order
        What is to be done.
    wait_seconds
        For how long to wait; the order stands even if nobody has answered by then.
    clock, pause
        The present, and how to let some of it pass.

    Raises
    ------
    SettingsError
        The learner has refused: why.
    """
    number = store.order(encode_order(order, key))
    deadline = clock() + wait_seconds * 1000
    while (answer := store.answered(number)) is None:
        if clock() >= deadline:
            click.echo(
                f"order {number} stands, but no learner has answered within {wait_seconds:g} s: it will be"
                " carried out when one runs, and be on model-events"
            )
            return
        pause(_POLL_SECONDS)
    if answer.startswith("refused: "):
        raise SettingsError(f"order {number} was {answer}")
    click.echo(answer)


def _order(
    settings: Settings, action: Literal["promote", "rollback"], version: str, who: str, why: str
) -> Order:
    # Both are kept on model-events: somebody will name the card that the model was wrong about.
    note = settings.tokens.note
    return Order(action=action, model_version=version, who=note(who), why=note(why), given_at=wall_clock())


def _open(redis: str | None) -> tuple[RedisStore, Settings]:
    settings = load_settings(redis=redis)
    return RedisStore.of(settings), settings


def _roster(store: OperatorStore, settings: Settings) -> Roster:
    sealed = store.roster()
    if sealed is None:
        raise SettingsError("there are no models yet: start a worker with --role learn")
    return decode_roster(sealed, settings.keyring())


def _info(store: OperatorStore, settings: Settings, member: Member) -> SnapshotInfo:
    sealed = store.snapshot(member.key)
    if sealed is None:
        raise SnapshotError(f"the snapshot of {member.version} was replaced meanwhile: ask again")
    return decode_snapshot(sealed, settings.keyring(), SCHEMA)[0]
