"""Detectors of a champion that has begun to fail, fed with matured labels.

Frauds are under one per cent of the labels, so that a detector over all of them hears almost nothing but
the easy ones. Two streams carry the news, each watched by an ADWIN (Bifet & Gavaldà 2007): how far each
fraud was outranked by recent legitimate transactions, and whether each alert was a false one. The first does
not depend on how bold a model's probabilities are, and is the same before and after a recalibration. It is
taken on a logarithmic scale: whether one in a thousand or one in a hundred outranks a fraud decides whether
anybody looks at it, and on a plain scale (1 - AUC, an event at a time) the two are nearly the same.
"""

from dataclasses import dataclass
from math import log1p, sqrt
from typing import Literal, NamedTuple

import numpy as np
from river.base import DriftDetector
from river.drift import ADWIN

Signal = Literal["missed_frauds", "false_alerts"]


class Drift(NamedTuple):
    """A change for the worse."""

    signal: Signal
    before: float
    """Lowest mean of the signal's stream before, between 0 and 1."""
    after: float
    labels_since: int
    """How many labels ago it began, by the detector's reckoning."""


@dataclass(frozen=True)
class DetectorPolicy:
    """Sensitivity of the performance detector."""

    delta: float = 0.002
    """ADWIN's bound on the chance of a false cut at each test."""
    min_events: int = 40
    """Frauds to have been seen before anything is believed."""
    confirm_events: int = 12
    """Of those, how many after the cut tell the new mean."""
    doubt_events: int = 72
    """After so many the cut was for the better, or does not matter; a gradual change is small at first."""
    alerts_a_fraud: int = 10
    """So many alerts are as good as one fraud: of alerts, the three numbers above are needed so many times.

    Under an alert budget a young model's alerts are forced, and what share of a few is false means little.
    """
    min_rise: float = 0.1
    """Smaller rises of the mean are let be: a cut can be significant and not matter. It must be exceeded by
    the mean's standard error."""
    legitimate: int = 1000
    """How many scores of the latest legitimate transactions each fraud is compared with; no fraud before."""


class PerformanceDetector:
    """Watches one champion; to be replaced with a fresh one when another model takes over.

    Parameters
    ----------
    policy
        Sensitivity.

    Notes
    -----
    ADWIN reports every change of the mean, improvements too. A cut counts once the events after it show a
    mean that is higher than the lowest seen before it, by more than chance makes of so few. Others that were
    tried in its place, by :meth:`make_detector`, are in docs/drift.md.
    """

    def __init__(self, policy: DetectorPolicy) -> None:
        self._policy = policy
        self._labels = 0
        self._legitimate = np.zeros(policy.legitimate)
        self._legitimate_seen = 0
        self._streams: dict[Signal, _Watched] = {
            "missed_frauds": _Watched(self.make_detector(), policy, 1),
            "false_alerts": _Watched(self.make_detector(), policy, policy.alerts_a_fraud),
        }

    def make_detector(self) -> DriftDetector:
        """Return what finds the cuts in one of the two streams, of values between 0 and 1."""
        return ADWIN(delta=self._policy.delta, clock=8, grace_period=10)

    def update(self, is_fraud: bool, score: float, threshold: float) -> Drift | None:
        """Take in a matured label with the champion's score; return the drift it completes, if any."""
        self._labels += 1
        if not is_fraud:
            self._legitimate[self._legitimate_seen % len(self._legitimate)] = score
            self._legitimate_seen += 1
        elif self._legitimate_seen >= len(self._legitimate):
            outranked = int((self._legitimate >= score).sum())
            drift = self._feed("missed_frauds", log1p(outranked) / log1p(len(self._legitimate)))
            if drift is not None:
                return drift
        if score >= threshold:
            return self._feed("false_alerts", 0.0 if is_fraud else 1.0)
        return None

    def still_worse(self, drift: Drift) -> Drift | None:
        """Return `drift` with the mean as it is now; None when it is back to what it was before."""
        now = self._streams[drift.signal].mean
        if now is None or now - drift.before < self._policy.min_rise:
            return None
        return drift._replace(after=now)

    def _feed(self, signal: Signal, value: float) -> Drift | None:
        cut = self._streams[signal].update(value, self._labels)
        if cut is None:
            return None
        before, after, began = cut
        return Drift(signal, before, after, self._labels - began)


class _Watched:
    """One stream under a detector, and what its mean was and became.

    Parameters
    ----------
    detector
        Finds the cuts.
    policy
        Sensitivity.
    events
        So many of the stream's events are as good as one of the policy's.
    """

    def __init__(self, detector: DriftDetector, policy: DetectorPolicy, events: int) -> None:
        self._detector = detector
        self._min_rise = policy.min_rise
        self._min_events = policy.min_events * events
        self._confirm_events = policy.confirm_events * events
        self._doubt_events = policy.doubt_events * events
        self._events = 0
        self._total, self._squares, self._since = 0.0, 0.0, 0
        """Of the values since the last cut, and how many they are."""
        self.mean: float | None = None
        """Of the values since the last cut; of those before until there are enough."""
        self._best = 1.0
        """Lowest mean; while a cut is in doubt, before it."""
        self._cut_at: int | None = None
        """Of the cut that is in doubt."""

    def update(self, value: float, now: int) -> tuple[float, float, int] | None:
        """Return the mean before and after a rise, and the time of the cut, once the rise is sure."""
        self._events += 1
        self._detector.update(value)
        if self._detector.drift_detected:
            # River's detectors begin anew after each cut.
            self._cut_at, self._total, self._squares, self._since = now, 0.0, 0.0, 0
            return None
        self._total += value
        self._squares += value * value
        self._since += 1
        if self._since < self._confirm_events:
            return None
        mean = self.mean = self._total / self._since
        if self._cut_at is not None:
            error = sqrt(max(self._squares / self._since - mean * mean, 0.0) / self._since)
            if self._events >= self._min_events and mean - self._best >= self._min_rise + error:
                cut_at, self._cut_at = self._cut_at, None
                return self._best, mean, cut_at
            if self._since < self._doubt_events:
                return None
            self._cut_at = None
        self._best = min(self._best, mean)
        return None
