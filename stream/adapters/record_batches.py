"""Record batches: what has come of one partition is worked on as a whole.

Faust spends 200 to 300 microseconds on every message: conductor, channel, event, acknowledgement; and each
goes through its event loop, where it waits its turn. Here records do not pass through that loop at all. Group
membership, rebalancing and commits stay Faust's own, whose consumer is paused and takes each second for a
fetch without records. :mod:`stream.adapters.fetcher` reads the partitions that it was assigned, and whoever
works on them draws a record batch when it has done with the one before.

The methods overridden are Faust's inner ones; ``tests/stream/adapters/test_record_batches.py`` notices an
upgrade that moves the ground under them.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import faust
from aiokafka.errors import CommitFailedError, GroupAuthorizationFailedError, TopicAuthorizationFailedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from yarl import URL

from stream.adapters.fetcher import Fetcher
from stream.adapters.kafka_access import KafkaAccess
from stream.errors import AccessError
from stream.records import Record

StartOffset = Callable[[str, int], int | None]
"""Given a topic and a partition just assigned: the offset to read from, or None for the committed one."""

RefusalHandler = Callable[[AccessError], None]
"""Given the error when the broker lets us read no longer, or be in the group: it is to end the process."""

REFUSALS: Final = (GroupAuthorizationFailedError, TopicAuthorizationFailedError)
"""What the broker's refusals are to aiokafka; said in a sentence of ours, by whoever gets an AccessError."""

_STANDSTILL_SECONDS: Final = 0.02
"""How long whoever draws waits, while nothing may flow, before it looks again."""
_PAUSE_SECONDS: Final = 0.2
"""How soon aiokafka is told that it is to fetch nothing of what it was just assigned."""


