import pickle

import numpy as np
import pytest

from stream.evaluation.prequential import PrequentialWindow


def filled(capacity: int, labels: int) -> PrequentialWindow:
    window = PrequentialWindow(capacity)
    for n in range(labels):
        window.add(f"t{n}", n % 3 == 0, {"a-1": n / labels, "b-1": 1 - n / labels})
    return window


def test_models_are_compared_at_an_equal_number_of_alerts_whatever_their_scales() -> None:
    window = PrequentialWindow(10)
    for n in range(10):
        scores = {"high-1": 0.9 - n / 100, "low-1": 0.009 - n / 10_000, "blind-1": 0.5}
        window.add(f"t{n}", n in (0, 3), scores, alerted=n < 2)
    high, low, blind = (window.quality(f"{name}-1") for name in ("high", "low", "blind"))
    assert (high.precision, high.recall) == (low.precision, low.recall) == (0.5, 0.5)
    # Two of ten at random, of which two are frauds.
    assert (blind.precision, blind.recall) == (0.2, 0.2)


def test_without_an_alert_there_is_no_precision_and_nothing_was_caught() -> None:
    quality = filled(capacity=6, labels=20).quality("a-1")
    assert np.isnan(quality.precision)
    assert quality.recall == 0


def test_only_the_last_labels_count() -> None:
    quality = filled(capacity=6, labels=20).quality("a-1")
    assert (quality.labels, quality.frauds) == (6, 2)


def test_a_model_is_judged_on_what_it_scored() -> None:
    window = filled(capacity=50, labels=20)
    window.add("new", True, {"a-1": 0.2, "c-1": 0.9})
    assert window.quality("c-1").labels == 1
    assert window.quality("nobody-1").labels == 0
    assert window.quality("a-1").labels == 21


def test_models_are_paired_on_the_same_transactions_in_time_order() -> None:
    window = filled(capacity=8, labels=20)
    window.add("new", True, {"a-1": 0.25})
    pairs = window.paired("a-1", "b-1")
    assert pairs.first.tolist() == [n / 20 for n in range(13, 20)]
    assert np.allclose(pairs.first + pairs.second, 1)
    assert len(window.paired("a-1", "b-1", since=18).first) == 2
    assert len(window.paired("a-1", "nobody-1").first) == 0


def test_a_corrected_verdict_changes_the_evaluation_while_it_is_in_the_window() -> None:
    window = filled(capacity=6, labels=20)
    assert window.correct("t18", False)
    assert window.quality("a-1").frauds == 1
    assert not window.correct("t0", True)


def test_a_pickled_window_goes_on_as_if_nothing_had_happened() -> None:
    kept = filled(capacity=6, labels=20)
    stored = pickle.loads(pickle.dumps(kept))  # noqa: S301 - our own bytes
    for window in (kept, stored):
        window.add("x", True, {"a-1": 0.9})
        window.correct("t19", True)
    assert stored.quality("a-1") == kept.quality("a-1")


def test_it_does_not_matter_how_often_somebody_looks() -> None:
    random = np.random.default_rng(3)
    seldom, often = PrequentialWindow(50), PrequentialWindow(50)
    for n in range(400):
        name, fraud = f"t{random.integers(300)}", bool(random.random() < 0.2)
        scores = {"a-1": random.random()} | ({"b-1": random.random()} if random.random() < 0.5 else {})
        for window in (seldom, often):
            window.add(name, fraud, scores, alerted=fraud, amount=float(n))
            if n % 90 == 70:
                window.correct(name, not fraud)
            if n == 250:
                window.forget("b-1")
        often.quality("a-1")
    assert (seldom.added, seldom.frauds) == (often.added, often.frauds)
    assert seldom.quality("a-1") == often.quality("a-1")
    assert seldom.quality("b-1") == often.quality("b-1")
    for one, other in zip(seldom.paired("a-1", "b-1"), often.paired("a-1", "b-1"), strict=True):
        assert one.tolist() == other.tolist()
    assert [seldom.correct(f"t{n}", True) for n in range(300)] == [
        often.correct(f"t{n}", True) for n in range(300)
    ]


