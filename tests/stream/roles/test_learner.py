import base64
import json
import threading
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest

from stream.adapters.memory import InMemoryEmitter, InMemoryInputLog, InMemoryStore
from stream.adapters.topics import TopicNames
from stream.clock import DAY_MS, HOUR_MS, ManualClock
from stream.errors import FencedError, InfrastructureError, OffsetGapError, StateLostError
from stream.pipeline.learning import LearningPolicy
from stream.pipeline.pending import PendingBatch
from stream.pipeline.pending_packing import pack_pendings
from stream.pipeline.verdicts import MOST_VERDICTS, unpack_verdicts
from stream.records import Record
from stream.registry.checkpoint import MOST_BYTES
from stream.registry.seal import seal, unseal
from stream.registry.snapshot import decode_roster
from stream.roles.learner import LearnerPolicy, LearnerRole
from stream.roles.patience import Patience, Waits
from stream.roles.pendings import PendingReader
from stream.roles.resumption import CatchUp
from stream.roles.scorer import ScorerPolicy, ScorerRole

NOW = 1_700_000_000_000
TOPICS = TopicNames()
POLICY = LearnerPolicy(
    learning=LearningPolicy(champion="logistic", challengers=("tree",), snapshot_labels=50),
    partitions=2,
    label_grace_ms=60_000,
    snapshot_ms=30_000,
)


class World:
    """A store in which some transactions have been scored, on two partitions."""

    def __init__(self, transactions: int = 200) -> None:
        self.store = InMemoryStore()
        self.emitter = InMemoryEmitter()
        self.clock = ManualClock(NOW + 10 * DAY_MS)
        self.waits = Waits.alike(Patience(threading.Event(), lambda _: None))
        self.learner().start()
        self.score(0, transactions)

    def score(self, start: int, end: int) -> None:
        scorer = ScorerRole(
            self.store, self.emitter, TOPICS, self.clock, ScorerPolicy(skip_gaps=True), None, self.waits
        )
        for partition in (0, 1):
            scorer.assign(partition)
            mine = [transaction(n, partition) for n in range(start, end) if n % 2 == partition]
            if mine:
                scorer.handle(mine)

    def learner(self, policy: LearnerPolicy = POLICY) -> LearnerRole:
        return LearnerRole(self.store, self.emitter, TOPICS, self.clock, policy, None, self.waits)

    def letters(self) -> list[dict[str, object]]:
        return [json.loads(record.value) for record in self.emitter.on("dead-letters")]


def transaction(n: int, partition: int) -> Record:
    value = {
        "transaction_id": f"t{n}",
        "event_time": NOW + n * 60_000,
        "customer_id": f"c{n % 7}",
        "terminal_id": f"m{n % 5}",
        "amount": 500.0 if n % 10 == 0 else 20.0,
    }
    return Record("transactions", partition, n, NOW, f"c{n % 7}".encode(), json.dumps(value).encode())


def label(offset: int, *, n: int | None = None, fraud: bool | None = None, day: int = 7) -> Record:
    n = offset if n is None else n
    value = {
        "transaction_id": f"t{n}",
        "is_fraud": n % 10 == 0 if fraud is None else fraud,
        "source": "chargeback",
        "label_time": NOW + day * DAY_MS + offset,
    }
    return Record("labels", 0, offset, NOW, f"t{n}".encode(), json.dumps(value).encode())


def labels(start: int, end: int) -> list[Record]:
    return [label(n) for n in range(start, end)]


def probe(world: World) -> list[dict[str, object]]:
    """Score new transactions with whatever models are active now."""
    before = len(world.emitter.on("scores"))
    world.score(1000, 1040)
    scored = [json.loads(record.value) for record in world.emitter.on("scores")[before:]]
    return [{k: one[k] for k in ("transaction_id", "score", "shadow", "features")} for one in scored]


def test_labels_join_what_was_scored_in_any_partition() -> None:
    world = World()
    role = world.learner()
    role.start()
    report = role.handle(labels(0, 100))
    assert len(report.joined) == 100
    assert report.parked == 0
    assert role.offset == 99
    assert world.store.labels_done() == 99
    assert all(given.transaction_id in {f"t{n}" for n in range(100)} for given, _ in report.joined)


