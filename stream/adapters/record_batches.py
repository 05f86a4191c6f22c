"""Record batches: what is fetched of one partition at a time is handed over as a whole.

Faust spends 200 to 300 microseconds on every message: conductor, channel, event, acknowledgement; and each
goes through its event loop, where it waits its turn. Here records do not pass through that loop at all. They
are handed over a record batch at a time, by the thread that fetches them. Group membership, rebalancing and
commits stay Faust's own, which takes each second of fetching for one fetch without records.

The methods overridden are Faust's inner ones; ``tests/stream/adapters/test_record_batches.py`` notices an
upgrade that moves the ground under them.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import faust
from aiokafka.errors import CommitFailedError, GroupAuthorizationFailedError, TopicAuthorizationFailedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from yarl import URL

from stream.adapters.intake import Intake
from stream.adapters.kafka_access import KafkaAccess
from stream.errors import AccessError
from stream.records import Record

FETCH_WAIT_MS: Final = 50
"""How long the broker may hold a fetch back for records to come. Faust's 1,500 ms do no harm on Kafka, which
answers as soon as there is one; the embedded broker always takes the whole time."""

StartOffset = Callable[[str, int], int | None]
"""Given a topic and a partition just assigned: the offset to read from, or None for the committed one."""

RefusalHandler = Callable[[AccessError], None]
"""Given the error when the broker lets us read no longer, or be in the group: it is to end the process."""

REFUSALS: Final = (GroupAuthorizationFailedError, TopicAuthorizationFailedError)
"""What the broker's refusals are to aiokafka; said in a sentence of ours, by whoever gets an AccessError."""

Fetched = Mapping[TP, list[Any]]
"""What aiokafka makes of a fetch, by partition."""

Fetch = Callable[[float], Awaitable[Fetched]]
"""Fetches once; given how long it may wait, seconds."""


class RecordBatch:
    """Records of one partition, in offset order, on their way to whoever works on them.

    Parameters
    ----------
    tp
        Their partition.
    generation_id
        Of the consumer group, when they were fetched.
    records
        Never empty. It may grow until it is taken: see :func:`take`.
    follows
        The offset after the batch handed over just before; None for the first since a rebalance.
    """

    __slots__ = ("follows", "generation_id", "records", "tp")

    def __init__(self, tp: TP, generation_id: int, records: list[Record], follows: int | None) -> None:
        self.tp = tp
        self.generation_id = generation_id
        self.records = records
        self.follows = follows


Deliver = Callable[[RecordBatch], None]
"""Given a batch, in the consumer's thread; returns at once."""


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # Faust has no types
    _refusal: Exception | None = None
    """Why the last offsets could not be committed, where our user may not."""

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS  # noqa: SLF001 - Faust offers no setting for it
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
    ) -> Fetched:
        """Fetch and hand over for as long as Faust would wait for one fetch; return what is left to Faust."""
        inherited = super()._fetch_records

        async def fetch(seconds: float) -> Fetched:
            consumer.resume(*consumer.assignment())
            fetched: Fetched = await inherited(
                consumer, active_partitions, timeout=seconds, max_records=max_records
            )
            return fetched

        # However long nothing is wanted: the group's coordinator counts the time that nobody fetches.
        with consumer._fetcher._subscriptions.fetch_context():  # noqa: SLF001 - as Faust does
            left: Fetched = await self.consumer.pump(fetch, timeout or 0.0)
            return left

    def pause(self) -> None:
        """Have nothing fetched until the next fetch is asked for."""
        self._consumer.pause(*self._consumer.assignment())

    def backlog(self) -> int:
        """Return how many records lie beyond those that were handed out, as the last responses told."""
        known = ((state.highwater, state._position) for state in self._states().values())  # noqa: SLF001
        return sum(
            max(0, end - position) for end, position in known if end is not None and position is not None
        )

    def rewind(self, fetched: Fetched) -> None:
        """Let records that were just fetched be fetched again."""
        for tp, records in fetched.items():
            if records:
                self._consumer.seek(tp, records[0].offset)

    def highwaters_known(self) -> dict[TP, int]:
        """Return the end of each assigned partition, as the last fetch response told; may be asked always."""
        ends = {tp: state.highwater for tp, state in self._states().items()}
        return {tp: end for tp, end in ends.items() if end is not None}

    def positions(self) -> dict[TP, int | None]:
        """Return the next offset that each assigned partition is to be fetched from; None: not known yet.

        It lies past records that nobody is handed, such as the marks of a transaction. May be asked always.
        """
        return {tp: state._position for tp, state in self._states().items()}  # noqa: SLF001

    def refusal(self) -> Exception | None:
        """Return why the broker does not let us be in the group any more, where it does not.

        The group's coordinator keeps what it has met until it is asked, which Faust never does.
        """
        if self._refusal is not None:
            return self._refusal
        coordinator = self._consumer._coordinator if self._consumer else None  # noqa: SLF001
        pending = getattr(coordinator, "_pending_exception", None)
        return pending if isinstance(pending, REFUSALS) else None

    def _states(self) -> dict[TP, Any]:
        subscription = self._consumer._subscription.subscription if self._consumer else None  # noqa: SLF001
        # An assignment is replaced, never changed, so the consumer's thread cannot pull it away from here.
        assignment = subscription.assignment if subscription else None
        if assignment is None:
            return {}
        return {TP(tp.topic, tp.partition): assignment.state_value(tp) for tp in assignment.tps}


