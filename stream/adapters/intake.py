"""The intake of an agent that is fed record batches: when more is fetched for it, and what joins a batch.

A batch costs some milliseconds however small it is. Small ones that are fetched one after the other while the
agent is at work would queue up, each pay that, and wait for one another. So what comes meanwhile is fetched
when the agent is done, or nearly so, and joins the batch that waits. Only what is too much for one batch is
fetched ahead.
"""

import asyncio
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from faust.types import TP

from stream.records import Record


class Batch(Protocol):
    """A record batch on its way to the agent."""

    tp: TP
    generation_id: int
    """Of the consumer group, when it was fetched."""
    records: list[Record]


B = TypeVar("B", bound=Batch)


class Intake(Generic[B]):
    """Knows what the agent has before it. To be used in one event loop.

    Parameters
    ----------
    most
        Records that a batch may hold.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._untaken: dict[TP, B] = {}
        """The last batch of each partition, until the agent begins with it."""
        self._hungry = asyncio.Event()
        """Set while the agent has nothing to do, or nearly so."""
        self._hungry.set()
        self._flooded = False
        """Whether the last fetch brought as many records as one may: more are waiting, surely."""

    async def appetite(self, seconds: float) -> None:
        """Return when more is to be fetched, and after some time anyway: an agent may be stuck."""
        if self._flooded:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._hungry.wait()

    def fetched(self, records: int) -> None:
        """Take note of how many records a fetch has brought."""
        self._flooded = records >= self._most

    def room(self, tp: TP, records: int, generation_id: int) -> B | None:
        """Return the batch that records just fetched are to join; None: they are one of their own."""
        batch = self._untaken.get(tp)
        if batch is None or batch.generation_id != generation_id or len(batch.records) + records > self._most:
            return None
        return batch

    def offer(self, batch: B) -> None:
        """Take note of a batch that waits for the agent from now on."""
        self._untaken[batch.tp] = batch

    def take(self, batch: B) -> list[Record]:
        """Return the records of a batch, which from now on is complete; nothing is fetched until `let_in`."""
        if self._untaken.get(batch.tp) is batch:
            del self._untaken[batch.tp]
        self._hungry.clear()
        return batch.records

    def let_in(self) -> None:
        """Let more be fetched: the agent is done with its batch, or soon will be."""
        self._hungry.set()

    def forget(self) -> None:
        """Begin anew, as after a rebalance: what was on its way is dropped."""
        self._untaken.clear()
        self._hungry.set()
