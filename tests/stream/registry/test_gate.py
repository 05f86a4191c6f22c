from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.evaluation.prequential import Paired
from stream.evaluation.ranking import average_precision
from stream.registry.gate import GatePolicy, Looks, judge


def pairs(gain: float, *, labels: int = 4000, seed: int = 0) -> Paired:
    random = np.random.default_rng(seed)
    is_fraud = random.random(labels) < 0.03
    signal = is_fraud + random.normal(0, 0.6, labels)
    first = signal + random.normal(0, 0.4, labels)
    second = signal + random.normal(0, 0.4, labels) + gain * is_fraud
    return paired(is_fraud, first, second)


def paired(is_fraud: NDArray[np.bool_], first: NDArray[np.float64], second: NDArray[np.float64]) -> Paired:
    count = len(is_fraud)
    return Paired(is_fraud, first, second, np.full(count, 10.0), np.zeros(count, np.bool_))


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


@pytest.mark.parametrize("evenly", [False, True])
def test_looking_again_and_again_lets_no_more_in_than_the_level_allows(evenly: bool) -> None:
    policy, let_in = GatePolicy(resamples=100, evenly=evenly), 0
    for seed in range(30):
        evidence, looks, passed = pairs(0.0, labels=12_000, seed=seed), Looks(), False
        for end in range(500, 12_001, 500):
            some = Paired(*(column[:end] for column in evidence))
            frauds = int(some.is_fraud.sum())
            if looks.due(frauds, policy):
                looks.at = looks.frauds = frauds
                passed |= judge(some, policy, end, looks.spend(policy)).passed
        let_in += passed
        assert looks.taken >= 6
    # 5 % of 30 is 1.5; 7 or more would come by chance once in a thousand such tests.
    assert let_in < 7


def test_a_challenger_that_would_lose_money_at_as_many_alerts_is_kept_out() -> None:
    evidence = pairs(1.0)
    alerted = np.arange(len(evidence.is_fraud)) < 100
    # Its ranking is better, but not at the top, where the champion has all the expensive frauds.
    dear = evidence.is_fraud & (np.cumsum(evidence.is_fraud) <= 40)
    amount = np.where(dear, 1000.0, 1.0)
    first = np.where(dear, evidence.first + 10, evidence.first)
    second = np.where(dear, evidence.second.clip(max=0.8), evidence.second)
    kept_out = judge(Paired(evidence.is_fraud, first, second, amount, alerted), GatePolicy(), seed=1)
    assert kept_out.saved < 0
    assert not kept_out.passed
    level = judge(evidence._replace(alerted=alerted), GatePolicy(), seed=1)
    assert level.passed
    assert level.saved >= 0


def test_money_is_weighed_only_where_there_were_alerts() -> None:
    assert np.isnan(judge(pairs(1.0), GatePolicy(), seed=1).saved)


def test_a_look_is_taken_only_when_there_is_news() -> None:
    looks, policy = Looks(taken=1, at=100, frauds=100), replace(GatePolicy(), growth=1.2)
    assert not looks.due(119, policy)
    assert looks.due(120, policy)


def test_nothing_is_decided_on_a_handful_of_frauds() -> None:
    few = paired(np.array([True, False]), np.array([0.1, 0.9]), np.array([0.9, 0.1]))
    verdict = judge(few, GatePolicy(), seed=1)
    assert not verdict.passed
    assert verdict.lower == float("-inf")


def test_the_same_evidence_and_seed_give_the_same_verdict() -> None:
    evidence = pairs(0.1)._replace(alerted=np.ones(4000, np.bool_))
    assert judge(evidence, GatePolicy(), seed=5) == judge(evidence, GatePolicy(), seed=5)


def test_a_challenger_that_says_nothing_gains_nothing_from_ties() -> None:
    evidence = pairs(0.0)
    silent = paired(evidence.is_fraud, evidence.first, np.zeros_like(evidence.first))
    assert not judge(silent, GatePolicy(), seed=1).passed


def test_the_bound_is_that_of_a_plain_bootstrap() -> None:
    evidence = pairs(0.3, labels=3000)
    random = np.random.default_rng(3)
    gains = []
    for _ in range(1500):
        weights = random.poisson(1.0, len(evidence.is_fraud))
        is_fraud, first, second = (np.repeat(column, weights) for column in evidence[:3])
        one, other = average_precision(is_fraud, first), average_precision(is_fraud, second)
        gains.append(other - one)
    verdict = judge(evidence, GatePolicy(resamples=1500), seed=1)
    # Either quantile has a standard error of 0.06 of the gains' deviation.
    assert verdict.lower == pytest.approx(np.quantile(gains, 0.05), abs=0.25 * np.std(gains))


@pytest.mark.parametrize("evenly", [False, True])
def test_looks_that_share_the_chance_find_what_is_not_there_no_more_often_than_allowed(
    evenly: bool,
) -> None:
    """Of a challenger as good as the champion, the gain in its standard errors is a Brownian motion's."""
    policy, looks = GatePolicy(evenly=evenly), Looks()
    evidence = policy.growth ** np.arange(30)
    steps = np.sqrt(np.diff(np.concatenate([[0.0], evidence])))
    walks = np.random.default_rng(1).normal(size=(50_000, len(evidence))) * steps
    standard_errors = walks.cumsum(axis=1) / np.sqrt(evidence)
    bounds = [NormalDist().inv_cdf(1.0 - looks.spend(policy)) for _ in evidence]
    passed = (standard_errors > bounds).any(axis=1).mean()
    assert 0.02 < passed < policy.alpha
