"""The case's states, by scores that are made up: `stream(...)` says who foresees the frauds."""

import numpy as np
import pytest

from stream.drift.detectors import DetectorPolicy, Drift
from stream.evaluation.prequential import PrequentialWindow
from stream.registry.case_state import CaseState
from stream.registry.gate import GatePolicy
from stream.registry.swap import (
    Case,
    Confirmation,
    Refusal,
    Resumption,
    Rollback,
    Swap,
    SwapPolicy,
    Transition,
)

POLICY = SwapPolicy(
    gate=GatePolicy(min_frauds=20, resamples=50),
    trial=GatePolicy(min_frauds=20, resamples=50),
    detector=DetectorPolicy(alerts_a_fraud=1),
    review_labels=200,
    check_labels=50,
    patience_labels=600,
    probation_labels=400,
    cooldown_labels=300,
)
NO_REVIEWS = SwapPolicy(**{**POLICY.__dict__, "review_labels": 10**9})


class Played:
    """A champion `a-1` and challengers, whose case is driven label by label."""

    def __init__(self, policy: SwapPolicy = POLICY, challengers: tuple[str, ...] = ("b-1",)) -> None:
        self.case = Case(policy)
        self.window = PrequentialWindow(2_000)
        self.champion, self.challengers = "a-1", list(challengers)
        self.happened: list[Transition] = []
        self.states: list[CaseState] = ["serving"]
        self._random = np.random.default_rng(1)

    def stream(self, labels: int, *good: str, noise: float = 0.05) -> "Played":
        for _ in range(labels):
            n = self.window.added
            fraud = n % 8 == 0
            right = float(np.clip(self._random.normal(0.9 if fraud else 0.05, noise), 0, 1))
            scores = {
                version: right if version in good else float(self._random.random() * 0.4)
                for version in (self.champion, *self.challengers)
            }
            self.window.add(f"t{n}", fraud, scores, alerted=right > 0.5, amount=10.0)
            if self.case.trial is not None:
                # What the trial would have had its contenders say.
                self.case.trial.window.add(f"t{n}", fraud, scores, alerted=right > 0.5, amount=10.0)
            self.case.observe(fraud, scores[self.champion], 0.5, self.window.added)
            if self.case.due(self.window.added):
                self._decide()
            if self.case.state != self.states[-1]:
                self.states.append(self.case.state)
        return self

    def _decide(self) -> None:
        decision = self.case.decide(self.window, self.champion, self.challengers)
        if decision is None:
            return
        self.happened.append(decision)
        if isinstance(decision, Swap | Rollback):
            new = decision.challenger if isinstance(decision, Swap) else decision.predecessor
            self.challengers = [v for v in (self.champion, *self.challengers) if v != new]
            self.champion = new

    @property
    def kinds(self) -> list[type]:
        return [type(one) for one in self.happened]


def test_a_better_one_goes_through_probation_and_cooldown_to_serving() -> None:
    played = Played().stream(1_600, "b-1")
    assert played.states[:4] == ["serving", "probation", "cooldown", "serving"]
    assert played.kinds == [Swap, Confirmation, Resumption]
    assert played.champion == "b-1"
    assert played.case.predecessor is None


def test_a_promoted_one_that_then_fails_is_rolled_back() -> None:
    played = Played().stream(250, "b-1")
    assert played.case.state == "probation"
    assert played.case.on_trial("b-1", ["a-1"]) == ["b-1", "a-1"]
    played.stream(900, "a-1")
    assert played.kinds == [Swap, Rollback, Resumption]
    assert played.states == ["serving", "probation", "cooldown", "serving"]
    assert played.champion == "a-1"
    rollback = played.happened[1]
    assert isinstance(rollback, Rollback)
    assert rollback.verdict.challenger > rollback.verdict.champion
    assert rollback.begin == 200


def test_what_spoke_for_one_before_it_failed_does_not_speak_for_it_again() -> None:
    played = Played(SwapPolicy(**{**POLICY.__dict__, "cooldown_labels": 50}))
    played.stream(1_400, "b-1").stream(250, "a-1")
    assert Rollback not in played.kinds, "it was confirmed long before"
    played = Played(SwapPolicy(**{**POLICY.__dict__, "cooldown_labels": 50}))
    played.stream(250, "b-1").stream(400, "a-1")
    assert played.kinds[:2] == [Swap, Rollback]
    # Over the whole window it would be ahead; on what came since, both are as good.
    played.stream(1_000, "a-1", "b-1")
    assert Swap not in played.kinds[2:]


def test_one_that_stays_as_good_as_its_predecessor_is_not_rolled_back() -> None:
    played = Played().stream(250, "b-1").stream(900, "a-1", "b-1")
    assert Rollback not in played.kinds
    assert played.champion == "b-1"


def test_a_drift_is_decided_by_the_trial_from_its_beginning_on() -> None:
    played = Played(NO_REVIEWS, ("b-1", "c-1")).stream(1_600, "a-1").stream(800, "c-1")
    assert played.states[:3] == ["serving", "evaluating", "probation"]
    swap = played.happened[0]
    assert isinstance(swap, Swap)
    assert swap.challenger == "c-1"
    assert swap.trigger == "missed_frauds"
    assert swap.begin > 1_600
    assert swap.verdict.frauds >= 20


