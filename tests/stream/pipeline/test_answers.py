import numpy as np

from stream.pipeline.answers import Answers
from stream.pipeline.lineup import lineup_of
from stream.pipeline.pending import LAYOUT, Pending, PendingBatch, score_record
from stream.records import Alert, encode


def pending(customer: str, score: float) -> Pending:
    reasons = (("amount", 42.0, 1.5, "high"),) if score >= 0.5 else ()
    features = np.array([1.0, 2.5], dtype="<f4").tobytes()
    return Pending(
        LAYOUT,
        "abcde",
        features,
        ("a", "b"),
        (score, 0.25),
        7,
        0.5,
        1_000,
        42.0,
        customer,
        "m1",
        2_000,
        reasons,
    )


NOW = {"t1": pending("c1", 0.25), "t2": pending("c2", 0.75)}
BEFORE = {"t3": pending("c3", 0.75), "t4": pending("c4", 0.25), "unasked": pending("c5", 0.75)}
SCORED = PendingBatch.of(NOW)
MIXED = ["t4", "t1", "t3", "t2", "t1", "t3", "t4"]


def said(*names: str) -> list[bytes]:
    return [encode(score_record(name, (NOW | BEFORE)[name])) for name in names]


def test_what_was_scored_is_answered_in_its_order() -> None:
    answers = Answers.to(["t1", "t2"], SCORED, BEFORE)
    assert (answers.keys, answers.values, answers.alerts) == ([b"c1", b"c2"], said("t1", "t2"), [1])
    assert len(answers) == 2


def test_what_was_scored_before_is_answered_from_its_record_and_what_comes_twice_alike() -> None:
    answers = Answers.to(MIXED, SCORED, BEFORE)
    assert answers.keys == [b"c4", b"c1", b"c3", b"c2", b"c1", b"c3", b"c4"]
    assert answers.values == said(*MIXED)
    assert answers.alerts == [2, 3, 5]
    assert len(answers) == 7


def test_some_of_them_are_what_they_are_among_all() -> None:
    some = Answers.to(MIXED, SCORED, BEFORE).take([0, 2, 3, 6])
    assert (some.keys, some.values) == ([b"c4", b"c3", b"c2", b"c4"], said("t4", "t3", "t2", "t4"))
    assert some.alerts == [1, 2]
    assert some.take([2, 1]).values == said("t2", "t3")
    assert (len(some.take([])), some.take([]).values, some.take([]).alerts) == (0, [], [])


def test_nothing_is_answered_with_nothing() -> None:
    nothing = PendingBatch(
        [], lineup_of("abcde", ("a",), 2), *[np.empty((0, 2))] * 2, 7, *[np.empty(0)] * 3, [], [], 0, {}
    )
    answers = Answers.to([], nothing, {})
    assert (answers.keys, answers.values, answers.alerts, answers.records()) == ([], [], [], [])
    assert not answers


def test_they_are_encoded_once() -> None:
    answers = Answers.to(["t1", "t2"], SCORED, {})
    assert answers.values is answers.values


def test_read_again_they_are_the_records() -> None:
    records = Answers.to(MIXED, SCORED, BEFORE).records()
    assert records == [score_record(name, (NOW | BEFORE)[name]) for name in MIXED]
    assert [isinstance(one, Alert) for one in records] == [False, False, True, True, False, True, False]
