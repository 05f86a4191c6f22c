"""The steps of a batch on its way through a scorer: what each hands to the next.

A batch is read, worked on, committed and settled; while it takes one step, those before and behind it may be
underway.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream.columns import Transactions
from stream.decoding import DecodedColumns
from stream.errors import InfrastructureError
from stream.pipeline.decision import Decider, Spent
from stream.pipeline.pending_packing import Packed
from stream.pipeline.scoring import BatchState, ScoredBatch, Served
from stream.ports import Loaded, Tenure, Underway
from stream.records import Record
from stream.roles.customer_cache import CustomerCache
from stream.roles.patience import Patience
from stream.roles.resumption import Resumption

T = TypeVar("T")


@dataclass
class Partition:
    """What a scorer has of a partition that it owns."""

    tenure: Tenure
    decider: Decider
    resumption: Resumption
    cache: CustomerCache = field(default_factory=CustomerCache)
    reached: int = -1
    """Offset of the last record that was worked on."""
    flying: "list[Read]" = field(default_factory=list)
    """Batches that were read and have not settled."""
    underway: "Request[Tenure] | None" = None
    """What is being stored."""


class Request(Generic[T]):
    """A request to the store that is underway; should it fail on the way, it is made again, patiently."""

    def __init__(self, patience: Patience, begin: Callable[[], Underway[T]], whole: Callable[[], T]) -> None:
        self._patience = patience
        self._whole = whole
        self._first: Underway[T] | InfrastructureError | None
        self._results: list[T] = []
        try:
            self._first = begin()
        except InfrastructureError as error:
            self._first = error

    def __call__(self) -> T:
        """Wait for its result, which stays the same."""
        if not self._results:
            self._results.append(self._patience(self._attempt))
        return self._results[0]

    def abandon(self) -> None:
        """Give it up."""
        if self._first is not None and not isinstance(self._first, InfrastructureError):
            self._first.abandon()

    def _attempt(self) -> T:
        first, self._first = self._first, None
        if first is None:
            return self._whole()
        if isinstance(first, InfrastructureError):
            raise first
        return first.result()


class Need(NamedTuple):
    """What a batch needs to know."""

    state: BatchState
    """Where it goes."""
    names: list[str]
    """Of the transactions."""

    @classmethod
    def of(cls, transactions: Transactions) -> "Need":
        """Return what a batch needs."""
        return cls(BatchState.nothing(transactions), transactions.names)

    def shares_nothing(self, other: "Need") -> bool:
        """Tell whether no transaction is in another batch as well."""
        return frozenset(other.names).isdisjoint(self.names)


class Asked(NamedTuple):
    """What the store was asked for."""

    places: NDArray[np.int64]
    """Those of the customers whose states it is to find."""
    request: Request[Loaded]


class Read(NamedTuple):
    """A batch that is decoded."""

    batch: Sequence[Record]
    decoded: DecodedColumns
    owned: Partition | None
    """Its partition, unless that is somebody else's."""
    need: Need
    asked: Asked | None
    """What the store was asked for already."""
    watch: "Stopwatch"


class Effects(NamedTuple):
    """What a batch leaves in the store."""

    customers: dict[str, bytes]
    pending: Packed
    ledger: bytes


class Worked(NamedTuple):
    """A batch that is scored."""

    read: Read
    owned: Partition
    gap: int
    state: BatchState
    scored: ScoredBatch
    models: tuple[Served, ...]
    spent: Spent | None
    effects: Effects


class Begun(NamedTuple):
    """A batch whose effects are being stored."""

    worked: Worked
    tenure: Request[Tenure]
    """The next one."""


class Stopwatch:
    """Measures how long a batch takes in each stage."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Count what has passed since the last lap as time of a stage."""
        now = time.perf_counter()
        self.laps[stage] = self.laps.get(stage, 0.0) + now - self._last
        self._last = now

    def go_on(self) -> None:
        """Leave out what has passed since the last lap."""
        self._last = time.perf_counter()
