"""From labels to an offer, and from the offer to the champion: the batch challenger over one store."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from stream.adapters.memory import InMemoryEmitter, InMemoryInputLog, InMemoryStore
from stream.adapters.topics import TopicNames
from stream.batch.window import TrainingSet
from stream.clock import DAY_MS, ManualClock
from stream.drift.detectors import Drift
from stream.errors import FencedError, InfrastructureError, StateLostError, StoppedError
from stream.features.catalogue import FEATURE_NAMES, SCHEMA, WIDTH
from stream.models.boosted import Boosted
from stream.models.compiled import Constant
from stream.pipeline.learning import LearningPolicy
from stream.pipeline.pending import PendingBatch
from stream.pipeline.pending_packing import pack_pendings
from stream.ports import Token
from stream.records import ModelEvent, Record
from stream.registry.gate import GatePolicy
from stream.registry.orders import Order
from stream.registry.snapshot import Roster, SnapshotInfo, decode_roster, decode_snapshot, encode_snapshot
from stream.registry.swap import Refusal, SwapPolicy
from stream.roles.fitter import FitterPolicy, FitterReport, FitterRole
from stream.roles.learner import LearnerPolicy, LearnerReport, LearnerRole
from stream.roles.patience import Patience, Waits
from stream.roles.pendings import PendingReader
from stream.roles.resumption import CatchUp
from stream.roles.scorer import ScorerPolicy, ScorerRole

NOW = 1_700_000_000_000
TOPICS = TopicNames()
KEY = b"a key of sixteen"
POLICY = FitterPolicy(every_ms=DAY_MS, window_days=30, min_frauds=10, negative_rate=0.5, partitions=2)
LEARNING = LearnerPolicy(
    learning=LearningPolicy(champion="logistic", challengers=(), snapshot_labels=50, window_labels=400),
    partitions=2,
    label_grace_ms=60_000,
    snapshot_ms=30_000,
)
AMOUNT = FEATURE_NAMES.index("amount")


class World:
    """A store in which transactions are scored on two partitions, ten minutes apart, every tenth a fraud."""

    def __init__(self) -> None:
        self.store = InMemoryStore()
        self.emitter = InMemoryEmitter()
        self.clock = ManualClock(NOW + 100 * DAY_MS)
        self.stop = threading.Event()
        self.waits = Waits.alike(Patience(self.stop, lambda _: None, first_pause=0.0, longest_pause=0.0))

    def learner(self, policy: LearnerPolicy = LEARNING, key: bytes | None = KEY) -> LearnerRole:
        role = LearnerRole(self.store, self.emitter, TOPICS, self.clock, policy, key, self.waits)
        role.start()
        return role

    def fitter(
        self,
        policy: FitterPolicy = POLICY,
        fit: Callable[[TrainingSet, int], Boosted] | None = None,
        key: bytes | None = KEY,
    ) -> FitterRole:
        role = FitterRole(self.store, self.clock, policy, key, self.waits, fit or by_amount)
        role.start()
        return role

    def score(self, start: int, end: int) -> ScorerRole:
        scorer = ScorerRole(
            self.store, self.emitter, TOPICS, self.clock, ScorerPolicy(skip_gaps=True), KEY, self.waits
        )
        for partition in (0, 1):
            scorer.assign(partition)
            mine = [transaction(n, partition) for n in range(start, end) if n % 2 == partition]
            if mine:
                scorer.handle(mine)
        return scorer

    def roster(self) -> Roster:
        sealed = self.store.roster()
        assert sealed is not None
        return decode_roster(sealed, KEY)

    def versions(self) -> list[str]:
        return [member.version for member in self.roster().members]

    def last_score(self) -> dict[str, object]:
        scored: dict[str, object] = json.loads(self.emitter.on("scores")[-1].value)
        return scored

    def offered(self) -> SnapshotInfo:
        offered = self.store.offered(0)
        assert offered is not None
        return decode_snapshot(offered[1], KEY, SCHEMA)[0]


def transaction(n: int, partition: int) -> Record:
    value = {
        "transaction_id": f"t{n}",
        "event_time": NOW + n * 600_000,
        "customer_id": f"c{n % 6}",
        "terminal_id": f"m{n % 5}",
        "amount": 500.0 + n % 3 if n % 10 == 0 else 20.0 + n % 7,
    }
    return Record("transactions", partition, n, NOW, f"c{n % 6}".encode(), json.dumps(value).encode())


def label(n: int, *, fraud: bool | None = None, offset: int | None = None) -> Record:
    value = {
        "transaction_id": f"t{n}",
        "is_fraud": n % 10 == 0 if fraud is None else fraud,
        "source": "chargeback",
        "label_time": NOW + 7 * DAY_MS + n * 600_000,
    }
    place = n if offset is None else offset
    return Record("labels", 0, place, NOW, f"t{n}".encode(), json.dumps(value).encode())


def labels(start: int, end: int) -> list[Record]:
    return [label(n) for n in range(start, end)]


def by_amount(sample: TrainingSet, _seed: int) -> Boosted:
    """Fit one split that tells the frauds of this traffic; quicker than LightGBM, and as exact."""
    return Boosted(
        feature=np.array([AMOUNT, -1, -1], np.int32),
        threshold=np.array([100.0, 0.0, 0.0]),
        child=np.array([1, 0, 0], np.int32),
        value=np.array([0.0, -4.0, 4.0]),
        roots=np.array([0], np.int32),
        intercept=float(len(sample.y)) * 1e-6,
        negative_rate=sample.negative_rate,
    )


RIGHT = by_amount(TrainingSet(np.zeros((1, 1), "f4"), np.array([True]), 0.5, 0, 1), 7)


# The fitter.


def test_labels_lead_to_an_offer_once_there_are_frauds_enough() -> None:
    world = World()
    world.learner()
    world.score(0, 100)
    fitter = world.fitter()
    assert fitter.handle(labels(0, 90)).fits == []
    assert world.store.offered(0) is None
    report = fitter.handle(labels(90, 100))
    (done,) = report.fits
    assert (report.labels, report.joined, report.skipped) == (10, 10, 0)
    assert (done.frauds, report.frauds) == (10, 10)
    info = world.offered()
    assert (info.recipe, info.snapshot, info.label_offset) == ("lightgbm", 1, 90)
    assert info.metrics["frauds_learned"] == 10
    assert info.metrics["learned"] == done.rows < 91, "half of the legitimate ones are left out"
    assert info.metrics["first_label_time"] == NOW + 7 * DAY_MS
    assert info.metrics["last_label_time"] == done.fitted_to_ms == NOW + 7 * DAY_MS + 90 * 600_000
    assert info.parameters["num_leaves"] == 15


def test_it_fits_again_when_label_time_says_so() -> None:
    world = World()
    world.learner()
    world.score(0, 600)
    report = world.fitter().handle(labels(0, 600))
    # A day is 144 of these transactions.
    assert [(done.fitted_to_ms - NOW) // 600_000 - 7 * 144 for done in report.fits] == [90, 234, 378, 522]
    assert [done.revision for done in report.fits] == [1, 2, 3, 4]
    assert world.offered().snapshot == 4


def test_how_labels_are_cut_into_batches_changes_nothing() -> None:
    def offers(size: int) -> list[bytes]:
        world = World()
        world.learner()
        world.score(0, 400)
        fitter, found = world.fitter(), []
        for start in range(0, 400, size):
            if fitter.handle(labels(start, min(start + size, 400))).fits:
                offered = world.store.offered(0)
                assert offered is not None
                found.append(offered[1])
        return found

    assert offers(7) == offers(50)
    assert len(offers(50)) == 3


def test_lightgbm_itself_gives_the_same_offer_twice() -> None:
    sealed = []
    for _ in range(2):
        world = World()
        world.learner()
        world.score(0, 300)
        fitter = FitterRole(world.store, world.clock, POLICY, KEY, world.waits)
        fitter.start()
        assert len(fitter.handle(labels(0, 300)).fits) == 2
        sealed.append(world.store.offered(0))
    assert sealed[0] == sealed[1] is not None


def test_labels_without_a_transaction_or_of_other_features_are_left_out_and_counted() -> None:
    world = World()
    world.learner()
    world.score(0, 3)
    stored = PendingReader(world.store, world.waits.redis).open(world.store.find_pending(["t1"], 2), range(2))
    other = msgspec.structs.replace(stored["t1"], feature_schema="ffffffff")
    older = pack_pendings(PendingBatch.of({"t1": other}))
    tenure = world.store.take_partition(1)
    world.store.commit(tenure, tenure.watermark, {}, older.records, lineups=older.lineups)
    report = world.fitter(replace(POLICY, negative_rate=1.0)).handle(labels(0, 5))
    assert (report.labels, report.joined, report.skipped, report.rows) == (5, 2, 3, 2)


def test_what_is_no_label_is_left_to_the_learner() -> None:
    world = World()
    fitter = world.fitter()
    report = fitter.handle([Record("labels", 0, 0, NOW, None, b"{}")])
    assert (report.labels, report.skipped) == (0, 0)
    assert fitter.offset == 0
    assert not world.emitter.emitted


def test_labels_handed_out_again_are_passed_over_and_lost_ones_counted() -> None:
    world = World()
    world.learner()
    world.score(0, 20)
    fitter = world.fitter()
    fitter.handle(labels(0, 5))
    assert fitter.handle(labels(0, 8)).labels == 3
    assert fitter.handle([label(12)]).gap == 4


def test_a_fitter_that_starts_again_reads_everything_and_goes_on_with_the_schedule() -> None:
    world = World()
    world.learner()
    world.score(0, 300)
    world.fitter().handle(labels(0, 200))
    heir = world.fitter()
    assert heir.start() == 0
    report = heir.handle(labels(0, 300))
    assert [done.revision for done in report.fits] == [2]
    assert world.offered().snapshot == 2
    assert report.frauds == 30


def alarm(learner: LearnerRole, offset: int) -> None:
    """Let the learner have opened a case."""
    learner.learner.alarm = offset
    learner.learner.publish()
    learner._publish()


def fitted_at(report: FitterReport) -> list[tuple[int, bool]]:
    """Return at which label each fit was made, and whether that was for an alarm."""
    return [((done.fitted_to_ms - NOW) // 600_000 - 7 * 144, done.on_alarm) for done in report.fits]


def test_an_alarm_asks_for_a_fit_and_leaves_the_schedule_alone() -> None:
    world = World()
    learner = world.learner()
    world.score(0, 400)
    fitter = world.fitter()
    assert fitted_at(fitter.handle(labels(0, 100))) == [(90, False)]
    alarm(learner, 140)
    assert fitted_at(fitter.handle(labels(100, 200))) == [(140, True)]
    assert fitter.handle(labels(200, 210)).fits == [], "once for each alarm"
    assert fitted_at(fitter.handle(labels(210, 400))) == [(234, False), (378, False)]
    # One that the learner raises behind the fitter is fitted for with the next label.
    alarm(learner, 390)
    world.score(400, 402)
    assert fitted_at(fitter.handle(labels(400, 402))) == [(400, True)]


def test_a_fit_that_knows_what_an_alarm_was_about_is_enough() -> None:
    world = World()
    learner = world.learner()
    world.score(0, 120)
    fitter = world.fitter()
    fitter.handle(labels(0, 100))
    alarm(learner, 90)
    assert fitter.handle(labels(100, 120)).fits == []


def test_an_alarm_with_too_few_frauds_waits_for_them() -> None:
    world = World()
    learner = world.learner()
    world.score(0, 100)
    alarm(learner, 20)
    assert fitted_at(world.fitter().handle(labels(0, 100))) == [(90, False)]


def test_a_fitter_that_starts_again_knows_the_alarms_it_has_fitted_for_and_its_schedule() -> None:
    world = World()
    learner = world.learner()
    world.score(0, 300)
    fitter = world.fitter()
    fitter.handle(labels(0, 100))
    alarm(learner, 140)
    assert fitted_at(fitter.handle(labels(100, 200))) == [(140, True)]
    assert fitted_at(world.fitter().handle(labels(0, 300))) == [(234, False)]


def test_a_roster_that_cannot_be_read_leaves_the_schedule(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.learner()
    world.score(0, 100)
    token, _ = world.store.take_learner()
    world.store.publish(token, b"damaged", {})
    assert fitted_at(world.fitter().handle(labels(0, 100))) == [(90, False)]
    assert "the roster cannot be read, fitting by the schedule alone" in caplog.text


def test_an_offer_that_cannot_be_read_does_not_keep_a_fitter_from_starting(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    world.learner()
    world.score(0, 100)
    world.store.offer(world.store.take_fitter(), b"damaged")
    assert len(world.fitter().handle(labels(0, 100)).fits) == 1
    assert "the last offer cannot be read, fitting anew" in caplog.text


def test_a_fitter_that_was_replaced_is_refused() -> None:
    world = World()
    world.learner()
    world.score(0, 100)
    old = world.fitter()
    world.fitter()
    with pytest.raises(FencedError):
        old.handle(labels(0, 100))


def test_a_fit_whose_offer_did_not_get_through_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    world.learner()
    world.score(0, 100)
    fitter = world.fitter()

    def away(_token: Token, _snapshot: bytes) -> int:
        world.stop.set()
        raise InfrastructureError("Redis is away")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "offer", away)
        with pytest.raises(StoppedError):
            fitter.handle(labels(0, 100))
    assert fitter.fitted_to_ms is None
    world.stop.clear()
    (done,) = fitter.handle(labels(0, 100)).fits
    assert done.frauds == world.offered().metrics["frauds_learned"] == 10


# The learner.


def offer(world: World, model: Boosted | Constant | None = None, **changed: object) -> bytes:
    """Offer a model, and return it sealed."""
    described: dict[str, object] = {
        "model_version": "lightgbm",
        "snapshot": 1,
        "recipe": "lightgbm",
        "parents": (),
        "feature_schema": SCHEMA,
        "features": WIDTH,
        "label_offset": 5,
        "river_version": "0",
        "metrics": {"learned": 90.0, "frauds_learned": 10.0, "first_label_time": 1.0},
        "parameters": {"num_leaves": 15},
    }
    key = changed.pop("key", KEY)
    info = SnapshotInfo(**described | changed)  # type: ignore[arg-type]
    sealed = encode_snapshot(info, model or Constant(0.25), key)  # type: ignore[arg-type]
    raw(world, sealed)
    return sealed


def raw(world: World, sealed: bytes) -> None:
    """Offer whatever it is."""
    world.store.offer(world.store.take_fitter(), sealed)


def kinds(report: LearnerReport | None) -> list[tuple[str, str]]:
    assert report is not None
    return [(event.kind, event.model_version) for event in report.events]


def test_an_offer_is_admitted_published_and_scored() -> None:
    world = World()
    learner = world.learner()
    world.score(0, 100)
    world.fitter().handle(labels(0, 100))
    report = learner.handle(labels(0, 20))
    assert report.offer == "admitted"
    assert kinds(report) == [("born", "lightgbm-1")]
    (event,) = report.events
    assert event.evidence["frauds_learned"] == 10
    assert event.evidence["fitted_to"] == 90
    assert event.evidence["offer"] == 1
    assert event.label_offset == -1, "it came before the batch was learnt"
    assert [json.loads(one.value)["kind"] for one in world.emitter.on("model-events")] == ["born"]
    assert world.versions() == ["logistic-1", "lightgbm-1"]
    snapshot = world.store.snapshot(world.roster().members[1].key)
    assert snapshot is not None
    info, model = decode_snapshot(snapshot, KEY, SCHEMA)
    assert (info.model_version, info.recipe, info.label_offset) == ("lightgbm-1", "lightgbm", 90)
    assert info.parameters["num_leaves"] == 15
    assert model.kind == "boosted"
    world.score(200, 201)
    shadow = world.last_score()["shadow"]
    assert isinstance(shadow, dict)
    assert shadow["lightgbm-1"] > 0.9


def test_an_offer_is_looked_at_once() -> None:
    world = World()
    learner = world.learner()
    world.score(0, 40)
    offer(world)
    assert learner.handle(labels(0, 10)).offer == "admitted"
    assert learner.handle(labels(10, 20)).offer is None
    assert learner.tick() is None


def test_an_offer_is_admitted_without_any_label_coming() -> None:
    world = World()
    learner = world.learner()
    offer(world)
    report = learner.tick()
    assert kinds(report) == [("born", "lightgbm-1")]
    assert world.versions() == ["logistic-1", "lightgbm-1"]
    assert learner.tick() is None


def test_a_refit_takes_the_place_of_the_fit_before_and_keeps_its_record() -> None:
    world = World()
    learner = world.learner()
    offer(world, Constant(0.25))
    learner.tick()
    world.score(0, 40)
    learner.handle(labels(0, 40))
    judged = learner.learner.quality()["lightgbm-1"]
    assert judged.labels == 40
    roster = world.roster().roster
    offer(world, Constant(0.5), snapshot=2, label_offset=39, metrics={"learned": 50, "frauds_learned": 4})
    report = learner.tick()
    assert kinds(report) == [("refitted", "lightgbm-1")]
    assert report is not None
    assert report.events[0].evidence["fitted_to"] == 39
    assert report.events[0].label_offset == 39
    assert world.versions() == ["logistic-1", "lightgbm-1"]
    assert world.roster().roster == roster, "its members are the same"
    assert learner.learner.quality()["lightgbm-1"] == judged
    world.score(40, 41)
    assert world.last_score()["shadow"] == {"lightgbm-1": 0.5}


@pytest.mark.parametrize(
    "damage",
    [
        lambda world: raw(world, b"damaged"),
        lambda world: raw(world, offer(world)[:-1]),
        lambda world: offer(world, key=None),
        lambda world: offer(world, key=b"some other key of 16"),
        lambda world: offer(world, feature_schema="ffffffff"),
        lambda world: offer(world, metrics={}),
        lambda world: offer(world, metrics={"learned": float("nan"), "frauds_learned": 1.0}),
        lambda world: offer(world, metrics={"learned": 1.0, "frauds_learned": 1.0, "x": float("inf")}),
    ],
    ids=["noise", "cut", "unsigned", "forged", "schema", "metrics", "nan", "infinite"],
)
def test_a_bad_offer_is_refused_and_learning_goes_on(
    damage: Callable[[World], object], caplog: pytest.LogCaptureFixture
) -> None:
    world = World()
    learner = world.learner()
    world.score(0, 40)
    damage(world)
    report = learner.handle(labels(0, 20))
    assert (report.offer, report.events, len(report.joined)) == ("refused", [], 20)
    assert "refused, the models stay as they are" in caplog.text
    assert world.versions() == ["logistic-1"]
    assert learner.handle(labels(20, 30)).offer is None, "it is not looked at again"
    offer(world)
    assert learner.handle(labels(30, 40)).offer == "admitted"


def test_the_fitted_model_is_in_the_checkpoint() -> None:
    world = World()
    learner = world.learner()
    offer(world, RIGHT)
    world.score(0, 40)
    learner.handle(labels(0, 20))
    learner.checkpoint()
    heir = world.learner()
    assert heir.offset == 19
    assert world.versions() == ["logistic-1", "lightgbm-1"]
    assert heir.tick() is None, "the offer was in the checkpoint too"
    world.score(200, 201)
    shadow = world.last_score()["shadow"]
    assert isinstance(shadow, dict)
    assert shadow["lightgbm-1"] > 0.9


def _better(world: World, learner: LearnerRole, fitter: FitterRole) -> list[ModelEvent]:
    """Run the stream in days, scored then labelled; return what happened to the models."""
    events: list[ModelEvent] = []
    for start in range(0, 1_200, 50):
        world.score(start, start + 50)
        events += learner.handle(labels(start, start + 50)).events
        fitter.handle(labels(start, start + 50))
    return events


def test_the_gate_promotes_it_when_it_is_better_and_its_refits_serve() -> None:
    world = World()
    swap = SwapPolicy(
        gate=GatePolicy(min_frauds=20, resamples=50), review_labels=200, check_labels=50, cooldown_labels=300
    )
    # The champion says the base rate of everybody, however much it learns.
    learner = world.learner(replace(LEARNING, learning=replace(LEARNING.learning, swap=swap)))
    learner.learner.field.contenders["logistic-1"].model.min_frauds = 10**9  # type: ignore[union-attr]
    events = _better(world, learner, world.fitter())
    happened = [(event.kind, event.model_version) for event in events]
    assert happened[0] == ("born", "lightgbm-1")
    assert ("swap", "lightgbm-1") in happened
    swapped = happened.index(("swap", "lightgbm-1"))
    assert happened.count(("swap", "lightgbm-1")) == 1
    assert ("refitted", "lightgbm-1") in happened[:swapped]
    assert ("refitted", "lightgbm-1") in happened[swapped:], "the champion is kept fresh"
    assert world.roster().champion == "lightgbm-1"
    scorer = world.score(1_300, 1_301)
    assert [served.version for served in scorer.models] == ["lightgbm-1", "logistic-1"]
    assert world.last_score()["model_version"] == "lightgbm-1"


def test_a_champion_that_is_fitted_and_drifts_is_challenged_by_one_that_learns() -> None:
    world = World()
    learner = world.learner()
    offer(world)
    learner.tick()
    inner = learner.learner
    inner.field.champion = "lightgbm-1"
    events: list[ModelEvent] = []
    inner._on_drift(Drift("missed_frauds", 0.1, 0.9, 100), events, NOW)
    assert [(one.kind, one.model_version) for one in events] == [
        ("drift", "lightgbm-1"),
        ("born", "logistic-2"),
    ]


DRIFT = Drift("missed_frauds", 0.1, 0.9, 100)


def failing(world: World, swap: SwapPolicy | None = None) -> LearnerRole:
    """Let a fit serve, which scores by the amount and is right, and let an alarm open a case on it."""
    policy = replace(LEARNING.learning, swap=swap or SwapPolicy())
    learner = world.learner(replace(LEARNING, learning=policy))
    offer(world, RIGHT)
    learner.tick()
    inner = learner.learner
    inner.field.champion = "lightgbm-1"
    inner.case._enter("evaluating", inner.window.added, DRIFT)
    inner._on_drift(DRIFT, [], NOW)
    assert list(inner.field.contenders) == ["logistic-1", "lightgbm-1", "logistic-2"]
    return learner


SOON = SwapPolicy(
    trial=GatePolicy(min_frauds=20, resamples=50, evenly=True),
    check_labels=50,
    probation_labels=300,
    cooldown_labels=100,
)


def test_the_next_fit_of_a_champion_that_has_failed_takes_over_on_probation() -> None:
    world = World()
    learner = failing(world)
    offer(world, Constant(0.5), snapshot=2)
    report = learner.tick()
    assert report is not None
    born, swap = report.events
    assert (born.kind, born.model_version, born.previous_version) == ("born", "lightgbm-2", "lightgbm-1")
    assert (swap.kind, swap.model_version, swap.previous_version) == ("swap", "lightgbm-2", "lightgbm-1")
    assert (swap.evidence["trigger"], swap.evidence["state"]) == ("refit", "probation")
    assert (learner.learner.case.state, learner.learner.case.predecessor) == ("probation", "lightgbm-1")
    assert learner.learner.swaps == 1
    assert world.roster().champion == "lightgbm-2"
    assert world.versions() == ["lightgbm-2", "logistic-1", "lightgbm-1", "logistic-2"]
    world.score(0, 2)
    said = world.last_score()
    assert (said["model_version"], said["score"]) == ("lightgbm-2", 0.5)
    # The next fit is its, and the one before stays what it was.
    offer(world, Constant(0.25), snapshot=3)
    assert kinds(learner.tick()) == [("refitted", "lightgbm-2")]
    assert learner.learner.renewal is None, "it is on probation already"
    assert learner.learner.field.contenders["lightgbm-1"].model.compile().kind == "boosted"


def test_a_next_fit_that_is_worse_is_rolled_back_and_has_to_pass_the_gate_from_then_on() -> None:
    world = World()
    learner = failing(world, SOON)
    offer(world, Constant(0.5), snapshot=2)
    learner.tick()
    events = live(world, learner, 0, 400)
    assert (events[0].kind, events[0].model_version, events[0].previous_version) == (
        "rollback",
        "lightgbm-1",
        "lightgbm-2",
    )
    assert world.roster().champion == "lightgbm-1"
    offer(world, Constant(0.75), snapshot=3)
    assert kinds(learner.tick()) == [("refitted", "lightgbm-2")], "it is a challenger as any other"
    assert world.roster().champion == "lightgbm-1"


def test_a_fit_goes_when_its_successor_has_passed_the_probation() -> None:
    world = World()
    learner = failing(world, SOON)
    offer(world, RIGHT, snapshot=2)
    learner.tick()
    events = live(world, learner, 0, 400)
    assert [(one.kind, one.model_version) for one in events[:2]] == [
        ("confirmed", "lightgbm-2"),
        ("retired", "lightgbm-1"),
    ]
    assert world.versions() == ["lightgbm-2", "logistic-1", "logistic-2"]


def test_a_frozen_fit_takes_nobodys_place_and_goes_with_its_successors_fall() -> None:
    world = World()
    learner = failing(world)
    inner = learner.learner
    offer(world, Constant(0.5), snapshot=2)
    learner.tick()
    assert inner.field.frozen == ["lightgbm-1"]
    assert len(inner.field.contenders) == LearningPolicy().most_models == 4
    assert not inner.field.crowded()
    events = inner.obey(
        Order(action="promote", model_version="lightgbm-1", who="ann", why="it was good", given_at=NOW), NOW
    )
    assert [(one.kind, one.model_version) for one in events] == [("swap", "lightgbm-1")]
    events = inner.obey(
        Order(action="promote", model_version="lightgbm-2", who="ann", why="or not", given_at=NOW), NOW
    )
    assert [(one.kind, one.model_version) for one in events] == [("swap", "lightgbm-2")]
    inner.field.contenders["logistic-1"].model.min_frauds = 0  # type: ignore[union-attr]
    events = inner.obey(
        Order(action="promote", model_version="logistic-1", who="ann", why="enough", given_at=NOW), NOW
    )
    assert [(one.kind, one.model_version) for one in events] == [
        ("swap", "logistic-1"),
        ("retired", "lightgbm-1"),
    ]
    assert inner.case.predecessor == "lightgbm-2"


def renewed(world: World, fit: Boosted | Constant, swap: SwapPolicy = SOON) -> LearnerRole:
    """Let a fit serve that is right, and put another in its place."""
    policy = replace(LEARNING.learning, swap=swap)
    learner = world.learner(replace(LEARNING, learning=policy))
    offer(world, RIGHT)
    learner.tick()
    learner.learner.field.champion = "lightgbm-1"
    offer(world, fit, snapshot=2, label_offset=-1)
    assert kinds(learner.tick()) == [("refitted", "lightgbm-1")]
    return learner


def live(world: World, learner: LearnerRole, start: int, end: int) -> list[ModelEvent]:
    """Score and label, fifty at a time."""
    events: list[ModelEvent] = []
    for first in range(start, end, 50):
        world.score(first, first + 50)
        events += learner.handle(labels(first, first + 50)).events
    return events


def test_a_new_fit_of_the_champion_that_is_worse_is_undone() -> None:
    world = World()
    learner = renewed(world, Constant(0.5))
    world.score(0, 1)
    assert world.last_score()["score"] == 0.5, "it serves at once"
    events = live(world, learner, 0, 400)
    assert [(one.kind, one.model_version) for one in events[:1]] == [("fit_undone", "lightgbm-1")]
    evidence = events[0].evidence
    assert evidence["fitted_to"] == 5, "that is the first one's"
    assert float(evidence["challenger"]) > 0.9 > float(evidence["champion"])
    assert learner.learner.renewal is None
    world.score(400, 401)
    assert float(str(world.last_score()["score"])) > 0.5, "t400 is a fraud, and told as one again"
    # What comes next has the same chance.
    offer(world, Constant(0.25), snapshot=3, label_offset=-1)
    assert kinds(learner.tick()) == [("refitted", "lightgbm-1")]
    assert [one.kind for one in live(world, learner, 400, 750)][:1] == ["fit_undone"]


def test_a_new_fit_of_the_champion_that_is_as_good_stays() -> None:
    world = World()
    learner = renewed(world, RIGHT)
    assert learner.learner.renewal is not None
    live(world, learner, 0, 250)
    renewal = learner.learner.renewal
    assert renewal is not None
    assert renewal.trial.window.frauds >= SOON.trial.min_frauds
    assert renewal.look() is None, "there has been one, and there is no news since"
    assert [one.kind for one in live(world, learner, 250, 300)] == []
    assert learner.learner.renewal is None, "it has passed"


def test_no_fit_is_compared_that_does_not_serve_or_serves_no_more() -> None:
    world = World()
    learner = renewed(world, Constant(0.5))
    inner = learner.learner
    inner.field.contenders["logistic-1"].model.min_frauds = 0  # type: ignore[union-attr]
    order = Order(action="promote", model_version="logistic-1", who="ann", why="enough", given_at=NOW)
    inner.obey(order, NOW)
    assert inner.renewal is None
    offer(world, RIGHT, snapshot=3)
    assert kinds(learner.tick()) == [("refitted", "lightgbm-1")]
    assert inner.renewal is None


def test_a_label_that_is_corrected_is_so_for_the_fits_too() -> None:
    world = World()
    learner = renewed(world, Constant(0.5))
    live(world, learner, 0, 100)
    renewal = learner.learner.renewal
    assert renewal is not None
    window = renewal.trial.window
    assert window.paired("after", "before").is_fraud.sum() == 9, "the fit before has read up to the fifth"
    learner.handle([label(60, fraud=False, offset=100)])
    assert window.paired("after", "before").is_fraud.sum() == 8


def test_a_comparison_of_fits_goes_on_from_the_checkpoint() -> None:
    world = World()
    learner = renewed(world, Constant(0.5))
    live(world, learner, 0, 150)
    learner.checkpoint()
    policy = replace(LEARNING.learning, swap=SOON)
    heir = world.learner(replace(LEARNING, learning=policy))
    (undone,) = live(world, heir, 150, 300)[:1]
    assert undone.kind == "fit_undone"
    other = World()
    assert live(other, renewed(other, Constant(0.5)), 0, 300)[:1] == [undone], "as without a restart"


def test_an_alarm_is_in_the_roster_also_where_nobody_is_born() -> None:
    world = World()
    learning = replace(LEARNING.learning, challengers=("tree",), most_models=2)
    learner = world.learner(replace(LEARNING, learning=learning))
    assert world.roster().alarm == -1
    world.score(0, 10)
    learner.handle(labels(0, 10))
    inner = learner.learner
    inner.window.forget("tree-1")
    inner.case._enter("evaluating", inner.window.added, DRIFT)
    events: list[ModelEvent] = []
    inner._on_drift(DRIFT, events, NOW)
    learner._publish()
    assert [one.kind for one in events] == ["drift"]
    assert world.roster().alarm == 9
    world.score(10, 20)
    learner.handle(labels(10, 20))
    # The case ends, and the next is open as the champion has not recovered.
    inner._on_refusal(Refusal(None, None, "missed_frauds", 0, DRIFT), events, NOW)
    learner._publish()
    assert world.roster().alarm == 19


def test_an_alarm_leads_to_a_fit_and_the_fit_to_a_swap() -> None:
    world = World()
    learner, fitter = world.learner(), world.fitter()
    world.score(0, 100)
    learner.handle(labels(0, 100))
    fitter.handle(labels(0, 100))
    assert kinds(learner.tick()) == [("born", "lightgbm-1")]
    inner = learner.learner
    inner.field.champion = "lightgbm-1"
    inner.case._enter("evaluating", inner.window.added, DRIFT)
    inner._on_drift(DRIFT, [], NOW)
    # A batch later each knows of the other.
    world.score(100, 110)
    assert [event.kind for event in learner.handle(labels(100, 110)).events] == []
    assert fitted_at(fitter.handle(labels(100, 110))) == [(100, True)]
    assert kinds(learner.tick()) == [("born", "lightgbm-2"), ("swap", "lightgbm-2")]
    assert world.roster().champion == "lightgbm-2"


def test_the_weakest_makes_room_and_an_offer_waits_where_nobody_can_be_told() -> None:
    world = World()
    learning = replace(LEARNING.learning, challengers=("tree",), most_models=2)
    learner = world.learner(replace(LEARNING, learning=learning))
    offer(world)
    assert learner.tick() is not None
    assert world.versions() == ["logistic-1", "tree-1"], "nobody has been judged: nobody is retired"
    world.score(0, 40)
    learner.handle(labels(0, 40))
    report = learner.tick()
    assert kinds(report) == [("retired", "tree-1"), ("born", "lightgbm-1")]
    assert world.versions() == ["logistic-1", "lightgbm-1"]
    assert learner.tick() is None


def test_labels_wait_for_scorers_that_read_again_what_redis_has_lost() -> None:
    world = World()
    world.learner()
    waited: list[InfrastructureError] = []

    def score(error: InfrastructureError | None) -> None:
        if error is not None:
            waited.append(error)
            world.score(0, 40)

    patience = Patience(world.stop, score, first_pause=0.0, longest_pause=0.0)
    fitter = world.fitter()
    fitter.start(
        CatchUp(world.store, InMemoryInputLog({0: 39, 1: 40}), 2, world.waits._replace(scorers=patience))
    )
    assert fitter.handle(labels(0, 40)).joined == 40
    assert len(waited) == 1


def test_a_fitter_whose_role_redis_has_lost_ends() -> None:
    world = World()
    world.learner()
    world.score(0, 50)
    fitter = world.fitter()
    fitter.handle(labels(0, 50))
    world.store.flush()
    world.learner()
    world.score(50, 200)
    with pytest.raises(StateLostError, match="the fitter's role: of token 1 nothing is left"):
        fitter.handle(labels(50, 200))
