"""The commands `fraudstream desk` and `desk-user`."""

import asyncio
import logging
from typing import Any, cast

import click

from consumers.cases.commands import require_extra
from consumers.desk.users import Role, Users, new_user
from consumers.metrics import DeskMetrics
from consumers.options import connected
from stream import __version__
from stream.adapters.emitter import KafkaEmitter
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.topics import TopicNames
from stream.clock import wall_clock
from stream.discreet import Discreet
from stream.errors import SettingsError
from stream.settings import load_settings

_PUBLISH_SECONDS = 5.0
"""How long a page waits for Kafka: a verdict is written down by then, and may be published later."""


@click.command()
@connected
@click.option("--desk-host", help="Address to listen on [FRAUD_DESK_HOST].")
@click.option("--desk-port", type=int, help="Port to listen on, 0 for any [FRAUD_DESK_PORT].")
@click.option(
    "--first-look",
    is_flag=True,
    help="Let in an analyst `guest` too, by a token that is printed here and good until this ends.",
)
def desk(first_look: bool, **where: Any) -> None:
    """Serve the pages on which analysts look at alerts and say what they were.

    Who may come in is listed in FRAUD_DESK_USERS: `fraudstream desk-user NAME` makes an entry. The cases are
    those of FRAUD_CASE_STORE, which `fraudstream cases` fills; verdicts go to `labels`. Speaks http: for
    others than this machine's own browsers, put a proxy in front that speaks https. Metrics are on a port of
    their own, FRAUD_DESK_METRICS_PORT.
    """
    require_extra()
    from consumers.cases.connection import conninfo_of  # noqa: PLC0415 - needs the extra `desk`
    from consumers.desk.database import Database  # noqa: PLC0415
    from consumers.desk.server import desk_app, serve  # noqa: PLC0415

    settings = load_settings(**where)
    lines = logging.StreamHandler()
    lines.setFormatter(Discreet("%(asctime)s %(levelname)-8s %(name)s: %(message)s"))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[lines])
    # Whoever asks for a page while the database is away brings a line of ours; the pool would add many.
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    given = "" if settings.desk_users is None else settings.desk_users.get_secret_value().strip()
    listed = [given] if given else []
    token = None
    if first_look:
        token, entry = new_user("guest", "analyst")
        listed.append(entry)
    if not listed:
        raise SettingsError(
            "FRAUD_DESK_USERS is empty, so nobody could log in: make an entry with"
            " `fraudstream desk-user NAME`, or have a look with --first-look"
        )
    users = Users(",".join(listed))
    database = Database(conninfo_of(settings, "desk"))
    emitter = KafkaEmitter(
        KafkaAccess.of(settings), client_id="fraudstream-desk", timeout_seconds=_PUBLISH_SECONDS
    )

    def say(port: int) -> None:
        click.echo(f"desk: http://{settings.desk_host}:{port}/", err=True)
        if token is not None:
            click.echo(f"desk: log in with {token}", err=True)

    labels = TopicNames.of(settings).labels
    metrics = DeskMetrics()
    metrics.build_info.labels(__version__, "desk").set(1)
    try:
        asyncio.run(
            serve(
                lambda: desk_app(database, users, emitter, labels, wall_clock, metrics, settings.tokens),
                *(database, settings, metrics, say),
            )
        )
    finally:
        emitter.close()


@click.command("desk-user")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["analyst", "viewer"]),
    default="analyst",
    show_default=True,
    help="An analyst judges, a viewer looks.",
)
def desk_user(name: str, role: str) -> None:
    """Make a token for NAME, and the entry of FRAUD_DESK_USERS that lets it in.

    The token is shown once and stored nowhere; the entry holds its fingerprint alone. Entries are separated
    by commas. Whoever is taken off the list is out once the desk is started anew.
    """
    token, entry = new_user(name, cast("Role", role))
    click.echo(f"token, for {name} alone:    {token}")
    click.echo(f"add to FRAUD_DESK_USERS:  {entry}")
