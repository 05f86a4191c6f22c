import numpy as np

from stream.drift.detectors import DetectorPolicy, Drift, PerformanceDetector


def drifts(fraud_scores: list[float], *, seed: int = 1) -> list[tuple[int, Drift]]:
    """Feed a stream with one fraud in ten labels; return when which drift was found."""
    random = np.random.default_rng(seed)
    detector = PerformanceDetector(DetectorPolicy())
    found = []
    for n, mean in enumerate(fraud_scores):
        for is_fraud in [True] + [False] * 9:
            score = float(np.clip(random.normal(mean if is_fraud else 0.05, 0.05), 0, 1))
            drift = detector.update(is_fraud, score, 0.5)
            if drift is not None:
                found.append((n, drift))
    return found


def test_a_champion_that_misses_the_new_frauds_is_found_out() -> None:
    found = drifts([0.9] * 300 + [0.3] * 100)
    assert found
    assert 300 <= found[0][0] < 340
    drift = found[0][1]
    assert drift.signal == "missed_frauds"
    assert drift.after > drift.before + 0.1
    assert drift.labels_since < 400


def test_a_champion_that_gets_better_is_left_alone() -> None:
    assert not drifts([0.3] * 300 + [0.9] * 300)


def test_a_champion_that_stays_as_it_is_is_left_alone() -> None:
    assert not any(drifts([0.8] * 500, seed=seed) for seed in range(5))


def test_an_alarm_needs_some_frauds_first() -> None:
    assert not drifts([0.9] * 10 + [0.1] * 20)


def test_more_false_alerts_are_a_drift() -> None:
    detector = PerformanceDetector(DetectorPolicy())
    signals = set()
    for n in range(600):
        is_fraud = n < 300 or n % 4 == 0
        drift = detector.update(is_fraud, 0.9, 0.5)
        if drift is not None:
            signals.add(drift.signal)
    assert signals == {"false_alerts"}
