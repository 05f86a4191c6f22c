"""An uninterrupted run: the roles over the in-memory store, with which an interrupted one is compared.

That the roles come to the same over Kafka and Redis is what ``tests/integration/test_parity.py`` shows.
"""

import threading
from collections.abc import Iterable, Sequence

from stream.adapters.memory import InMemoryEmitter, InMemoryStore
from stream.adapters.topics import TopicNames
from stream.clock import wall_clock
from stream.pipeline.learning import Learner
from stream.pipeline.pending import Pending
from stream.ports import RiskKey
from stream.records import Label, Record, Transaction, encode
from stream.roles.learner import LearnerPolicy, LearnerRole
from stream.roles.patience import Patience, Waits
from stream.roles.scorer import ScorerPolicy, ScorerRole
from stream.settings import Settings

_BATCH = 500


class Uninterrupted:
    """One scorer and the learner, in this process.

    Parameters
    ----------
    settings
        Those that the workers run with.
    batch_records
        How many transactions, or labels, are worked on at a time.
    """

    def __init__(self, settings: Settings, batch_records: int = _BATCH) -> None:
        self._batch_records = batch_records
        self.store = InMemoryStore()
        topics, waits = TopicNames(), Waits.alike(Patience(threading.Event(), lambda _: None))
        alone = settings.model_copy(update={"partitions": 1, "snapshot_gap_seconds": 0.0})
        self._learner = LearnerRole(
            self.store, InMemoryEmitter(), topics, wall_clock, LearnerPolicy.of(alone), None, waits
        )
        self._scorer = ScorerRole(
            self.store, InMemoryEmitter(), topics, wall_clock, ScorerPolicy.of(alone), None, waits
        )
        self._learner.start()
        self._scorer.assign(0)
        self._offsets = {"transactions": 0, "labels": 0}
        self._customers: set[str] = set()
        self._risks: set[RiskKey] = set()
        self.pending: dict[str, Pending] = {}

    @property
    def learner(self) -> Learner:
        """What has learnt."""
        return self._learner.learner

    def score(self, some: Sequence[Transaction]) -> None:
        """Score transactions."""
        self._customers |= {one.customer_id for one in some}
        self._risks |= {("customer", one.customer_id) for one in some}
        self._risks |= {("terminal", one.terminal_id) for one in some}
        for batch in self._batches("transactions", some):
            self.pending |= self._scorer.handle(batch).pendings

    def learn(self, some: Sequence[Label]) -> None:
        """Learn from labels."""
        for batch in self._batches("labels", some):
            self._learner.handle(batch)

    def customers(self) -> dict[str, bytes]:
        """Return the stored state of every customer."""
        names = sorted(self._customers)
        stored = self.store.load(0, names, [], [], []).customers
        return {name: state for name, state in zip(names, stored, strict=True) if state is not None}

    def risks(self, kind: str) -> dict[str, bytes]:
        """Return the stored risk record of every terminal, or customer."""
        found = self.store.find_risks(sorted(key for key in self._risks if key[0] == kind))
        return {name: record for (_, name), record in found.items()}

    def verdicts(self) -> dict[str, bytes]:
        """Return what labels said of every transaction."""
        return self.store.find_verdicts(sorted(self.pending))

    def _batches(self, topic: str, some: Sequence[Transaction | Label]) -> Iterable[list[Record]]:
        for start in range(0, len(some), self._batch_records):
            yield [self._record(topic, one) for one in some[start : start + self._batch_records]]

    def _record(self, topic: str, one: Transaction | Label) -> Record:
        offset = self._offsets[topic]
        self._offsets[topic] += 1
        key = one.customer_id if isinstance(one, Transaction) else one.transaction_id
        return Record(topic, 0, offset, 0, key.encode(), encode(one))
