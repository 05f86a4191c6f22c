import pickle
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from stream.clock import DAY_MS
from stream.drift.detectors import DetectorPolicy
from stream.errors import SettingsError
from stream.features.catalogue import FEATURE_NAMES, SCHEMA
from stream.features.risk import RiskRecord, unpack_risks
from stream.pipeline.learning import Joined, Learner, LearningPolicy, Outcome
from stream.pipeline.pending import LAYOUT, Pending
from stream.pipeline.risk_book import RiskBook
from stream.pipeline.verdicts import Said, pack_verdicts, unpack_verdicts
from stream.ports import RiskKey
from stream.records import Label, ModelEvent, encode
from stream.registry.gate import GatePolicy
from stream.registry.orders import Order
from stream.registry.swap import SwapPolicy

NOW = 1_700_000_000_000
QUICK = SwapPolicy(
    gate=GatePolicy(min_frauds=20, resamples=50),
    detector=DetectorPolicy(alerts_a_fraud=1),
    review_labels=200,
    check_labels=50,
    cooldown_labels=300,
    patience_labels=600,
    most_tries=1,
)
POLICY = LearningPolicy(champion="logistic", challengers=("tree",), snapshot_labels=100, swap=QUICK)


def joined(
    offset: int,
    *,
    fraud: bool = False,
    scores: dict[str, float] | None = None,
    name: str = "",
    said: tuple[Said, ...] = (),
    amount: float = 10.0,
    ratio: float = 1.0,
) -> Joined:
    label = Label(
        transaction_id=name or f"t{offset}",
        is_fraud=fraud,
        source="chargeback",
        label_time=NOW + 7 * DAY_MS + offset,
    )
    vector = np.zeros(len(FEATURE_NAMES), dtype="<f4")
    vector[FEATURE_NAMES.index("amount")] = amount
    vector[FEATURE_NAMES.index("amount_ratio")] = ratio
    given = scores or {"logistic-1": 0.1, "tree-1": 0.1}
    pending = Pending(
        LAYOUT,
        SCHEMA,
        vector.tobytes(),
        tuple(given),
        tuple(given.values()),
        1,
        0.3,
        NOW + offset,
        amount,
        "c1",
        "m1",
        NOW + offset,
    )
    return Joined(label, offset, pending, said)


def learn(learner: Learner, *batch: Joined) -> Outcome:
    return learner.learn_batch(batch, NOW)


def risks(*outcomes: Outcome) -> dict[RiskKey, RiskRecord]:
    """Return the risk records that outcomes lead to, one after the other."""
    stored: dict[RiskKey, bytes] = {}
    for outcome in outcomes:
        book = RiskBook(outcome.notes)
        stored |= book.count({key: stored[key] for key in book.keys if key in stored})
    return dict(zip(stored, unpack_risks([*stored.values()]), strict=True))


def stream(learner: Learner, labels: int, good: str, bad: str, *, start: int = 0) -> list[Outcome]:
    """Feed labels that one model foresaw and the other did not."""
    random = np.random.default_rng(start)
    outcomes = []
    for n in range(start, start + labels):
        fraud = n % 8 == 0
        right = float(np.clip(random.normal(0.9 if fraud else 0.05, 0.05), 0, 1))
        wrong = float(random.random() * 0.4)
        scores = {good: right, bad: wrong}
        champion_first = sorted(scores, key=lambda version: version != learner.field.champion)
        given = {version: scores[version] for version in champion_first}
        outcomes.append(learn(learner, joined(n, fraud=fraud, scores=given)))
    return outcomes


