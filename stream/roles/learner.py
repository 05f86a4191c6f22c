"""The learner's role: join, learn, judge, hand on; for one batch of labels at a time."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite, nan
from typing import Literal, NamedTuple

from stream.adapters.topics import TopicNames
from stream.clock import Clock
from stream.decoding import dead_letter, decode_labels
from stream.drift.arrival import Arrivals
from stream.errors import OffsetGapError, SnapshotError
from stream.features.catalogue import SCHEMA
from stream.pipeline.label_sources import SUSPECT_SCORE, LabelSources, is_learnt
from stream.pipeline.learning import Joined, Learner, LearningPolicy, Offer, Outcome
from stream.pipeline.pending import Pending
from stream.pipeline.risk_book import RiskBook
from stream.pipeline.signs import arrivals_of, event_of_arrival
from stream.pipeline.verdicts import MOST_VERDICTS, pack_verdicts, unpack_verdicts
from stream.ports import Emitter, InputLog, LearnerStore, Outgoing, RiskKey, Token
from stream.records import DeadLetter, DeadLetterReason, Label, LabelSource, ModelEvent, Record, encode
from stream.registry.checkpoint import decode_checkpoint, encode_checkpoint
from stream.registry.orders import Order, decode_order
from stream.registry.seal import Key
from stream.registry.snapshot import decode_snapshot, digest_of
from stream.roles.patience import Waits
from stream.roles.pendings import PendingReader
from stream.roles.publisher import Publisher
from stream.roles.resumption import CatchUp, Place, Resumption, resume
from stream.settings import LostState, Settings
from stream.tokens import NO_TOKENS, Tokens

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LearnerPolicy:
    """How the learner keeps itself and waits for transactions."""

    learning: LearningPolicy = field(default_factory=LearningPolicy)
    partitions: int = 4
    """Of the transactions topic: pending records are looked for in each."""
    label_grace_ms: int = 600_000
    """A label whose transaction was not found becomes a dead letter after so long."""
    most_parked: int = 10_000
    """Labels that may wait; beyond, those that have waited longest become dead letters, grace or not."""
    snapshot_ms: int = 60_000
    """Scorers get new snapshots after this time, if anything was learnt."""
    snapshot_gap_ms: int = 0
    """But not within this time of the last ones, however much was learnt; unless a model is swapped in."""
    skip_gaps: bool = False
    """Whether labels that fell off the topic unread are counted and passed over."""
    lost_state: LostState = "stop"
    """What to do when the store has lost everything."""
    tokens: Tokens = NO_TOKENS
    """What identifiers are called."""
    label_rates: Mapping[LabelSource, float] = field(default_factory=dict)
    """Labels an hour of each source; any number of those that are not here."""
    label_weights: Mapping[LabelSource, float] = field(default_factory=dict)
    """Share of each source's labels that models learn; all of those that are not here."""

    @classmethod
    def of(cls, settings: Settings) -> "LearnerPolicy":
        """Return what `settings` ask for."""
        return cls(
            learning=LearningPolicy(
                champion=settings.champion,
                challengers=settings.challengers,
                seed=settings.seed,
                snapshot_labels=settings.snapshot_labels,
            ),
            partitions=settings.partitions,
            label_grace_ms=round(settings.label_grace_seconds * 1000),
            snapshot_ms=round(settings.snapshot_seconds * 1000),
            snapshot_gap_ms=round(settings.snapshot_gap_seconds * 1000),
            skip_gaps=settings.offset_gap == "skip",
            lost_state=settings.lost_state,
            tokens=settings.tokens,
            label_rates=settings.label_rates,
            label_weights=settings.label_weights,
        )


class Parked(NamedTuple):
    """A label that waits for its transaction."""

    label: Label
    place: Record
    since_ms: int


