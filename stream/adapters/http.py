"""Metrics and health over HTTP: what Prometheus, an orchestrator and a person look at.

===================  =======================================================================================
`/metrics`           the registry, in the format that the caller asks for
`/health/live`       200 while the process is worth keeping; 503 when it should be restarted
`/health/ready`      200 while it does its work; 503 with the reasons while it cannot
===================  =======================================================================================

Nothing else is served, nothing is changed by asking, and no answer has a secret or an identifier in it.
"""

import errno
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from stream.errors import SettingsError

Reasons = Callable[[], list[str]]
"""Says what is wrong, a sentence each; an empty list: nothing is."""

_Handler = Callable[[web.Request], Awaitable[web.Response]]

_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_CLOSE_SECONDS: Final = 1.0


class Server:
    """A running server, as :func:`start_http` returns it.

    Parameters
    ----------
    runner
        What runs it, set up and listening.
    """

    def __init__(self, runner: web.AppRunner) -> None:
        self._runner = runner
        self.port: int = runner.addresses[0][1]
        """Where it listens: the one that was asked for, or the free one that was found."""

    async def close(self) -> None:
        """Stop listening; answers under way have a second to finish. Closing again does nothing."""
        await self._runner.cleanup()


async def start_http(
    host: str,
    port: int,
    registry: CollectorRegistry,
    ready: Reasons,
    live: Reasons,
    *,
    setting: str = "FRAUD_HTTP_PORT",
) -> Server:
    """Serve metrics and health in the running event loop.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes any free one.
    registry
        What `/metrics` shows.
    ready, live
        Asked on every request of `/health/ready` and `/health/live`; must not block.
    setting
        The variable that says which port it is, for the error's sentence.

    Raises
    ------
    SettingsError
        Nobody can listen there: the port is taken, is not ours to take, or the address is not this machine's.
    """
    app = web.Application()
    app.on_response_prepare.append(_harden)
    app.router.add_get("/metrics", _metrics(registry))
    app.router.add_get("/health/live", _health("live", live))
    app.router.add_get("/health/ready", _health("ready", ready))
    # Prometheus keeps its connection open: without a limit, closing waits a minute for it.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_CLOSE_SECONDS)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise SettingsError(_refusal(host, port, setting, error)) from error
    return Server(runner)


async def _harden(_request: web.Request, response: web.StreamResponse) -> None:
    """Let no browser guess, frame or keep what is served here, and tell nobody what serves it."""
    response.headers.update(_HEADERS)
    response.headers["Server"] = "fraudstream"


def _metrics(registry: CollectorRegistry) -> _Handler:
    async def answer(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(",".join(request.headers.getall("Accept", ())))
        response = web.Response(body=encode(registry), headers={"Content-Type": content_type})
        response.enable_compression()
        return response

    return answer


def _health(name: str, reasons: Reasons) -> _Handler:
    async def answer(_request: web.Request) -> web.Response:
        wrong = reasons()
        return web.Response(
            status=503 if wrong else 200,
            body=msgspec.json.encode({name: not wrong, "reasons": wrong}),
            content_type="application/json",
        )

    return answer


def _refusal(host: str, port: int, setting: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"{setting}={port}: another process listens on {host}:{port}; choose another port, or 0 for"
            " any free one"
        )
    if error.errno == errno.EACCES:
        return f"{setting}={port}: not allowed to listen on it; choose one above 1023"
    why = error.strerror or error
    return f"FRAUD_HTTP_HOST={host}: cannot listen there ({why}); name an address of this machine"
