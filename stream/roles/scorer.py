"""The scorer's role: load, compute, commit, emit, for one record batch at a time.

What was committed may be emitted while the next batch is worked on: after a crash in between, both come again
and are answered from their pending records.
"""

import logging
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from stream.adapters.topics import TopicNames
from stream.clock import Clock
from stream.columns import Transactions
from stream.decoding import decode_columns
from stream.drift.population import Population
from stream.errors import FencedError, OffsetGapError
from stream.features.catalogue import FEATURE_NAMES
from stream.features.customer import pack_customers, unpack_customers
from stream.features.packing import put, take
from stream.features.risk import unpack_risk_rows
from stream.pipeline.budget import Ledger
from stream.pipeline.decision import ByCost, ByThreshold, Decider, Spent
from stream.pipeline.pending import Pending, PendingBatch
from stream.pipeline.pending_packing import pack_pendings
from stream.pipeline.scoring import BatchState, Served, score_batch
from stream.pipeline.signs import event_of, glance_at
from stream.ports import InputLog, PromptEmitter, ScorerStore
from stream.records import DeadLetter, ModelEvent, Record
from stream.registry.seal import Key
from stream.roles.customer_cache import CustomerCache
from stream.roles.emission import Due, Emission
from stream.roles.patience import Waits
from stream.roles.pendings import PendingReader
from stream.roles.resumption import Place, Resumption, resume
from stream.roles.serving import Serving
from stream.roles.steps import Asked, Begun, Effects, Need, Partition, Read, Request, Stopwatch, Worked
from stream.settings import LostState, Settings
from stream.tokens import NO_TOKENS, Tokens

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ScorerPolicy:
    """How a scorer decides and what it keeps."""

    decision: Literal["budget", "cost", "threshold"] = "budget"
    """What makes a score an alert."""
    threshold: float = 0.3
    """Scores at or above it are alerts; with a budget only in a partition's or model's first day."""
    alert_budget: float = 25.0
    """Alerts a day, of each partition."""
    review_cost: float = 5.0
    """Of judging one alert, currency units."""
    loss_share: float = 1.0
    """Share of a fraud's amount that is lost."""
    customer_cache: int = 100_000
    """Customers kept in memory, over all partitions."""
    skip_gaps: bool = False
    """Whether records that fell off the topic unread are counted and passed over."""
    lost_state: LostState = "stop"
    """What to do when the store has lost a partition's state."""
    models_wait_seconds: float = 0.0
    """How long a batch may be held back for new models that are being loaded."""
    tokens: Tokens = NO_TOKENS
    """What identifiers are called."""

    @classmethod
    def of(cls, settings: Settings) -> "ScorerPolicy":
        """Return what `settings` ask for."""
        return cls(
            decision=settings.decision,
            threshold=settings.alert_threshold,
            alert_budget=settings.alert_budget / settings.partitions,
            review_cost=settings.review_cost,
            loss_share=settings.loss_share,
            customer_cache=settings.customer_cache,
            skip_gaps=settings.offset_gap == "skip",
            lost_state=settings.lost_state,
            models_wait_seconds=settings.models_wait_seconds,
            tokens=settings.tokens,
        )

    def decider(self) -> Decider:
        """Return what decides for one partition, with nothing remembered."""
        match self.decision:
            case "budget":
                return Ledger(self.alert_budget, self.threshold)
            case "cost":
                return ByCost(self.review_cost, self.loss_share)
            case "threshold":
                return ByThreshold(self.threshold)


class ScorerReport(NamedTuple):
    """What a record batch led to, for metrics and logs."""

    partition: int
    records: int
    scored: PendingBatch
    """Transactions scored for the first time."""
    rebuilt: int
    """Transactions scored anew as the store had lost them: answered long ago, and not again."""
    redelivered: int
    """Transactions that Kafka handed out again, answered as before."""
    duplicates: int
    """Transactions that were published twice, answered as the first time."""
    alerts: int
    """Emitted."""
    tokenised: int
    """Transactions in which tokens stand for identifiers."""
    dead_letters: list[DeadLetter]
    """Emitted."""
    gap: int
    """Records that were lost before this batch; 0 but for a policy that skips gaps."""
    timestamps: list[int]
    """The broker's times of the records that were answered, in milliseconds."""
    spent: Spent | None
    """How the partition stands with its alert budget; None without one."""
    models: tuple[Served, ...]
    """That were serving, the champion first."""
    events: list[ModelEvent]
    """Signals that have fired."""
    stages: dict[str, float]
    """Seconds spent in each stage."""
    emitted_at: int = 0
    """When all of it was emitted, milliseconds since 1970."""

    @property
    def pendings(self) -> dict[str, Pending]:
        """Pending records of the transactions scored for the first time, by transaction id; made anew."""
        return self.scored.pendings()