class LearnerReport(NamedTuple):
    """What a batch of labels led to, for metrics and logs."""

    labels: int
    """New labels read."""
    joined: list[tuple[Label, Pending]]
    frauds: list[Pending]
    """Of the transactions that no label had called a fraud before."""
    duplicates: int
    corrections: int
    newly_parked: int
    """Labels of this batch whose transactions were not found yet."""
    parked: int
    """Labels that wait for their transactions now."""
    unmatched: int
    """Labels given up on: dead letters."""
    dead_letters: list[DeadLetter]
    """Emitted."""
    events: list[ModelEvent]
    offer: Literal["admitted", "refused"] | None
    """What became of a model that a fitter offered, if one was."""
    gap: int
    timestamps: list[int]
    """The broker's times of the labels that joined, in milliseconds."""
    stages: dict[str, float]
    """Seconds spent in each stage."""


@dataclass
class _State:
    """What a checkpoint holds."""

    learner: Learner
    offset: int = -1
    """Of the last label read, joined or not."""
    parked: list[Parked] = field(default_factory=list)
    offer: int = 0
    """Revision of the last offer that was admitted or refused."""
    sources: LabelSources = field(default_factory=LabelSources)
    arrivals: Arrivals = field(default_factory=Arrivals)
    order: int = 0
    """Number of the last order that was carried out or refused."""
    ordered_at: int = 0
    """When the last one was given that was genuine; none is taken that is not younger."""


