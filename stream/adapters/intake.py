"""The intake of whoever works on record batches: when more is fetched for it, and what joins a batch.

A batch costs some milliseconds however small it is. Small ones that are fetched one after the other while one
is at work would queue up, each pay that, and wait for one another. So what comes meanwhile is fetched when
the work on that is done, or nearly so: all of it in one fetch, as new as can be had, and just one. A second
that is on its way while the first is taken up would come into the middle of the work, and lie there for all
of the rest. Only what is too much for one batch is fetched ahead.
"""

import asyncio
import threading
from contextlib import suppress
from typing import Final, Generic, Protocol, TypeVar

from faust.types import TP

from stream.records import Record

MOST_AHEAD: Final = 4
"""Record batches that wait in memory; when as many do, fetching pauses."""


class Batch(Protocol):
    """A record batch on its way to whoever works on it."""

    @property
    def tp(self) -> TP:
        """Its partition."""
        ...

    @property
    def generation_id(self) -> int:
        """Of the consumer group, when it was fetched."""
        ...

    @property
    def records(self) -> list[Record]:
        """What it holds so far."""
        ...


B = TypeVar("B", bound=Batch)


class Intake(Generic[B]):
    """Knows which batches wait, and whether more is wanted.

    Batches are fetched in one event loop, which alone may ask for :meth:`appetite`, and worked on in another
    thread.

    Parameters
    ----------
    most
        Records that a batch may hold.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._waiting: dict[int, B] = {}
        """Batches that nobody has begun with, by identity, in their order."""
        self._last: dict[TP, B] = {}
        """Of these the last of each partition, which may still grow."""
        self._wanted = True
        """Whether nobody is at work, or will not be for long, and what was fetched for that is not there."""
        self._let_in = True
        """Whether more was let in since a batch was taken."""
        self._flooded = False
        """Whether there are more records than a batch may hold."""
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def appetite(self, seconds: float) -> bool:
        """Return whether more is to be fetched, as soon as it is, and after some time anyway."""
        self._loop = asyncio.get_running_loop()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._hungry():
                    self._changed.clear()
                    # It may have come between the question and the clearing.
                    if not self._hungry():
                        await self._changed.wait()
        return self._hungry()

    def fetched(self, records: int) -> bool:
        """Take note of how many records a fetch has found; return whether more are to be fetched ahead."""
        self._flooded = records >= self._most
        return self._flooded

    def join(self, tp: TP, records: list[Record], generation_id: int) -> B | None:
        """Add records to the batch that waits and has room for them; None: they are one of their own."""
        with self._lock:
            batch = self._last.get(tp)
            if (
                batch is None
                or batch.generation_id != generation_id
                or len(batch.records) + len(records) > self._most
            ):
                return None
            batch.records.extend(records)
            self._wanted = False
            return batch

    def offer(self, batch: B) -> None:
        """Take note of a batch that waits from now on."""
        with self._lock:
            self._waiting[id(batch)] = batch
            self._last[batch.tp] = batch
            self._wanted = False

    def take(self, batch: B) -> list[Record]:
        """Return the records of a batch, which from now on is complete; nothing is fetched until `let_in`."""
        with self._lock:
            self._waiting.pop(id(batch), None)
            if self._last.get(batch.tp) is batch:
                del self._last[batch.tp]
            self._wanted = self._let_in = False
        if self._flooded:
            self._wake()
        return batch.records

    def let_in(self) -> None:
        """Let more be fetched: the work on the batch that was taken is done, or soon will be."""
        if not self._let_in:
            self._wanted = self._let_in = True
            self._wake()

    def forget(self) -> None:
        """Begin anew, as after a rebalance: what was on its way is dropped."""
        with self._lock:
            self._waiting.clear()
            self._last.clear()
        self._wanted = self._let_in = True
        self._wake()

    def _hungry(self) -> bool:
        return (self._wanted or self._flooded) and len(self._waiting) < MOST_AHEAD

    def _wake(self) -> None:
        if self._loop is not None:
            # Where the loop has ended, nobody waits.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._changed.set)
