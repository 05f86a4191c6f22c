"""What the pipeline asks of the world.

``stream.adapters`` holds two answers to each: the real one, and an in-memory twin for tests and backtests
that passes the same contract suite. Values are bytes whose layout belongs to the domain
(``docs/redis-format.md``); an adapter moves them and never looks inside.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, NewType, Protocol, TypeVar

T_co = TypeVar("T_co", covariant=True)

RiskKey = tuple[Literal["terminal", "customer"], str]
"""Whose record of matured labels: the kind and the identifier."""

Token = NewType("Token", int)
"""A fencing token (Kleppmann 2017, ch. 8): the store refuses every token but the newest one taken."""


class Tenure(NamedTuple):
    """The right to write a partition's state, and how far that state has come."""

    partition: int
    token: Token
    watermark: int
    """Offset of the last transaction whose effects are stored; -1 when none is."""
    ledger: bytes = b""
    """What is stored of the partition's alert budget; empty when nothing is."""


class Loaded(NamedTuple):
    """What one record batch needs, read in one round trip."""

    customers: list[bytes | None]
    """State of each customer asked for, in that order; None where there is none."""
    terminal_risks: list[bytes | None]
    """Risk record of each terminal asked for, likewise."""
    customer_risks: list[bytes | None]
    """Risk record of each customer asked for, likewise."""
    pending: dict[str, bytes]
    """Pending record of each transaction id asked for that this partition has already scored."""
    roster_revision: int
    """Changes whenever :meth:`ScorerStore.roster` would return something new; 0 before the first."""
    erasures: int = 0
    """Changes whenever a customer was erased: what is kept in memory must be read again."""


class Underway(Protocol[T_co]):
    """A request that the store works on while something else is done."""

    def result(self) -> T_co:
        """Wait until it is done, and return or raise what it led to. Only once."""
        ...

    def abandon(self) -> None:
        """Give it up, if its result was not asked for: it may have been done or not."""
        ...


class ScorerStore(Protocol):
    """The scorer's side of the feature store. One writer per partition at a time.

    Every method raises :class:`~stream.errors.InfrastructureError` when the store is away, slow, full or
    refusing; the call may then be repeated as it was. Those that write raise
    :class:`~stream.errors.StateLostError` when the store has less than it had: it has lost the token or
    something that was committed. Nothing has been written then.
    """

    def take_partition(self, partition: int) -> Tenure:
        """Take a partition over: from now on every older tenure of it is refused."""
        ...

    def load(
        self,
        partition: int,
        customers: Sequence[str],
        terminal_risks: Sequence[str],
        customer_risks: Sequence[str],
        transactions: Sequence[str],
    ) -> Loaded:
        """Read everything that a record batch of `partition` needs, in one round trip.

        Parameters
        ----------
        partition
            Of the transactions topic.
        customers
            Whose states are wanted.
        terminal_risks, customer_risks
            Terminals and customers whose risk records are wanted.
        transactions
            Ids that this partition may have scored before.
        """
        ...

    def begin_load(
        self,
        partition: int,
        customers: Sequence[str],
        terminal_risks: Sequence[str],
        customer_risks: Sequence[str],
        transactions: Sequence[str],
    ) -> Underway[Loaded]:
        """Begin a :meth:`load`. What a commit that is underway writes may be missing from it."""
        ...

    def commit(
        self,
        tenure: Tenure,
        watermark: int,
        customers: Mapping[str, bytes],
        pending: Mapping[str, bytes],
        ledger: bytes = b"",
        lineups: Mapping[str, bytes] | None = None,
    ) -> Tenure:
        """Write a batch's effects and its new `watermark` in one atomic step; all of it or nothing.

        Repeating a commit that had gone through (its answer was lost) changes nothing and succeeds. One of
        nothing, at the watermark of `tenure`, only asks whether the tenure still stands.

        Parameters
        ----------
        tenure
            As returned by `take_partition` or by the previous `commit`.
        watermark
            Offset of the last record of the batch. At or under `tenure.watermark` for a batch that was all
            redelivered: it then stays where it is.
        customers, pending
            New values by customer id and by transaction id.
        ledger
            New account of the alert budget; empty to leave what is stored.
        lineups
            Those that the pending records name, by name. They are kept for ever, and never changed.

        Returns
        -------
        Tenure
            To be presented with the next commit.

        Raises
        ------
        FencedError
            Another worker has taken the partition, or the stored watermark is beyond the one of `tenure`.
        StateLostError
            The stored watermark is before the one of `tenure`, or the token is gone.
        """
        ...

    def begin_commit(
        self,
        tenure: Tenure,
        watermark: int,
        customers: Mapping[str, bytes],
        pending: Mapping[str, bytes],
        ledger: bytes = b"",
        lineups: Mapping[str, bytes] | None = None,
    ) -> Underway[Tenure]:
        """Begin a :meth:`commit`, which may still be repeated: whoever gives its result up must."""
        ...

    def find_lineups(self, partitions: Iterable[int]) -> dict[str, bytes]:
        """Find all lineups that were ever committed in these partitions, by name."""
        ...

    def roster(self) -> bytes | None:
        """Read the roster of active models (``stream.registry.snapshot``); None before the first.

        Nothing that is sealed is empty: an empty one counts as none.
        """
        ...

    def snapshot(self, key: str) -> bytes | None:
        """Read a snapshot named by the roster; None when it has been replaced meanwhile, or is empty."""
        ...


