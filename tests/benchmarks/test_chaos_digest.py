"""The digest that two learners are compared by: blind to nothing that they are made of."""

import copy
import pickle
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest

from benchmarks.chaos.digest import digest
from stream.features.catalogue import SCHEMA, WIDTH
from stream.pipeline.learning import Joined, Learner, LearningPolicy
from stream.pipeline.pending import LAYOUT, Pending
from stream.records import Label


@dataclass
class Thing:
    value: object
    handed_out: int = 0
    other: dict[str, object] = field(default_factory=dict)


@pytest.mark.parametrize(
    ("one", "another"),
    [
        (0.1 + 0.2, 0.3),
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ([1, 2], (1, 2)),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (deque([1, 2]), deque([2, 1])),
        (Counter("aab"), Counter("abb")),
        (np.zeros(2), np.zeros(2, np.float32)),
        (np.zeros((2, 1)), np.zeros((1, 2))),
        (Thing(1), Thing(2)),
        (Random(1), Random(2)),
        (np.random.default_rng(1), np.random.default_rng(2)),
    ],
)
def test_what_differs_in_a_bit_an_order_or_a_type_has_another_digest(one: object, another: object) -> None:
    assert digest(one) != digest(another)


def test_what_is_shared_does_not_matter_and_neither_does_a_round_trip() -> None:
    shared = [1.0, "a"]
    thing = Thing({"x": shared, "y": shared}, other={"d": defaultdict(int, {1: 2}), "s": {"a", "b", "c"}})
    apart = Thing({"x": list(shared), "y": list(shared)}, other=copy.deepcopy(thing.other))
    assert digest(thing) == digest(apart) == digest(pickle.loads(pickle.dumps(thing)))  # noqa: S301 - our own


def test_attributes_may_be_left_out() -> None:
    assert digest(Thing(1, handed_out=7)) != digest(Thing(1))
    assert digest(Thing(1, handed_out=7), {"handed_out"}) == digest(Thing(1), {"handed_out"})


def test_a_learner_that_has_missed_one_label_of_many_has_another_digest() -> None:
    random = np.random.default_rng(1)
    joined = [_joined(number, random) for number in range(300)]
    whole, again, lacking = (Learner(LearningPolicy()) for _ in range(3))
    whole.learn_batch(joined, 0)
    for one in joined:
        again.learn_batch([one], 0)
    lacking.learn_batch([*joined[:150], *joined[151:]], 0)
    assert digest(whole) == digest(again)
    assert digest(whole) != digest(lacking)


def _joined(number: int, random: np.random.Generator) -> Joined:
    name = f"t{number}"
    label = Label(
        transaction_id=name, is_fraud=bool(random.random() < 0.2), source="chargeback", label_time=number
    )
    pending = Pending(
        layout=LAYOUT,
        feature_schema=SCHEMA,
        features=random.random(WIDTH).astype("<f4").tobytes(),
        models=("ensemble-1",),
        scores=(float(random.random()),),
        snapshot=1,
        threshold=0.5,
        event_time=number,
        amount=1.0,
        customer_id="c",
        terminal_id="m",
        scored_at=number,
    )
    return Joined(label, number, pending, ())
