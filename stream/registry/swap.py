"""The case: from the suspicion that the champion has failed to a swap, or to the decision to keep it.

::

    serving ──(drift of its performance, or a review)──▶ evaluating ──(gate passed)──▶ swap ─▶ serving
       ▲                                                     │                                  (cooldown)
       └───────────────(gate not passed in time)─────────────┘

A detector never swaps by itself: it opens a case, and the gate decides on paired evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from stream.drift.detectors import DetectorPolicy, Drift, PerformanceDetector
from stream.evaluation.prequential import PrequentialWindow
from stream.registry.gate import GatePolicy, Verdict, judge


@dataclass(frozen=True)
class SwapPolicy:
    """When cases are opened, how long they may take."""

    gate: GatePolicy = field(default_factory=GatePolicy)
    detector: DetectorPolicy = field(default_factory=DetectorPolicy)
    review_labels: int = 2_000
    """Without an alarm, challengers are compared with the champion after so many labels."""
    check_labels: int = 500
    """In a case, the gate is asked again after so many."""
    patience_labels: int = 20_000
    """A case in which the gate was not passed for so long is closed."""
    cooldown_labels: int = 4_000
    """After a swap or a refusal, nothing is opened for so long."""


class Swap(NamedTuple):
    """The gate was passed: `challenger` is to serve."""

    challenger: str
    verdict: Verdict
    trigger: Literal["missed_frauds", "false_alerts", "review"]


class Refusal(NamedTuple):
    """A case was closed without a swap; the verdict is that of the best challenger, if any was judged."""

    best: str | None
    verdict: Verdict | None
    trigger: Literal["missed_frauds", "false_alerts"]


class Case:
    """Follows the champion label by label.

    Parameters
    ----------
    policy
        When to suspect, and for how long.
    """

    def __init__(self, policy: SwapPolicy) -> None:
        self._policy = policy
        self._detector = PerformanceDetector(policy.detector)
        self._drift: Drift | None = None
        self._since = 0
        self._opened = 0
        self._quiet_until = 0

    @property
    def state(self) -> Literal["serving", "evaluating"]:
        """Where the case stands."""
        return "serving" if self._drift is None else "evaluating"

    def observe(self, is_fraud: bool, score: float, threshold: float, labels: int) -> Drift | None:
        """Feed the champion's score on a matured label; return the drift that opens a case, if one does.

        Parameters
        ----------
        is_fraud, score
            The verdict and what the champion had said.
        threshold
            The score was an alert if it reached it.
        labels
            How many labels the prequential window has taken in so far.
        """
        drift = self._detector.update(is_fraud, score, threshold)
        if drift is None or self._drift is not None or labels < self._quiet_until:
            return None
        self._drift, self._opened = drift, labels
        self._since = max(0, labels - drift.labels_since)
        return drift

    def decide(
        self, window: PrequentialWindow, champion: str, challengers: Sequence[str]
    ) -> Swap | Refusal | None:
        """Ask the gate if it is time to; call it once after each label that the window took in.

        Returns
        -------
        Swap, Refusal or None
            None: nothing to decide now, or a review that changes nothing.
        """
        if self._drift is None:
            return self._review(window, champion, challengers)
        return self._evaluate(self._drift, window, champion, challengers)

    def _review(self, window: PrequentialWindow, champion: str, challengers: Sequence[str]) -> Swap | None:
        """Without an alarm, look now and then whether somebody is simply better."""
        if window.added < self._quiet_until or window.added % self._policy.review_labels:
            return None
        best, verdict = self._best(window, champion, challengers, 0)
        if best is None or verdict is None or not verdict.passed:
            return None
        self._close(window.added)
        return Swap(best, verdict, "review")

    def _evaluate(
        self, drift: Drift, window: PrequentialWindow, champion: str, challengers: Sequence[str]
    ) -> Swap | Refusal | None:
        """After an alarm, look on the labels since it began until somebody is better or patience ends."""
        age = window.added - self._opened
        if age % self._policy.check_labels:
            return None
        best, verdict = self._best(window, champion, challengers, self._since)
        if best is not None and verdict is not None and verdict.passed:
            self._close(window.added)
            return Swap(best, verdict, drift.signal)
        if age < self._policy.patience_labels:
            return None
        self._close(window.added)
        return Refusal(best, verdict, drift.signal)

    def _best(
        self, window: PrequentialWindow, champion: str, challengers: Sequence[str], since: int
    ) -> tuple[str | None, Verdict | None]:
        """Judge every challenger; return one that passes if any does, with the highest lower bound."""
        verdicts = [
            (judge(window.paired(champion, version, since), self._policy.gate, seed=window.added), version)
            for version in challengers
        ]
        judged = [(verdict, version) for verdict, version in verdicts if verdict.lower > float("-inf")]
        if not judged:
            return None, None
        verdict, version = max(judged, key=lambda pair: (pair[0].passed, pair[0].lower))
        return version, verdict

    def _close(self, labels: int) -> None:
        self._drift = None
        self._quiet_until = labels + self._policy.cooldown_labels
        # Whoever serves now is judged from a clean slate.
        self._detector = PerformanceDetector(self._policy.detector)
