"""The in-memory twins of the feature store and of the way out, for tests, backtests and a single process."""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from threading import Lock
from typing import Generic, TypeVar

from stream.adapters.fencing import behind, elsewhere, fenced
from stream.adapters.retention import CHECKPOINTS_KEPT, RETIRED_SNAPSHOT_TTL
from stream.clock import Clock, wall_clock
from stream.errors import FencedError, StateLostError
from stream.ports import Burst, Loaded, Outgoing, RiskKey, Tenure, Token, Underway

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class InMemoryStore:
    """A feature store for the scorer, the learner and whoever watches them, all in one process.

    It is a :class:`~stream.ports.ScorerStore`, a :class:`~stream.ports.LearnerStore`, a
    :class:`~stream.ports.FitterStore`, an :class:`~stream.ports.OperatorStore` and a
    :class:`~stream.ports.Progress`. May be shared by threads.

    Parameters
    ----------
    pending_ttl
        How long pending records and verdicts are kept after they were last written; None: for ever.
    state_ttl
        How long customers' states and risk records are kept after they were last written; None: for ever.
    clock
        What time it is: of the stream, where records of the past are played.

    Examples
    --------
    >>> store = InMemoryStore()
    >>> tenure = store.take_partition(0)
    >>> store.commit(tenure, 7, {"c1": b"state"}, {"t1": b"record"}).watermark
    7
    >>> store.load(0, ["c1", "c2"], [], [], []).customers
    [b'state', None]
    >>> store.find_pending(["t1"], partitions=4)
    {'t1': b'record'}
    """

    def __init__(
        self,
        *,
        pending_ttl: timedelta | None = None,
        state_ttl: timedelta | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        self._lock = Lock()
        self._clock = clock
        self._pending_ttl = pending_ttl
        self._state_ttl = state_ttl
        self._begin()

    def _begin(self) -> None:
        pending_ttl, state_ttl = self._pending_ttl, self._state_ttl
        self._partitions: dict[int, _Partition] = {}
        self._learner_token = 0
        self._orders: dict[int, bytes] = {}
        self._answers: dict[int, str] = {}
        self._label_watermark = -1
        self._risks: _Shelf[RiskKey] = _Shelf(state_ttl)
        self._verdicts: _Shelf[str] = _Shelf(pending_ttl)
        self._roster: bytes | None = None
        self._revision = 0
        self._snapshots: dict[str, bytes] = {}
        self._retired: _Shelf[str] = _Shelf(RETIRED_SNAPSHOT_TTL)
        self._checkpoints: deque[bytes] = deque(maxlen=CHECKPOINTS_KEPT)
        self._fitter_token = 0
        self._erasures = 0
        self._offer: tuple[int, bytes] | None = None

    def flush(self) -> None:
        """Forget everything, as a Redis does that is flushed or starts empty."""
        with self._lock:
            self._begin()

    def erase(self, customer: str) -> None:
        """Forget a customer's past, and say so to the scorers."""
        with self._lock:
            for partition in self._partitions.values():
                partition.customers.remove(customer)
            self._risks.remove(("customer", customer))
            self._erasures += 1

    def check(self) -> None:
        """Return: memory is always there."""

    def close(self) -> None:
        """Do nothing: what is stored lives as long as the store."""

    # The scorer's side.

    def take_partition(self, partition: int) -> Tenure:
        """Take a partition over; see :class:`~stream.ports.ScorerStore`."""
        with self._lock:
            mine = self._partition(partition)
            mine.token += 1
            return Tenure(partition, Token(mine.token), mine.watermark, mine.ledger)

    def load(
        self,
        partition: int,
        customers: Sequence[str],
        terminal_risks: Sequence[str],
        customer_risks: Sequence[str],
        transactions: Sequence[str],
    ) -> Loaded:
        """Read what a batch needs; see :class:`~stream.ports.ScorerStore`."""
        with self._lock:
            now = self._clock()
            mine = self._partition(partition)
            risks = self._risks
            return Loaded(
                customers=mine.customers.get(customers, now),
                terminal_risks=risks.get([("terminal", name) for name in terminal_risks], now),
                customer_risks=risks.get([("customer", name) for name in customer_risks], now),
                pending=mine.pending.find(transactions, now),
                roster_revision=self._revision,
                erasures=self._erasures,
            )

    def begin_load(
        self,
        partition: int,
        customers: Sequence[str],
        terminal_risks: Sequence[str],
        customer_risks: Sequence[str],
        transactions: Sequence[str],
    ) -> Underway[Loaded]:
        """Read what a batch needs, at once; see :class:`~stream.ports.ScorerStore`."""
        return _Done(lambda: self.load(partition, customers, terminal_risks, customer_risks, transactions))

    def commit(
        self,
        tenure: Tenure,
        watermark: int,
        customers: Mapping[str, bytes],
        pending: Mapping[str, bytes],
        ledger: bytes = b"",
        lineups: Mapping[str, bytes] | None = None,
    ) -> Tenure:
        """Write a batch's effects in one atomic step; see :class:`~stream.ports.ScorerStore`."""
        with self._lock:
            mine = self._partition(tenure.partition)
            if tenure.token != mine.token:
                raise fenced(f"partition {tenure.partition}", tenure.token, mine.token or None)
            ahead = watermark > tenure.watermark
            committed = tenure._replace(
                watermark=max(watermark, tenure.watermark), ledger=ledger or tenure.ledger
            )
            if ahead and mine.watermark == watermark:
                return committed
            if mine.watermark != tenure.watermark:
                raise elsewhere(tenure, mine.watermark)
            now = self._clock()
            mine.customers.put(customers, now)
            mine.pending.put(pending, now)
            mine.lineups |= lineups or {}
            mine.watermark = committed.watermark
            mine.ledger = ledger or mine.ledger
            return committed

    def begin_commit(
        self,
        tenure: Tenure,
        watermark: int,
        customers: Mapping[str, bytes],
        pending: Mapping[str, bytes],
        ledger: bytes = b"",
        lineups: Mapping[str, bytes] | None = None,
    ) -> Underway[Tenure]:
        """Write a batch's effects, at once; see :class:`~stream.ports.ScorerStore`."""
        return _Done(lambda: self.commit(tenure, watermark, customers, pending, ledger, lineups))

    def find_lineups(self, partitions: Iterable[int]) -> dict[str, bytes]:
        """Find the lineups of these partitions; see :class:`~stream.ports.ScorerStore`."""
        with self._lock:
            return {
                name: lineup
                for partition in partitions
                for name, lineup in self._partition(partition).lineups.items()
            }

    def roster(self) -> bytes | None:
        """Read the roster of active models; None before the first."""
        with self._lock:
            return self._roster or None

    def snapshot(self, key: str) -> bytes | None:
        """Read a snapshot named by the roster; None when it has been replaced meanwhile."""
        with self._lock:
            current = self._snapshots.get(key)
            stored = current if current is not None else self._retired.find([key], self._clock()).get(key)
            return stored or None

    # The learner's side.

    def take_learner(self) -> tuple[Token, int]:
        """Take the learner's role over; see :class:`~stream.ports.LearnerStore`."""
        with self._lock:
            self._learner_token += 1
            return Token(self._learner_token), self._label_watermark

    def find_pending(self, transactions: Sequence[str], partitions: int) -> dict[str, bytes]:
        """Find pending records in whichever partition; see :class:`~stream.ports.LearnerStore`."""
        with self._lock:
            now = self._clock()
            found: dict[str, bytes] = {}
            for partition in range(partitions):
                found.update(self._partition(partition).pending.find(transactions, now))
            return found

    def find_verdicts(self, transactions: Sequence[str]) -> dict[str, bytes]:
        """Find what labels have said so far of each transaction."""
        with self._lock:
            return self._verdicts.find(transactions, self._clock())

    def find_risks(self, keys: Sequence[RiskKey]) -> dict[RiskKey, bytes]:
        """Find risk records."""
        with self._lock:
            return self._risks.find(keys, self._clock())

    def commit_labels(
        self,
        token: Token,
        watermark: int,
        risks: Mapping[RiskKey, bytes],
        verdicts: Mapping[str, bytes],
        known: int = -1,
    ) -> None:
        """Write a label batch's effects in one atomic step; see :class:`~stream.ports.LearnerStore`."""
        with self._lock:
            self._check_learner(token)
            if self._label_watermark < known:
                raise behind("the learner's role", known, self._label_watermark)
            now = self._clock()
            self._risks.put(risks, now)
            self._verdicts.put(verdicts, now)
            self._label_watermark = max(watermark, self._label_watermark)

    def publish(self, token: Token, roster: bytes, snapshots: Mapping[str, bytes]) -> int:
        """Make `roster` the active one; see :class:`~stream.ports.LearnerStore`.

        `snapshots` are all that the roster names: the others are retired.
        """
        with self._lock:
            self._check_learner(token)
            gone = {name: value for name, value in self._snapshots.items() if name not in snapshots}
            self._retired.put(gone, self._clock())
            self._snapshots = dict(snapshots)
            self._roster = roster
            self._revision += 1
            return self._revision

    def save_checkpoint(self, token: Token, checkpoint: bytes) -> None:
        """Store a checkpoint as the newest; see :class:`~stream.ports.LearnerStore`."""
        with self._lock:
            self._check_learner(token)
            self._checkpoints.appendleft(checkpoint)

    def checkpoints(self) -> Iterator[bytes]:
        """Yield the stored checkpoints, newest first."""
        with self._lock:
            stored = list(self._checkpoints)
        yield from stored

    # Between the fitter and the learner.

    def take_fitter(self) -> Token:
        """Take the fitter's role over; see :class:`~stream.ports.FitterStore`."""
        with self._lock:
            self._fitter_token += 1
            return Token(self._fitter_token)

    def offer(self, token: Token, snapshot: bytes) -> int:
        """Store a snapshot for the learner; see :class:`~stream.ports.FitterStore`."""
        with self._lock:
            if token != self._fitter_token:
                raise fenced("the fitter's role", token, self._fitter_token or None)
            revision, offered = self._offer or (0, None)
            if offered != snapshot:
                revision += 1
                self._offer = (revision, snapshot)
            return revision

    def offered(self, known: int) -> tuple[int, bytes] | None:
        """Read what a fitter has offered last; see :class:`~stream.ports.LearnerStore`."""
        with self._lock:
            return self._offer if self._offer is not None and self._offer[0] != known else None

    # Between operators and the learner.

    def order(self, order: bytes) -> int:
        """Leave an order; see :class:`~stream.ports.OperatorStore`."""
        with self._lock:
            number = len(self._orders) + 1
            self._orders[number] = order
            return number

    def orders(self, known: int) -> dict[int, bytes]:
        """Read the orders after a number; see :class:`~stream.ports.LearnerStore`."""
        with self._lock:
            return {number: order for number, order in self._orders.items() if number > known}

    def answer(self, number: int, answer: str) -> None:
        """Say what became of an order; see :class:`~stream.ports.LearnerStore`."""
        with self._lock:
            self._answers[number] = answer

    def answered(self, number: int) -> str | None:
        """Read what became of an order; see :class:`~stream.ports.OperatorStore`."""
        with self._lock:
            return self._answers.get(number)

    # Progress.

    def transactions_done(self, partitions: int) -> dict[int, int]:
        """Return for each partition the offset of the last transaction stored, or -1."""
        with self._lock:
            return {partition: self._partition(partition).watermark for partition in range(partitions)}

    def labels_done(self) -> int:
        """Return the offset of the last label stored, or -1."""
        with self._lock:
            return self._label_watermark

    def _partition(self, partition: int) -> "_Partition":
        if partition not in self._partitions:
            self._partitions[partition] = _Partition(self._pending_ttl, self._state_ttl)
        return self._partitions[partition]

    def _check_learner(self, token: Token) -> None:
        if token != self._learner_token:
            raise fenced("the learner's role", token, self._learner_token or None)


class InMemoryInputLog:
    """An :class:`~stream.ports.InputLog` that says what it is told.

    Parameters
    ----------
    acknowledged
        Offset after the last acknowledged record, by partition.
    begins
        Offset of the oldest record, by partition; 0 for those that are not named.
    """

    def __init__(
        self, acknowledged: Mapping[int, int] | None = None, begins: Mapping[int, int] | None = None
    ) -> None:
        self._acknowledged = dict(acknowledged or {})
        self._begins = dict(begins or {})

    def acknowledged(self, partition: int) -> int:
        """Return the offset after the last acknowledged record; 0 when none is."""
        return self._acknowledged.get(partition, 0)

    def begins(self, partition: int) -> int:
        """Return the offset of the oldest record."""
        return self._begins.get(partition, 0)


class InMemoryEmitter:
    """A :class:`~stream.ports.PromptEmitter` that keeps what was emitted, in order.

    Examples
    --------
    >>> emitter = InMemoryEmitter()
    >>> emitter.emit([Outgoing("scores", b"c1", b"{}")])
    >>> [record.topic for record in emitter.emitted]
    ['scores']
    """

    def __init__(self) -> None:
        self.emitted: list[Outgoing] = []
        """Every record, oldest first."""
        self._sent: list[Outgoing] = []

    def emit(self, records: Iterable[Outgoing]) -> None:
        """Keep `records`: all of them, or none where producing one raises."""
        self.emitted += list(records)

    def send(self, bursts: Iterable[Burst]) -> None:
        """Take records, to keep them when they settle; what did not settle is forgotten."""
        self._sent = [
            Outgoing(topic, key, value)
            for topic, keys, values in bursts
            for key, value in zip(keys, values, strict=True)
        ]

    def settle(self) -> None:
        """Keep what was sent."""
        self.emitted += self._sent
        self._sent = []

    def on(self, topic: str) -> list[Outgoing]:
        """Return what was emitted to one topic, oldest first."""
        return [record for record in self.emitted if record.topic == topic]


class _Done(Generic[T]):
    """What was done when it was begun; what came of it is told later, as a store far away would."""

    def __init__(self, do: Callable[[], T]) -> None:
        self._outcome: list[T | FencedError | StateLostError] = []
        try:
            self._outcome.append(do())
        except (FencedError, StateLostError) as error:
            self._outcome.append(error)

    def result(self) -> T:
        if not self._outcome:
            raise RuntimeError("its result was asked for before, or given up")
        outcome = self._outcome.pop()
        if isinstance(outcome, FencedError | StateLostError):
            raise outcome
        return outcome

    def abandon(self) -> None:
        self._outcome.clear()


class _Partition:
    def __init__(self, pending_ttl: timedelta | None, state_ttl: timedelta | None) -> None:
        self.token = 0
        self.watermark = -1
        self.ledger = b""
        self.lineups: dict[str, bytes] = {}
        self.customers: _Shelf[str] = _Shelf(state_ttl)
        self.pending: _Shelf[str] = _Shelf(pending_ttl)


class _Shelf(Generic[K]):
    """Values that are forgotten a fixed time after they were last put.

    The entries lie in the order in which they expire, since all live equally long: forgetting costs what is
    forgotten, never a walk over what is kept.
    """

    def __init__(self, ttl: timedelta | None) -> None:
        self._ttl_ms = None if ttl is None else ttl // timedelta(milliseconds=1)
        # Not a dict, where taking from the front means walking over the gaps that earlier takings left.
        self._entries: OrderedDict[K, tuple[int, bytes]] = OrderedDict()
        """When each was put, and its value; oldest first."""

    def put(self, values: Mapping[K, bytes], now_ms: int) -> None:
        entries = self._entries
        for key, value in values.items():
            entries[key] = (now_ms, value)
            entries.move_to_end(key)
        while entries:
            oldest = next(iter(entries))
            if self._alive(entries[oldest][0], now_ms):
                break
            del entries[oldest]

    def remove(self, key: K) -> None:
        self._entries.pop(key, None)

    def find(self, keys: Iterable[K], now_ms: int) -> dict[K, bytes]:
        entries = self._entries
        return {
            key: entry[1]
            for key in keys
            if (entry := entries.get(key)) is not None and self._alive(entry[0], now_ms)
        }

    def get(self, keys: Iterable[K], now_ms: int) -> list[bytes | None]:
        keys = [*keys]
        found = self.find(keys, now_ms)
        return [found.get(key) for key in keys]

    def _alive(self, put_ms: int, now_ms: int) -> bool:
        return self._ttl_ms is None or now_ms - put_ms < self._ttl_ms