def test_calibration_is_judged_over_the_window() -> None:
    window = PrequentialWindow(capacity=4)
    for n, (fraud, score) in enumerate([(True, 0.5), (True, 0.5), (False, 0.5), (False, 0.1), (False, 0.1)]):
        window.add(f"t{n}", fraud, {"a-1": score})
    quality = window.quality("a-1")
    assert quality.calibration_error == pytest.approx(0.1 / 2)  # half said 0.1, and none of them was
    assert quality.brier == pytest.approx((2 * 0.5**2 + 2 * 0.1**2) / 4)


def rare(every: int, labels: int, window: PrequentialWindow) -> PrequentialWindow:
    """Add labels of which each so-manyeth is a fraud, scored by their position."""
    for n in range(window.added, window.added + labels):
        window.add(f"t{n}", n % every == 0, {"a-1": n / 1e6, "b-1": -n / 1e6}, alerted=n % 7 == 0, amount=n)
    return window


def test_where_frauds_are_rare_the_window_reaches_back_to_enough_of_them() -> None:
    window = rare(100, 5_000, PrequentialWindow(200, least_frauds=10, most=2_000))
    pairs = window.paired("a-1", "b-1")
    # The tenth fraud from the end is label 4,000.
    assert (window.begin, len(pairs.is_fraud), pairs.is_fraud.sum()) == (4_000, 1_000, 10)
    assert pairs.first[0] == 4_000 / 1e6
    assert pairs.amount.tolist() == list(range(4_000, 5_000))
    quality = window.quality("a-1")
    assert (quality.labels, quality.frauds) == (1_000, 10)
    assert window.paired("a-1", "b-1", since=4_990).is_fraud.tolist() == [False] * 10
    # A model's judgement is that of a window that had as many rows from the start.
    twin = rare(100, 5_000, PrequentialWindow(1_000))
    assert twin.quality("a-1") == quality
    assert window.correct("t4000", False)
    assert window.quality("a-1").frauds == 10, "it reaches back further now"
    assert not window.correct("t100", False)


def test_where_they_are_not_it_is_as_long_as_was_asked() -> None:
    window = rare(10, 5_000, PrequentialWindow(200, least_frauds=10, most=2_000))
    assert (window.begin, window.capacity) == (4_800, 200)
    # Frauds become rare, and frequent again: then what lies further back counts no more.
    rare(100, 1_000, window)
    assert window.begin == 5_000
    assert window.quality("a-1").frauds == 10
    rare(10, 300, window)
    assert window.begin == 6_100
    assert window.quality("a-1").labels == len(window.paired("a-1", "b-1").first) == 200


def test_it_does_not_reach_back_over_more_labels_than_it_may() -> None:
    window = rare(1_000, 5_000, PrequentialWindow(200, least_frauds=10, most=500))
    assert (window.begin, window.capacity) == (4_500, 500)
    assert window.quality("a-1").labels == 500


def test_a_window_that_has_grown_goes_on_from_its_pickle() -> None:
    window = rare(100, 3_000, PrequentialWindow(200, least_frauds=10, most=2_000))
    twin: PrequentialWindow = pickle.loads(pickle.dumps(window))  # noqa: S301 - our own
    assert rare(100, 700, twin).quality("b-1") == rare(100, 700, window).quality("b-1")
    assert twin.begin == window.begin == 2_700


def test_labels_that_were_there_before_the_window_grew_can_be_corrected() -> None:
    window = PrequentialWindow(10, least_frauds=2, most=100)
    for n in range(25):
        window.add(f"t{n}", n == 3, {"a-1": n / 100})
        window.quality("a-1")
    assert window.capacity > 20
    assert window.correct("t4", True)
    assert window.begin == 3
    assert window.paired("a-1", "a-1").is_fraud.nonzero()[0].tolist() == [0, 1]