def test_a_fraud_is_told_of_once_whoever_says_it_again() -> None:
    world = World()
    role = world.learner()
    role.start()
    first = role.handle([label(0, n=10), label(1, n=11), label(2, n=10), label(3, n=12, fraud=False)])
    assert [(one.amount, one.customer_id) for one in first.frauds] == [(500.0, "c3")]
    # A correction tells of a fraud that nobody knew; what is read again after a restart tells of none.
    again = role.handle([label(4, n=10), label(5, n=12, fraud=True)])
    assert [one.customer_id for one in again.frauds] == ["c5"]
    restarted = world.learner()
    restarted.start()
    assert restarted.handle([label(0, n=10), label(4, n=10), label(5, n=12, fraud=True)]).frauds == []


def test_scorers_have_the_new_models_before_the_watermark_says_so() -> None:
    world = World()
    role = world.learner()
    role.start()
    order: list[str] = []
    publish, commit = world.store.publish, world.store.commit_labels

    def published(*arguments: object) -> object:
        order.append("publish")
        return publish(*arguments)  # type: ignore[arg-type]

    def committed(*arguments: object) -> object:
        order.append("commit")
        return commit(*arguments)  # type: ignore[arg-type]

    world.store.publish = published  # type: ignore[assignment, method-assign]
    world.store.commit_labels = committed  # type: ignore[assignment, method-assign]
    role.handle(labels(0, 60))
    assert order == ["publish", "commit"]


def test_bad_labels_become_dead_letters() -> None:
    world = World()
    role = world.learner()
    role.start()
    bad = Record("labels", 0, 1, NOW, None, b'{"is_fraud": 3}')
    report = role.handle([label(0), bad, label(2)])
    assert len(report.joined) == 2
    assert [letter["reason"] for letter in world.letters()] == ["invalid_field"]


def test_a_label_that_comes_before_its_transaction_waits_for_it() -> None:
    world = World(transactions=5)
    role = world.learner()
    role.start()
    report = role.handle([label(0, n=3), label(1, n=500)])
    assert (len(report.joined), report.newly_parked, role.parked) == (1, 1, 1)
    assert role.tick() is not None
    world.score(500, 501)
    joined = role.tick()
    assert joined is not None
    assert [given.transaction_id for given, _ in joined.joined] == ["t500"]
    assert role.tick() is None
    assert not world.letters()


def test_a_label_nobody_is_waiting_for_is_given_up_whole_after_its_grace() -> None:
    world = World(transactions=5)
    role = world.learner()
    role.start()
    lost = label(0, n=999)
    role.handle([lost])
    world.clock.advance(59_000)
    role.tick()
    assert not world.letters()
    world.clock.advance(1_000)
    report = role.tick()
    assert report is not None
    assert report.unmatched == 1
    (letter,) = world.letters()
    assert letter["reason"] == "unmatched_label"
    assert letter["offset"] == 0
    assert role.parked == 0


def test_when_too_many_labels_wait_those_that_waited_longest_become_dead_letters_whole() -> None:
    world = World(transactions=5)
    role = world.learner(replace(POLICY, most_parked=10))
    role.start()
    lost = [label(n, n=900 + n) for n in range(25)]
    reports = [role.handle(lost[:8]), role.handle(lost[8:20]), role.handle(lost[20:])]
    assert [report.unmatched for report in reports] == [0, 10, 5]
    assert [report.parked for report in reports] == [8, 10, 10]
    letters = world.letters()
    assert [letter["offset"] for letter in letters] == list(range(15))
    assert {letter["reason"] for letter in letters} == {"unmatched_label"}
    assert [base64.b64decode(str(letter["value"])) for letter in letters] == [one.value for one in lost[:15]]
    world.score(900, 925)
    joined = role.tick()
    assert joined is not None
    assert [given.transaction_id for given, _ in joined.joined] == [f"t{900 + n}" for n in range(15, 25)]