class RecordBatch:
    """Records of one partition, in offset order, for whoever works on them.

    Parameters
    ----------
    tp
        Their partition.
    generation_id
        Of the consumer group, when they were drawn.
    records
        Never empty.
    follows
        The offset after the batch drawn just before; None for the first since a rebalance.
    """

    __slots__ = ("follows", "generation_id", "records", "tp")

    def __init__(self, tp: TP, generation_id: int, records: list[Record], follows: int | None) -> None:
        self.tp = tp
        self.generation_id = generation_id
        self.records = records
        self.follows = follows


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # Faust has no types
    _refusal: Exception | None = None
    """Why the last offsets could not be committed, where our user may not."""

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        consumer = super()._create_worker_consumer(transport)
        commit = consumer.commit

        async def commit_if_allowed(offsets: Any) -> None:
            try:
                await commit(offsets)
            except REFUSALS as error:
                self._refusal = error
                # Faust would log a traceback and end this thread; so it takes the offsets for not committed.
                raise CommitFailedError("already rebalanced") from error

        consumer.commit = commit_if_allowed
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's signature
        max_records: int | None = None,
    ) -> dict[TP, list[Any]]:
        """Fetch nothing, for as long as Faust would wait for a fetch."""
        del active_partitions, max_records
        end = time.monotonic() + (timeout or 0.0)
        # The group's coordinator counts the time that nobody fetches.
        with consumer._fetcher._subscriptions.fetch_context():  # noqa: SLF001 - as Faust does
            while self.consumer.flow_active and (left := end - time.monotonic()) > 0:
                # It may have been assigned partitions since. What it had asked for by then is small.
                consumer.pause(*consumer.assignment())
                await asyncio.sleep(min(left, _PAUSE_SECONDS))
        return {}

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Leave it to our own watchdog to see whether records flow: Faust looks whether aiokafka fetches."""

    def _stopped_set(self) -> None:
        """Tell the thread to stop; where it has crashed, it has ended by itself and closed its loop."""
        try:
            super()._stopped_set()
        except RuntimeError:
            if not self.thread_loop.is_closed():
                raise

    def refusal(self) -> Exception | None:
        """Return why the broker does not let us be in the group any more, where it does not.

        The group's coordinator keeps what it has met until it is asked, which Faust never does.
        """
        if self._refusal is not None:
            return self._refusal
        coordinator = self._consumer._coordinator if self._consumer else None  # noqa: SLF001
        pending = getattr(coordinator, "_pending_exception", None)
        return pending if isinstance(pending, REFUSALS) else None


class RecordBatchConsumer(driver.Consumer):  # type: ignore[misc]  # Faust has no types
    """Faust's Kafka consumer, of which record batches are drawn."""

    transport: "RecordBatchTransport"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._next_offset: dict[TP, int] = {}
        """What was acknowledged ends before it."""
        self._delivered: dict[TP, int] = {}
        """What was drawn since the last rebalance ends before it."""
        self._ends: dict[TP, int] = {}
        """Where partitions ended that were read to their end, since the last rebalance."""
        self._drawing = threading.Lock()
        """Held while batches are made of what was drawn, and while positions are set anew."""
        self._seeks = 0
        """How often positions were set anew."""
        self._rebalancing = False
        """Whether partitions are being given away, and it is not known yet who gets which."""
        self._settled: int | None = None
        """Generation whose positions were set. Faust's word alone, that messages flow, is not enough: the end
        of one rebalance lets them flow though the next has begun, and until it ends the generation is the
        same."""
        self._reads: tuple[int, int] | None = None
        """Generation and seek that the fetcher reads by: where nothing is assigned, nothing is sought."""
        conf = self.app.conf
        self._fetcher = Fetcher(self.transport.access, conf.id, conf.broker_max_poll_records)

    def draw(self, seconds: float) -> list[RecordBatch]:
        """Return what has come of each partition, as a batch; to be called by one thread.

        Waits for the first record, so many seconds; then for no other. What comes while nothing may flow, as
        in a rebalance, is read again after it.

        Raises
        ------
        AccessError
            The broker does not let us read.
        """
        with self._drawing:
            generation_id = self.app.consumer_generation_id
            reads = generation_id, self._seeks
            flowing = self._flowing()
            if flowing and self._reads != reads:
                self._reads = reads
                self._fetcher.read_from(
                    {tp: self._delivered.get(tp, self._next_offset.get(tp)) for tp in self.assignment()}
                )
        if not flowing:
            time.sleep(min(seconds, _STANDSTILL_SECONDS))
            return []
        drawn = self._fetcher.draw(seconds)
        with self._drawing:
            if not self._flowing() or (self.app.consumer_generation_id, self._seeks) != reads:
                self._reads = None
                return []
            self._ends |= drawn.ends
            return [self._batch(tp, records, generation_id) for tp, records in drawn.records.items()]

    def acknowledge(self, batch: RecordBatch) -> bool:
        """Mark a record batch as done, so that it may be committed; to be called in the app's event loop.

        Returns
        -------
        bool
            False, with nothing marked, when a rebalance has overtaken the batch, which may be somebody else's
            by now; or when the batch before it was not acknowledged, and would be lost. Either comes again,
            the latter once the partition is assigned anew.
        """
        tp, last = batch.tp, batch.records[-1].offset
        if batch.generation_id != self.app.consumer_generation_id:
            return False
        if batch.follows is not None and self._next_offset.get(tp) != batch.follows:
            self.log.error(
                "%s/%s: the batch that ends with offset %s is not acknowledged, as the one before it was not",
                *(tp.topic, tp.partition, last),
            )
            return False
        self._acked[tp] = [last]
        self._next_offset[tp] = last + 1
        return True

    def overtaken(self, batch: RecordBatch) -> bool:
        """Tell whether a rebalance has begun since the batch was drawn."""
        return not self._flowing() or batch.generation_id != self.app.consumer_generation_id

    def consumer_lag(self) -> dict[tuple[str, int], int]:
        """Return for each assigned partition how many of its records have not been acknowledged.

        A partition appears within a second of its first fetch. As fresh as the last fetch response, and no
        response comes while as much as may be was fetched ahead: a lag that stays the same is no sign of
        life.
        """
        lags = {}
        for tp in self.assignment():
            highwater, next_offset = self._fetcher.highwater(tp), self._next_offset.get(tp)
            if highwater is not None and next_offset is not None:
                lags[tp.topic, tp.partition] = max(0, highwater - next_offset)
        return lags

    def rejoin(self) -> None:
        """Join the group anew, so that a rebalance follows and every partition is taken over anew."""
        coordinator = self._thread._consumer._coordinator  # noqa: SLF001 - Faust has no word for it
        self._thread.thread_loop.call_soon_threadsafe(coordinator.request_rejoin)

    def reached(self) -> dict[tuple[str, int], int | None]:
        """Return how far each assigned partition has come: no record before this offset is left to be done.

        Where all that was drawn is acknowledged, that is where reading goes on, past what is no record. None
        where nothing is known yet: the log's start. May be asked from any thread.
        """
        reached: dict[tuple[str, int], int | None] = {}
        with self._drawing:
            for tp in self.assignment():
                done, drawn = self._next_offset.get(tp), self._delivered.get(tp)
                known = [offset for offset in (done, self._ends.get(tp)) if offset is not None]
                in_hand = drawn is not None and (done is None or drawn > done)
                reached[tp.topic, tp.partition] = done if in_hand else max(known, default=None)
        return reached

    async def perform_seek(self) -> None:
        """Seek every assigned partition to where it is to be read from.

        Faust calls this at the end of each rebalance, just before messages flow again: the one moment at
        which a position of our own is not overwritten.
        """
        generation_id = self.app.consumer_generation_id
        await super().perform_seek()
        start_offset = self.transport.start_offset
        with self._drawing:
            self._delivered.clear()
            self._ends.clear()
            self._seeks += 1
            for tp in self.assignment():
                start = start_offset(tp.topic, tp.partition) if start_offset else None
                next_offset = self._committed_offset[tp] if start is None else start
                if next_offset is None:
                    self._next_offset.pop(tp, None)
                else:
                    self._next_offset[tp] = next_offset
            if not self._rebalancing:
                self._settled = generation_id

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what was acknowledged, which Faust would forget, before partitions go to somebody else.

        Handlers of the app's signal `on_partitions_revoked` may wait for the batch in hand: what they see
        acknowledged is committed too, and does not come again.
        """
        self._rebalancing, self._settled = True, None
        await self._commit_all()
        await super().on_partitions_revoked(revoked)
        await self._commit_all()
        for tp in revoked:
            self._next_offset.pop(tp, None)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Take note of who gets what; where that is nothing, Faust will set no position."""
        self._rebalancing = False
        if not assigned:
            self._settled = generation_id
        await super().on_partitions_assigned(assigned, generation_id)

    async def _wait_next_records(
        self,
        timeout: float,  # noqa: ASYNC109 - Faust's signature
    ) -> tuple[None, None]:
        """Return no records, and not even that there are none: where nothing flows, Faust would seek back."""
        refusal = self._thread.refusal()
        try:
            if refusal is None:
                await super()._wait_next_records(timeout)
        except REFUSALS as error:
            refusal = error
        if refusal is not None:
            await self._end(refusal)
        return None, None

    async def _end(self, error: Exception) -> None:
        """Tell that the broker refuses us, once; nothing more is read.

        Not to be called while the error is handled: whoever hears of it would log its traceback.
        """
        transport = self.transport
        if transport.on_refusal is None:
            raise error
        if not transport.refused:
            transport.refused = True
            kind = "consumer group" if isinstance(error, GroupAuthorizationFailedError) else "topic"
            transport.on_refusal(transport.access.lacking("reading records failed", kind, str(error)))
        # Until the process has ended.
        await self.sleep(1.0)

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def on_stop(self) -> None:
        """Leave the group, and let go of what fetches."""
        await super().on_stop()
        self._fetcher.close()

    async def _commit_all(self) -> None:
        """Commit until nothing is left: what is done while a commit is on its way is not part of it."""
        await self.commit()
        while self._acked:
            await self.commit()

    def _flowing(self) -> bool:
        return bool(self.flow_active) and self._settled == self.app.consumer_generation_id

    def _batch(self, tp: TP, records: list[Record], generation_id: int) -> RecordBatch:
        self._next_offset.setdefault(tp, records[0].offset)
        batch = RecordBatch(tp, generation_id, records, self._delivered.get(tp))
        self._delivered[tp] = records[-1].offset + 1
        return batch

    def _new_offset(self, tp: TP) -> int | None:
        """Return the offset to commit: past the last acknowledged batch, as batches are done in order."""
        acknowledged = self._acked.pop(tp, None)
        return acknowledged[-1] + 1 if acknowledged else None


class RecordBatchTransport(driver.Transport):  # type: ignore[misc]  # Faust has no types
    """Faust's Kafka transport with a :class:`RecordBatchConsumer`.

    Parameters
    ----------
    servers
        Bootstrap servers as ``kafka://HOST:PORT``.
    app
        The Faust app it carries messages for.
    access
        How to reach them, for what errors say.
    start_offset
        Asked for each partition at the end of each rebalance; must answer at once.
    on_refusal
        Told when the broker allows us no longer to read; without it, that is a bug like any other.
    """

    Consumer = RecordBatchConsumer

    def __init__(
        self,
        servers: list[URL],
        app: faust.App,
        access: KafkaAccess,
        *,
        start_offset: StartOffset | None = None,
        on_refusal: RefusalHandler | None = None,
    ) -> None:
        super().__init__(servers, app)
        self.access = access
        self.start_offset = start_offset
        self.on_refusal = on_refusal
        self.refused = False