class LearnerRole:
    """Learns from labels in the order of their offsets. There is one at a time.

    Parameters
    ----------
    store, emitter
        The feature store, and where events and dead letters go.
    topics
        The topics' names.
    clock
        The present.
    policy
        How it learns.
    signing_key
        That snapshots and checkpoints are signed with; None: they are only checksummed.
    waits
        How work waits for whatever is away.
    """

    def __init__(
        self,
        store: LearnerStore,
        emitter: Emitter,
        topics: TopicNames,
        clock: Clock,
        policy: LearnerPolicy,
        signing_key: Key,
        waits: Waits,
    ) -> None:
        self._store = store
        self._emitter = emitter
        self._topics = topics
        self._clock = clock
        self._policy = policy
        self._signing_key = signing_key
        self._waits = waits
        self._pendings = PendingReader(store, waits.redis)
        self._token = Token(0)
        self._stored = -1
        self._scorers: CatchUp | None = None
        self.resumption = Resumption(0, 0)
        """How it went on at its start."""
        self._state = _State(Learner(policy.learning))
        self._publisher = Publisher(store, clock, signing_key, waits)
        self._ordered: dict[int, bytes] = {}
        """Orders that wait to be carried out, by number."""

    @property
    def learner(self) -> Learner:
        """The models and their evaluation."""
        return self._state.learner

    @property
    def arrivals(self) -> Arrivals:
        """How labels arrive."""
        return self._state.arrivals

    @property
    def offset(self) -> int:
        """Offset of the last label read; -1 before the first."""
        return self._state.offset

    @property
    def parked(self) -> int:
        """How many labels wait for their transactions."""
        return len(self._state.parked)

    def start(self, log: InputLog | None = None, scorers: CatchUp | None = None) -> int:
        """Take the role over, fencing off whoever had it, and hand the models to the scorers.

        Parameters
        ----------
        log
            Tells what was acknowledged, by which lost state is noticed; None: nothing ever is acknowledged.
        scorers
            What labels wait for, when the scorers have lost state, too.

        Returns
        -------
        int
            The offset of the first label to read: after the newest good checkpoint's, or 0 to learn from the
            whole log again when there is none.

        Raises
        ------
        StateLostError
            The store has lost everything, and the policy is to stop.
        """
        self._token, self._stored = self._waits.redis(self._store.take_learner)
        self._publisher.begin(self._token)
        if log is not None:
            place = Place(self._topics.labels, 0, log)
            self.resumption = resume(place, self._stored, self._policy.lost_state, self._waits)
        self._scorers = scorers
        if scorers is not None:
            scorers.begin()
        restored = self._waits.redis(self._restore)
        if restored is None:
            # What was ordered was said of models that are no more.
            before = max(self._waits.redis(self._store.orders, 0), default=0)
            restored = _State(Learner(self._policy.learning), order=before)
        else:
            restored.learner.publish()
        self._state, self._ordered = restored, {}
        match self.resumption.remedy:
            case "cold":
                return self._start_cold()
            case "rebuild":
                self._publisher.publish(self.learner)
                return max(self.resumption.begin, self._state.offset + 1)
        if self._state.offset < 0 <= self._stored:
            _log.warning(
                "no usable checkpoint, but labels to offset %d were applied: learning from the log's start",
                self._stored,
            )
        self._publisher.publish(self.learner)
        return self._state.offset + 1

    def handle(self, batch: Sequence[Record]) -> LearnerReport:
        """Learn from a batch of labels; those read before the checkpoint we came from are passed over.

        Raises
        ------
        FencedError
            Another learner has taken over: this one must stop, and what it learnt since is void.
        OffsetGapError
            Labels before this batch were lost, and the policy is to stop.
        StoppedError
            The process is to stop; the batch will come again.
        """
        if self._scorers is not None:
            self._scorers.wait()
        started = time.perf_counter()
        fresh = [record for record in batch if record.offset > self._state.offset]
        gap = self._check_gap(fresh)
        now = self._clock()
        decoded = decode_labels(fresh, now, self._policy.tokens)
        waiting = self._state.parked
        excess = self._state.sources.excess(decoded.records, decoded.places, self._policy.label_rates)
        pairs = zip(decoded.records, decoded.places, strict=True)
        arrived = [Parked(*pair, now) for pair in pairs if pair[1].offset not in excess]
        joined, parked, given_up, places = self._join([*waiting, *arrived], now)
        first_new = self._state.offset + 1
        loaded = time.perf_counter()
        offer, admitted = self._look_at_offer(now)
        obeyed = self._obey(now)
        outcome, risks = self._learn(joined, now)
        computed = time.perf_counter()
        if fresh:
            self._state.offset = fresh[-1].offset
        self._state.parked = parked
        # Before the commit: whoever sees the watermark may count on scorers having the models, too.
        self._publisher.publish(self.learner)
        self._commit(outcome, risks)
        committed = time.perf_counter()
        # Those that were acknowledged have been emitted; one that is given up was parked then, perhaps.
        letters = [letter for letter in decoded.dead_letters if letter.offset >= self.resumption.answered]
        letters += [
            self._over_rate(label, where, now)
            for label, where in zip(decoded.records, decoded.places, strict=True)
            if where.offset in excess and where.offset >= self.resumption.answered
        ]
        letters += [letter for _, letter in given_up]
        contested = set(outcome.contested)
        letters += [_contested(place, now) for place in places if place.offset in contested]
        arrived_lately = arrivals_of(joined, outcome.corrections, (label for label, _ in given_up))
        signs = self._state.arrivals.observe(arrived_lately)
        champion, last = self.learner.field.champion, self._state.offset
        suspicions = self._suspicions(joined, now)
        suspicions += [event_of_arrival(sign, champion, last, now) for sign in signs]
        events = [*admitted, *obeyed, *outcome.events, *suspicions]
        self._emit(events, letters)
        emitted = time.perf_counter()
        return LearnerReport(
            labels=len(decoded.records),
            joined=[(one.label, one.pending) for one in joined if one.offset not in contested],
            frauds=_new_frauds(one for one in joined if one.offset not in contested),
            duplicates=outcome.duplicates,
            corrections=len(outcome.corrections),
            newly_parked=sum(one.place.offset >= first_new for one in parked),
            parked=len(parked),
            unmatched=len(given_up),
            dead_letters=letters,
            events=events,
            offer=offer,
            gap=gap,
            timestamps=[place.timestamp for place in places if place.offset not in contested],
            stages={
                "load": loaded - started,
                "compute": computed - loaded,
                "commit": committed - computed,
                "emit": emitted - committed,
            },
        )

    def tick(self) -> LearnerReport | None:
        """Do what time asks for. Call it every second or so.

        Ask the store whether it still has what was committed to it and the roster that was published, try
        parked labels again, look for an offered model, hand snapshots on.

        Raises
        ------
        StateLostError
            The store has less than was committed to it.
        """
        self._waits.redis(self._store.commit_labels, self._token, self._stored, {}, {}, self._stored)
        if self._may_publish(self._clock()):
            self.learner.publish()
            self._publisher.publish(self.learner)
        self._restore_roster()
        offered = self._waits.redis(self._store.offered, self._state.offer) is not None
        self._ordered = self._waits.redis(self._store.orders, self._state.order)
        return self.handle(()) if self._state.parked or offered or self._ordered else None

    def checkpoint(self) -> int:
        """Store everything learnt so far; when this returns, labels up to `offset` may be acknowledged.

        Returns
        -------
        int
            The checkpoint's size in bytes.
        """
        sealed = encode_checkpoint(self._state, self._signing_key, SCHEMA)
        self._waits.redis(self._store.save_checkpoint, self._token, sealed)
        return len(sealed)

    def _start_cold(self) -> int:
        self._state.offset = self.resumption.answered - 1
        self._publisher.publish(self.learner)
        # Said once: from now on nothing is missing.
        self._store_effects({}, {})
        self.checkpoint()
        return self.resumption.answered

    def _restore(self) -> _State | None:
        for number, sealed in enumerate(self._store.checkpoints()):
            try:
                state = decode_checkpoint(sealed, self._signing_key, SCHEMA)
            except SnapshotError as error:
                _log.error(
                    "checkpoint %d (0 is the newest) refused, trying the one before: %s", number, error
                )
                continue
            if isinstance(state, _State) and state.offset > self._stored:
                _log.error(
                    "checkpoint %d is of label offset %d, but Redis has lost what came after %d: trying the"
                    " one before",
                    *(number, state.offset, self._stored),
                )
                continue
            if isinstance(state, _State):
                _log.info("continuing from a checkpoint at label offset %d", state.offset)
                return state
            _log.error("checkpoint %d holds a %s, not a learner: passed over", number, type(state).__name__)
        return None

    def _check_gap(self, fresh: Sequence[Record]) -> int:
        if not fresh or self._state.offset < 0:
            return 0
        unread = self._state.offset + 1
        if self.resumption.remedy == "rebuild":
            unread = max(unread, self.resumption.answered)
        gap = max(0, fresh[0].offset - unread)
        if gap > 0 and not self._policy.skip_gaps:
            raise OffsetGapError(
                f"{fresh[0].topic}/{fresh[0].partition}: {gap} labels before offset {fresh[0].offset} lost"
                " unread; lengthen the topic's retention, and set FRAUD_OFFSET_GAP=skip to go on without"
            )
        return gap

    def _join(
        self, waiting: Sequence[Parked], now_ms: int
    ) -> tuple[list[Joined], list[Parked], list[tuple[Label, DeadLetter]], list[Record]]:
        """Find each label's pending record: joined, still waiting, given up; and where the joined lay."""
        ids = list(dict.fromkeys(one.label.transaction_id for one in waiting))
        if not ids:
            return [], [], [], []
        packed = self._waits.redis(self._store.find_pending, ids, self._policy.partitions)
        found = self._pendings.open(packed, range(self._policy.partitions))
        said = self._waits.redis(self._store.find_verdicts, list(found))
        joined, parked, given_up, places = [], [], [], []
        for one in waiting:
            name = one.label.transaction_id
            if name in found:
                pending = found[name]
                if pending.feature_schema != SCHEMA:
                    detail = (
                        f"transaction {name} was scored on the features {pending.feature_schema}, here they"
                        f" are {SCHEMA}: no model of this version can learn from it"
                    )
                    given_up.append((one.label, _unmatched(one, detail, now_ms)))
                    continue
                verdicts = unpack_verdicts(said[name]) if name in said else ()
                joined.append(
                    Joined(
                        one.label,
                        one.place.offset,
                        pending,
                        verdicts,
                        is_learnt(one.label, self._policy.label_weights),
                    )
                )
                places.append(one.place)
            elif now_ms - one.since_ms < self._policy.label_grace_ms:
                parked.append(one)
            else:
                detail = (
                    f"no transaction {name} was scored within {self._policy.label_grace_ms // 1000} s of this"
                )
                given_up.append((one.label, _unmatched(one, detail, now_ms)))
        excess = max(0, len(parked) - self._policy.most_parked)
        for one in parked[:excess]:
            detail = (
                f"no transaction {one.label.transaction_id} was found yet, and as {self._policy.most_parked}"
                " later labels wait for theirs, this one could not wait on"
            )
            given_up.append((one.label, _unmatched(one, detail, now_ms)))
        return joined, parked[excess:], given_up, places

    def _learn(self, joined: list[Joined], now_ms: int) -> tuple[Outcome, dict[RiskKey, bytes]]:
        publishing = now_ms - self._publisher.published_ms >= self._policy.snapshot_gap_ms
        outcome = self.learner.learn_batch(joined, now_ms, publishing=publishing)
        book = RiskBook(outcome.notes)
        stored = self._waits.redis(self._store.find_risks, book.keys) if book.keys else {}
        return outcome, book.count(stored)

    def _over_rate(self, label: Label, where: Record, now_ms: int) -> DeadLetter:
        most = self._policy.label_rates[label.source]
        detail = (
            f"{label.source} has brought its {most:g} labels of this hour (FRAUD_LABEL_RATES): see whether"
            " they are its own, and redrive the others in a later hour"
        )
        return dead_letter(where, DeadLetterReason.LABEL_RATE, detail, now_ms)

    def _suspicions(self, joined: Sequence[Joined], now_ms: int) -> list[ModelEvent]:
        """Say of which sources the frauds are unlikely ones more often than they were."""
        frauds = [(one.label.source, float(one.pending.scores[0])) for one in joined if one.label.is_fraud]
        return [
            ModelEvent(
                kind="suspect_labels",
                model_version=self.learner.field.champion,
                detail=f"{one.share:.0%} of the last frauds of source {one.source} had been scored below"
                f" {SUSPECT_SCORE:g}, usually {one.usual:.0%}: a new kind of fraud, or labels that are wrong",
                evidence={"source": one.source, "share": one.share, "usual": one.usual},
                label_offset=self._state.offset,
                event_time=self.learner.label_time,
                recorded_at=now_ms,
            )
            for one in self._state.sources.watch(frauds)
        ]

    def _may_publish(self, now_ms: int) -> bool:
        """Tell whether time asks for snapshots: for the first few labels, or for many that were held back."""
        policy, unpublished = self._policy, self.learner.unpublished
        many = unpublished >= policy.learning.snapshot_labels
        waited = now_ms - self._publisher.published_ms
        return unpublished > 0 and waited >= (policy.snapshot_gap_ms if many else policy.snapshot_ms)

    def _look_at_offer(self, now_ms: int) -> tuple[Literal["admitted", "refused"] | None, list[ModelEvent]]:
        """Take in what a fitter has offered, if that is new: what became of it, and what happened."""
        offered = self._waits.redis(self._store.offered, self._state.offer)
        if offered is None:
            return None, []
        revision, sealed = offered
        try:
            offer = _open_offer(revision, sealed, self._signing_key)
        except SnapshotError as error:
            _log.error("offer %d refused, the models stay as they are: %s", revision, error)
            self._state.offer = revision
            return "refused", []
        events = self.learner.admit(offer, now_ms)
        if not events:
            return None, []
        self._state.offer = revision
        return "admitted", events

    def _obey(self, now_ms: int) -> list[ModelEvent]:
        """Carry out what was ordered, and say what became of it."""
        events: list[ModelEvent] = []
        for number, sealed in self._ordered.items():
            try:
                happened = self.learner.obey(self._open_order(sealed), now_ms)
            except SnapshotError as error:
                _log.error("order %d refused, the models stay as they are: %s", number, error)
                answer = f"refused: {error}"
            else:
                events += happened
                refused = happened[-1].kind == "order_refused"
                answer = f"refused: {happened[-1].detail}" if refused else happened[-1].detail
            self._state.order = number
            self._waits.redis(self._store.answer, number, answer)
        self._ordered = {}
        return events

    def _open_order(self, sealed: bytes) -> Order:
        order = decode_order(sealed, self._signing_key)
        if order.given_at <= self._state.ordered_at:
            raise SnapshotError(
                "one that was given later has been taken: a copy, or a slow clock; give it anew"
            )
        self._state.ordered_at = order.given_at
        return order

    def _commit(self, outcome: Outcome, risks: Mapping[RiskKey, bytes]) -> None:
        verdicts = {name: pack_verdicts(said) for name, said in outcome.verdicts.items()}
        self._store_effects(risks, verdicts)

    def _store_effects(self, risks: Mapping[RiskKey, bytes], verdicts: Mapping[str, bytes]) -> None:
        offset = self._state.offset
        self._waits.redis(self._store.commit_labels, self._token, offset, risks, verdicts, self._stored)
        self._stored = max(offset, self._stored)

    def _restore_roster(self) -> None:
        """Publish anew where another roster lies in the store than the one that was published.

        A scorer that starts has none to compare with, and would take an older one for good.
        """
        found = self._publisher.replaced()
        if found is None:
            return
        self.learner.publish()
        self._publisher.publish(self.learner)
        detail = (
            "another roster of models lay in Redis than was published, and is replaced: somebody may write"
            " there who should not, or a backup was restored"
        )
        _log.error("%s", detail)
        now = self._clock()
        event = ModelEvent(
            kind="roster_restored",
            model_version=self.learner.field.champion,
            detail=detail,
            evidence={
                "found": digest_of(found).hex(),
                "term": self._token,
                "edition": self._publisher.edition,
            },
            label_offset=self._state.offset,
            event_time=self.learner.label_time,
            recorded_at=now,
        )
        self._emit([event], [])

    def _emit(self, events: Sequence[ModelEvent], letters: Sequence[DeadLetter]) -> None:
        outgoing = [
            Outgoing(self._topics.model_events, event.model_version.encode(), encode(event))
            for event in events
        ]
        outgoing += [Outgoing(self._topics.dead_letters, letter.key, encode(letter)) for letter in letters]
        if outgoing:
            self._waits.kafka(self._emitter.emit, outgoing)