def test_a_drift_that_nobody_masters_is_closed_when_patience_ends() -> None:
    once = SwapPolicy(**{**NO_REVIEWS.__dict__, "most_tries": 1})
    played = Played(once).stream(1_600, "a-1").stream(1_500)
    assert played.states[:3] == ["serving", "evaluating", "cooldown"]
    refusal = played.happened[0]
    assert isinstance(refusal, Refusal)
    assert refusal.best == "b-1"
    assert refusal.verdict is not None
    assert played.champion == "a-1"


def test_a_drift_noticed_in_the_cooldown_opens_a_case_when_that_is_over() -> None:
    calm = SwapPolicy(**{**POLICY.__dict__, "cooldown_labels": 4_000})
    played = Played(calm).stream(250, "b-1").stream(500, "a-1", "b-1")
    assert played.case.state == "cooldown"
    played.stream(1_600, "a-1", "b-1").stream(2_600)
    assert played.states == ["serving", "probation", "cooldown", "evaluating"]
    resumed = played.happened[-1]
    assert isinstance(resumed, Resumption)
    assert resumed.drift is not None


def test_a_champion_that_goes_on_failing_gets_another_case_some_times() -> None:
    detector = DetectorPolicy(alerts_a_fraud=1, legitimate=200)
    policy = SwapPolicy(**{**NO_REVIEWS.__dict__, "detector": detector, "most_tries": 3})
    played = Played(policy).stream(1_600, "a-1").stream(5_000)
    assert played.kinds == [Refusal, Refusal, Refusal, Resumption]
    drifts = [one.drift for one in played.happened if isinstance(one, Refusal)]
    assert [drift is None for drift in drifts] == [False, False, True]
    assert played.states == ["serving", "evaluating", "cooldown", "serving"]


def test_a_champion_that_has_recovered_by_the_end_of_the_case_is_left_alone() -> None:
    played = Played(NO_REVIEWS).stream(1_600, "a-1").stream(350).stream(3_000, "a-1")
    assert played.states == ["serving", "evaluating", "cooldown", "serving"]


@pytest.mark.parametrize("version", ["b-1", "c-1"])
def test_reviews_of_equals_swap_nothing(version: str) -> None:
    played = Played(POLICY, (version,)).stream(8_000, "a-1", version, noise=0.2)
    assert played.kinds == []
    assert played.states == ["serving"]


def test_what_reviews_have_spent_is_not_given_back_by_swaps_to_and_fro() -> None:
    played = Played()
    for good in ("b-1", "a-1", "b-1", "a-1"):
        played.stream(1_500, good)
    spent = played.case._reviews
    assert set(spent) == {("a-1", "b-1"), ("b-1", "a-1")}
    assert all(looks.taken > 1 for looks in spent.values())


def test_without_a_probation_the_trial_compares_everybody() -> None:
    case = Case(POLICY)
    assert case.on_trial("a-1", ["b-1"]) == []
    case.promoted("b-1", 100)
    assert case.state == "probation"
    case.rolled_back("b-1", 200)
    assert (case.state, case.trial) == ("cooldown", None)
    assert not case.due(499)
    assert case.due(500)


def _ended(case: Case, every: int) -> tuple[int, Transition]:
    """Let both models say the same of labels, each so-manyeth a fraud, until something is decided."""
    for n in range(20_000):
        assert case.trial is not None
        score = 0.9 if n % every == 0 else 0.1
        case.trial.window.add(f"t{n}", n % every == 0, {"a-1": score, "b-1": score})
        if not case.due(n + 1):
            continue
        decision = case.decide(case.trial.window, "b-1", ["a-1"])
        if decision is not None:
            return n + 1, decision
    raise AssertionError("nothing was decided")


@pytest.mark.parametrize(("every", "patience", "probation"), [(8, 600, 400), (100, 1_950, 1_950)])
def test_where_frauds_are_rare_a_case_waits_for_them(every: int, patience: int, probation: int) -> None:
    case = Case(POLICY)
    case._enter("evaluating", 0, Drift("missed_frauds", 0.1, 0.9, 100))
    labels, refusal = _ended(case, every)
    assert labels == patience
    assert isinstance(refusal, Refusal)
    assert refusal.verdict is not None
    case = Case(POLICY)
    case.promoted("a-1", 0)
    labels, confirmed = _ended(case, every)
    assert labels == probation
    assert isinstance(confirmed, Confirmation)
    assert confirmed.verdict is not None


def test_a_probation_ends_also_where_there_are_hardly_any_frauds() -> None:
    case = Case(POLICY)
    case.promoted("a-1", 0)
    labels, confirmed = _ended(case, 5_000)
    assert labels == 20 * POLICY.probation_labels
    assert isinstance(confirmed, Confirmation)
    assert confirmed.verdict is None
    assert case.state == "cooldown"


def test_a_trial_reaches_back_to_enough_frauds_where_these_are_rare() -> None:
    case = Case(SwapPolicy())
    case.promoted("a-1", 0)
    assert case.trial is not None
    window = case.trial.window
    for n in range(50_000):
        window.add(f"t{n}", n % 1_000 == 0, {"a-1": 0.5, "b-1": 0.5})
    assert window.paired("a-1", "b-1").is_fraud.sum() == 50