class RecordBatchConsumer(driver.Consumer):  # type: ignore[misc]  # Faust has no types
    """Faust's Kafka consumer, which hands records of batched topics over by itself."""

    transport: "RecordBatchTransport"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._next_offset: dict[TP, int] = {}
        """What was acknowledged ends before it."""
        self._delivered: dict[TP, int] = {}
        """What was handed over since the last rebalance ends before it."""
        self._fetched: dict[TP, int] = {}
        """What was fetched since the last rebalance ends before it."""
        self.intake: Intake[RecordBatch] = Intake(self.app.conf.broker_max_poll_records)

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
        """Tell whether a rebalance has begun since the batch was fetched."""
        return not self.flow_active or batch.generation_id != self.app.consumer_generation_id

    def consumer_lag(self) -> dict[tuple[str, int], int]:
        """Return for each assigned partition how many of its records have not been acknowledged.

        A partition appears once its first fetch has come back. As fresh as the last fetch response, and no
        response comes while nothing is being taken: a lag that stays the same is no sign of life.
        """
        lags = {}
        for tp, highwater in self._thread.highwaters_known().items():
            next_offset = self._next_offset.get(tp)
            if next_offset is not None:
                lags[tp.topic, tp.partition] = max(0, highwater - next_offset)
        return lags

    def rejoin(self) -> None:
        """Join the group anew, so that a rebalance follows and every partition is taken over anew."""
        coordinator = self._thread._consumer._coordinator  # noqa: SLF001 - Faust has no word for it
        self._thread.thread_loop.call_soon_threadsafe(coordinator.request_rejoin)

    def reached(self) -> dict[tuple[str, int], int | None]:
        """Return how far each assigned partition has come: no record before this offset is left to be done.

        Where all that was fetched is acknowledged, that is the position of the next fetch, which passes over
        what is no record. None where nothing is known yet: the log's start. May be asked from any thread.
        """
        reached: dict[tuple[str, int], int | None] = {}
        for tp, position in self._thread.positions().items():
            done, fetched = self._next_offset.get(tp), self._fetched.get(tp)
            known = [offset for offset in (done, position) if offset is not None]
            in_hand = fetched is not None and (done is None or fetched > done)
            reached[tp.topic, tp.partition] = done if in_hand else max(known, default=None)
        return reached

    async def perform_seek(self) -> None:
        """Seek every assigned partition to where it is to be read from.

        Faust calls this at the end of each rebalance, just before messages flow again: the one moment at
        which a position of our own is not overwritten.
        """
        self._delivered.clear()
        self._fetched.clear()
        self.intake.forget()
        await super().perform_seek()
        start_offset = self.transport.start_offset
        starts, uncommitted = {}, []
        for tp in self.assignment():
            start = start_offset(tp.topic, tp.partition) if start_offset else None
            if start is not None:
                starts[tp] = start
            next_offset = self._committed_offset[tp] if start is None else start
            if next_offset is None:
                self._next_offset.pop(tp, None)
                uncommitted.append(self._new_topicpartition(tp.topic, tp.partition))
            else:
                self._next_offset[tp] = next_offset
        if starts:
            await self.seek_wait(starts)
        if uncommitted:
            # aiokafka leaves these where they are. A fetch that was under way may have moved them on, and
            # what it returned was dropped, as no messages flow during a rebalance.
            await self._thread.seek_to_beginning(*uncommitted)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Commit what was acknowledged, which Faust would forget, before partitions go to somebody else.

        Handlers of the app's signal `on_partitions_revoked` may wait for the batch in hand: what they see
        acknowledged is committed too, and does not come again.
        """
        await self.commit()
        await super().on_partitions_revoked(revoked)
        await self.commit()
        for tp in revoked:
            self._next_offset.pop(tp, None)

    async def _wait_next_records(
        self,
        timeout: float,  # noqa: ASYNC109 - Faust's signature
    ) -> tuple[Fetched | None, set[TP] | None]:
        refusal = self._thread.refusal()
        try:
            if refusal is None:
                waited: tuple[Fetched | None, set[TP] | None] = await super()._wait_next_records(timeout)
                return waited
        except REFUSALS as error:
            refusal = error
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

    async def pump(self, fetch: Fetch, seconds: float) -> Fetched:
        """Fetch whenever more is wanted, and hand it over; in the consumer's thread.

        Returns
        -------
        Fetched
            Records of topics that are not batched, as soon as there are some; nothing after so many seconds,
            or when Faust wants nothing to flow.
        """
        end = time.monotonic() + seconds
        while self.flow_active and (left := end - time.monotonic()) > 0:
            if not await self.intake.appetite(left) or not self.flow_active:
                continue
            fetched = await fetch(max(0.001, end - time.monotonic()))
            if not self.flow_active:
                # Faust may have set the positions of the new assignment already.
                self._thread.rewind(fetched)
                return {}
            # aiokafka returns records of its present assignment only, which this is the generation of.
            generation_id = self.app.consumer_generation_id
            if not self.intake.fetched(sum(map(len, fetched.values())) + self._thread.backlog()):
                # Else aiokafka would fetch ahead the first record that comes, and the others wait behind it.
                self._thread.pause()
            others = {}
            for tp, some in fetched.items():
                if tp.topic not in self.transport.batched_topics:
                    others[tp] = some
                elif some:
                    self._hand_over(TP(tp.topic, tp.partition), [*map(_record, some)], generation_id)
            if others:
                return others
        return {}

    def _hand_over(self, tp: TP, records: list[Record], generation_id: int) -> None:
        end = records[-1].offset + 1
        self._fetched[tp] = end
        if self.intake.join(tp, records, generation_id) is None:
            self._next_offset.setdefault(tp, records[0].offset)
            batch = RecordBatch(tp, generation_id, records, self._delivered.get(tp))
            self.intake.offer(batch)
            self.transport.batched_topics[tp.topic](batch)
        self._delivered[tp] = end

    def _new_offset(self, tp: TP) -> int | None:
        """Return the offset to commit: past the last acknowledged batch, as batches are done in order."""
        if tp.topic not in self.transport.batched_topics:
            new_offset: int | None = super()._new_offset(tp)
            return new_offset
        acknowledged = self._acked.pop(tp, None)
        return acknowledged[-1] + 1 if acknowledged else None


def _record(fetched: Any) -> Record:
    return Record(
        fetched.topic, fetched.partition, fetched.offset, fetched.timestamp, fetched.key, fetched.value
    )


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
        self.batched_topics: dict[str, Deliver] = {}
        """Who is handed the records of each."""