def _new_frauds(joined: Iterable[Joined]) -> list[Pending]:
    """Return those that no label before had called a fraud: each once, also when labels are read again."""
    found = {
        one.label.transaction_id: one.pending
        for one in joined
        if one.label.is_fraud and not any(said.is_fraud for said in one.verdicts)
    }
    return list(found.values())


def _unmatched(one: Parked, detail: str, now_ms: int) -> DeadLetter:
    return dead_letter(one.place, DeadLetterReason.UNMATCHED_LABEL, detail, now_ms)


def _contested(place: Record, now_ms: int) -> DeadLetter:
    detail = (
        f"labels have said {MOST_VERDICTS} times of this transaction what it is, and contradict each other:"
        " find out who is right, the last one taken stands"
    )
    return dead_letter(place, DeadLetterReason.CONTESTED_LABEL, detail, now_ms)


def _open_offer(revision: int, sealed: bytes, key: Key) -> Offer:
    info, compiled = decode_snapshot(sealed, key, SCHEMA)
    for name in ("learned", "frauds_learned"):
        if not info.metrics.get(name, nan) >= 0:
            raise SnapshotError(f"{info.model_version} does not say what it was fitted on: no {name}")
    if not all(map(isfinite, info.metrics.values())):
        raise SnapshotError(f"{info.model_version} has metrics that are no finite numbers")
    return Offer(revision, info, compiled)
