import json
import threading
from collections.abc import Callable, Iterable
from itertools import pairwise

import pytest

from stream.adapters.memory import InMemoryEmitter, InMemoryInputLog, InMemoryStore
from stream.adapters.topics import TopicNames
from stream.clock import DAY_MS, ManualClock
from stream.errors import (
    FencedError,
    InfrastructureError,
    OffsetGapError,
    StateLostError,
    StoppedError,
)
from stream.features.catalogue import FEATURE_NAMES
from stream.pipeline.learning import LearningPolicy
from stream.ports import Outgoing
from stream.records import Record
from stream.registry.seal import seal, unseal
from stream.registry.snapshot import MOST_BYTES, Roster, decode_roster, encode_roster
from stream.roles.learner import LearnerPolicy, LearnerRole
from stream.roles.patience import Patience, Waits
from stream.roles.scorer import ScorerPolicy, ScorerRole
from stream.settings import load_settings

NOW = 1_700_000_000_000
TOPICS = TopicNames()


class World:
    """A store, an emitter and roles that share them."""

    def __init__(self) -> None:
        self.store = InMemoryStore()
        self.emitter = InMemoryEmitter()
        self.clock = ManualClock(NOW)
        self.stop = threading.Event()
        self.failures: list[InfrastructureError | None] = []
        patience = Patience(self.stop, self.failures.append, first_pause=0.001, longest_pause=0.002)
        self.waits = Waits.alike(patience)
        self.learn()

    def learn(self) -> None:
        learner = LearnerRole(self.store, self.emitter, TOPICS, self.clock, LearnerPolicy(), None, self.waits)
        learner.start()

    def customers(self) -> dict[str, bytes]:
        names = ["c0", "c1", "c2"]
        stored = self.store.load(0, names, [], [], []).customers
        return {name: state for name, state in zip(names, stored, strict=True) if state is not None}

    def scorer(self, *partitions: int, **policy: object) -> ScorerRole:
        role = ScorerRole(
            self.store,
            self.emitter,
            TOPICS,
            self.clock,
            ScorerPolicy(**policy),  # type: ignore[arg-type]
            None,
            self.waits,
        )
        for partition in partitions:
            role.assign(partition)
        return role

    def scores(self) -> list[bytes]:
        return [record.value for record in self.emitter.on("scores")]


@pytest.fixture
def world() -> World:
    return World()


def record(offset: int, *, name: str = "", customer: str = "c1", amount: float = 10.0) -> Record:
    value = {
        "transaction_id": name or f"t{offset}",
        "event_time": NOW + offset * 1000,
        "customer_id": customer,
        "terminal_id": "m1",
        "amount": amount,
    }
    return Record("transactions", 0, offset, NOW, customer.encode(), json.dumps(value).encode())


def batch(start: int, end: int) -> list[Record]:
    return [record(offset, customer=f"c{offset % 3}") for offset in range(start, end)]


def test_every_transaction_is_answered_in_order_and_keyed_by_its_customer(world: World) -> None:
    report = world.scorer(0).handle(batch(0, 5))
    sent = world.emitter.on("scores")
    assert [json.loads(one.value)["transaction_id"] for one in sent] == [f"t{n}" for n in range(5)]
    assert [one.key for one in sent] == [b"c0", b"c1", b"c2", b"c0", b"c1"]
    assert (report.records, len(report.pendings), report.redelivered) == (5, 5, 0)


def test_alerts_go_to_both_topics(world: World) -> None:
    report = world.scorer(0, decision="threshold", threshold=0.004).handle(batch(0, 2))
    assert report.alerts == 2
    assert [one.value for one in world.emitter.on("alerts")] == world.scores()


def test_bad_records_become_dead_letters_and_the_batch_goes_on(world: World) -> None:
    bad = Record("transactions", 0, 1, NOW, b"c1", b'{"oops"')
    report = world.scorer(0).handle([record(0), bad, record(2)])
    assert [letter.reason for letter in report.dead_letters] == ["malformed_json"]
    (letter,) = world.emitter.on("dead-letters")
    assert json.loads(letter.value)["offset"] == 1
    assert len(world.scores()) == 2


def test_a_batch_of_nothing_but_bad_records_still_moves_on(world: World) -> None:
    bad = [Record("transactions", 0, n, NOW, None, b"") for n in range(3)]
    scorer = world.scorer(0)
    scorer.handle(bad)
    assert world.store.transactions_done(1) == {0: 2}
    scorer.handle([record(3)])
    assert len(world.scores()) == 1


