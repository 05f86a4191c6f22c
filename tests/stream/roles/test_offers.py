"""From an offer to the champion: what the learner makes of models that were fitted elsewhere."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from stream.drift.detectors import Drift
from stream.features.catalogue import SCHEMA
from stream.models.boosted import Boosted
from stream.models.compiled import Constant
from stream.pipeline.learning import LearningPolicy
from stream.records import ModelEvent
from stream.registry.gate import GatePolicy
from stream.registry.orders import Order
from stream.registry.snapshot import decode_snapshot
from stream.registry.swap import Refusal, SwapPolicy
from stream.roles.fitter import FitterRole
from stream.roles.learner import LearnerRole
from tests.stream.roles.batch_world import (
    KEY,
    LEARNING,
    NOW,
    RIGHT,
    World,
    fitted_at,
    kinds,
    label,
    labels,
    offer,
    raw,
)


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
    learner._publisher.publish(learner.learner)
    assert [one.kind for one in events] == ["drift"]
    assert world.roster().alarm == 9
    world.score(10, 20)
    learner.handle(labels(10, 20))
    # The case ends, and the next is open as the champion has not recovered.
    inner._on_refusal(Refusal(None, None, "missed_frauds", 0, DRIFT), events, NOW)
    learner._publisher.publish(learner.learner)
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
