"""Simulated analysts, and what their verdicts teach."""

import numpy as np

from stream.backtest.analysts import Analysts, by_day
from stream.clock import DAY_MS, HOUR_MS
from stream.models.online import OnlineModel
from stream.pipeline.learning import Joined, Learner, LearningPolicy
from stream.pipeline.pending import LAYOUT, Pending
from stream.pipeline.verdicts import Said
from stream.recording import Recorded
from stream.records import Label, LabelSource, Transaction

START = 17_000 * DAY_MS


def recorded(name: str, customer: str, hours: int, *, fraud: bool = False) -> Recorded:
    transaction = Transaction(
        transaction_id=name,
        event_time=START + hours * HOUR_MS,
        customer_id=customer,
        terminal_id="m",
        amount=10.0,
    )
    return Recorded(transaction, is_fraud=fraud)


def pending(score: float, width: int = 30) -> Pending:
    vector = np.ones(width, "<f4").tobytes()
    return Pending(LAYOUT, "", vector, ("a-1",), (score,), 1, 0.5, START, 10.0, "c", "m", START)


def test_the_most_suspect_customers_of_the_day_are_judged_whole_when_it_has_ended() -> None:
    analysts = Analysts(2)
    day = [
        recorded("t1", "calm", 1),
        recorded("t2", "odd", 2),
        recorded("t3", "odd", 3, fraud=True),
        recorded("t4", "worst", 4, fraud=True),
    ]
    assert analysts.due(START) == []
    scores = {"t1": 0.1, "t2": 0.05, "t3": 0.4, "t4": 0.9}
    analysts.see(day, {name: pending(score) for name, score in scores.items()})
    assert analysts.due(START + 23 * HOUR_MS) == [], "the day is not over"
    verdicts = analysts.due(START + 25 * HOUR_MS)
    assert [(one.transaction_id, one.is_fraud) for one in verdicts] == [
        ("t4", True),
        ("t2", False),
        ("t3", True),
    ]
    assert {(one.source, one.label_time) for one in verdicts} == {("analyst", START + DAY_MS)}
    assert analysts.due(START + 49 * HOUR_MS) == [], "a day is judged once"


def test_records_are_cut_at_midnight() -> None:
    records = [recorded(f"t{hours}", "c", hours) for hours in (22, 23, 24, 49)]
    assert [len(day) for day in by_day(records)] == [2, 1, 1]
    assert by_day([]) == []


def _labels_of(said: list[tuple[LabelSource, bool]], recipe: str) -> OnlineModel:
    learner = Learner(LearningPolicy(champion=recipe, challengers=()))
    verdicts: tuple[Said, ...] = ()
    for offset, (source, fraud) in enumerate(said):
        label = Label(transaction_id="t", is_fraud=fraud, source=source, label_time=START + offset)
        outcome = learner.learn_batch([Joined(label, offset, pending(0.5), verdicts)], START)
        verdicts = outcome.verdicts.get("t", verdicts)
    return learner.field.contenders[f"{recipe}-1"].model  # type: ignore[return-value]


def _frauds(said: list[tuple[LabelSource, bool]], recipe: str) -> list[int]:
    return [member.frauds_learned for member in _labels_of(said, recipe).members]


def test_each_side_learns_from_its_own_labels_and_each_label_once() -> None:
    # Of `aggregate`, two members learn from matured labels and the third from analysts'.
    assert _frauds([("analyst", True)], "aggregate") == [0, 0, 1]
    assert _frauds([("chargeback", True)], "aggregate") == [1, 1, 0]
    assert _frauds([("analyst", True), ("chargeback", True)], "aggregate") == [1, 1, 1]
    assert _frauds([("chargeback", True), ("analyst", True)], "aggregate") == [1, 1, 1]
    repeated: list[tuple[LabelSource, bool]] = [("analyst", True), ("chargeback", True), ("chargeback", True)]
    assert _frauds([*repeated, ("analyst", True)], "aggregate") == [1, 1, 1]


def test_others_learn_a_transaction_from_whoever_speaks_first() -> None:
    assert _frauds([("analyst", True), ("chargeback", True)], "ensemble") == [1, 1]
    assert _frauds([("chargeback", True), ("analyst", True)], "ensemble") == [1, 1]
    # A contradiction is learnt once more; silence contradicts nobody.
    assert _frauds([("analyst", False), ("chargeback", True)], "ensemble") == [1, 1]
    assert _frauds([("analyst", True), ("settlement", False)], "delayed") == [0, 0]