def test_redelivered_records_are_answered_with_the_same_bytes(world: World) -> None:
    world.scorer(0).handle(batch(0, 10))
    first = world.scores()
    world.clock.advance(60_000)
    again = world.scorer(0)  # another worker: nothing cached
    report = again.handle(batch(4, 14))
    assert report.redelivered == 6
    assert len(report.pendings) == 4
    assert world.scores()[10:16] == first[4:10]


def test_a_batch_may_be_scored_while_the_one_before_it_is_emitted(world: World) -> None:
    scorer = world.scorer(0)
    committed = [scorer.score(batch(0, 10)), scorer.score(batch(10, 20))]
    assert not world.scores()
    reports = [scorer.emit(one) for one in committed]
    assert [len(report.pendings) for report in reports] == [10, 10]

    undisturbed = World()
    role = undisturbed.scorer(0)
    assert [role.handle(batch(0, 10)).alerts, role.handle(batch(10, 20)).alerts] == [
        r.alerts for r in reports
    ]
    assert world.scores() == undisturbed.scores()


def test_what_was_launched_is_not_sent_again_unless_it_did_not_arrive(world: World) -> None:
    class Flaky(InMemoryEmitter):
        sends, failures = 0, 1

        def send(self, records: Iterable[Outgoing]) -> None:
            self.sends += 1
            super().send(records)

        def settle(self) -> None:
            if self.failures:
                self.failures -= 1
                raise InfrastructureError("no broker")
            super().settle()

    scorer = world.scorer(0)
    scorer._emitter = flaky = Flaky()
    first, second = scorer.score(batch(0, 10)), scorer.score(batch(10, 20))
    scorer.launch(first)
    assert not flaky.emitted
    report = scorer.emit(first)
    assert (flaky.sends, len(flaky.on("scores"))) == (2, 10)
    assert [*report.stages] == ["decode", "load", "compute", "commit", "send", "emit"]
    scorer.launch(second)
    scorer.emit(second)
    assert (flaky.sends, len(flaky.on("scores"))) == (3, 20)


def test_a_crash_with_one_batch_committed_and_another_being_emitted_loses_nothing(world: World) -> None:
    scorer = world.scorer(0)
    scorer.score(batch(0, 10))
    scorer.score(batch(10, 20))
    heir = world.scorer(0)
    assert heir.handle(batch(0, 20)).redelivered == 20

    undisturbed = World()
    undisturbed.scorer(0).handle(batch(0, 20))
    assert world.scores() == undisturbed.scores()
    assert world.customers() == undisturbed.customers()


def test_a_crash_after_the_commit_loses_nothing_and_counts_nothing_twice(world: World) -> None:
    class Broken(InMemoryEmitter):
        def send(self, _records: object) -> None:
            raise MemoryError("killed here")

    scorer = world.scorer(0)
    scorer._emitter = Broken()
    with pytest.raises(MemoryError):
        scorer.handle(batch(0, 10))
    heir = world.scorer(0)
    heir.handle(batch(0, 10))
    heir.handle(batch(10, 20))

    undisturbed = World()
    role = undisturbed.scorer(0)
    role.handle(batch(0, 10))
    role.handle(batch(10, 20))
    assert world.scores() == undisturbed.scores()
    for name in ("c0", "c1", "c2"):
        ours = world.store.load(0, [name], [], [], []).customers
        assert ours == undisturbed.store.load(0, [name], [], [], []).customers
    assert world.store.take_partition(0).ledger == undisturbed.store.take_partition(0).ledger != b""


@pytest.mark.parametrize("cuts", [(0, 40, 80, 120), (0, 7, 13, 60, 61, 119, 120)])
def test_a_budget_goes_on_from_owner_to_owner_and_counts_redelivered_records_once(
    world: World, cuts: tuple[int, ...]
) -> None:
    # Every transaction has the score 0.005: alerts until the ledger sees that there is nothing to tell apart.
    policy = {"threshold": 0.004, "alert_budget": 40.0}
    undisturbed = World()
    undisturbed.scorer(0, **policy).handle(batch(0, 120))
    for start, stop in pairwise(cuts):
        # Each time another worker, that is given the last five of the one before again.
        world.scorer(0, **policy).handle(batch(max(0, start - 5), stop))
    answers = {json.loads(one)["transaction_id"]: one for one in world.scores()}
    assert list(answers.values()) == undisturbed.scores()
    decisions = [json.loads(one)["decision"] for one in answers.values()]
    assert 0 < decisions.count("alert") < 20
    assert world.store.take_partition(0).ledger == undisturbed.store.take_partition(0).ledger


