"""Orders on their way from the command to the learner and back, over the in-memory store."""

import threading

import pytest

from stream.adapters.memory import InMemoryEmitter, InMemoryStore
from stream.adapters.topics import TopicNames
from stream.clock import ManualClock
from stream.errors import SettingsError
from stream.models.compiled import Constant
from stream.models.fitted import FittedModel
from stream.pipeline.learning import LearningPolicy
from stream.registry.orders import Order, encode_order
from stream.registry.snapshot import decode_roster
from stream.roles.learner import LearnerPolicy, LearnerRole
from stream.roles.patience import Patience, Waits
from stream.settings import Settings
from stream.steering import give

WAITS = Waits.alike(Patience(threading.Event(), lambda _: None))
NOW = 1_700_000_000_000
TOPICS = TopicNames.of(Settings())


class Steered:
    """A learner with an operator."""

    def __init__(self, key: bytes | None = None) -> None:
        self.clock, self.store, self.emitter = ManualClock(NOW), InMemoryStore(), InMemoryEmitter()
        self.key = key
        self.learner = self.start()

    def start(self) -> LearnerRole:
        policy = LearnerPolicy(LearningPolicy(champion="logistic", challengers=("tree",)))
        role = LearnerRole(self.store, self.emitter, TOPICS, self.clock, policy, self.key, WAITS)
        role.start()
        # As if it had learnt enough to be believed.
        role.learner.field.contenders["tree-1"].model = FittedModel(Constant(0.1), 100, 50)
        return role

    def order(self, order: Order, key: bytes | None = None) -> None:
        def pause(seconds: float) -> None:
            self.clock.now_ms += round(seconds * 1000)
            self.learner.tick()

        give(self.store, key or self.key, order, 5.0, self.clock, pause)

    @property
    def champion(self) -> str:
        sealed = self.store.roster()
        assert sealed is not None
        return decode_roster(sealed, self.key).champion

    @property
    def events(self) -> list[bytes]:
        return [one.value for one in self.emitter.on(TOPICS.model_events)]


def promotion(version: str = "tree-1") -> Order:
    return Order(
        action="promote", model_version=version, who="ann", why="it knows the new ones", given_at=NOW
    )


BACK = Order(action="rollback", who="bob", why="it does not", given_at=NOW + 1)


@pytest.mark.parametrize("key", [None, b"0123456789abcdef"])
def test_a_promotion_and_a_rollback_are_carried_out_and_audited(
    key: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    steered = Steered(key)
    steered.order(promotion())
    assert steered.champion == "tree-1"
    assert steered.learner.learner.case.state == "probation"
    steered.order(BACK)
    assert steered.champion == "logistic-1"
    assert steered.learner.learner.case.state == "cooldown"
    first, second = steered.events
    assert b'"kind":"swap"' in first
    assert b'"who":"ann"' in first
    assert b'"why":"it knows the new ones"' in first
    assert b'"kind":"rollback"' in second
    assert b'"who":"bob"' in second
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "tree-1 takes over from logistic-1, as ann has ordered: it knows the new ones",
        "logistic-1 serves again in place of tree-1, as bob has ordered: it does not",
    ]


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (promotion("oracle-1"), "there is no such model; there are: logistic-1, tree-1"),
        (promotion("logistic-1"), "it serves already"),
        (BACK, "nobody that still learns has served before"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason_and_audited(order: Order, says: str) -> None:
    steered = Steered()
    with pytest.raises(SettingsError, match=says):
        steered.order(order)
    assert steered.champion == "logistic-1"
    assert b'"kind":"order_refused"' in steered.events[0]


def test_a_model_that_knows_nothing_yet_cannot_be_promoted() -> None:
    steered = Steered()
    newborn = steered.learner.learner.field.bear("tree", 0)
    with pytest.raises(SettingsError, match="it has learnt too few frauds"):
        steered.order(promotion(newborn.version))


def test_an_order_without_the_signing_key_changes_nothing() -> None:
    steered = Steered(b"0123456789abcdef")
    with pytest.raises(SettingsError, match="which is not accepted here"):
        steered.order(promotion(), key=b"fedcba9876543210")
    assert steered.champion == "logistic-1"
    assert not steered.events


def test_a_copy_of_an_order_of_the_past_is_refused() -> None:
    steered = Steered(b"0123456789abcdef")
    steered.order(promotion())
    steered.order(BACK)
    with pytest.raises(SettingsError, match="one that was given later has been taken"):
        steered.order(promotion())
    assert steered.champion == "logistic-1"


def test_an_order_stands_until_a_learner_runs(capsys: pytest.CaptureFixture[str]) -> None:
    steered = Steered()

    def pause(seconds: float) -> None:
        steered.clock.now_ms += round(seconds * 1000)

    give(steered.store, None, promotion(), 1.0, steered.clock, pause)
    assert "order 1 stands, but no learner has answered within 1 s" in capsys.readouterr().out
    steered.learner.tick()
    assert steered.champion == "tree-1"


def test_an_order_is_carried_out_once_across_a_restart() -> None:
    steered = Steered()
    steered.order(promotion())
    steered.learner.checkpoint()
    steered.learner = steered.start()
    steered.learner.tick()
    assert len(steered.events) == 1
    assert steered.champion == "tree-1"


def test_a_learner_that_begins_anew_leaves_what_was_ordered_of_models_that_are_no_more() -> None:
    steered = Steered()
    steered.store.order(encode_order(promotion(), None))
    steered.learner = steered.start()
    steered.learner.tick()
    assert steered.champion == "logistic-1"
    assert not steered.events
