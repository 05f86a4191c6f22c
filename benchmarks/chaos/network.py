"""The network between a worker and its services: links that can be cut.

A link is a small TCP proxy, and a worker has one of its own to each service. So the path of one worker alone
can be cut, which network namespaces could do as well, but only for root; and nothing has to be installed,
which toxiproxy would have to be.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any, Final, Literal, Self, TypeVar

from tests.services.process import free_port

Cut = Literal["silent", "reset"]
"""How a link is cut. Silent: whatever is sent waits, and nobody is told, as when a switch fails. Reset:
connections break and new ones are refused, as when a firewall rejects them."""

_CHUNK: Final = 65_536
_PATIENCE_SECONDS: Final = 10.0

T = TypeVar("T")


class Network:
    """Links, and the thread that carries what goes over them."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._thread.start()
        self.links: list[Link] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        for link in self.links:
            await link.close()
        carrying = asyncio.all_tasks() - {asyncio.current_task()}
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)

    def link(self, target: int) -> "Link":
        """Open a link to a port of 127.0.0.1, where nobody need be listening yet."""
        link = Link(self, target)
        self.run(link.open())
        self.links.append(link)
        return link

    def run(self, errand: Coroutine[Any, Any, T]) -> T:
        """Run something in the network's thread and wait for it."""
        return asyncio.run_coroutine_threadsafe(errand, self._loop).result(_PATIENCE_SECONDS)


class Link:
    """A way to one port of 127.0.0.1, made by :meth:`Network.link`."""

    def __init__(self, network: Network, target: int) -> None:
        self._network = network
        self._target = target
        self.port = free_port()
        """Where it is entered."""
        self._server: asyncio.Server | None = None
        self._passing = asyncio.Event()
        self._passing.set()
        self._writers: set[asyncio.StreamWriter] = set()

    def cut(self, how: Cut) -> None:
        """Cut it, until it is healed."""
        self._network.run(self._silence() if how == "silent" else self.close())

    def heal(self) -> None:
        """Let it carry again; what waited goes on."""
        self._network.run(self.open())

    async def open(self) -> None:
        """Accept connections and carry what they send."""
        self._passing.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Accept no connections and break those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            # Without lingering, closing sends a reset.
            ours = writer.get_extra_info("socket")
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _silence(self) -> None:
        self._passing.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # From now on, so that a cut also breaks what is only being connected.
        self._writers.add(writer)
        await self._passing.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            self._writers.discard(writer)
            writer.transport.abort()
            return
        ends = {writer, far_writer}
        self._writers.add(far_writer)
        ways = [
            asyncio.create_task(self._pump(reader, far_writer)),
            asyncio.create_task(self._pump(far_reader, writer)),
        ]
        _, remaining = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        # Over a silent link the news that the other end is gone does not come either.
        await self._passing.wait()
        for way in remaining:
            way.cancel()
        self._writers -= ends
        for end in ends:
            end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(_CHUNK):
                await self._passing.wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            return  # an end has gone: so goes the other
