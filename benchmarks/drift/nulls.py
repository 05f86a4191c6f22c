"""Nulls: where nothing has changed, or nobody is better, and nothing ought to happen."""

import time
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift.observed import DELAY_DAYS
from producers.simulator import Simulator, as_recorded
from stream.backtest.run import Backtest
from stream.evaluation.prequential import PrequentialWindow
from stream.models.fitted import FittedModel
from stream.models.lessons import EVERY_VIEW
from stream.registry.challengers import Contender
from stream.registry.gate import Looks
from stream.registry.renewal import Renewal
from stream.registry.swap import Case, Rollback, Swap, SwapPolicy
from stream.registry.trial import Heard
from stream.settings import Settings

_LABELS: Final = 200_000
_FRAUD_RATE: Final = 0.01
_RENEWALS: Final = 40
"""New fits of each kind on a seed."""
Floats = NDArray[np.float64]


def stationary(transactions: int, seed: int) -> dict[str, Any]:
    """Run the pipeline over a stream in which frauds never change: whatever is noticed is a false alarm."""
    started = time.perf_counter()
    run = Backtest(Settings())
    stream = Simulator(customers=4_000, terminals=8_000, seed=seed, days=None, transactions=transactions)
    summary = run.run(as_recorded(iter(stream)), timedelta(days=DELAY_DAYS), timedelta(hours=1))
    kinds = Counter(event["kind"] for event in summary.events)
    signals = Counter(
        str(event["evidence"]["signal"]) for event in summary.events if "signal" in event["evidence"]
    )
    million = summary.labels_joined / 1e6
    return {
        "seed": seed,
        "transactions": summary.transactions,
        "labels": summary.labels_joined,
        "events": dict(kinds),
        "signals": dict(signals),
        "swaps": summary.swaps,
        "alarms_per_million": sum(signals.values()) / million,
        "seconds": time.perf_counter() - started,
    }


def twins(seed: int) -> dict[str, Any]:
    """Let the gate review two models that are equally good, by scores with as much noise each."""
    case, happened = _reviewed(seed, lambda score, random: _noisy(score, random, 1.0))
    looks: dict[tuple[str, str], Looks] = case._reviews  # noqa: SLF001 - how often it was asked
    return {"seed": seed, "promotions": happened["swap"], "looks": sum(one.taken for one in looks.values())}


def noisy(seed: int) -> dict[str, Any]:
    """Let the gate review a challenger that is the champion with noise added."""
    case, happened = _reviewed(seed, lambda score, random: _noisy(score, random, 2.0))
    looks: dict[tuple[str, str], Looks] = case._reviews  # noqa: SLF001 - how often it was asked
    return {"seed": seed, "promotions": happened["swap"], "looks": sum(one.taken for one in looks.values())}


def degrading(seed: int) -> dict[str, Any]:
    """Promote a model that is the better one until it serves, and a bad one from then on."""
    played = _Played(seed)
    for _ in range(_LABELS):
        is_fraud, score = played.label()
        promoted = played.champion == "b-1"
        bad = _noisy(score, played.random, 6.0)
        good = _noisy(score, played.random, 0.5)
        champion = _noisy(score, played.random, 2.0)
        played.go_on(is_fraud, {"a-1": champion, "b-1": bad if promoted else good})
        if played.happened["rollback"]:
            break
    return {
        "seed": seed,
        "promoted": played.happened["swap"] > 0,
        "rolled_back": played.happened["rollback"] > 0,
    }


def renewed(seed: int) -> dict[str, Any]:
    """Put fits on probation against the fit before: as good ones, some with more noise, and very bad ones."""
    random = np.random.default_rng([seed, 6])
    return {"seed": seed} | {
        name: [_undone(random, deviation) for _ in range(_RENEWALS)]
        for name, deviation in (("as_good", 1.0), ("noisy", 2.0), ("bad", 6.0))
    }


def _undone(random: np.random.Generator, deviation: float) -> int | None:
    """Return after how many labels a fit with so much noise was undone; None when it stayed."""
    policy = SwapPolicy()
    before, after = (
        Contender("a-1", "lightgbm", FittedModel(_Column(place), 0, 0), -1, fitted_to=-1) for place in (0, 1)
    )
    renewal = Renewal(before, policy, 0)
    renewal.hear(after, [], -1)
    for labels in range(policy.check_labels, policy.probation_labels + 1, policy.check_labels):
        renewal.hear(after, _heard(random, labels - policy.check_labels, labels, deviation), labels - 1)
        verdict = renewal.look()
        if verdict is not None and verdict.passed:
            return labels
    return None


def _heard(random: np.random.Generator, begin: int, end: int, deviation: float) -> list[Heard]:
    """Draw labels whose features are what the fit before and the one after say."""
    heard: list[Heard] = []
    for number in range(begin, end):
        is_fraud, score = _drawn(random)
        said = [_noisy(score, random, noise) for noise in (1.0, deviation)]
        features = np.array(said, "<f4").tobytes()
        heard.append(Heard(number, f"t{number}", features, is_fraud, EVERY_VIEW, 50.0, said[1] > 0.5))  # noqa: PLR2004 - even odds
    return heard


class _Column(NamedTuple):
    """A model whose score is among the features."""

    place: int
    kind: str = "column"

    def predict(self, x: Floats) -> Floats:
        """Return the column."""
        return x[:, self.place]


def _reviewed(
    seed: int, challenger: Callable[[float, np.random.Generator], float]
) -> tuple[Case, Counter[str]]:
    played = _Played(seed)
    for _ in range(_LABELS):
        is_fraud, score = played.label()
        scores = {"a-1": _noisy(score, played.random, 1.0), "b-1": challenger(score, played.random)}
        played.go_on(is_fraud, scores)
        if played.happened["swap"]:
            break
    return played.case, played.happened


def _drawn(random: np.random.Generator) -> tuple[bool, float]:
    is_fraud = bool(random.random() < _FRAUD_RATE)
    return is_fraud, float(random.normal(0.0 if is_fraud else -5.0, 1.5))


def _noisy(score: float, random: np.random.Generator, deviation: float) -> float:
    return float(1.0 / (1.0 + np.exp(-(score + random.normal(0, deviation)))))


class _Played:
    """A case between two models whose scores are drawn: frauds five log-odds above the rest, on average."""

    def __init__(self, seed: int) -> None:
        policy = SwapPolicy()
        self.random = np.random.default_rng([seed, 5])
        self.case = Case(policy)
        self.champion, self.challenger = "a-1", "b-1"
        self.happened: Counter[str] = Counter()
        self._window = PrequentialWindow(20_000)

    def label(self) -> tuple[bool, float]:
        return _drawn(self.random)

    def go_on(self, is_fraud: bool, scores: dict[str, float]) -> None:
        case, window = self.case, self._window
        alerted, name = scores[self.champion] > 0.5, f"t{window.added}"  # noqa: PLR2004 - even odds
        for one in [window] if case.trial is None else [window, case.trial.window]:
            one.add(name, is_fraud, scores, alerted=alerted, amount=50.0)
        if not case.due(window.added):
            return
        decision = case.decide(window, self.champion, [self.challenger])
        if isinstance(decision, Swap | Rollback):
            self.happened["swap" if isinstance(decision, Swap) else "rollback"] += 1
            self.champion, self.challenger = self.challenger, self.champion
