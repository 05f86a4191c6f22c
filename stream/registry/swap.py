"""The case: from the suspicion that the champion has failed to a swap, its probation, and peace.

::

               drift of its performance       gate passed, or its next fit
    serving ───────────────────────────▶ evaluating ───────────────▶ probation ──▶ cooldown ──▶ serving
       │                                     │                           │ worse than its predecessor:
       │ gate passed at a review             │ patience ends             │ roll back
       └───────────▶ probation               └──▶ cooldown               └──▶ cooldown

A detector never swaps by itself: it opens a case, and the gate decides on paired evidence. Only a new fit of
the very champion that has failed does not wait for it: the gate asks afterwards, in probation. When patience
ends and the champion is as bad as when the case was opened, the next one on the same drift is open at once,
without a cooldown.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from stream.drift.detectors import DetectorPolicy, Drift, PerformanceDetector
from stream.evaluation.prequential import PrequentialWindow
from stream.registry.case_state import CaseState
from stream.registry.gate import GatePolicy, Looks, Verdict, judge, look
from stream.registry.trial import Trial

Trigger = Literal["missed_frauds", "false_alerts", "review"]


@dataclass(frozen=True)
class SwapPolicy:
    """When cases are opened, how long they may take."""

    gate: GatePolicy = field(default_factory=GatePolicy)
    """For reviews, on the scores that were served."""
    trial: GatePolicy = field(default_factory=lambda: GatePolicy(min_frauds=20, evenly=True))
    """In a case, on the scores of a trial; and for a predecessor to come back."""
    detector: DetectorPolicy = field(default_factory=DetectorPolicy)
    review_labels: int = 2_000
    """Without an alarm, challengers are compared with the champion after so many labels."""
    check_labels: int = 500
    """In a case, and in probation, contenders score so many labels before they learn on;
    then the gate is asked."""
    patience_labels: int = 8_000
    """A case in which the gate was not passed for so long ends."""
    probation_labels: int = 6_000
    """After a swap, the predecessor is compared with the new champion for so long."""
    cooldown_labels: int = 4_000
    """After a probation or a refusal, nothing is opened for so long."""
    most_tries: int = 4
    """As long as the champion has not recovered, there are so many cases in a row on one drift."""
    trial_labels: int = 8_000
    """Labels that a trial rests on; more, where there are fewer than `trial_frauds` frauds among them."""
    trial_frauds: int = 60
    frauds_a_label: float = 0.0075
    """Neither patience nor a probation ends before this share of its labels has been heard of as frauds:
    where they are rarer than about one in a hundred, both last longer."""
    rare: int = 20
    """All of that up to so many times the labels: frauds may be rarer than can be waited for."""

    def lasted(self, labels: int, frauds: int, least: int) -> bool:
        """Tell whether what is to last `least` labels has, and has heard of frauds enough to decide on.

        Examples
        --------
        >>> policy = SwapPolicy()
        >>> [policy.lasted(8_000, frauds, least=8_000) for frauds in (88, 30)]
        [True, False]
        >>> policy.lasted(160_000, 30, least=8_000)
        True
        """
        if labels < least:
            return False
        enough = max(self.frauds_a_label * least, self.trial.min_frauds)
        return frauds >= enough or labels >= self.rare * least

    def trial_of(self, heard: int) -> Trial:
        """Return a trial that begins after so many labels."""
        return Trial(self.trial_labels, heard, self.trial_frauds, self.rare * self.trial_labels)


class Swap(NamedTuple):
    """The gate was passed: `challenger` is to serve, on probation."""

    challenger: str
    verdict: Verdict
    trigger: Trigger
    begin: int
    """Position of the first label of the evidence (`PrequentialWindow.added` before it)."""


class Refusal(NamedTuple):
    """A case ended without a swap; the verdict is that of the best challenger, if any was judged."""

    best: str | None
    verdict: Verdict | None
    trigger: Trigger
    begin: int
    drift: Drift | None
    """What the champion has not recovered from: the next case on it is open."""


class Rollback(NamedTuple):
    """The new champion is worse than its predecessor, which is to serve again."""

    predecessor: str
    verdict: Verdict
    """Of the predecessor, as the one that challenges."""
    begin: int


class Confirmation(NamedTuple):
    """The new champion has passed its probation; without a verdict when there were too few frauds for one."""

    predecessor: str
    verdict: Verdict | None
    begin: int


class Resumption(NamedTuple):
    """The cooldown is over; `drift`, noticed in it, opens the next case at once."""

    drift: Drift | None


Transition = Swap | Refusal | Rollback | Confirmation | Resumption


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
        self._entered = 0
        self._drift: Drift | None = None
        self._tries = 0
        """Cases in a row that ended without anybody to take over."""
        self._reviews: dict[tuple[str, str], Looks] = {}
        """By champion and challenger: what reviews have spent stays spent, whoever served in between."""
        self._failed: dict[str, int] = {}
        """Who was rolled back, and when, in labels: what spoke for it before does not count again."""
        self._looks: dict[str, Looks] = {}
        """In this case or probation, by who challenges."""
        self.state: CaseState = "serving"
        self.trial: Trial | None = None
        """While a case or a probation is on."""
        self.predecessor: str | None = None
        """Who served before, while the champion is on probation."""

    def on_trial(self, champion: str, challengers: Sequence[str]) -> list[str]:
        """Name those whom the trial compares; nobody when there is none."""
        if self.trial is None:
            return []
        return [champion, *([self.predecessor] if self.predecessor is not None else challengers)]

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
        if drift is None:
            return None
        if self.state == "serving":
            self._enter("evaluating", labels, drift)
            return drift
        if self.state == "cooldown":
            self._drift = drift
        return None

    def promoted(self, predecessor: str, labels: int) -> None:
        """Put the champion on probation: it has taken over from `predecessor`."""
        self.predecessor, self._tries = predecessor, 0
        self._enter("probation", labels)

    def rolled_back(self, failed: str, labels: int) -> None:
        """Cool down: the predecessor of `failed` serves again."""
        self._failed[failed] = labels
        self._enter("cooldown", labels)

    def due(self, labels: int) -> bool:
        """Tell whether there is something to decide once the window has taken in `labels`."""
        age = labels - self._entered
        match self.state:
            case "serving":
                return labels % self._policy.review_labels == 0
            case "cooldown":
                return age >= self._policy.cooldown_labels
            case "evaluating" | "probation":
                return age > 0 and age % self._policy.check_labels == 0

    def decide(
        self, window: PrequentialWindow, champion: str, challengers: Sequence[str]
    ) -> Transition | None:
        """Decide what is due; the trial has heard every label that the window has.

        Returns
        -------
        Transition or None
            None: all stays as it is.
        """
        match self.state:
            case "serving":
                return self._review(window, champion, challengers)
            case "cooldown":
                return self._resume(window.added)
            case "evaluating":
                return self._evaluate(window.added, champion, challengers)
            case "probation":
                return self._examine(window.added, champion)

    def _review(self, window: PrequentialWindow, champion: str, challengers: Sequence[str]) -> Swap | None:
        """Without an alarm, look now and then whether somebody is simply better."""
        alive = {champion, *challengers}
        self._failed = {version: when for version, when in self._failed.items() if version in alive}
        self._reviews = {pair: looks for pair, looks in self._reviews.items() if alive.issuperset(pair)}
        looks = {version: self._reviews.setdefault((champion, version), Looks()) for version in challengers}
        best, verdict = self._best(window, champion, looks, self._policy.gate, self._since)
        if best is None or verdict is None or not verdict.passed:
            return None
        self.promoted(champion, window.added)
        return Swap(best, verdict, "review", window.begin)

    def _evaluate(self, labels: int, champion: str, challengers: Sequence[str]) -> Swap | Refusal | None:
        """After an alarm, look at the trial until somebody is better or patience ends."""
        assert self.trial is not None
        assert self._drift is not None
        begin, trigger = self._entered, self._drift.signal
        looks = {version: self._looks.setdefault(version, Looks()) for version in challengers}
        best, verdict = self._best(self.trial.window, champion, looks, self._policy.trial)
        if best is not None and verdict is not None and verdict.passed:
            self.promoted(champion, labels)
            return Swap(best, verdict, trigger, begin)
        if not self._lasted(labels, self._policy.patience_labels):
            return None
        if best is None:
            best, verdict = self._ahead(self.trial.window, champion, challengers)
        self._tries += 1
        left = self._detector.still_worse(self._drift) if self._tries < self._policy.most_tries else None
        self._enter("cooldown" if left is None else "evaluating", labels, left)
        return Refusal(best, verdict, trigger, begin, left)

    def _examine(self, labels: int, champion: str) -> Rollback | Confirmation | None:
        """After a swap, look at the trial whether the predecessor is the better one after all."""
        assert self.trial is not None
        assert self.predecessor is not None
        begin, predecessor = self._entered, self.predecessor
        looks = {predecessor: self._looks.setdefault(predecessor, Looks())}
        _, verdict = self._best(self.trial.window, champion, looks, self._policy.trial)
        if verdict is not None and verdict.passed:
            self.rolled_back(champion, labels)
            return Rollback(predecessor, verdict, begin)
        if not self._lasted(labels, self._policy.probation_labels):
            return None
        _, verdict = self._ahead(self.trial.window, champion, [predecessor])
        self._enter("cooldown", labels)
        return Confirmation(predecessor, verdict, begin)

    def _lasted(self, labels: int, least: int) -> bool:
        assert self.trial is not None
        return self._policy.lasted(labels - self._entered, self.trial.window.frauds, least)

    def _resume(self, labels: int) -> Resumption:
        drift = self._drift
        self._tries = 0
        if drift is None:
            self._enter("serving", labels)
        else:
            self._enter("evaluating", labels, drift)
        return Resumption(drift)

    def _best(
        self,
        window: PrequentialWindow,
        champion: str,
        looks: dict[str, Looks],
        gate: GatePolicy,
        since: Callable[[str], int] = lambda _: 0,
    ) -> tuple[str | None, Verdict | None]:
        """Judge every challenger of which there is news; return the best, before all one that passes."""
        verdicts = [
            (look(window, champion, version, taken, gate, since(version)), version)
            for version, taken in looks.items()
        ]
        return _first([(verdict, version) for verdict, version in verdicts if verdict is not None])

    def _since(self, version: str) -> int:
        return self._failed.get(version, 0)

    def _ahead(
        self, window: PrequentialWindow, champion: str, challengers: Sequence[str]
    ) -> tuple[str | None, Verdict | None]:
        """Say how challengers stand, without a decision that hangs on it."""
        gate = self._policy.trial
        judged = [
            (judge(window.paired(champion, version), gate, window.added), version) for version in challengers
        ]
        return _first([pair for pair in judged if pair[0].frauds >= gate.min_frauds])

    def _enter(self, state: CaseState, labels: int, drift: Drift | None = None) -> None:
        self.state, self._entered, self._drift = state, labels, drift
        self._looks = {}
        on_trial = state in ("evaluating", "probation")
        self.trial = self._policy.trial_of(labels) if on_trial else None
        if state != "probation":
            self.predecessor = None
        if state != "evaluating":
            # Whoever serves now is judged from a clean slate, unless there is another case on its failure.
            self._detector = PerformanceDetector(self._policy.detector)


def _first(judged: list[tuple[Verdict, str]]) -> tuple[str | None, Verdict | None]:
    if not judged:
        return None, None
    verdict, version = max(judged, key=lambda pair: (pair[0].passed, pair[0].lower))
    return version, verdict