class LearnerStore(Protocol):
    """The learner's side of the feature store. One writer at a time.

    Raises as :class:`ScorerStore` does.
    """

    def take_learner(self) -> tuple[Token, int]:
        """Take the learner's role over; return the token and the stored label watermark (-1 when none)."""
        ...

    def find_pending(self, transactions: Sequence[str], partitions: int) -> dict[str, bytes]:
        """Find pending records by transaction id, whichever of the `partitions` holds them."""
        ...

    def find_lineups(self, partitions: Iterable[int]) -> dict[str, bytes]:
        """Find all lineups that were ever committed in these partitions, by name."""
        ...

    def find_verdicts(self, transactions: Sequence[str]) -> dict[str, bytes]:
        """Find what labels have said so far of each transaction."""
        ...

    def find_risks(self, keys: Sequence[RiskKey]) -> dict[RiskKey, bytes]:
        """Find risk records."""
        ...

    def commit_labels(
        self,
        token: Token,
        watermark: int,
        risks: Mapping[RiskKey, bytes],
        verdicts: Mapping[str, bytes],
        known: int = -1,
    ) -> None:
        """Write a label batch's effects and the offset of its last label in one atomic step.

        Repeating it changes nothing: values are set, not added, and the stored watermark only moves forward.
        What keeps a label from counting twice is its own offset among the stored verdicts. One of nothing, at
        the `known` watermark, only asks whether the role is still held.

        Parameters
        ----------
        token
            As returned by `take_learner`.
        watermark
            Offset of the last label of the batch.
        risks, verdicts
            New values.
        known
            The watermark that the caller knows to be stored, or a later one.

        Raises
        ------
        FencedError
            Another learner has taken over.
        StateLostError
            The stored watermark is before the `known` one, or the token is gone.
        """
        ...

    def publish(self, token: Token, roster: bytes, snapshots: Mapping[str, bytes]) -> int:
        """Store snapshots and make `roster` the active one, in one atomic step; return its revision.

        `snapshots` holds every snapshot that the roster names, by key.

        Snapshots that the previous roster named stay readable for a minute, for scorers half-way through
        loading them.

        Raises
        ------
        FencedError
            Another learner has taken over.
        """
        ...

    def roster(self) -> bytes | None:
        """Read the roster as it lies there; see :class:`ScorerStore`."""
        ...

    def save_checkpoint(self, token: Token, checkpoint: bytes) -> None:
        """Store a checkpoint as the newest and forget all but the last few.

        Raises
        ------
        FencedError
            Another learner has taken over.
        """
        ...

    def checkpoints(self) -> Iterator[bytes]:
        """Yield the stored checkpoints, newest first."""
        ...

    def offered(self, known: int) -> tuple[int, bytes] | None:
        """Read what a fitter has offered last, and its revision, unless that is `known`; cheap if it is.

        Parameters
        ----------
        known
            The revision that the caller has; 0: none.
        """
        ...

    def orders(self, known: int) -> dict[int, bytes]:
        """Read what operators have ordered after the order of number `known`, by number, in order."""
        ...

    def answer(self, number: int, answer: str) -> None:
        """Say what became of an order. Saying it again changes nothing."""
        ...


