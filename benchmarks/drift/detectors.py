"""Detectors, compared on what one champion that is left alone said: false alarms, delays and misses.

    python -m benchmarks.drift.detectors [--seeds 3] [--first-seed 101] [--jobs 2] [--json E.json]
        [--recording FILE]

Whatever detects is asked in the same way as in the pipeline, and only its cuts are its own. The nulls are
streams in which nothing changes, and the same scores and labels in an order drawn at random, with
`--recording` those of that file as well: no order of theirs is more likely than another, so that whatever is
found is false.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river.base import DriftDetector
from river.drift import KSWIN, PageHinkley
from river.drift.binary import HDDMA, HDDMW

from benchmarks.drift.observed import DELAY_DAYS, Observed, observe, simulated
from benchmarks.provenance import provenance, write
from producers.scenarios import Scenario
from stream.adapters.recorded import RecordedFile
from stream.drift.detectors import DetectorPolicy, PerformanceDetector
from stream.settings import Settings

_ALERTS_A_DAY: Final = 100
_CHANGE_DAY: Final = 60
_DAYS: Final = {"stationary": 200, "sudden": 110, "gradual": 130, "incremental": 130, "recurring": 160}
_TURN_DAYS: Final = 40
_SIZES: Final = (0.3, 1.0)
_PATIENCE_DAYS: Final = 40
"""A change that was not noticed so long after it began is missed."""
_WARM_DAYS: Final = 20
"""A model that knows nothing yet gets better and worse as it learns: what it sets off then is not counted."""
_SHUFFLES: Final = 5


class _Stream(NamedTuple):
    """What the champion said, label by label, shape (n,); nothing of it is served."""

    day: NDArray[np.int64]
    is_fraud: NDArray[np.bool_]
    score: NDArray[np.float64]
    threshold: NDArray[np.float64]


class _River(PerformanceDetector):
    """The pipeline's detector with another of River's in the place of ADWIN."""

    def __init__(self, make: Callable[[], DriftDetector]) -> None:
        self._make = make
        super().__init__(DetectorPolicy())

    def make_detector(self) -> DriftDetector:
        return self._make()


def _candidates() -> Mapping[str, Callable[[], PerformanceDetector]]:
    found: dict[str, Callable[[], PerformanceDetector]] = {}
    for delta in (0.0002, 0.002, 0.02):
        for rise in (0.05, 0.1, 0.2):
            policy = DetectorPolicy(delta=delta, min_rise=rise)
            found[f"ADWIN, delta {delta}, rise {rise}"] = partial(PerformanceDetector, policy)
    for threshold in (5.0, 20.0):
        page_hinkley = partial(PageHinkley, min_instances=12, delta=0.05, threshold=threshold, mode="up")
        found[f"Page-Hinkley, threshold {threshold:.0f}"] = partial(_River, page_hinkley)
    for alpha in (0.0001, 0.005):
        found[f"KSWIN, alpha {alpha}"] = partial(_River, partial(KSWIN, alpha=alpha, seed=1))
    for confidence in (0.0001, 0.001):
        for name, made in (("HDDM-A", HDDMA), ("HDDM-W", HDDMW)):
            found[f"{name}, confidence {confidence}"] = partial(
                _River, partial(made, drift_confidence=confidence)
            )
    return found


def main() -> int:
    """Run every candidate over every stream and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="streams of each kind")
    parser.add_argument("--first-seed", type=int, default=101)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--recording", type=Path, help="a table of labelled transactions, for a null more")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    kinds: list[tuple[Scenario, float]] = [("stationary", 1.0)]
    kinds += [(scenario, size) for scenario in _CHANGES for size in _SIZES]
    todo = [(scenario, size, seed) for scenario, size in kinds for seed in seeds]
    runs: list[dict[str, Any]] = []
    with ProcessPoolExecutor(args.jobs, max_tasks_per_child=1) as pool:
        for run in pool.map(_run, *zip(*todo, strict=True)):
            runs.append(run)
            print(f"{run['scenario']} {run['size']} {run['seed']}", file=sys.stderr, flush=True)
        if args.recording is not None:
            runs.append(pool.submit(_run_recording, args.recording).result())
    table = {name: _summary(name, runs) for name in _candidates()}
    _print(table)
    write(args.json, {**provenance(seeds=list(seeds)), "table": table, "runs": runs})
    return 0


_CHANGES: Final[tuple[Scenario, ...]] = ("sudden", "gradual", "incremental", "recurring")


def _run(scenario: Scenario, size: float, seed: int) -> dict[str, Any]:
    days = _DAYS[scenario]
    change_day = _TURN_DAYS if scenario == "recurring" else _CHANGE_DAY
    seen = observe(simulated(scenario, seed, days, change_day, size), seed, days, Settings())
    stream = _alone(seen)
    changes = [] if scenario == "stationary" else [change_day]
    if scenario == "recurring":
        changes = [*range(_TURN_DAYS, days - _TURN_DAYS + 1, _TURN_DAYS)]
    found = {name: _judge(stream, make, changes) for name, make in _candidates().items()}
    run = {"scenario": scenario, "size": size, "seed": seed, "changes": len(changes), "found": found}
    if scenario == "stationary":
        run["shuffled"] = _shuffled(stream, seed)
    return run


