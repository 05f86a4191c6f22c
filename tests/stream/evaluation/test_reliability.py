import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.evaluation.reliability import (
    CURVE_EDGES,
    CalibrationTally,
    brier_score,
    equal_count_calibration_error,
    expected_calibration_error,
    reliability_curve,
)

judged = st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=1, max_size=60)


def arrays(pairs: list[tuple[bool, float]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([fraud for fraud, _ in pairs]), np.array([score for _, score in pairs])


@given(judged, st.integers(1, 20))
def test_the_error_is_the_weighted_distance_of_score_and_share_in_each_bin(
    pairs: list[tuple[bool, float]], bins: int
) -> None:
    is_fraud, score = arrays(pairs)
    place = np.array([max(0, int(np.ceil(one * bins)) - 1) for one in score.tolist()])
    naive = sum(
        (place == bin_).mean() * abs(score[place == bin_].mean() - is_fraud[place == bin_].mean())
        for bin_ in set(place.tolist())
    )
    assert expected_calibration_error(is_fraud, score, bins) == pytest.approx(naive, abs=1e-12)


@given(judged, st.integers(0, 60))
def test_a_tally_of_batches_is_that_of_all(pairs: list[tuple[bool, float]], cut: int) -> None:
    is_fraud, score = arrays(pairs)
    tally = CalibrationTally()
    tally.add(is_fraud[:cut], score[:cut])
    tally.add(is_fraud[cut:], score[cut:])
    assert tally.expected_calibration_error == pytest.approx(expected_calibration_error(is_fraud, score))
    assert tally.brier == pytest.approx(np.mean((score - is_fraud) ** 2))


def test_both_ends_of_the_scale_have_their_bins() -> None:
    is_fraud, score = np.array([False, True]), np.array([0.0, 1.0])
    assert expected_calibration_error(is_fraud, score) == 0
    assert expected_calibration_error(~is_fraud, score) == 1


def test_nothing_to_judge_is_nan() -> None:
    nothing = np.empty(0, bool), np.empty(0)
    assert np.isnan([expected_calibration_error(*nothing), brier_score(*nothing)]).all()
    assert np.isnan(equal_count_calibration_error(*nothing))
    assert reliability_curve(*nothing) == []


def test_bins_of_equal_counts_see_what_the_first_bin_of_equal_width_averages_out() -> None:
    """Half of the low scores say too much and half too little: on average they are right."""
    score = np.repeat([0.01, 0.03], 1_000)
    is_fraud = np.concatenate([np.arange(1_000) < 30, np.arange(1_000) < 10])
    assert expected_calibration_error(is_fraud, score) == pytest.approx(0, abs=1e-12)
    assert equal_count_calibration_error(is_fraud, score) == pytest.approx(0.02)


def test_scores_that_are_all_the_same_are_one_bin() -> None:
    assert equal_count_calibration_error(np.array([True, False]), np.array([0.2, 0.2])) == pytest.approx(0.3)


@given(judged)
def test_the_curve_holds_every_transaction_once(pairs: list[tuple[bool, float]]) -> None:
    is_fraud, score = arrays(pairs)
    curve = reliability_curve(is_fraud, score)
    assert sum(point.transactions for point in curve) == len(score)
    assert sum(point.frauds for point in curve) == is_fraud.sum()
    for point in curve:
        assert point.low - 1e-12 <= point.mean_score <= point.high + 1e-12
        assert 0 <= point.share_low <= point.fraud_share + 1e-12
        assert point.fraud_share - 1e-12 <= point.share_high <= 1


def test_the_curves_bins_cover_the_scale_finer_towards_its_ends() -> None:
    assert (CURVE_EDGES[0], CURVE_EDGES[-1]) == (0, 1)
    assert list(CURVE_EDGES) == sorted(set(CURVE_EDGES))
    odds = np.log(np.array(CURVE_EDGES[1:-1]) / (1 - np.array(CURVE_EDGES[1:-1])))
    assert np.diff(odds).max() < 1


def test_an_interval_of_no_fraud_in_a_hundred_is_wilsons() -> None:
    point = reliability_curve(np.zeros(100, bool), np.full(100, 0.01))[0]
    assert (point.share_low, point.share_high) == (0, pytest.approx(0.03699, abs=1e-5))
