"""The meter: what the desk does, in numbers; and a pulse that tells whether its case store answers."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import psycopg
from aiohttp import web

from consumers.cases.connection import CaseStoreAwayError
from consumers.cases.verdicts import outbox_of
from consumers.desk.database import Database
from consumers.metrics import CODES, DeskMetrics

_BEAT_SECONDS: Final = 5.0

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def metered(metrics: DeskMetrics, pages: Mapping[Handler, str]) -> Any:
    """Return the middleware that counts and times every answer; it goes before all others.

    Parameters
    ----------
    metrics
        Where it is counted.
    pages
        What each handler is called, one of :data:`consumers.metrics.ROUTES`.
    """

    @web.middleware
    async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        response = await handler(request)
        page = pages.get(request.match_info.handler, "none")
        metrics.request_seconds.labels(page).observe(time.perf_counter() - began)
        metrics.requests.labels(page, CODES[response.status // 100 - 2]).inc()
        return response

    return count


def pulse(database: Database, metrics: DeskMetrics) -> Callable[[web.Application], AsyncIterator[None]]:
    """Return what has an application look every five seconds whether the case store answers, and what waits.

    Nobody need ask for a page for it to be known that there would be none.
    """

    async def beat() -> None:
        while True:
            try:
                waiting = await database.ask(outbox_of)
            except (CaseStoreAwayError, psycopg.Error):  # which says so to whoever asks for a page
                metrics.up.set(0)
            else:
                metrics.up.set(1)
                metrics.outbox.set(waiting.verdicts)
                metrics.outbox_age.set(waiting.oldest_seconds)
            await asyncio.sleep(_BEAT_SECONDS)

    async def run(_app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(beat())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    return run
