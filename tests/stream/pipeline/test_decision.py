import json

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.pipeline.decision import NOBODY, Asked, ByCost, ByThreshold

PROBABILITIES = st.floats(0, 1)
AMOUNTS = st.floats(0, 1e12)


def asked(amounts: list[float], score: float = 0.5) -> Asked:
    n = len(amounts)
    times, new = np.zeros(n, dtype=np.int64), np.ones(n, dtype=np.bool_)
    return Asked(times, np.array(amounts), np.full((n, 1), score), ("a-1",), new)


def test_a_fixed_threshold_is_the_same_for_everybody() -> None:
    assert ByThreshold(0.25).thresholds(asked([0.0, 5.0, 1e6])).tolist() == [0.25] * 3


@given(amount=AMOUNTS, score=PROBABILITIES, cost=st.floats(0.01, 1e6), share=st.floats(0.01, 1))
def test_by_cost_alerts_are_what_is_worth_its_review(
    amount: float, score: float, cost: float, share: float
) -> None:
    (threshold,) = ByCost(cost, share).thresholds(asked([amount])).tolist()
    expected_loss = score * amount * share
    if abs(expected_loss - cost) > 1e-9 * cost:  # equal but for rounding is worth it or not
        assert (score >= threshold) == (expected_loss > cost)


@given(amounts=st.lists(AMOUNTS, min_size=2, max_size=2).map(sorted), cost=st.floats(0.01, 1e6))
def test_by_cost_the_larger_amount_is_never_harder_to_alert(amounts: list[float], cost: float) -> None:
    small, large = ByCost(cost, 1.0).thresholds(asked(amounts)).tolist()
    assert large <= small


def test_by_cost_what_costs_nothing_is_no_alert_however_certain() -> None:
    thresholds = ByCost(0.01, 1.0).thresholds(asked([0.0, 0.009], score=1.0))
    assert thresholds.tolist() == [NOBODY, NOBODY]
    assert NOBODY > 1


def test_what_nobody_reaches_is_a_number_that_json_knows() -> None:
    assert json.loads(msgspec.json.encode(NOBODY)) == NOBODY
