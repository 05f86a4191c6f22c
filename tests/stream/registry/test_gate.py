import numpy as np
import pytest

from stream.evaluation.prequential import Paired
from stream.evaluation.ranking import average_precision
from stream.registry.gate import GatePolicy, judge


def pairs(gain: float, *, labels: int = 4000, seed: int = 0) -> Paired:
    random = np.random.default_rng(seed)
    is_fraud = random.random(labels) < 0.03
    signal = is_fraud + random.normal(0, 0.6, labels)
    first = signal + random.normal(0, 0.4, labels)
    second = signal + random.normal(0, 0.4, labels) + gain * is_fraud
    return Paired(is_fraud, first, second)


def test_a_clearly_better_challenger_passes() -> None:
    verdict = judge(pairs(1.0), GatePolicy(), seed=1)
    assert verdict.passed
    assert verdict.challenger > verdict.champion
    assert 0 < verdict.lower < verdict.challenger - verdict.champion


def test_a_worse_challenger_does_not() -> None:
    assert not judge(pairs(-1.0), GatePolicy(), seed=1).passed


def test_an_equal_challenger_passes_about_as_often_as_the_confidence_allows() -> None:
    passed = [judge(pairs(0.0, seed=seed), GatePolicy(resamples=100), seed).passed for seed in range(60)]
    # 5 % of 60 is 3; 9 or more would come by chance once in 300 such tests.
    assert sum(passed) < 9


def test_nothing_is_decided_on_a_handful_of_frauds() -> None:
    few = Paired(np.array([True, False]), np.array([0.1, 0.9]), np.array([0.9, 0.1]))
    verdict = judge(few, GatePolicy(), seed=1)
    assert not verdict.passed
    assert verdict.lower == float("-inf")


def test_the_same_evidence_and_seed_give_the_same_verdict() -> None:
    assert judge(pairs(0.1), GatePolicy(), seed=5) == judge(pairs(0.1), GatePolicy(), seed=5)


def test_a_challenger_that_says_nothing_gains_nothing_from_ties() -> None:
    evidence = pairs(0.0)
    silent = Paired(evidence.is_fraud, evidence.first, np.zeros_like(evidence.first))
    assert not judge(silent, GatePolicy(), seed=1).passed


def test_the_bound_is_that_of_a_plain_bootstrap() -> None:
    evidence = pairs(0.3, labels=3000)
    random = np.random.default_rng(3)
    gains = []
    for _ in range(1500):
        weights = random.poisson(1.0, len(evidence.is_fraud))
        is_fraud, first, second = (np.repeat(column, weights) for column in evidence)
        one, other = average_precision(is_fraud, first), average_precision(is_fraud, second)
        gains.append(other - one)
    verdict = judge(evidence, GatePolicy(resamples=1500), seed=1)
    # Either quantile has a standard error of 0.06 of the gains' deviation.
    assert verdict.lower == pytest.approx(np.quantile(gains, 0.05), abs=0.25 * np.std(gains))