def test_labels_that_contradict_each_other_without_end_become_dead_letters_whole() -> None:
    world = World(transactions=5)
    role = world.learner()
    role.start()
    quarrel = [label(n, n=3, fraud=n % 2 == 0) for n in range(40)]
    reports = [role.handle(quarrel[:10]), role.handle(quarrel[10:])]
    assert sum(len(report.joined) - report.duplicates for report in reports) == MOST_VERDICTS
    letters = world.letters()
    # Of those that contradict: the others only say what is known.
    assert [letter["offset"] for letter in letters] == list(range(MOST_VERDICTS, 40, 2))
    assert {letter["reason"] for letter in letters} == {"contested_label"}
    assert base64.b64decode(str(letters[0]["value"])) == quarrel[MOST_VERDICTS].value
    (said,) = world.store.find_verdicts(["t3"]).values()
    assert len(unpack_verdicts(said)) == MOST_VERDICTS


def test_snapshots_are_held_back_for_a_while_however_many_labels_come() -> None:
    world = World()
    role = world.learner(replace(POLICY, snapshot_gap_ms=2_000))
    role.start()

    def published() -> int:
        sealed = world.store.roster()
        assert sealed is not None
        return decode_roster(sealed, None).members[0].snapshot

    first = published()
    role.handle(labels(0, 100))
    assert published() == first
    world.clock.advance(2_000)
    role.handle(labels(100, 101))
    assert published() == first + 1
    # What was held back last is handed on though no more labels come.
    role.handle(labels(101, 200))
    role.tick()
    assert published() == first + 1
    world.clock.advance(2_000)
    role.tick()
    assert published() == first + 2


def test_snapshots_are_handed_on_after_a_while_even_if_few_labels_come() -> None:
    world = World()
    role = world.learner()
    role.start()
    role.handle(labels(0, 3))

    def number() -> int:
        sealed = world.store.roster()
        assert sealed is not None
        return decode_roster(sealed, None).members[0].snapshot

    assert number() == 1
    role.tick()
    assert number() == 1
    world.clock.advance(30_000)
    role.tick()
    assert number() == 2


@pytest.mark.parametrize("killed_after", [0, 30, 90, 149])
def test_a_learner_that_is_killed_ends_where_it_would_have_ended(killed_after: int) -> None:
    undisturbed, world = World(), World()
    whole = undisturbed.learner()
    whole.start()
    for n in range(0, 150, 10):
        whole.handle(labels(n, n + 10))

    first = world.learner()
    first.start()
    for n in range(0, 150, 10):
        if n > killed_after:
            break
        if n == 50:
            first.checkpoint()
        first.handle(labels(n, n + 10))
    heir = world.learner()
    begin = heir.start()
    assert begin == (50 if killed_after >= 50 else 0)
    for n in range(begin, 150, 10):
        heir.handle(labels(n, n + 10))

    keys = [("terminal", f"m{n}") for n in range(5)] + [("customer", f"c{n}") for n in range(7)]
    assert world.store.find_risks(keys) == undisturbed.store.find_risks(keys)  # type: ignore[arg-type]
    assert heir.learner.quality() == whole.learner.quality()
    assert heir.learner.learned == whole.learner.learned == 150
    heir.learner.publish()
    whole.learner.publish()
    heir._publisher.publish(heir.learner)
    whole._publisher.publish(whole.learner)
    assert probe(world) == probe(undisturbed)


