"""A host: runs one role inside a Faust app, which feeds it record batches."""

import asyncio
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, ParamSpec, TypeVar

from stream.adapters.batch_app import (
    acknowledge,
    batch_topic,
    consumer_lag,
    draw,
    on_assignment,
    overtaken,
    reached,
    record_batch_app,
    rejoin,
)
from stream.adapters.emitter import KafkaEmitter
from stream.adapters.input_log import KafkaInputLog
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.metrics import Metrics
from stream.adapters.record_batches import RecordBatch
from stream.adapters.redis_store import RedisStore
from stream.adapters.topics import TopicNames
from stream.errors import FencedError, FraudstreamError, InfrastructureError, StoppedError
from stream.records import Record
from stream.roles.patience import Patience, Waits
from stream.roles.resumption import CatchUp
from stream.settings import Settings

_log = logging.getLogger(__name__)

DRAIN_SECONDS: Final = 6.0
"""How long an orderly stop waits for the batch in hand before it gives it up."""
SLOW_SECONDS: Final = 5.0
"""A batch takes milliseconds: one that takes so long waits for something; unless the role says otherwise."""
BLOCKED_SECONDS: Final = 45.0
"""Redis takes 5 s to be found away, Kafka 35: what has not said after so long that it waits is blocked."""
DRAW_SECONDS: Final = 0.05
"""How long the role's thread waits for records before it sees to whatever else it was given to do."""
SETTLE_SECONDS: Final = 0.05
"""How long a batch that is done waits for others, to be acknowledged and observed with them."""
P = ParamSpec("P")
T = TypeVar("T")