def events(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    found = [event for outcome in outcomes for event in outcome.events]
    for event in found:  # whoever reads the topic can
        assert msgspec.json.decode(encode(event), type=ModelEvent) == event
    return [(event.kind, event.model_version) for event in found]


def test_a_label_is_judged_learnt_and_counted() -> None:
    learner = Learner(POLICY)
    outcome = learn(learner, joined(5, fraud=True))
    assert outcome.verdicts == {"t5": (Said(5, True),)}
    known = risks(outcome)
    assert known["terminal", "m1"].frauds[0] == known["customer", "c1"].frauds[0] == 1
    assert learner.offset == 5
    assert learner.learned == 1
    assert learner.quality()["logistic-1"].frauds == 1
    assert all(contender.model.learned == 1 for contender in learner.field.contenders.values())


def test_a_repeated_verdict_is_only_counted() -> None:
    learner = Learner(POLICY)
    learn(learner, joined(5, fraud=True, name="x"))
    outcome = learn(learner, joined(6, fraud=True, name="x", said=(Said(5, True),)))
    assert outcome.duplicates == 1
    assert not outcome.verdicts
    assert not outcome.notes
    assert learner.learned == 1


def test_a_second_opinion_corrects_evaluation_and_risk_and_is_learnt_once_more() -> None:
    learner = Learner(POLICY)
    first = learn(learner, joined(5, fraud=False, name="x"))
    outcome = learn(learner, joined(9, fraud=True, name="x", said=(Said(5, False),)))
    assert len(outcome.corrections) == 1
    assert outcome.verdicts["x"] == (Said(5, False), Said(9, True))
    for record in risks(first, outcome).values():
        assert (record.frauds[0], record.labels[0]) == (1, 1)
    assert learner.quality()["logistic-1"].frauds == 1
    assert learner.quality()["logistic-1"].labels == 1
    assert learner.learned == 2


def test_settlement_does_not_overrule_a_person() -> None:
    learner = Learner(POLICY)
    learn(learner, joined(5, fraud=True, name="x"))
    late = joined(9, fraud=False, name="x", said=(Said(5, True),))
    silence = late._replace(label=msgspec.structs.replace(late.label, source="settlement"))
    outcome = learn(learner, silence)
    assert (outcome.duplicates, len(outcome.corrections)) == (1, 0)
    assert learner.quality()["logistic-1"].frauds == 1


def test_repetitions_within_a_batch_are_noticed_too() -> None:
    learner = Learner(POLICY)
    outcome = learn(learner, *(joined(n, fraud=n == 3, name="x") for n in (1, 2, 3)))
    assert (outcome.joined, outcome.duplicates, len(outcome.corrections)) == (3, 1, 1)
    assert outcome.verdicts["x"] == (Said(1, False), Said(3, True))


def test_a_label_read_again_after_a_restart_is_learnt_and_not_counted_again() -> None:
    learner = Learner(POLICY)  # of an older checkpoint: it has not seen label 5
    outcome = learn(learner, joined(5, fraud=True, said=(Said(5, True),)))
    assert learner.learned == 1
    assert not outcome.verdicts
    assert not outcome.notes


def test_a_replay_of_an_old_label_is_not_confused_by_the_correction_that_followed() -> None:
    learner = Learner(POLICY)
    said = (Said(5, False), Said(9, True, analyst=True))
    first = learn(learner, joined(5, fraud=False, name="x", said=said))
    second = learn(learner, joined(9, fraud=True, name="x", said=said))
    assert (first.duplicates, len(first.corrections)) == (0, 0)
    assert (second.duplicates, len(second.corrections)) == (0, 1)
    assert not first.verdicts
    assert not second.verdicts


def test_a_fraud_that_its_amount_explains_says_nothing_of_the_terminal() -> None:
    outcome = learn(Learner(POLICY), joined(1, fraud=True, ratio=5.0))
    assert risks(outcome)["terminal", "m1"].run == 0
    outcome = learn(Learner(POLICY), joined(1, fraud=True, ratio=1.0))
    assert risks(outcome)["terminal", "m1"].run == 1


def test_snapshots_come_at_the_start_and_after_so_many_labels() -> None:
    learner = Learner(POLICY)
    first = learner.publication()
    assert first is not None
    assert [one.version for one in first] == ["logistic-1", "tree-1"]
    assert learner.publication() is None
    learn(learner, *(joined(n) for n in range(99)))
    assert learner.publication() is None
    learn(learner, joined(99))
    second = learner.publication()
    assert second is not None
    assert [one.snapshot for one in second] == [2, 2]


def test_a_challenger_that_is_simply_better_takes_over_at_a_review() -> None:
    learner = Learner(POLICY)
    outcomes = stream(learner, 400, good="tree-1", bad="logistic-1")
    assert events(outcomes) == [("swap", "tree-1")]
    assert learner.field.champion == "tree-1"
    publication = learner.publication()
    assert publication is not None
    assert publication[0].version == "tree-1"
    swap = next(event for outcome in outcomes for event in outcome.events)
    assert swap.previous_version == "logistic-1"
    assert swap.evidence["trigger"] == "review"
    assert float(swap.evidence["lower"]) > 0


def changing(learner: Learner, labels: int, start: int, *, old: bool) -> list[Outcome]:
    """Feed labels whose frauds are told by a large amount, or, once they have changed, by a small one.

    The champion has foreseen the old frauds and does not foresee the new.
    """
    random, outcomes = np.random.default_rng(start), []
    for n in range(start, start + labels):
        fraud = n % 8 == 0
        amount = random.gamma(4, 10) + 300 * fraud if old else 100 - random.gamma(4, 2) * (fraud * 8 + 1)
        foreseen = random.normal(0.9 if fraud and old else 0.2, 0.05)
        others = {version: random.random() * 0.4 for version in learner.field.challengers}
        scores = {learner.field.champion: foreseen, **others}
        outcomes.append(learn(learner, joined(n, fraud=fraud, scores=scores, amount=float(amount))))
    return outcomes


def test_a_champion_that_begins_to_fail_is_replaced_by_one_that_was_born_on_it() -> None:
    swap = replace(QUICK, review_labels=10**9, trial=GatePolicy(min_frauds=20, resamples=50))
    learner = Learner(replace(POLICY, memory_labels=400, swap=swap))
    calm = changing(learner, 1600, 0, old=True)
    assert not events(calm)
    outcomes = changing(learner, 1000, 1600, old=False)
    found = events(outcomes)
    assert found[:2] == [("drift", "logistic-1"), ("born", "logistic-2")]
    assert found[2][0] == "swap"
    assert found[2][1] != "logistic-1"
    happened = [event for outcome in outcomes for event in outcome.events]
    assert happened[1].evidence["taught"] == 400
    assert happened[2].evidence["state"] == "probation"
    begin, end = happened[2].evidence["window_begin"], happened[2].evidence["window_end"]
    assert 1600 < int(begin) < int(end) <= 2600


def test_a_promoted_model_that_fails_its_probation_is_rolled_back() -> None:
    swap = replace(QUICK, trial=GatePolicy(min_frauds=20, resamples=50), probation_labels=10**6)
    learner = Learner(replace(POLICY, champion="tree", challengers=("logistic",), swap=swap))
    # What was served makes logistic-1 the better one; but it is not, and its probation tells.
    random, outcomes = np.random.default_rng(3), []
    for n in range(3000):
        fraud = n % 8 == 0
        amount = 50.0 + float(random.normal(0, 2) if fraud else random.choice([-20.0, 20.0]))
        scores = {"tree-1": 0.2 * random.random(), "logistic-1": 0.9 * fraud}
        first = sorted(scores, key=lambda version: version != learner.field.champion)
        given = {version: float(scores[version]) for version in first}
        outcomes.append(learn(learner, joined(n, fraud=fraud, scores=given, amount=amount)))
    found = events(outcomes)
    assert found[:2] == [("swap", "logistic-1"), ("rollback", "tree-1")]
    rollback = next(e for outcome in outcomes for e in outcome.events if e.kind == "rollback")
    assert rollback.previous_version == "logistic-1"
    assert float(rollback.evidence["lower"]) > 0
    publication = learner.publication()
    assert publication is not None


def test_false_alerts_are_those_of_the_champion_that_gave_them() -> None:
    alarmed = {}
    for decided_by in ("logistic-1", "tree-1"):
        learner = Learner(replace(POLICY, swap=replace(QUICK, review_labels=10**9)))
        drifts = []
        other = "tree-1" if decided_by == "logistic-1" else "logistic-1"
        for n in range(1_200):
            given = {decided_by: 0.9, other: 0.9}
            outcome = learn(learner, joined(n, fraud=n < 600, scores=given))
            drifts += [event.evidence["signal"] for event in outcome.events if event.kind == "drift"]
        alarmed[decided_by] = drifts
    assert "false_alerts" in alarmed["logistic-1"]
    assert "false_alerts" not in alarmed["tree-1"]


def test_a_drift_that_nobody_masters_ends_in_a_refusal() -> None:
    learner = Learner(replace(POLICY, swap=replace(QUICK, review_labels=10**9)))
    stream(learner, 1600, good="logistic-1", bad="tree-1")
    outcomes = []
    random = np.random.default_rng(1)
    for n in range(1600, 3200):
        scores = {"logistic-1": random.random() * 0.4, "tree-1": random.random() * 0.4}
        outcomes.append(learn(learner, joined(n, fraud=n % 8 == 0, scores=scores)))
    kinds = [kind for kind, _ in events(outcomes)]
    assert kinds[:2] == ["drift", "born"]
    assert learner.field.champion == "logistic-1"
    assert kinds[kinds.index("gate_refused") + 1] == "retired"


def test_a_newborn_that_the_gate_has_refused_goes_and_leaves_room() -> None:
    learner = Learner(replace(POLICY, most_models=3, swap=replace(QUICK, review_labels=10**9)))
    random = np.random.default_rng(1)
    found, start = [], 0
    for _ in range(3):
        found += events(stream(learner, 1600, good="logistic-1", bad="tree-1", start=start))
        for n in range(start + 1600, start + 3200):
            scores = {"logistic-1": random.random() * 0.4, "tree-1": random.random() * 0.4}
            found += events([learn(learner, joined(n, fraud=n % 8 == 0, scores=scores))])
        start += 3200
    born = [version for kind, version in found if kind == "born"]
    retired = [version for kind, version in found if kind == "retired"]
    assert len(born) >= 3
    assert retired == born[: len(retired)]
    assert len(born) - len(retired) <= 1
    assert {*learner.field.contenders} == {"logistic-1", "tree-1", *born[len(retired) :]}


def test_a_newborn_that_has_served_stays_when_a_later_case_is_refused() -> None:
    learner = Learner(replace(POLICY, swap=replace(QUICK, review_labels=10**9, probation_labels=200)))
    random = np.random.default_rng(1)

    def lose_the_thread(begin: int, labels: int) -> list[tuple[str, str]]:
        outcomes = []
        for n in range(begin, begin + labels):
            given = {version: random.random() * 0.4 for version in (learner.field.champion, "tree-1")}
            outcomes.append(learn(learner, joined(n, fraud=n % 8 == 0, scores=given)))
        return events(outcomes)

    stream(learner, 1600, good="logistic-1", bad="tree-1")
    assert ("born", "logistic-2") in lose_the_thread(1600, 400)
    order = Order(
        action="promote", model_version="logistic-2", who="ann", why="it knows the new frauds", given_at=NOW
    )
    assert [event.kind for event in learner.obey(order, NOW)] == ["swap"]
    stream(learner, 2600, good="logistic-2", bad="tree-1", start=2000)
    later = lose_the_thread(4600, 1600)
    assert ("gate_refused", "logistic-2") in later
    assert ("retired", "logistic-3") in later
    assert {*learner.field.contenders} >= {"logistic-1", "tree-1", "logistic-2"}


def test_newborns_stay_as_long_as_there_are_cases_on_the_same_drift() -> None:
    learner = Learner(replace(POLICY, swap=replace(QUICK, review_labels=10**9, most_tries=2)))
    stream(learner, 1600, good="logistic-1", bad="tree-1")
    random = np.random.default_rng(1)
    found = []
    for n in range(1600, 3600):
        scores = {"logistic-1": random.random() * 0.4, "tree-1": random.random() * 0.4}
        found += events([learn(learner, joined(n, fraud=n % 8 == 0, scores=scores))])
    assert found[:7] == [
        ("drift", "logistic-1"),
        ("born", "logistic-2"),
        ("gate_refused", "logistic-1"),
        ("born", "logistic-3"),
        ("gate_refused", "logistic-1"),
        ("retired", "logistic-2"),
        ("retired", "logistic-3"),
    ]
    assert learner.drifts == 1


def test_the_field_does_not_grow_without_bound() -> None:
    learner = Learner(replace(POLICY, most_models=3, swap=replace(QUICK, review_labels=10**9)))
    start = 0
    for _ in range(4):
        for good, bad in (("logistic-1", "tree-1"), ("tree-1", "logistic-1")):
            stream(learner, 1200, good=good, bad=bad, start=start)
            start += 1200
    assert learner.drifts > 2
    assert len(learner.field.contenders) <= 3


def test_a_copy_that_is_fed_the_same_labels_ends_in_the_same_bits() -> None:
    kept = Learner(POLICY)
    stream(kept, 300, good="tree-1", bad="logistic-1")
    stored = pickle.loads(pickle.dumps(kept))  # noqa: S301 - our own bytes
    for learner in (kept, stored):
        stream(learner, 500, good="logistic-1", bad="tree-1", start=300)
        learner.publish()
    x = np.random.default_rng(0).normal(size=(20, len(FEATURE_NAMES)))
    for one, other in zip(kept.publication() or (), stored.publication() or (), strict=True):
        assert (one.version, one.snapshot) == (other.version, other.snapshot)
        assert one.compiled.predict(x).tolist() == other.compiled.predict(x).tolist()
    assert kept.quality() == stored.quality()


def test_how_labels_are_cut_into_batches_changes_nothing() -> None:
    labels = [
        joined(n, fraud=n % 8 == 0, scores={"logistic-1": 0.2, "tree-1": n % 8 / 8}) for n in range(450)
    ]
    whole, pieces = Learner(POLICY), Learner(POLICY)
    learn(whole, *labels)
    for start in range(0, 450, 7):
        learn(pieces, *labels[start : start + 7])
    x = np.ones((1, len(FEATURE_NAMES)))
    for one, other in zip(whole.publication() or (), pieces.publication() or (), strict=True):
        assert (one.version, one.snapshot) == (other.version, other.snapshot)
        assert one.compiled.predict(x).tolist() == other.compiled.predict(x).tolist()


def test_an_unknown_recipe_stops_the_start() -> None:
    with pytest.raises(SettingsError, match="no recipe 'oracle'"):
        Learner(replace(POLICY, challengers=("oracle",)))


def test_verdicts_are_stored_with_their_offsets_and_who_spoke() -> None:
    said = (Said(5, False), Said(9, True, analyst=True))
    assert pack_verdicts(said) == b"\x92\x93\x05\xc2\xc2\x93\x09\xc3\xc3"
    assert unpack_verdicts(pack_verdicts(said)) == said
    # As they were stored before they said who spoke.
    assert unpack_verdicts(b"\x92\x92\x05\xc2\x92\x09\xc3") == (Said(5, False), Said(9, True))


def test_where_frauds_are_rare_the_learner_judges_and_teaches_by_enough_of_them() -> None:
    policy = replace(POLICY, window_labels=100, window_frauds=5, memory_labels=60, memory_frauds=3)
    learner = Learner(policy)
    for n in range(1_000):
        learn(learner, joined(n, fraud=n % 100 == 0))
    quality = learner.quality()["logistic-1"]
    assert (quality.labels, quality.frauds) == (500, 5)
    assert sum(one.is_fraud for one in learner.memory.last(1_000)) == 3
    assert len(learner.memory.last(1_000)) == 300