def _run_recording(path: Path) -> dict[str, Any]:
    """Let the pipeline run over a recording; what its champion said is asked for in any order but its own."""
    seen = observe(RecordedFile(path), 0, 0, Settings())
    return {
        "scenario": "recording",
        "size": 1.0,
        "seed": 0,
        "changes": 0,
        "found": {},
        "shuffled": _shuffled(_alone(seen), 0),
    }


def _alone(seen: Observed) -> _Stream:
    """Give the first champion an alert budget of its own: the day before tells how high a score must be."""
    day, threshold = seen.day, np.full(len(seen.day), np.inf)
    for today in range(1, int(day[-1]) + 1):
        yesterday = seen.alone[day == today - 1]
        if len(yesterday) > _ALERTS_A_DAY:
            threshold[day == today] = np.partition(yesterday, -_ALERTS_A_DAY)[-_ALERTS_A_DAY]
    return _Stream(day, seen.is_fraud, seen.alone, threshold)


def _alarms(stream: _Stream, make: Callable[[], PerformanceDetector]) -> Iterator[int]:
    """Yield the places of labels at which an alarm is given; after each, all begins anew."""
    detector = make()
    rows = zip(stream.is_fraud.tolist(), stream.score.tolist(), stream.threshold.tolist(), strict=True)
    for place, row in enumerate(rows):
        if detector.update(*row) is not None:
            yield place
            detector = make()


def _judge(stream: _Stream, make: Callable[[], PerformanceDetector], changes: list[int]) -> dict[str, Any]:
    places = [place for place in _alarms(stream, make) if stream.day[place] >= _WARM_DAYS]
    days = [int(stream.day[place]) for place in places]
    delays = []
    for change in changes:
        begin = int(np.searchsorted(stream.day, change))
        after = [at for at, day in zip(places, days, strict=True) if change <= day < change + _PATIENCE_DAYS]
        if after:
            delays.append(
                {
                    "days": int(stream.day[after[0]]) - change + DELAY_DAYS,
                    "labels": after[0] - begin,
                    "frauds": int(stream.is_fraud[begin : after[0]].sum()),
                }
            )
    calm = int(np.searchsorted(stream.day, changes[0])) if changes else len(stream.day)
    return {
        "false": sum(place < calm for place in places),
        "calm_labels": calm - int(np.searchsorted(stream.day, _WARM_DAYS)),
        "delays": delays,
        "missed": len(changes) - len(delays),
    }


def _shuffled(stream: _Stream, seed: int) -> dict[str, dict[str, int]]:
    """Count the alarms on what was said after the warm-up, in orders drawn at random."""
    warm = stream.day >= _WARM_DAYS
    kept = _Stream(stream.day[warm], stream.is_fraud[warm], stream.score[warm], stream.threshold[warm])
    random = np.random.default_rng([seed, 9])
    found = {name: {"false": 0, "calm_labels": 0} for name in _candidates()}
    for _ in range(_SHUFFLES):
        order = random.permutation(int(warm.sum()))
        drawn = _Stream(kept.day[order], kept.is_fraud[order], kept.score[order], kept.threshold[order])
        for name, make in _candidates().items():
            found[name]["false"] += sum(1 for _ in _alarms(drawn, make))
            found[name]["calm_labels"] += len(order)
    return found


def _summary(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    lived = [(run, run["found"][name]) for run in runs if name in run["found"]]
    shuffled = [run["shuffled"][name] for run in runs if "shuffled" in run]
    summary: dict[str, Any] = {
        "false_per_million": _rate([found for _, found in lived]),
        "shuffled_per_million": _rate(shuffled),
    }
    for scenario in _CHANGES:
        for size in _SIZES:
            some = [found for run, found in lived if run["scenario"] == scenario and run["size"] == size]
            delays = [delay for found in some for delay in found["delays"]]
            summary[f"{scenario} {size}"] = {
                "changes": sum(len(found["delays"]) + found["missed"] for found in some),
                "missed": sum(found["missed"] for found in some),
                "days": median([delay["days"] for delay in delays]) if delays else None,
                "labels": median([delay["labels"] for delay in delays]) if delays else None,
                "frauds": median([delay["frauds"] for delay in delays]) if delays else None,
            }
    return summary


def _rate(some: list[dict[str, Any]]) -> float:
    return float(sum(one["false"] for one in some) / sum(one["calm_labels"] for one in some) * 1e6)


def _print(table: Mapping[str, dict[str, Any]]) -> None:
    kinds = [f"{scenario} {size}" for scenario in _CHANGES for size in _SIZES]
    print("| detector | false | shuffled | " + " | ".join(kinds) + " |")
    print("|---" * (len(kinds) + 3) + "|")
    for name, summary in table.items():
        cells = [f"{summary['false_per_million']:.1f}", f"{summary['shuffled_per_million']:.1f}"]
        for kind in kinds:
            one = summary[kind]
            noticed = f"{one['changes'] - one['missed']} of {one['changes']}"
            cells.append(noticed if one["days"] is None else f"{noticed}, {one['days']:.0f} days")
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    sys.exit(main())
