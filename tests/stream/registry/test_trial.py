import pickle

import numpy as np

from stream.models.compiled import Constant
from stream.models.fitted import FittedModel
from stream.models.online import EVERY_VIEW
from stream.models.recipes import recipe
from stream.registry.challengers import Contender
from stream.registry.trial import Heard, Memory, Trial

NAMES = ("amount", "ratio")


def heard(offset: int, *, fraud: bool = False, amount: float = 1.0) -> Heard:
    features = np.array([amount, 2.0], "<f4").tobytes()
    return Heard(offset, f"t{offset}", features, fraud, EVERY_VIEW, amount, False)


def says(score: float, *, fitted_to: int | None = None, name: str = "a-1") -> Contender:
    return Contender(name, "a", FittedModel(Constant(score), 0, 0), born=0, fitted_to=fitted_to)


def test_a_label_is_scored_by_what_did_not_know_it() -> None:
    trial = Trial(100, heard=0)
    trial.advance({"a-1": says(0.1), "b-1": says(0.2)}, [], offset=-1)
    # Meanwhile both have learnt better.
    trial.advance({"a-1": says(0.8), "b-1": says(0.9)}, [heard(0, fraud=True), heard(1)], offset=1)
    pairs = trial.window.paired("a-1", "b-1")
    assert (pairs.first.tolist(), pairs.second.tolist()) == ([0.1, 0.1], [0.2, 0.2])
    assert pairs.is_fraud.tolist() == [True, False]
    trial.advance({"a-1": says(0.5), "b-1": says(0.5)}, [heard(2)], offset=2)
    assert trial.window.paired("a-1", "b-1").first.tolist() == [0.1, 0.1, 0.8]
    assert trial.heard == 3


def test_what_came_in_before_the_trial_is_not_scored() -> None:
    trial = Trial(100, heard=7)
    trial.advance({"a-1": says(0.1)}, [heard(5), heard(6)], offset=6)
    assert trial.window.added == 0


def test_a_fit_that_has_read_ahead_is_not_judged_on_what_it_has_read() -> None:
    trial = Trial(100, heard=0)
    contenders = {"a-1": says(0.1), "b-1": says(0.2, fitted_to=1, name="b-1")}
    trial.advance(contenders, [], offset=-1)
    trial.advance(contenders, [heard(n) for n in range(4)], offset=3)
    assert len(trial.window.paired("a-1", "b-1").first) == 2
    assert len(trial.window.paired("a-1", "a-1").first) == 4


def test_a_memory_of_nothing_teaches_nothing() -> None:
    newborn = Contender("forest-1", "forest", recipe("forest").build(1, NAMES), born=0)
    Memory(capacity=10).teach(newborn, 10)
    assert newborn.model.taught == 0


def test_memory_holds_the_last_labels_and_teaches_them_in_order() -> None:
    memory = Memory(capacity=300)
    for n in range(500):
        memory.add(heard(n, fraud=n % 4 == 0, amount=float(n % 7)))
    assert [one.offset for one in memory.last(3)] == [497, 498, 499]
    assert len(memory.last(1000)) == 300
    taught = Contender("forest-1", "forest", recipe("forest").build(1, NAMES), born=0)
    memory.teach(taught, 200)
    straight = recipe("forest").build(1, NAMES)
    for n in range(300, 500):
        straight.learn_row(f"t{n}", [float(n % 7), 2.0], n % 4 == 0)
    x = np.random.default_rng(0).uniform(0, 7, (50, 2))
    assert taught.model.taught == 200
    assert taught.model.compile().predict(x).tolist() == straight.compile().predict(x).tolist()


def test_where_frauds_are_rare_memory_reaches_back_to_enough_of_them() -> None:
    memory = Memory(capacity=100, least_frauds=5, most=1_000)
    for n in range(3_000):
        memory.add(heard(n, fraud=n % 100 == 0, amount=1.0))
    # The fifth fraud from the end is 2,500.
    assert [one.offset for one in memory.last(10_000)] == list(range(2_500, 3_000))
    assert [one.offset for one in memory.last(2)] == [2_998, 2_999]
    newborn = Contender("forest-1", "forest", recipe("forest").build(1, NAMES), born=0)
    assert memory.teach(newborn, 100) == newborn.model.taught == 500
    # Where they are frequent, again, as many as were asked for.
    for n in range(3_000, 3_100):
        memory.add(heard(n, fraud=n % 10 == 0, amount=1.0))
    assert len(memory.last(10_000)) == 100
    newborn = Contender("forest-2", "forest", recipe("forest").build(2, NAMES), born=0)
    assert memory.teach(newborn, 50) == newborn.model.taught == 50
    # However rare, not for ever.
    for n in range(3_100, 5_000):
        memory.add(heard(n, fraud=False, amount=1.0))
    assert len(memory.last(10_000)) == 1_000


def test_a_copy_goes_on_alike() -> None:
    trial = Trial(100, heard=0)
    trial.advance({"a-1": says(0.1)}, [], offset=-1)
    copy = pickle.loads(pickle.dumps(trial))  # noqa: S301 - our own bytes
    for one in (trial, copy):
        one.advance({"a-1": says(0.3)}, [heard(0, fraud=True)], offset=0)
    assert copy.window.paired("a-1", "a-1").first.tolist() == trial.window.paired("a-1", "a-1").first.tolist()
    assert copy.window.frauds == 1