class Host(ABC):
    """Runs one role's batches, one after the other, in a thread of its own beside its Faust app.

    The event loop stays free for heartbeats and health; a role stays plain, blocking code, whose thread draws
    the next batches when it has done with the last. Where batches are full, one is read and one is being
    stored while one is worked on, so that neither the role nor the store waits for the other. What remains of
    one once its effects are stored, such as waiting for the broker, is done in a second thread, in the same
    order; only then is it acknowledged. The event loop hears some times a second of all batches that are done
    since: each that woke it would have to share the interpreter with it.
    """

    overlapping: bool = False
    """Whether what remains of a batch is done while the next one is at work: `conclude` may then not look at
    what a batch changes."""

    gather_seconds: float = 0.0
    """How long records gather before the next are drawn, as long as fewer come than are drawn at a time: the
    fixed cost of many small batches is saved, where nobody waits for the answer."""

    slow_seconds: float = SLOW_SECONDS
    blocked_seconds: float = BLOCKED_SECONDS
    """How long it may be at work on one thing, and not wait for a service, before it counts as blocked."""

    def __init__(self, name: str, input_topic: str, settings: Settings, metrics: Metrics) -> None:
        self.name = name
        self.input_topic = input_topic
        self.settings = settings
        self.metrics = metrics
        self.topics = TopicNames.of(settings)
        self.fatal: BaseException | None = None
        self.stopping = threading.Event()
        self._waiting_for: dict[str, InfrastructureError] = {}
        self.signing_key = settings.keyring()
        self.store = RedisStore.of(settings)
        self.access = KafkaAccess.of(settings)
        self.emitter = KafkaEmitter(self.access)
        self.input_log = self._input_log(name, input_topic)
        self._scorers_log = self._input_log("score", self.topics.transactions)
        self.waits = Waits(
            *(Patience(self.stopping, partial(self._on_wait, service)) for service in Waits._fields)
        )
        self.app = record_batch_app(
            f"{settings.namespace}-{name}",
            access=self.access,
            batch_records=settings.batch_records,
            session_timeout_seconds=settings.session_timeout_seconds,
            start_offset=self.start_offset,
            on_refusal=self.die,
        )
        self._forgotten = 0
        """Customers and terminals, as the metrics have it."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._second = ThreadPoolExecutor(1, thread_name_prefix=f"{name}-conclude")
        self._ahead: tuple[RecordBatch, Any] | None = None
        """A full batch that was read; the role's thread's own, as the next, and none while it rests."""
        self._underway: tuple[RecordBatch, Any] | None = None
        """The batch whose effects are being stored."""
        self._calls = 0
        """As many wait for the role's thread to do something else; the event loop counts them."""
        self._conclusion: Future[None] | None = None
        """Of the batch before the one at work."""
        self._done: deque[tuple[RecordBatch, Any]] = deque()
        """Batches to be acknowledged, and their reports."""
        self._settling = False
        """Whether the event loop will look after them without being told again."""
        self._drawing = False
        """Whether records are being drawn, or will be without being told again; the role's thread's own."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._assigned = asyncio.Event()
        self._held: list[int] = []
        self._resting = False
        """Whether no batch may begin any more."""
        self._gave_up = False
        self._began: float | None = None
        self._concluding: float | None = None
        self._fenced_since: float | None = None
        batch_topic(self.app, input_topic)
        on_assignment(self.app, self._on_assigned)
        self.app.on_partitions_revoked.connect(self._on_revoked)
        self.app.on_before_shutdown.connect(self._drain)

    # What differs between the roles.

    @abstractmethod
    def assign(self, partitions: Iterable[int]) -> None:
        """Take partitions of the input over; runs in the role's thread."""

    def read(self, batch: Sequence[Record]) -> Any:
        """Do what of a batch's work need not wait for the last one to settle; runs in the role's thread."""
        return batch

    def forget(self, read: Any) -> None:  # noqa: B027 - a role may have nothing to let go of
        """Let go of a batch that was read and will not be worked on; runs in the role's thread."""

    @abstractmethod
    def handle(self, read: Any) -> Any:
        """Do the role's work on a batch that was read; runs in the role's thread."""

    def commit(self, worked: Any) -> Any:
        """Begin to store the effects of a batch, given what `handle` returned, once the last has settled."""
        return worked

    def settle(self, outcome: Any) -> Any:
        """Wait until a batch's effects are stored, given what `commit` returned; in the role's thread."""
        return outcome

    def launch(self, outcome: Any) -> None:  # noqa: B027 - a role may have nothing to begin with
        """Begin with what remains of a batch, once nothing remains of the last one; in the role's thread."""

    def conclude(self, outcome: Any) -> Any:
        """Do what remains of a batch, given what `settle` returned, and return its report; runs beside it."""
        return outcome

    @abstractmethod
    def observe(self, reports: Sequence[Any]) -> None:
        """Put the reports of some batches into the metrics.

        Runs in the role's thread, a batch at a time; or, of a host that is :attr:`overlapping`, in the event
        loop, while others are at work.
        """

    def tick(self) -> None:  # noqa: B027 - a role may have nothing to do
        """Do what time asks for; runs in the role's thread, every second, only while partitions are held."""

    def finish(self) -> None:  # noqa: B027 - a role may have nothing left
        """Do what remains after the last batch of an orderly stop; runs in the role's thread."""

    def start_offset(self, _topic: str, _partition: int) -> int | None:
        """Say where an assigned partition is to be read from; None: where it was committed."""
        return None

    # What both share.

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking code in the role's thread, after what was there before."""
        self._loop = asyncio.get_running_loop()
        self._calls += 1
        try:
            return await self._loop.run_in_executor(self._thread, lambda: self._timed(call, *args, **kwargs))
        finally:
            self._calls -= 1

    def _timed(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self._began = time.monotonic()
        try:
            return call(*args, **kwargs)
        finally:
            self._began = None

    def _begin_drawing(self) -> None:
        """Draw records, again and again, until partitions are taken away; in the role's thread."""
        if not self._drawing:
            self._drawing = True
            self._draw()

    def _draw(self) -> None:
        """Draw records and work on them for a while, then go on after whatever else there is to do."""
        until = time.monotonic() + DRAW_SECONDS
        drawn = self._draw_once()
        while not self.gather_seconds and self._may_draw() and self._may_go_on(until):
            drawn = self._draw_once()
        self._timed(self._come_to_its_end)
        if not self._may_draw():
            self._drawing = False
        elif self.gather_seconds and 0 < drawn < self.settings.batch_records and self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.call_later, self.gather_seconds, self._go_on_drawing)
        else:
            self._go_on_drawing()

    def _draw_once(self) -> int:
        """Draw what has come and work on it; return how many records that were."""
        batches: list[RecordBatch] = []
        with self._facing():
            if self._may_draw():
                batches = draw(self.app, 0.0 if self._flowing else DRAW_SECONDS)
        if not batches:
            self._timed(self._come_to_its_end)
        for batch in batches:
            with self._facing():
                if self._may_begin(batch):
                    self._timed(self._work_on, batch)
        return sum(len(batch.records) for batch in batches)

    @property
    def _flowing(self) -> bool:
        """Whether batches are on their way, with others behind them."""
        return self._ahead is not None or self._underway is not None

    def _may_go_on(self, until: float) -> bool:
        """Tell whether to draw again: for a while, or until something else is to be done."""
        return not self._calls if self._flowing else time.monotonic() < until

    def _go_on_drawing(self) -> None:
        if not self._resting:
            self._thread.submit(self._draw)

    def _may_draw(self) -> bool:
        idle = self._resting or self.stopping.is_set() or self.fatal is not None
        return not idle and self._assigned.is_set()

    def _may_begin(self, batch: RecordBatch) -> bool:
        """Tell whether a batch is to be worked on; else it is never acknowledged, and comes again."""
        return self._may_draw() and not overtaken(self.app, batch)

    def _work_on(self, batch: RecordBatch) -> None:
        """Read a batch and work on it, or on the full one before, which has waited for others behind it."""
        read = self.read(batch.records)
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            self._advance(*ahead)
        if self.overlapping and len(batch.records) >= self.settings.batch_records:
            self._ahead = batch, read
        else:
            self._advance(batch, read)
            self._come_to_its_end()

    def _advance(self, batch: RecordBatch, read: Any) -> None:
        """Work on a batch until its effects are being stored, and have what remains of the last one done."""
        with self._facing():
            if not self._may_begin(batch):
                self.forget(read)
                return
            worked = self.handle(read)
            before = self._settled()
            try:
                if self.fatal is None and not self._gave_up:
                    self._underway = batch, self.commit(worked)
            finally:
                if before is not None:
                    self._pass_on(before)

    def _come_to_its_end(self) -> None:
        """Work on the batch that waits, and have all done that remains of any."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            self._advance(*ahead)
        with self._facing():
            before = self._settled()
            if before is not None:
                self._pass_on(before)

    def _settled(self) -> tuple[RecordBatch, Any] | None:
        """Return the batch that was underway, once its effects are stored; None where there is none."""
        underway, self._underway = self._underway, None
        if underway is not None:
            with self._facing():
                return underway[0], self.settle(underway[1])
        return None

    def _pass_on(self, settled: tuple[RecordBatch, Any]) -> None:
        batch, outcome = settled
        self._await_conclusion()
        if self.fatal is not None or self._gave_up:
            return
        self.launch(outcome)
        if self.overlapping:
            self._conclusion = self._second.submit(self._conclude, batch, outcome)
        else:
            self._conclude(batch, outcome)

    def _conclude(self, batch: RecordBatch, outcome: Any) -> None:
        """Do what remains of a batch, which then is to be acknowledged; may be beside the next."""
        self._concluding = time.monotonic()
        with self._facing():
            report = self.conclude(outcome)
            if not self.overlapping:
                self.observe([report])
            self._done.append((batch, report))
            if not self._settling and self._loop is not None:
                self._settling = True
                self._loop.call_soon_threadsafe(self._loop.call_later, SETTLE_SECONDS, self._settle)
        self._concluding = None

    def _await_conclusion(self) -> None:
        """Wait until nothing remains of the batch before."""
        if self._conclusion is not None:
            wait([self._conclusion])

    def _settle(self) -> None:
        """Acknowledge and observe what is done; in the event loop."""
        self._settling = False
        reports = []
        with self._facing():
            while self._done:
                batch, report = self._done.popleft()
                acknowledge(self.app, batch)
                reports.append(report)
            if reports and self.overlapping:
                self.observe(reports)

    @contextmanager
    def _facing(self) -> Iterator[None]:
        """Draw the consequences of whatever goes wrong within, before anything else begins; in any thread."""
        try:
            yield
        except FencedError as error:
            self._on_fenced(error)
        except StoppedError as error:
            self._give_up(error)
        except BaseException as error:  # noqa: BLE001 - a bug ends the process before any acknowledgement
            self.die(error)

    def die(self, error: BaseException) -> None:
        """End the process: its supervisor starts it again, and what was not acknowledged comes again."""
        if self.fatal is None:
            self.fatal = error
            expected = isinstance(error, FraudstreamError)
            _log.critical("%s stops: %s", self.name, error, exc_info=None if expected else error)
            if self._loop is not None:
                asyncio.run_coroutine_threadsafe(self.app.crash(error), self._loop)

    def reasons(self) -> list[str]:
        """Say why this role is not ready; empty when it is."""
        if self.fatal is not None:
            return [f"{self.name}: {self.fatal}"]
        if self.waiting_for is not None:
            return [f"{self.name} waits: {self.waiting_for}"]
        if self.at_work_since is not None:
            seconds = time.monotonic() - self.at_work_since
            if seconds > self.slow_seconds:
                return [f"{self.name}: at work on one batch for {seconds:.0f} s; is Kafka away?"]
        if not self._assigned.is_set():
            return [f"{self.name}: no partitions assigned yet"]
        return []

    def stalled(self) -> list[str]:
        """Say why this role should be restarted; empty when it lives."""
        return [f"{self.name}: {self.fatal}"] if self.fatal is not None else []

    @property
    def at_work_since(self) -> float | None:
        """When the role took up what it has worked on for longest, monotonic seconds; None while idle."""
        return min((since for since in (self._began, self._concluding) if since is not None), default=None)

    @property
    def waiting_for(self) -> InfrastructureError | None:
        """Why the role waits for a service; None when it does not."""
        return next(iter(self._waiting_for.copy().values()), None)

    @property
    def excused(self) -> bool:
        """Whether nothing is to be expected of it: it waits for a service, was fenced off, or is to stop."""
        return (
            self.waiting_for is not None
            or self._fenced_since is not None
            or self.stopping.is_set()
            or self.fatal is not None
        )

    def reached(self) -> dict[int, int | None]:
        """Return how far each partition has come that it holds; may be asked from any thread."""
        if not self._assigned.is_set():
            return {}
        return {
            number: offset
            for (topic, number), offset in reached(self.app).items()
            if topic == self.input_topic
        }

    async def beat(self) -> None:
        """Do, once a second, what no batch asks for."""
        if self._assigned.is_set():
            await self.run(self._beat)
        limit = 3 * self.settings.session_timeout_seconds
        if self._fenced_since is not None and time.monotonic() - self._fenced_since > limit:
            self.die(
                FencedError(
                    f"another worker has our partitions of {self.input_topic}, and Kafka has not told us"
                )
            )

    def lag(self) -> dict[tuple[str, int], int]:
        """Return how many records lie unacknowledged in each partition held, by topic and partition."""
        return consumer_lag(self.app) if self._assigned.is_set() else {}

    def close(self) -> None:
        """Let go of connections and the threads."""
        self._resting = True
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._second.shutdown(wait=False, cancel_futures=True)
        self.emitter.close()
        self.input_log.close()
        self._scorers_log.close()
        self.store.close()

    def scorers(self) -> CatchUp:
        """Return what waits for scorers that read again what Redis has lost."""
        return CatchUp(self.store, self._scorers_log, self.settings.partitions, self.waits)

    def _input_log(self, role: str, topic: str) -> KafkaInputLog:
        return KafkaInputLog(self.access, f"{self.settings.namespace}-{role}", topic)

    def _beat(self) -> None:
        if self._held and not self._resting and not self.stopping.is_set() and self.fatal is None:
            with self._facing():
                self._tick()

    def _tick(self) -> None:
        forgotten = self.store.forgotten
        self.metrics.forgotten.labels(self.name).inc(forgotten - self._forgotten)
        self._forgotten = forgotten
        # Without transactions nothing else would notice that Redis is away.
        self.waits.redis(self.store.check)
        if self._fenced_since is None:
            self.tick()

    def _on_wait(self, service: str, error: InfrastructureError | None) -> None:
        if error is None:
            _log.info("%s goes on: %s answers", self.name, service)
            self._waiting_for.pop(service, None)
        else:
            if service not in self._waiting_for:
                _log.warning("%s waits: %s", self.name, error)
            self._waiting_for[service] = error
            self.metrics.infrastructure_errors.labels(service).inc()
        self.metrics.waiting.labels(service).set(error is not None)

    def _give_up(self, error: StoppedError) -> None:
        _log.info("%s: %s", self.name, error)
        self._gave_up = True

    def _on_fenced(self, error: FencedError) -> None:
        _log.warning("%s fenced off: %s", self.name, error)
        self.metrics.fenced.labels(self.name).inc()
        if self._fenced_since is None:
            self._fenced_since = time.monotonic()
            # Either Kafka has not told us yet that our partitions have gone to another, or somebody who had
            # them before was late in taking them: after a rebalance whoever then has them takes them, last.
            rejoin(self.app)

    async def _on_assigned(self, assigned: set[tuple[str, int]]) -> None:
        partitions = sorted(partition for topic, partition in assigned if topic == self.input_topic)
        _log.info("%s has partitions %s of %s", self.name, partitions, self.input_topic)
        try:
            # In turn, so that a revocation waits for it: taking a partition that has gone to another would
            # fence that one off.
            await self.run(self.assign, partitions)
        except StoppedError as error:
            self._give_up(error)
            return
        except asyncio.CancelledError:
            # Faust stops this before it tells anybody: what waits in the role's thread must hear of it.
            self.stopping.set()
            raise
        except BaseException as error:  # noqa: BLE001 - a bug ends the process
            self.die(error)
            return
        self.metrics.partitions.labels(self.name).set(len(partitions))
        self._held = partitions
        self._fenced_since = None
        self._assigned.set()
        self._thread.submit(self._begin_drawing)

    async def _on_revoked(self, _app: Any, _revoked: set[Any], **_: Any) -> None:
        """Let the batch in hand come to its end, so that it is committed and does not come again."""
        self._assigned.clear()
        self._held = []
        self.metrics.partitions.labels(self.name).set(0)
        # No heartbeat is sent meanwhile: waiting must end well before the session does.
        await self._rest(self.settings.session_timeout_seconds / 2)

    async def _drain(self, *_: Any, **__: Any) -> None:
        """Let the batch in hand come to its end, acknowledged and committed, and begin no other."""
        self._resting = True
        if self.waiting_for is not None:
            self.stopping.set()  # the batch in hand would wait on: it is given up, and comes again
        rested = await self._rest(DRAIN_SECONDS)
        if not rested:
            _log.warning(
                "%s: the batch in hand did not end in %g s: given up, it comes again",
                self.name,
                DRAIN_SECONDS,
            )
        self.stopping.set()
        if rested and self._held and self.fatal is None:
            await self._finish()
            await self.app.consumer.commit()

    async def _finish(self) -> None:
        if self._gave_up:
            return  # half a batch may be in the role's memory: nothing of it may be stored
        try:
            await self.run(self.finish)
        except FraudstreamError as error:
            _log.warning(
                "%s: not finished in order, labels since the last checkpoint come again: %s", self.name, error
            )

    async def _rest(self, seconds: float) -> bool:
        """Wait until no batch is in hand, while none may begin; False when time was up before."""
        loop = self._loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                await loop.run_in_executor(self._thread, self._await_conclusion)
        except TimeoutError:
            return False
        finally:
            self._settle()
        return True