def test_only_a_budget_is_kept_and_told(world: World) -> None:
    for decision in ("cost", "threshold"):
        assert world.scorer(0, decision=decision).handle(batch(0, 5)).spent is None
        assert world.store.take_partition(0).ledger == b""
    report = world.scorer(0, alert_budget=12.5).handle(batch(5, 10))
    assert report.spent == (12.5, 0, 0.3)
    ledger = world.store.take_partition(0).ledger
    world.scorer(0, decision="threshold").handle(batch(10, 15))
    assert world.store.take_partition(0).ledger == ledger != b""


def test_every_partition_has_its_share_of_the_budget() -> None:
    policy = ScorerPolicy.of(load_settings(alert_budget=100, partitions=8, review_cost=2.5, loss_share=0.5))
    assert (policy.decision, policy.alert_budget) == ("budget", 12.5)
    assert (policy.review_cost, policy.loss_share) == (2.5, 0.5)


def test_by_cost_a_large_amount_is_an_alert_where_a_small_one_is_not(world: World) -> None:
    report = world.scorer(0, decision="cost").handle([record(0, amount=5_000.0), record(1, amount=5.0)])
    assert [one.decision for one in report.pendings.values()] == ["alert", "allow"]


def test_a_transaction_published_twice_is_counted_apart(world: World) -> None:
    scorer = world.scorer(0)
    scorer.handle([record(0, name="x")])
    report = scorer.handle([record(1, name="x")])
    assert (report.redelivered, report.duplicates) == (0, 1)
    assert world.scores()[0] == world.scores()[1]


def test_a_worker_that_lost_its_partition_is_refused_and_says_nothing(world: World) -> None:
    zombie = world.scorer(0)
    zombie.handle(batch(0, 3))
    world.scorer(0).handle(batch(3, 6))
    with pytest.raises(FencedError):
        zombie.handle(batch(3, 6))
    with pytest.raises(FencedError):  # and what follows is no gap: nothing was lost
        zombie.handle(batch(6, 9))
    assert len(world.scores()) == 6
    with pytest.raises(FencedError, match="not ours"):
        world.scorer().handle(batch(0, 1))


def test_lost_records_stop_the_worker_unless_told_to_go_on(world: World) -> None:
    world.scorer(0).handle(batch(0, 3))
    with pytest.raises(OffsetGapError, match=r"transactions/0: 4 records before offset 7"):
        world.scorer(0).handle(batch(7, 9))
    assert world.scorer(0, skip_gaps=True).handle(batch(7, 9)).gap == 4


def test_work_waits_for_a_store_that_is_away_and_goes_on(world: World) -> None:
    scorer = world.scorer(0)
    commit, refusals = world.store.commit, [InfrastructureError("away")] * 3

    def flaky(*arguments: object) -> object:
        if refusals:
            raise refusals.pop()
        return commit(*arguments)  # type: ignore[arg-type]

    world.store.commit = flaky  # type: ignore[assignment, method-assign]
    scorer.handle(batch(0, 3))
    assert len(world.scores()) == 3
    assert [error is None for error in world.failures] == [False, False, False, True]


def test_whoever_is_told_to_stop_stops_waiting(world: World) -> None:
    class Away(InMemoryEmitter):
        def settle(self) -> None:
            world.stop.set()
            raise InfrastructureError("no broker")

    scorer = world.scorer(0)
    scorer._emitter = Away()
    with pytest.raises(StoppedError, match="no broker"):
        scorer.handle(batch(0, 1))


def test_without_a_model_scoring_waits_for_a_learner() -> None:
    world = World()
    world.store = InMemoryStore()

    def stop_later(error: InfrastructureError | None) -> None:
        world.failures.append(error)
        world.stop.set()

    world.waits = Waits.alike(Patience(world.stop, stop_later, first_pause=0.001))
    scorer = world.scorer(0)
    with pytest.raises(StoppedError, match="start a learner"):
        scorer.handle(batch(0, 1))
    assert not world.scores()


def test_models_change_between_two_batches(world: World) -> None:
    scorer = world.scorer(0)
    scorer.handle(batch(0, 1))
    LearnerRole(
        world.store,
        world.emitter,
        TOPICS,
        world.clock,
        LearnerPolicy(LearningPolicy(champion="forest", challengers=("tree",))),
        None,
        world.waits,
    ).start()
    scorer.handle(batch(1, 2))
    versions = [json.loads(value)["model_version"] for value in world.scores()]
    assert versions == ["ensemble-1", "forest-1"]


