"""An exposition: metrics and health of a command without an event loop, served from a thread of their own."""

import asyncio
from threading import Event, Thread
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry

from stream.adapters.http import Reasons, start_http
from stream.errors import FraudstreamError


class Exposition:
    """Serves as long as it is entered.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes any free one.
    registry
        What `/metrics` shows.
    ready
        Says what is wrong, for `/health/ready`; called in the thread.
    setting
        The variable that says which port it is.

    Raises
    ------
    SettingsError
        On entering: nobody can listen there.
    """

    def __init__(
        self, host: str, port: int, registry: CollectorRegistry, ready: Reasons, *, setting: str
    ) -> None:
        self._host = host
        self._registry = registry
        self._ready = ready
        self._setting = setting
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._begun = Event()
        self._refusal: FraudstreamError | None = None
        # A daemon: a command that ends by an error must not wait for those who look at it.
        self._thread = Thread(target=self._run, name="exposition", daemon=True)
        self.port = port
        """Where it listens."""

    def __enter__(self) -> Self:
        self._thread.start()
        self._begun.wait()
        if self._refusal is not None:
            self._thread.join()
            raise self._refusal
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._begun.set()
            self._loop.close()

    async def _serve(self) -> None:
        try:
            server = await start_http(
                *(self._host, self.port, self._registry, self._ready, _alive), setting=self._setting
            )
        except FraudstreamError as error:
            self._refusal = error
            return
        self.port = server.port
        self._begun.set()
        await self._stop.wait()
        await server.close()


def _alive() -> list[str]:
    return []