class ScorerRole:
    """Scores record batches of the partitions it was given.

    Parameters
    ----------
    store, emitter
        The feature store, and where scores go.
    topics
        The topics' names.
    clock
        The present.
    policy
        How it decides.
    signing_key
        That snapshots are signed with; None when they are not.
    waits
        How work waits for whatever is away.
    beside
        Where new models are loaded meanwhile; None: scoring waits for them.
    """

    def __init__(
        self,
        store: ScorerStore,
        emitter: PromptEmitter,
        topics: TopicNames,
        clock: Clock,
        policy: ScorerPolicy,
        signing_key: Key,
        waits: Waits,
        beside: Executor | None = None,
    ) -> None:
        self._store = store
        self._emitter = emitter
        self._topics = topics
        self._clock = clock
        self._policy = policy
        self._waits = waits
        self._serving = Serving(store, signing_key, waits, beside, policy.models_wait_seconds)
        self._pendings = PendingReader(store, waits.redis)
        self._partitions: dict[int, Partition] = {}
        self._erasures: int | None = None
        """Of the store, as it was when customers were last read."""
        self.population = Population(FEATURE_NAMES)
        """What it has seen of transactions and scores, over all its partitions."""

    @property
    def models(self) -> tuple[Served, ...]:
        """What is being served, the champion first; empty until a learner has published."""
        return self._serving.models

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions it owns."""
        return tuple(self._partitions)

    def assign(self, partition: int, log: InputLog | None = None) -> Resumption:
        """Take a partition over, fencing off whoever had it.

        Parameters
        ----------
        partition
            Of the transactions topic.
        log
            Tells what was acknowledged, by which lost state is noticed; None: nothing ever is acknowledged.

        Raises
        ------
        StateLostError
            The store has lost the partition's state, and the policy is to stop.
        """
        tenure = self._waits.redis(self._store.take_partition, partition)
        resumption = Resumption(0, 0)
        if log is not None:
            place = Place(self._topics.transactions, partition, log)
            resumption = resume(place, tenure.watermark, self._policy.lost_state, self._waits)
        if resumption.remedy == "cold":
            # Said once: from now on nothing is missing.
            tenure = self._waits.redis(self._store.commit, tenure, resumption.answered - 1, {}, {})
        decider = self._policy.decider()
        decider.unpack(tenure.ledger)
        self._partitions[partition] = Partition(tenure, decider, resumption, reached=tenure.watermark)
        return resumption

    def verify(self) -> None:
        """Ask the store whether it still has what was committed to it, of one partition after the other.

        Raises
        ------
        StateLostError
            It has not.
        FencedError
            Another worker has taken the partition.
        """
        if not self._partitions:
            return
        number = next(iter(self._partitions))
        owned = self._partitions[number] = self._partitions.pop(number)  # the next time another's turn
        with self._revoking(number):
            self._waits.redis(self._store.commit, owned.tenure, owned.tenure.watermark, {}, {})

    def revoke(self, partition: int) -> None:
        """Give a partition up and forget its customers."""
        self._partitions.pop(partition, None)

    def handle(self, batch: Sequence[Record]) -> ScorerReport:
        """Score a record batch of one partition, and emit: when this returns, it may be acknowledged.

        Raises as :meth:`score` does.
        """
        return self.emit(self.score(batch))

    def score(self, batch: Sequence[Record]) -> "Committed":
        """Score a record batch of one partition and store its effects.

        Parameters
        ----------
        batch
            Its records, in offset order.

        Raises
        ------
        FencedError
            Another worker has taken the partition: nothing was written, nothing is to be acknowledged.
        OffsetGapError
            Records before this batch were lost, and the policy is to stop.
        StoppedError
            The process is to stop; the batch will come again.
        """
        return self.settle(self.commit(self.work_on(self.read(batch))))

    # A batch's way in steps, so that the store may be at work on one while another takes its step: each batch
    # takes every step after the one before it.

    def read(self, batch: Sequence[Record]) -> Read:
        """Decode a record batch, and ask the store for what it needs.

        Batches before it may be anywhere on their way. What they may be about to store is not asked for yet.
        """
        watch = Stopwatch()
        decoded = decode_columns(batch, self._clock(), self._policy.tokens)
        watch.lap("decode")
        owned = self._partitions.get(batch[0].partition)
        need = Need.of(decoded.transactions)
        read = Read(batch, decoded, owned, need, None, watch)
        if owned is not None:
            if all(need.shares_nothing(other.need) for other in owned.flying):
                theirs = [other.need.state.customers.places for other in owned.flying]
                read = read._replace(asked=self._ask(owned, need, theirs))
            owned.flying.append(read)
        watch.lap("load")
        return read

    def work_on(self, read: Read) -> Worked:
        """Score a batch that was read.

        Raises
        ------
        FencedError, OffsetGapError, StoppedError
            As :meth:`score` does.
        """
        watch, transactions = read.watch, read.decoded.transactions
        first, last = read.batch[0], read.batch[-1]
        watch.go_on()
        try:
            owned = self._owner(read)
            gap = self._check_gap(first, owned)
        except BaseException:
            self.forget(read)
            raise
        state = self._load(owned, read)
        if first.offset <= owned.reached:
            names, places = transactions.names, read.decoded.places
            state = state._replace(done=_ids_before(owned.reached + 1, names, places))
        watch.lap("load")
        models = self.models
        scored = score_batch(transactions, state, models, owned.decider, self._clock())
        # As if it were stored: should it not be, all that is remembered of the partition goes.
        owned.reached = max(owned.reached, last.offset)
        share = self._policy.customer_cache // max(1, len(self._partitions))
        owned.cache.put(list(state.customers.places), state.customers.rows, share)
        watch.lap("compute")
        lie, rows = state.customers.places, state.customers.rows
        if scored.changed != [*lie]:
            rows = take(rows, [lie[name] for name in scored.changed])
        customers = dict(zip(scored.changed, pack_customers(rows), strict=True))
        effects = Effects(customers, pack_pendings(scored.scored), owned.decider.pack())
        watch.lap("commit")
        return Worked(read, owned, gap, state, scored, models, owned.decider.spent, effects)

    def commit(self, worked: Worked) -> Begun:
        """Begin to store the effects of a batch; the one before must have settled.

        Raises
        ------
        FencedError
            As :meth:`score` does.
        """
        read, owned, effects = worked.read, self._owner(worked.read), worked.effects
        read.watch.go_on()
        pending = effects.pending
        what = (
            *(owned.tenure, read.batch[-1].offset),
            *(effects.customers, pending.records, effects.ledger, pending.lineups),
        )
        owned.underway = Request(
            self._waits.redis,
            partial(self._store.begin_commit, *what),
            partial(self._store.commit, *what),
        )
        read.watch.lap("commit")
        return Begun(worked, owned.underway)

    def forget(self, read: Read) -> None:
        """Let go of a batch that was read, and is not to be worked on."""
        if read.asked is not None:
            read.asked.request.abandon()
        self._landed(read)

    def settle(self, begun: Begun) -> "Committed":
        """Wait until a batch's effects are stored.

        Raises
        ------
        FencedError, StoppedError
            As :meth:`score` does.
        """
        (read, owned, gap, state, scored, models, spent, _), tenure = begun
        batch, decoded, watch = read.batch, read.decoded, read.watch
        watch.go_on()
        number = batch[0].partition
        self._landed(read)
        owned.underway = None
        with self._revoking(number):
            try:
                owned.tenure = tenure()
            except BaseException:
                owned.cache = CustomerCache()
                raise
        watch.lap("commit")
        answered = owned.resumption.answered
        due = Due(scored.answers, decoded.dead_letters, [])
        new = scored.scored
        if batch[0].offset < answered:
            due = due.beyond(answered, decoded.places)
            again = _ids_before(answered, decoded.transactions.names, decoded.places)
            new = new.take([place for place, name in enumerate(new.names) if name not in again])
        rebuilt = len(scored.scored.names) - len(new.names)
        due = due._replace(events=self._look_for_signs(new, decoded.transactions))
        done = len(state.done)
        report = ScorerReport(
            number,
            len(batch),
            new,
            rebuilt,
            done,
            len(scored.answers) - len(scored.scored.names) - done,
            len(due.answers.alerts),
            decoded.tokenised,
            due.letters,
            gap,
            [place.timestamp for place in decoded.places if place.offset >= answered],
            spent,
            models,
            due.events,
            watch.laps,
        )
        return Committed(report, Emission(self._topics, due))

    def launch(self, committed: "Committed") -> None:
        """Send what a batch led to, which :meth:`emit` then waits for; the batch before must be emitted."""
        watch = Stopwatch()
        emission = committed.emission
        if emission.due.any():
            self._emitter.send(emission)
            emission.sent = True
        watch.lap("send")
        committed.report.stages.update(watch.laps)

    def emit(self, committed: "Committed") -> ScorerReport:
        """Emit what a batch led to, in the order of the batches: when this returns, it may be acknowledged.

        May be called from another thread than :meth:`score`.

        Raises
        ------
        StoppedError
            The process is to stop; the batch will come again.
        """
        watch = Stopwatch()
        report, emission = committed
        if emission.due.any():
            self._waits.kafka(self._deliver, emission)
        watch.lap("emit")
        return report._replace(stages=report.stages | watch.laps, emitted_at=self._clock())

    def _deliver(self, emission: Emission) -> None:
        """Wait until all has arrived; what was sent and has not is sent again the next time."""
        if not emission.sent:
            self._emitter.send(emission)
        emission.sent = False
        self._emitter.settle()

    def _check_gap(self, first: Record, owned: Partition) -> int:
        stored, answered = owned.reached + 1, owned.resumption.answered
        if stored and stored < min(first.offset, answered):
            _log.warning(
                "%s/%d: records fell off the topic before they were read again, from offset %d to %d: their"
                " effects are lost",
                *(first.topic, first.partition, stored, first.offset - 1),
            )
        unread = max(stored, answered)
        gap = first.offset - unread
        if not unread or gap <= 0:
            return 0
        if not self._policy.skip_gaps:
            raise OffsetGapError(
                f"{first.topic}/{first.partition}: {gap} records before offset {first.offset} lost unread;"
                " lengthen the topic's retention, and set FRAUD_OFFSET_GAP=skip to go on without"
            )
        return gap

    def _owner(self, read: Read) -> Partition:
        first = read.batch[0]
        owned = self._partitions.get(first.partition)
        if owned is None or owned is not read.owned:
            where = f"{first.topic}/{first.partition}"
            raise FencedError(f"{where} is not ours any more: its batch was left alone")
        return owned

    def _ask(self, owned: Partition, need: Need, besides: Sequence[Container[str]] = ()) -> Asked:
        """Ask the store for what a batch needs, but for customers that are remembered, or will be by then."""
        names, terminals = [*need.state.customers.places], [*need.state.terminals.places]
        asked = (owned.cache.find(names) < 0).nonzero()[0].tolist()
        for some in besides:
            asked = [place for place in asked if names[place] not in some]
        places, unknown = np.array(asked, np.int64), [names[place] for place in asked]
        what = (owned.tenure.partition, unknown, terminals, names, need.names)
        request = Request(
            self._waits.redis, partial(self._store.begin_load, *what), partial(self._store.load, *what)
        )
        return Asked(places, request)

    def _load(self, owned: Partition, read: Read) -> BatchState:
        """Put what the store has found together with what is remembered."""
        need, asked = read.need, read.asked
        if asked is None:
            self._catch_up(owned)
            asked = self._ask(owned, need)
        loaded = asked.request()
        if self._erasures not in (None, loaded.erasures):
            # Somebody was erased: nobody knows who, so that nothing stays in memory, and all are read again.
            self._erasures = loaded.erasures
            for one in self._partitions.values():
                one.cache = CustomerCache()
            return self._load(owned, read._replace(asked=None))
        self._erasures = loaded.erasures
        state = need.state
        names, rows = [*state.customers.places], state.customers.rows
        found = owned.cache.find(names)
        missing = found < 0
        missing[asked.places] = False
        if missing.any():
            # They were to be remembered by now, and memory was too small for them.
            self._catch_up(owned)
            again = self._ask(owned, need)
            return self._load(owned, read._replace(asked=again))
        self._serving.follow(loaded.roster_revision)
        for into, places, packed, unpack in (
            (rows, asked.places, loaded.customers, unpack_customers),
            (state.terminals.rows, None, loaded.terminal_risks, unpack_risk_rows),
            (state.customer_risks, None, loaded.customer_risks, unpack_risk_rows),
        ):
            where = np.array([place for place, one in enumerate(packed) if one is not None], np.int64)
            known = [one for one in packed if one is not None]
            put(into, where if places is None else places[where], unpack(known))
        here = (found >= 0).nonzero()[0]
        put(rows, here, owned.cache.get(found[here]))
        return state._replace(pending=self._pendings.open(loaded.pending, [owned.tenure.partition]))

    def _catch_up(self, owned: Partition) -> None:
        """Wait for what is being stored of a partition."""
        if owned.underway is not None:
            with self._revoking(owned.tenure.partition):
                owned.underway()

    def _landed(self, read: Read) -> None:
        if read.owned is not None:
            read.owned.flying = [other for other in read.owned.flying if other.batch is not read.batch]

    def _look_for_signs(self, new: PendingBatch, transactions: Transactions) -> list[ModelEvent]:
        """Take what was scored into the population; return what has fired."""
        if not new.names:
            return []
        signs = self.population.observe(glance_at(new, transactions))
        return [event_of(sign, self.models[0].version, self._clock()) for sign in signs]

    @contextmanager
    def _revoking(self, number: int) -> Iterator[None]:
        try:
            yield
        except FencedError:
            self.revoke(number)  # what follows of it is not ours either, and no gap
            raise


def _ids_before(offset: int, names: Sequence[str], places: Sequence[Record]) -> frozenset[str]:
    return frozenset(name for name, place in zip(names, places, strict=True) if place.offset < offset)


class Committed(NamedTuple):
    """A batch whose effects are stored, and that is still to be emitted."""

    report: ScorerReport
    emission: Emission
