import numpy as np
from river.base import DriftDetector

from stream.drift.detectors import DetectorPolicy, Drift, PerformanceDetector


class CutsAt(DriftDetector):
    """Cuts after so many values, and at nothing else."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self._place = place
        self._seen = 0

    def update(self, x: float) -> None:
        del x
        self._seen += 1
        self._drift_detected = self._seen == self._place


class Cut(PerformanceDetector):
    """Whose streams are cut after 100 values."""

    def make_detector(self) -> DriftDetector:
        return CutsAt(100)


def alarm_of(outranked: list[float]) -> int | None:
    """Feed frauds outranked so far; return after how many since the cut the alarm came."""
    watched = Cut(DetectorPolicy())._streams["missed_frauds"]
    for n, value in enumerate([*[0.1, 0.3] * 50, *outranked]):
        if watched.update(value, n) is not None:
            return n - 99
    return None


def drifts(fraud_scores: list[float], *, seed: int = 1) -> list[tuple[int, Drift]]:
    """Feed a stream with one fraud in ten labels, the rest scored about 0.4; return when what was found."""
    random = np.random.default_rng(seed)
    detector = PerformanceDetector(DetectorPolicy())
    found = []
    for n, mean in enumerate(fraud_scores):
        for is_fraud in [True] + [False] * 9:
            score = float(np.clip(random.normal(mean if is_fraud else 0.4, 0.1), 0, 1))
            drift = detector.update(is_fraud, score, 0.5)
            if drift is not None:
                found.append((n, drift))
    return found


def test_a_champion_that_misses_the_new_frauds_is_found_out() -> None:
    found = drifts([0.9] * 300 + [0.3] * 100)
    assert found
    assert 300 <= found[0][0] < 350
    drift = found[0][1]
    assert drift.signal == "missed_frauds"
    assert drift.after > drift.before + 0.1
    assert drift.labels_since < 400


def test_a_champion_that_gets_better_is_left_alone() -> None:
    assert not drifts([0.3] * 300 + [0.9] * 300)


def test_a_champion_that_stays_as_it_is_is_left_alone() -> None:
    assert not any(drifts([0.5] * 500, seed=seed) for seed in range(5))


def test_bolder_or_shyer_probabilities_are_no_drift_while_the_order_stays() -> None:
    detector, found = PerformanceDetector(DetectorPolicy()), []
    random = np.random.default_rng(2)
    for n in range(6000):
        is_fraud = n % 10 == 0
        score = (0.4 if is_fraud else 0.2) + random.normal(0, 0.05)
        found.append(detector.update(is_fraud, score if n < 3000 else score / 10, 0.9))
    # While the two scales are mixed, frauds seem outranked; a tenth of the labels compared with says little.
    assert sum(drift is not None for drift in found) <= 1


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


def test_a_rise_is_believed_as_soon_as_it_is_more_than_chance() -> None:
    assert alarm_of([0.9] * 72) == 12
    # Small at first, as of a gradual change that was noticed early.
    late = alarm_of([0.1, 0.3] * 10 + [0.6] * 52)
    assert late is not None
    assert 20 < late < 72


def test_a_rise_by_chance_is_not_believed() -> None:
    """The mean of the first few is high, but so is its error: zeros and ones."""
    assert alarm_of([0.0, 0.0, 1.0] * 4 + [0.0, 0.4] * 200) is None


def test_what_rises_long_after_a_cut_waits_for_another_one() -> None:
    assert alarm_of([0.1, 0.3] * 36 + [0.9] * 300) is None
