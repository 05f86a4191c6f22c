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
from consumers.desk.limiter import Limiter
from consumers.desk.programs import Programs
from consumers.desk.rendering import STYLE
from consumers.desk.users import Users
from consumers.desk.views import Views
from stream.clock import Clock
from stream.errors import SettingsError
from stream.ports import Emitter

VERDICTS_A_MINUTE: Final = 60
_LARGEST_FORM: Final = 64 * 1024
_CLOSE_SECONDS: Final = 2.0


def desk_app(
    database: Database, users: Users, emitter: Emitter, labels_topic: str, clock: Clock
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
    """
    entrance = Entrance(users, clock)
    judging = Judging(database, emitter, labels_topic, clock)
    limiter = Limiter(VERDICTS_A_MINUTE, clock)
    views = Views(entrance, database, judging, limiter)
    programs = Programs(entrance, database, judging, limiter)

    async def ready(_request: web.Request) -> web.StreamResponse:
        await database.ask(lambda connection: connection.execute("SELECT"))
        return as_json({"ready": True})

    app = web.Application(middlewares=[gate(entrance.who)], client_max_size=_LARGEST_FORM)
    app.add_routes(
        [
            web.get("/", views.home),
            web.get("/login", entrance.show),
            web.post("/login", entrance.log_in),
            web.post("/logout", entrance.log_out),
            web.get("/alerts", views.open_alerts),
            web.get("/alerts/judged", views.judged_alerts),
            web.get("/case", views.case),
            web.post("/case", views.judge),
            web.get("/api/alerts", programs.alerts),
            web.get("/api/case", programs.case),
            web.post("/api/verdicts", programs.judge),
            web.get("/style.css", _style),
            web.get("/health/live", _live),
            web.get("/health/ready", ready),
        ]
    )
    return app


async def serve(
    app: Callable[[], web.Application], database: Database, host: str, port: int, said: Callable[[int], None]
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Parameters
    ----------
    app
        Makes the application, within the event loop.
    database
        Opened here, and closed at the end.
    host, port
        Where to listen; port 0 takes any free one.
    said
        Told which port it is, once it listens.

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
        runner = web.AppRunner(app(), access_log=None, shutdown_timeout=_CLOSE_SECONDS)
        await runner.setup()
        try:
            try:
                await web.TCPSite(runner, host, port).start()
            except OSError as error:
                raise SettingsError(_refusal(host, port, error)) from error
            said(runner.addresses[0][1])
            await stop.wait()
        finally:
            await runner.cleanup()
    finally:
        await database.close()


async def _style(_request: web.Request) -> web.StreamResponse:
    # Its address changes with its content.
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return web.Response(body=STYLE, content_type="text/css", charset="utf-8", headers=headers)


async def _live(_request: web.Request) -> web.StreamResponse:
    return as_json({"live": True})


def _refusal(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"FRAUD_DESK_PORT={port}: another process listens on {host}:{port}; choose another port"
    why = error.strerror or error
    return f"FRAUD_DESK_HOST={host}, FRAUD_DESK_PORT={port}: cannot listen there ({why}); choose others"