def test_a_silent_source_is_an_event_and_a_learner_that_was_killed_says_the_same() -> None:
    """Labels of 28 days, ten in each, none on two days, and some more."""
    some = [label(n, day=7 + n // 10) for n in range(280)] + [label(n, day=37) for n in range(280, 300)]
    undisturbed, world = World(300), World(300)
    for one in (undisturbed, world):
        one.clock.advance(28 * DAY_MS)
    whole = undisturbed.learner()
    whole.start()
    for n in range(0, 300, 30):
        whole.handle(some[n : n + 30])
    first = world.learner()
    first.start()
    first.handle(some[:95])
    first.checkpoint()
    first.handle(some[95:170])
    heir = world.learner()
    begin = heir.start()
    assert begin == 95
    heir.handle(some[begin:])

    (event,) = (json.loads(one.value) for one in undisturbed.emitter.on("model-events"))
    assert event["kind"] == "signal"
    assert event["evidence"] == {
        "signal": "silent_days",
        "source": "chargeback",
        "value": 2,
        "usual": 0,
        "allowed": 0,
    }
    assert event["detail"] == "labels of chargeback: silent_days 2, where 0 was usual"
    assert event["event_time"] == (NOW // DAY_MS + 37) * DAY_MS
    assert event["label_offset"] == 299
    (again,) = (json.loads(one.value) for one in world.emitter.on("model-events"))
    assert again == event
    assert heir.arrivals.ended == whole.arrivals.ended == NOW // DAY_MS + 36
    assert heir.arrivals.figures == whole.arrivals.figures


def test_labels_that_contradict_or_find_nothing_are_counted_among_those_that_arrive() -> None:
    world = World(transactions=60)
    role = world.learner()
    role.start()
    good = [label(n) for n in range(60)]
    changed = [label(60 + n, n=n, fraud=n % 10 != 0) for n in range(20)]
    role.handle([*good, *changed, *(label(80 + n, n=900 + n) for n in range(20))])
    world.clock.advance(60_000)
    role.handle([label(100 + n, n=n, day=8) for n in range(20)])
    shares = {signal: value for (signal, _), value in role.arrivals.figures.items() if "share" in signal}
    assert shares == {"fraud_share": 26 / 100, "corrected_share": 0.2, "unmatched_share": 0.2}


def cut_short(sealed: bytes) -> bytes:
    return sealed[: len(sealed) // 2]


def altered(sealed: bytes) -> bytes:
    return sealed[:-1] + bytes([sealed[-1] ^ 1])


def forged(sealed: bytes) -> bytes:
    return seal(unseal(sealed, None, "checkpoint", most_bytes=MOST_BYTES), b"another key", "checkpoint")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (cut_short, "checksum does not match"),
        (altered, "checksum does not match"),
        (forged, "it is signed"),
        (lambda _: b"damaged", "cut short, or something else"),
    ],
)
def test_a_damaged_checkpoint_is_refused_and_the_one_before_used(
    caplog: pytest.LogCaptureFixture, damage: Callable[[bytes], bytes], says: str
) -> None:
    world = World()
    role = world.learner()
    role.start()
    role.handle(labels(0, 40))
    role.checkpoint()
    role.handle(labels(40, 60))
    role.checkpoint()
    newest = next(world.store.checkpoints())
    token, _ = world.store.take_learner()
    world.store.save_checkpoint(token, damage(newest))
    world.store.save_checkpoint(token, damage(newest))
    heir = world.learner()
    assert heir.start() == 60
    assert "checkpoint 0 (0 is the newest) refused, trying the one before" in caplog.text
    assert "checkpoint 1 (0 is the newest) refused, trying the one before" in caplog.text
    assert says in caplog.text
    assert heir.handle(labels(60, 80)).labels == 20


def test_with_every_checkpoint_damaged_the_learner_learns_the_log_again_and_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = World()
    role = world.learner()
    role.start()
    role.handle(labels(0, 40))
    token, _ = world.store.take_learner()
    world.store.save_checkpoint(token, b"damaged")
    heir = world.learner()
    assert heir.start() == 0
    assert "no usable checkpoint, but labels to offset 39 were applied" in caplog.text
    assert heir.handle(labels(0, 40)).labels == 40


def test_parked_labels_survive_a_restart() -> None:
    world = World(transactions=5)
    role = world.learner()
    role.start()
    role.handle([label(0, n=500)])
    role.checkpoint()
    heir = world.learner()
    assert heir.start() == 1
    world.score(500, 501)
    report = heir.tick()
    assert report is not None
    assert len(report.joined) == 1


def test_labels_from_before_the_checkpoint_are_passed_over() -> None:
    world = World()
    role = world.learner()
    role.start()
    role.handle(labels(0, 40))
    report = role.handle(labels(20, 60))
    assert len(report.joined) == 20
    assert role.learner.learned == 60


def test_a_learner_that_was_replaced_is_refused() -> None:
    world = World()
    old = world.learner()
    old.start()
    world.learner().start()
    with pytest.raises(FencedError):
        old.handle(labels(0, 10))
    with pytest.raises(FencedError):
        old.checkpoint()


def test_lost_labels_stop_the_learner_unless_told_to_go_on() -> None:
    world = World()
    role = world.learner()
    role.start()
    role.handle(labels(0, 10))
    with pytest.raises(OffsetGapError, match="5 labels before offset 15"):
        role.handle(labels(15, 20))
    patient = world.learner(replace(POLICY, skip_gaps=True))
    patient.start()
    patient.handle(labels(0, 10))
    assert patient.handle(labels(15, 20)).gap == 5


def test_a_label_of_a_transaction_with_other_features_becomes_a_dead_letter() -> None:
    world = World()
    role = world.learner()
    role.start()
    stored = PendingReader(world.store, world.waits.redis).open(world.store.find_pending(["t1"], 2), range(2))
    other = msgspec.structs.replace(stored["t1"], feature_schema="deadbeef")
    older = pack_pendings(PendingBatch.of({"t1": other}))
    tenure = world.store.take_partition(1)
    world.store.commit(tenure, tenure.watermark, {}, older.records, lineups=older.lineups)
    report = role.handle(labels(0, 3))
    assert [given.transaction_id for given, _ in report.joined] == ["t0", "t2"]
    (letter,) = world.letters()
    assert (letter["reason"], letter["offset"]) == ("unmatched_label", 1)
    assert "deadbeef" in str(letter["detail"])
    assert role.handle(labels(3, 4)).joined, "learning goes on"


class TestLostState:
    def test_a_store_that_is_emptied_ends_the_learner_with_or_without_labels(self) -> None:
        for labelled in (True, False):
            world = World()
            role = world.learner()
            role.start()
            role.handle(labels(0, 10))
            assert role.tick() is None
            world.store.flush()
            with pytest.raises(StateLostError, match="learner's role: of token 2 nothing is left"):
                role.handle(labels(10, 20)) if labelled else role.tick()
            with pytest.raises(StateLostError):
                role.checkpoint()
            assert not world.letters()

    def test_commits_that_redis_lost_end_the_learner_and_its_checkpoint_is_passed_over(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        undisturbed, world = World(), World()
        whole = undisturbed.learner()
        whole.start()
        whole.handle(labels(0, 80))
        role = world.learner()
        role.start()
        role.handle(labels(0, 40))
        role.checkpoint()
        world.store.commit_labels = lambda *_: None  # type: ignore[method-assign]
        role.handle(labels(40, 60))
        role.checkpoint()
        del world.store.commit_labels  # type: ignore[method-assign]
        with pytest.raises(StateLostError, match="it stands at offset 39, after 59 had been stored"):
            role.tick()
        heir = world.learner()
        assert heir.start(InMemoryInputLog({0: 60})) == 40
        assert heir.resumption == (40, 60, "reread")
        assert "checkpoint 0 is of label offset 59, but Redis has lost what came after 39" in caplog.text
        heir.handle(labels(40, 80))
        keys = [("terminal", f"m{n}") for n in range(5)] + [("customer", f"c{n}") for n in range(7)]
        assert world.store.find_risks(keys) == undisturbed.store.find_risks(keys)  # type: ignore[arg-type]
        assert heir.learner.quality() == whole.learner.quality()

    def test_what_was_acknowledged_is_no_dead_letter_again(self) -> None:
        world = World()
        role = world.learner()
        role.start()
        bad = [Record("labels", 0, n, NOW, None, b"{") for n in range(4)]
        role.handle(bad[:2])
        heir = world.learner()
        assert heir.start(InMemoryInputLog({0: 2})) == 0
        assert len(heir.handle(bad).dead_letters) == 2
        assert [letter["offset"] for letter in world.letters()] == [0, 1, 2, 3]

    def test_without_a_choice_nothing_is_learnt(self) -> None:
        world = World()
        with pytest.raises(StateLostError, match=r"^labels/0: .* FRAUD_LOST_STATE=rebuild .*=cold"):
            world.learner().start(InMemoryInputLog({0: 30}))

    def test_a_rebuild_learns_every_label_that_the_topic_still_has(self) -> None:
        world = World()
        role = world.learner(replace(POLICY, lost_state="rebuild"))
        assert role.start(InMemoryInputLog({0: 60}, {0: 20})) == 20
        bad = Record("labels", 0, 21, NOW, None, b"{")
        report = role.handle([label(20), bad, *labels(25, 40)])
        assert (len(report.joined), report.gap, report.dead_letters) == (16, 0, [])
        assert role.handle(labels(45, 60)).gap == 0, "these were learnt once"
        with pytest.raises(OffsetGapError, match="3 labels before offset 63"):
            role.handle(labels(63, 64))

    def test_a_cold_start_goes_on_with_new_models_and_is_made_once(self) -> None:
        world = World()
        role = world.learner(replace(POLICY, lost_state="cold"))
        log = InMemoryInputLog({0: 60})
        assert role.start(log) == 60
        assert role.learner.learned == 0
        heir = world.learner()
        assert heir.start(log) == 60
        assert heir.resumption.remedy is None
        assert len(heir.handle(labels(60, 70)).joined) == 10
        with pytest.raises(OffsetGapError, match="5 labels before offset 75"):
            heir.handle(labels(75, 80))

    def test_labels_wait_for_scorers_that_rebuild(self) -> None:
        world = World(transactions=100)
        world.store.flush()
        role = world.learner(replace(POLICY, lost_state="rebuild"))
        waited: list[str] = []

        def rebuild(error: InfrastructureError | None) -> None:
            world.clock.advance(2 * POLICY.label_grace_ms)
            if error is not None:
                waited.append(str(error))
                world.score(50 * len(waited) - 50, 50 * len(waited))

        patience = Patience(threading.Event(), rebuild, first_pause=0.0, longest_pause=0.0)
        waits = world.waits._replace(scorers=patience)
        catch_up = CatchUp(world.store, InMemoryInputLog({0: 99, 1: 100}), 2, waits)
        role.start(InMemoryInputLog({0: 10}), catch_up)
        assert world.store.roster() is not None, "scorers need models to go on"
        report = role.handle(labels(0, 100))
        assert len(waited) == 2
        assert (len(report.joined), report.parked, report.unmatched) == (100, 0, 0)


def test_labels_beyond_a_sources_rate_are_put_aside_whole_and_can_be_brought_back() -> None:
    world = World()
    learner = world.learner(replace(POLICY, label_rates={"chargeback": 3}))
    learner.start()
    report = learner.handle(labels(0, 5))
    assert len(report.joined) == 3
    assert [letter["reason"] for letter in world.letters()] == ["label_rate", "label_rate"]
    whole = base64.b64decode(str(world.letters()[0]["value"]))
    assert whole == label(3).value
    back = [one._replace(offset=5 + n, timestamp=NOW + HOUR_MS) for n, one in enumerate(labels(3, 5))]
    assert len(learner.handle(back).joined) == 2


def test_a_rate_is_remembered_by_who_takes_over() -> None:
    world = World()
    policy = replace(POLICY, label_rates={"chargeback": 3})
    learner = world.learner(policy)
    learner.start()
    learner.handle(labels(0, 2))
    learner.checkpoint()
    successor = world.learner(policy)
    successor.start()
    assert len(successor.handle(labels(2, 5)).joined) == 1


def test_a_source_without_weight_is_counted_and_teaches_nothing() -> None:
    world = World()
    learner = world.learner(replace(POLICY, label_weights={"chargeback": 0.0}))
    learner.start()
    report = learner.handle(labels(0, 50))
    assert len(report.joined) == 50
    assert learner.learner.learned == 0
    assert learner.learner.window.added == 50
    assert world.store.find_risks([("customer", "c1")])


def test_a_roster_that_is_not_the_one_that_was_published_is_replaced_and_reported() -> None:
    world = World()
    role = world.learner()
    role.start()
    old = world.store.roster()
    assert old is not None
    role.handle(labels(0, 100))
    ours = world.store.roster()
    assert ours is not None
    assert ours != old
    assert role.tick() is None
    assert world.store.roster() == ours
    world.store._roster = old

    role.tick()

    found = world.store.roster()
    assert found is not None
    assert decode_roster(found, None).place > decode_roster(ours, None).place
    assert decode_roster(found, None).champion == decode_roster(ours, None).champion
    again, before = (
        {one.version: one.snapshot for one in decode_roster(sealed, None).members} for sealed in (found, ours)
    )
    assert again.keys() == before.keys()
    assert all(again[version] > before[version] for version in before)
    events = [json.loads(record.value) for record in world.emitter.on("model-events")]
    assert [one["kind"] for one in events].count("roster_restored") == 1
    role.tick()
    assert world.store.roster() == found