def test_a_damaged_roster_is_refused_and_the_last_good_models_go_on(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    scorer = world.scorer(0)
    scorer.handle(batch(0, 1))
    token, _ = world.store.take_learner()
    world.store.publish(token, b"nonsense", {})
    scorer.handle(batch(1, 2))
    assert json.loads(world.scores()[1])["model_version"] == "ensemble-1"
    assert "refused, still serving ensemble-1" in caplog.text


def cut_short(sealed: bytes) -> bytes:
    return sealed[: len(sealed) // 2]


def forged(sealed: bytes) -> bytes:
    return seal(unseal(sealed, None, "snapshot", most_bytes=MOST_BYTES), b"another key", "snapshot")


def altered(sealed: bytes) -> bytes:
    return sealed[:-1] + bytes([sealed[-1] ^ 1])


@pytest.mark.parametrize("damage", [cut_short, forged, altered])
def test_a_damaged_snapshot_is_refused_and_the_last_good_models_go_on_until_there_are_others(
    world: World, caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes]
) -> None:
    scorer = world.scorer(0)
    scorer.handle(batch(0, 1))
    served = scorer.models
    roster = world.store.roster()
    assert roster is not None
    token, _ = world.store.take_learner()
    snapshots = {
        member.key: world.store.snapshot(member.key) for member in decode_roster(roster, None).members
    }
    world.store.publish(token, roster, {key: damage(whole or b"") for key, whole in snapshots.items()})
    scorer.handle(batch(1, 2))
    assert scorer.models == served
    assert "refused, still serving ensemble-1" in caplog.text
    assert "is not the one that the roster names" in caplog.text
    world.learn()
    scorer.handle(batch(2, 3))
    assert scorer.models != served
    assert len(world.scores()) == 3


@pytest.mark.parametrize("key", [None, b"secret"], ids=["damaged", "unsigned"])
def test_a_scorer_without_models_waits_for_such_as_it_can_use(world: World, key: bytes | None) -> None:
    roster = encode_roster(Roster(roster=0, champion="a-1", members=()), None)
    token, _ = world.store.take_learner()
    world.store.publish(token, roster if key else b"nonsense", {})
    said = []

    def mend(error: InfrastructureError | None) -> None:
        said.append(str(error))
        scorer._serving._signing_key = None
        world.learn()

    world.waits = Waits.alike(Patience(world.stop, mend, first_pause=0.001))
    scorer = world.scorer(0)
    scorer._serving._signing_key = key
    scorer.handle(batch(0, 1))
    assert "cannot be used, scoring waits for others" in said[0]
    assert ("not signed" if key else "cut short, or something else") in said[0]
    assert len(world.scores()) == 1


def test_the_cache_stays_within_its_bound(world: World) -> None:
    scorer = world.scorer(0, customer_cache=2)
    scorer.handle([record(n, customer=f"c{n}") for n in range(10)])
    assert len(scorer._partitions[0].cache) == 2
    scorer.handle([record(10 + n, customer=f"c{n}") for n in range(10)])
    last = json.loads(world.scores()[-1])
    assert last["features"][3] == 1  # the one before, read back from the store


def test_old_events_are_no_reason_to_refuse(world: World) -> None:
    world.clock.advance(400 * DAY_MS)
    assert not world.scorer(0).handle(batch(0, 2)).dead_letters


class TestLostState:
    def test_a_store_that_is_emptied_ends_the_scorer_with_the_next_batch(self, world: World) -> None:
        scorer = world.scorer(0)
        scorer.handle(batch(0, 3))
        world.store.flush()
        with pytest.raises(StateLostError, match="lost the roster of models"):
            scorer.handle(batch(3, 6))
        world.learn()  # a quicker learner hides that, but not the rest
        with pytest.raises(StateLostError, match="partition 0: of token 1 nothing is left"):
            scorer.handle(batch(3, 6))
        assert len(world.scores()) == 3

    def test_a_store_that_is_emptied_ends_the_scorer_without_any_batch(self, world: World) -> None:
        scorer = world.scorer(0, 1)
        scorer.handle(batch(0, 3))
        for _ in range(4):
            scorer.verify()
        world.store.flush()
        with pytest.raises(StateLostError):
            scorer.verify()

    def test_one_partition_after_the_other_is_verified(self, world: World) -> None:
        scorer = world.scorer(0, 1)
        world.scorer(1)
        scorer.verify()
        with pytest.raises(FencedError):
            scorer.verify()
        assert scorer.partitions == (0,)
        scorer.verify()

    def test_what_redis_lost_of_its_latest_is_scored_again_and_not_answered_again(self, world: World) -> None:
        undisturbed = World()
        undisturbed.scorer(0).handle(batch(0, 30))
        world.scorer(0).handle(batch(0, 10))
        scorer = world.scorer()
        log = InMemoryInputLog({0: 20})  # to 19 all was answered and acknowledged
        assert scorer.assign(0, log).begin == 10
        bad = Record("transactions", 0, 18, NOW, b"c1", b"{")
        report = scorer.handle([*batch(10, 18), bad])
        assert (report.rebuilt, len(report.pendings), report.alerts, report.dead_letters) == (8, 0, 0, [])
        assert (report.timestamps, report.gap) == ([], 0)
        heir = world.scorer()
        assert heir.assign(0, log).begin == 19
        bad = Record("transactions", 0, 25, NOW, b"c1", b"{")
        report = heir.handle([*batch(19, 25), bad, *batch(26, 30)])
        assert (report.rebuilt, len(report.pendings), len(report.dead_letters)) == (1, 9, 1)
        answered = [json.loads(value)["transaction_id"] for value in world.scores()]
        assert answered == [f"t{n}" for n in (*range(10), *range(20, 25), *range(26, 30))]
        (letter,) = world.emitter.on("dead-letters")
        assert json.loads(letter.value)["offset"] == 25
        assert world.store.transactions_done(1) == {0: 29}

    def test_a_rebuilt_partition_holds_what_an_uninterrupted_run_holds(self, world: World) -> None:
        undisturbed = World()
        undisturbed.scorer(0).handle(batch(0, 40))
        world.scorer(0).handle(batch(0, 30))
        world.store.flush()
        world.learn()
        scorer = world.scorer(lost_state="rebuild")
        assert scorer.assign(0, InMemoryInputLog({0: 30})).remedy == "rebuild"
        for start in range(0, 40, 8):
            scorer.handle(batch(start, start + 8))
        assert world.customers() == undisturbed.customers()
        assert len(world.scores()) == 40
        ids = [f"t{n}" for n in range(40)]
        assert world.store.find_pending(ids, 1).keys() == set(ids)
        assert world.store.take_partition(0).ledger == undisturbed.store.take_partition(0).ledger != b""

    def test_what_fell_off_the_topic_meanwhile_is_no_gap_while_it_was_answered(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        scorer = world.scorer(lost_state="rebuild")
        assert scorer.assign(0, InMemoryInputLog({0: 30}, {0: 5})).begin == 5
        assert scorer.handle(batch(7, 10)).gap == 0
        assert scorer.handle(batch(14, 20)).gap == 0
        assert "fell off the topic before they were read again, from offset 10 to 13" in caplog.text
        with pytest.raises(OffsetGapError, match="transactions/0: 2 records before offset 32"):
            scorer.handle(batch(32, 34))

    def test_a_cold_start_goes_on_without_and_is_made_once(self, world: World) -> None:
        scorer = world.scorer(lost_state="cold")
        log = InMemoryInputLog({0: 30})
        assert scorer.assign(0, log) == (30, 30, "cold")
        assert world.scorer().assign(0, log).remedy is None, "nothing is missing any more"
        assert scorer.assign(0, log).remedy is None
        report = scorer.handle(batch(30, 33))
        assert (report.gap, report.rebuilt, len(report.pendings)) == (0, 0, 3)
        assert len(world.scores()) == 3

    def test_without_a_choice_the_partition_is_not_served(self, world: World) -> None:
        scorer = world.scorer()
        with pytest.raises(StateLostError, match=r"^transactions/0: .* FRAUD_LOST_STATE=rebuild .*=cold"):
            scorer.assign(0, InMemoryInputLog({0: 30}))
        assert scorer.partitions == ()


def test_who_is_erased_is_forgotten_in_memory_too(world: World) -> None:
    role = world.scorer(0)
    role.handle([record(0, customer="ann"), record(1, customer="bob")])
    world.store.erase("ann")
    pendings = role.handle([record(2, customer="ann"), record(3, customer="bob")]).pendings
    seen = FEATURE_NAMES.index("customer_count_30d")
    assert [one.vector[seen] for one in pendings.values()] == [0.0, 1.0]
