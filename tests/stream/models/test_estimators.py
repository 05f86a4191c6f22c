"""Our own estimators are River's: they pass River's own checks, and say the same compiled."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from river import checks

from stream.models.binned import BinnedLogisticRegression
from stream.models.binned_forest import BinnedForestClassifier
from stream.models.binning import KEPT, LAST_CUT, Bins, Sample

ESTIMATORS = (BinnedLogisticRegression, BinnedForestClassifier)


@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        pytest.param(estimator(), check, id=f"{estimator.__name__}-{number}-{check.__name__}")
        for estimator in ESTIMATORS
        for number, check in enumerate(checks.yield_checks(estimator()))
    ],
)
def test_river_approves(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator.clone())


def labelled(count: int, seed: int = 0) -> list[tuple[dict[str, float], bool]]:
    """Return rows whose frauds are where `a` is high and `b` low, a value of `c` missing now and then."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        a, b, c = rng.normal(size=3)
        x = {"a": a, "b": b, "c": c if rng.random() < 0.9 else np.nan, "d": float(rng.integers(3))}
        rows.append((x, bool(a > 1 and b < 0 and rng.random() < 0.9)))
    return rows


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_interaction_is_found_and_said_alike_compiled(estimator: Any) -> None:
    model = estimator()
    for x, y in labelled(6_000):
        model.learn_one(x, y)
    asked = labelled(500, seed=1)
    river = np.array([model.predict_proba_one(x)[True] for x, _ in asked])
    truth = np.array([y for _, y in asked])
    assert river[truth].mean() > 3 * river[~truth].mean()
    x = np.array([[row[name] for name in "abcd"] for row, _ in asked])
    np.testing.assert_allclose(model.compile(0.01).predict(x), river, rtol=0, atol=1e-9)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_pickle_learns_on_to_the_same_bits_through_a_cut(estimator: Any) -> None:
    straight, stored = estimator(), estimator()
    for number, (x, y) in enumerate(labelled(1_500)):
        straight.learn_one(x, y)
        stored.learn_one(x, y)
        if number == 1_000:
            stored = pickle.loads(pickle.dumps(stored))  # noqa: S301 - our own bytes
    x = np.array([[row[name] for name in "abcd"] for row, _ in labelled(100, seed=2)])
    assert straight.compile(0.01).predict(x).tobytes() == stored.compile(0.01).predict(x).tobytes()


def test_a_cut_forgets_nothing_of_what_the_bins_had_learnt() -> None:
    model = BinnedLogisticRegression()
    rows = labelled(2_559)
    for x, y in rows:
        model.learn_one(x, y)
    asked = [x for x, _ in labelled(300, seed=3)]
    before = np.array([model.predict_proba_one(x)[True] for x in asked])
    assert model._sample is not None
    bins = model._sample.bins
    model.learn_one(*rows[0])
    assert model._sample.bins is not bins, "the 2,560th label cuts the bins anew"
    after = np.array([model.predict_proba_one(x)[True] for x in asked])
    assert np.corrcoef(before, after)[0, 1] > 0.97


def test_missing_values_and_those_beyond_all_seen_have_bins_of_their_own() -> None:
    bins = Bins([np.array([-1.0, 0.0, 5.0])])
    places = [bins.place([value])[0] for value in (np.nan, -2.0, -0.5, 0.0, 5.0, 5.1, np.inf)]
    assert places == [0, 1, 2, 2, 3, 4, 4]
    assert bins.place_all(np.array([[np.nan], [-2.0], [5.1]]))[0].tolist() == [0, 1, 4]


def test_half_of_the_edges_come_from_the_rare_class() -> None:
    sample = Sample(1, quantiles=10)
    rng = np.random.default_rng(0)
    for number in range(2_560):
        fraud = number % 50 == 0
        sample.add(np.array([[rng.uniform(10, 20) if fraud else 0.0]]), np.array([fraud]))
    assert sample.bins is not None
    edges = sample.bins.edges[0]
    assert (edges > 10).sum() >= 10, "the tail, where frauds lie, is cut finely"


def test_bins_are_cut_ever_more_rarely_and_then_stay() -> None:
    sample = Sample(1, quantiles=4)
    n = np.arange(1, LAST_CUT + 60_000)
    rows, y = (n % 97).astype(float)[:, None], n % 7 == 0
    cuts = []
    while sample.seen < len(n):
        older, begin = sample.bins, sample.seen
        sample.add(rows[begin : begin + 1_000], y[begin : begin + 1_000])
        if sample.bins is not older:
            cuts.append(sample.seen)
    assert cuts[:4] == [40, 80, 160, 320]
    assert max(cuts) <= LAST_CUT
    assert len(sample.rows(False)) == len(sample.rows(True)) == KEPT
    for fraud in (False, True):
        assert sorted(sample.rows(fraud)[:, 0]) == sorted(rows[y == fraud][-KEPT:, 0]), "the latest of each"


def test_the_first_bins_wait_for_a_row_of_either_class() -> None:
    sample = Sample(1, quantiles=4)
    assert sample.add(np.zeros((100, 1)), np.zeros(100, bool)) == 100
    assert sample.bins is None
    assert sample.add(np.ones((9, 1)), np.arange(9) == 3) == 4, "up to the fraud, at which bins are cut"
    assert sample.bins is not None