class OperatorStore(Protocol):
    """The side of those who steer the learner. Raises as :class:`ScorerStore` does."""

    def order(self, order: bytes) -> int:
        """Leave an order for the learner; return its number, one more than the last one's."""
        ...

    def answered(self, number: int) -> str | None:
        """Read what became of an order; None while nothing has."""
        ...

    def roster(self) -> bytes | None:
        """Read the roster, as :meth:`ScorerStore.roster` does."""
        ...

    def snapshot(self, key: str) -> bytes | None:
        """Read a snapshot, as :meth:`ScorerStore.snapshot` does."""
        ...


class FitterStore(Protocol):
    """The fitter's side of the feature store. One writer at a time.

    Raises as :class:`ScorerStore` does.
    """

    def take_fitter(self) -> Token:
        """Take the fitter's role over: from now on every older token of it is refused."""
        ...

    def find_pending(self, transactions: Sequence[str], partitions: int) -> dict[str, bytes]:
        """Find pending records by transaction id, whichever of the `partitions` holds them."""
        ...

    def find_lineups(self, partitions: Iterable[int]) -> dict[str, bytes]:
        """Find all lineups that were ever committed in these partitions, by name."""
        ...

    def offer(self, token: Token, snapshot: bytes) -> int:
        """Store `snapshot` for the learner in place of what was offered before; return its revision.

        Repeating it (its answer was lost) changes nothing: the same bytes keep their revision.

        Raises
        ------
        FencedError
            Another fitter has taken over.
        """
        ...

    def offered(self, known: int) -> tuple[int, bytes] | None:
        """Read what was offered last, as :meth:`LearnerStore.offered` does."""
        ...

    def roster(self) -> bytes | None:
        """Read the roster, as :meth:`ScorerStore.roster` does."""
        ...


class Progress(Protocol):
    """How far the pipeline has come: for replays that must not run ahead of it, and for the watchdog."""

    def transactions_done(self, partitions: int) -> dict[int, int]:
        """Return for each partition the offset of the last transaction whose effects are stored, or -1."""
        ...

    def labels_done(self) -> int:
        """Return the offset of the last label whose effects are stored, or -1."""
        ...


class InputLog(Protocol):
    """What Kafka keeps of a topic, and of how far a consumer group has come with it.

    Raises :class:`~stream.errors.InfrastructureError` when Kafka does not answer.
    """

    def acknowledged(self, partition: int) -> int:
        """Return the offset after the last record that the group has acknowledged; 0 when it has none."""
        ...

    def begins(self, partition: int) -> int:
        """Return the offset of the oldest record that the topic still has; its end when it has none."""
        ...


class Outgoing(NamedTuple):
    """A record on its way to a topic."""

    topic: str
    key: bytes | None
    value: bytes


class Burst(NamedTuple):
    """Records on their way to one topic together."""

    topic: str
    keys: Sequence[bytes | None]
    values: Sequence[bytes]


class Emitter(Protocol):
    """Where scores, alerts, dead letters and model events go."""

    def emit(self, records: Iterable[Outgoing]) -> None:
        """Send, and return once every record is acknowledged by the broker.

        Raises
        ------
        InfrastructureError
            Not everything was acknowledged in time. Sending all of it again is safe: consumers deduplicate.
        """
        ...


class PromptEmitter(Emitter, Protocol):
    """An emitter whose records may be on their way while something else is done."""

    def send(self, bursts: Iterable[Burst]) -> None:
        """Send, and return once all is on its way; to be followed by :meth:`settle`.

        Of one topic, records stay in order.
        """
        ...

    def settle(self) -> None:
        """Return once every record that was sent is acknowledged by the broker.

        Raises
        ------
        InfrastructureError
            As :meth:`emit` does.
        """
        ...
