"""The server: the desk's routes, and its life from the first connection to the last answer."""

import asyncio
import errno
import signal
from collections.abc import Callable
from typing import Final

from aiohttp import web

from consumers.desk.database import Database
from consumers.desk.entrance import Entrance
from consumers.desk.gates import as_json, gate
from consumers.desk.judging import Judging
from consumers.desk.meter import metered, pulse
from consumers.desk.programs import Programs
from consumers.desk.rendering import STYLE
from consumers.desk.users import Users
from consumers.desk.views import Views
from consumers.metrics import DeskMetrics
from stream.adapters.http import start_http
from stream.clock import Clock
from stream.errors import SettingsError
from stream.ports import Emitter
from stream.settings import Settings
from stream.tokens import Tokens

_LARGEST_FORM: Final = 64 * 1024
_CLOSE_SECONDS: Final = 2.0


def desk_app(
    database: Database,
    users: Users,
    emitter: Emitter,
    labels_topic: str,
    clock: Clock,
    metrics: DeskMetrics | None,
    tokens: Tokens,
) -> web.Application:
    """Return the desk as an application.

    Parameters
    ----------
    database
        The case store, open.
    users
        Who may come in.
    emitter, labels_topic
        Where verdicts go.
    clock
        The present.
    metrics
        Where it shows how it does; None: nobody looks.
    tokens
        What stands for card numbers.
    """
    metrics = metrics or DeskMetrics()
    entrance = Entrance(users, clock, metrics)
    judging = Judging(database, emitter, labels_topic, clock, metrics, tokens)
    views = Views(entrance, database, judging)
    programs = Programs(entrance, database, judging)

    async def ready(_request: web.Request) -> web.StreamResponse:
        await database.ask(lambda connection: connection.execute("SELECT"))
        return as_json({"ready": True})

    routes = [
        ("home", web.get("/", views.home)),
        ("login", web.get("/login", entrance.show)),
        ("login", web.post("/login", entrance.log_in)),
        ("logout", web.post("/logout", entrance.log_out)),
        ("alerts", web.get("/alerts", views.open_alerts)),
        ("judged", web.get("/alerts/judged", views.judged_alerts)),
        ("case", web.get("/case", views.case)),
        ("judge", web.post("/case", views.judge)),
        ("api_alerts", web.get("/api/alerts", programs.alerts)),
        ("api_case", web.get("/api/case", programs.case)),
        ("api_verdicts", web.post("/api/verdicts", programs.judge)),
        ("style", web.get("/style.css", _style)),
        ("health", web.get("/health/live", _live)),
        ("health", web.get("/health/ready", ready)),
    ]
    pages = {route.handler: name for name, route in routes}
    app = web.Application(
        middlewares=[metered(metrics, pages), gate(entrance.who)], client_max_size=_LARGEST_FORM
    )
    app.add_routes(route for _, route in routes)
    app.cleanup_ctx.append(pulse(database, metrics))
    return app


async def serve(
    app: Callable[[], web.Application],
    database: Database,
    settings: Settings,
    metrics: DeskMetrics,
    said: Callable[[int], None],
) -> None:
    """Serve until SIGTERM or Ctrl-C: pages on one port, metrics on another.

    Parameters
    ----------
    app
        Makes the application, within the event loop.
    database
        Opened here, and closed at the end.
    settings
        Where to listen; port 0 takes any free one.
    metrics
        What is shown on the second.
    said
        Told which port the pages are on, once it listens.

    Raises
    ------
    SettingsError
        Nobody can listen there, or the database's schema is another version's.
    CaseStoreAwayError
        The database does not answer.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await database.open()
        watched = await start_http(
            *(settings.http_host, settings.desk_metrics_port, metrics.registry, _well, _well),
            setting="FRAUD_DESK_METRICS_PORT",
        )
        runner = web.AppRunner(app(), access_log=None, shutdown_timeout=_CLOSE_SECONDS)
        await runner.setup()
        try:
            host, port = settings.desk_host, settings.desk_port
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as error:
                raise SettingsError(_refusal(host, port, error)) from error
            said(runner.addresses[0][1])
            await stop.wait()
        finally:
            await runner.cleanup()
            await watched.close()
    finally:
        await database.close()


async def _style(_request: web.Request) -> web.StreamResponse:
    # Its address changes with its content.
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return web.Response(body=STYLE, content_type="text/css", charset="utf-8", headers=headers)


async def _live(_request: web.Request) -> web.StreamResponse:
    return as_json({"live": True})


def _well() -> list[str]:
    """Say that nothing is wrong: the pages' own /health/ready asks the case store."""
    return []


def _refusal(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"FRAUD_DESK_PORT={port}: another process listens on {host}:{port}; choose another port"
    why = error.strerror or error
    return f"FRAUD_DESK_HOST={host}, FRAUD_DESK_PORT={port}: cannot listen there ({why}); choose others"
