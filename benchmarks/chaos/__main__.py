"""The command: inject the faults, compare, and say how it went."""

import argparse
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import benchmarks.chaos
from benchmarks.chaos.comparison import MUST_BE_NOUGHT, Comparison, compare
from benchmarks.chaos.deployment import Deployment, StuckError
from benchmarks.chaos.faults import KINDS, Chaos, Injected
from benchmarks.provenance import provenance, write
from tests.services.availability import lack

_SERVED_WITHIN: Final = {"kill-scorer": 15.0, "kill-learner": 30.0}
"""Seconds, for the median over the run."""
_JUDGED_FROM: Final = 3
"""With fewer faults of a kind the median says more of the machine than of the pipeline."""


def main() -> None:
    """Run it, and exit with 1 when anything was lost, counted twice or too slow."""
    args = _arguments()
    missing = [reason for service in ("kafka", "redis") if (reason := lack(service))]
    if missing:
        sys.exit(f"chaos: {'; '.join(missing)}")
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    injected: list[Injected] = []
    result: dict[str, Any] = {}
    try:
        problems = _run(args, directory, injected, result)
    except StuckError as error:
        problems = [str(error)]
    _print_table(injected)
    write(
        args.json,
        {**provenance(seed=args.seed), **_recoveries(injected), **result, "problems": problems},
    )
    if problems:
        sys.exit("\n".join(f"chaos: {problem}" for problem in problems))
    shutil.rmtree(directory)
    print("\nnothing lost, nothing counted twice")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos", description=(benchmarks.chaos.__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--faults", type=int, default=50, help="how many are injected (50)")
    parser.add_argument("--seed", type=int, default=7, help="of the schedule and the load (7)")
    parser.add_argument("--kinds", default=",".join(KINDS), help="which, comma-separated (all)")
    parser.add_argument("--scorers", type=int, default=3, help="scorer processes (3)")
    parser.add_argument("--rate", type=float, default=300.0, help="transactions a second (300)")
    parser.add_argument("--json", type=Path, help="where the result goes")
    args = parser.parse_args()
    args.kinds = args.kinds.split(",")
    unknown = sorted(set(args.kinds) - KINDS.keys())
    if unknown:
        parser.error(f"there is no fault {', '.join(unknown)}; there are: {', '.join(KINDS)}")
    return args


def _run(
    args: argparse.Namespace, directory: Path, injected: list[Injected], result: dict[str, Any]
) -> list[str]:
    def say(what: str) -> None:
        print(what, flush=True)

    say(f"logs in {directory}, removed when all is well")
    with Deployment(directory, scorers=args.scorers, rate=args.rate, seed=args.seed, say=say) as deployment:
        chaos = Chaos(deployment, args.seed)
        chaos.settle("start of all workers")
        schedule = chaos.schedule(args.faults, args.kinds)
        for number, kind in enumerate(schedule, start=1):
            one = chaos.inject(kind)
            injected.append(one)
            say(
                f"{one.at:7.1f} s  {number:3}/{len(schedule)}  {kind:15} {one.target:32}"
                f" served after {one.served:5.1f} s, settled after {one.settled:5.1f} s"
            )
        say("waiting for what is on its way")
        deployment.load.finish()
        chaos.wait(lambda: deployment.load.finished, "end of the load")
        chaos.settle("end of the backlog")
        crew = deployment.crew
        chaos.wait(
            lambda: not any(one.holds() and one.parked() for one in crew.of("learn")),
            "end of waiting labels",
            0.5,
        )
        codes = crew.dismiss(crew.members)
        # When a learner leaves, the other goes back to the last checkpoint, and may have been stopped before
        # it was at the end again: what they have learnt together, one alone shows.
        last = crew.of("learn")[0]
        crew.start(last)
        end = deployment.load.ends()[deployment.topics.labels, 0]
        chaos.wait(lambda: last.label_offset() >= end, "end of the labels", 0.5)
        codes |= {f"{name}, the last": code for name, code in crew.dismiss([last]).items()}
        say("comparing with an undisturbed run over the same input")
        comparison = compare(deployment)
        result |= {
            "seconds": round(deployment.elapsed()),
            **comparison._asdict(),
            "redis_rewound": chaos.rewound,
            "exits": [one._asdict() for one in crew.exits],
        }
        for gone in crew.exits:
            say(f"{gone.at:7.1f} s  {gone.name} ended by itself with {gone.code}: {gone.last_words}")
        return [*_problems(comparison), *_slowness(injected), *_bad_ends(codes)]


def _problems(comparison: Comparison) -> list[str]:
    counts = comparison._asdict()
    problems = [f"{counts[name]} {what}" for name, what in MUST_BE_NOUGHT.items() if counts[name]]
    if not comparison.model_digest_equal:
        problems.append("the learner has not ended in the same bits as the undisturbed one")
    return problems


def _slowness(injected: Sequence[Injected]) -> list[str]:
    problems = []
    for kind, seconds in _SERVED_WITHIN.items():
        times = [one.served for one in injected if one.kind == kind]
        if len(times) >= _JUDGED_FROM and median(times) > seconds:
            problems.append(
                f"after {kind} it took {median(times):.1f} s (median) until its partitions were served again,"
                f" where {seconds:g} s are allowed"
            )
    return problems


def _bad_ends(codes: dict[str, int]) -> list[str]:
    return [f"{name} did not stop in order: exit code {code}" for name, code in codes.items() if code]


def _recoveries(injected: Sequence[Injected]) -> dict[str, Any]:
    by_kind: defaultdict[str, list[Injected]] = defaultdict(list)
    for one in injected:
        by_kind[one.kind].append(one)
    faults: dict[str, Any] = {
        kind: {
            "injected": len(some),
            "served_seconds": _spread([one.served for one in some]),
            "settled_seconds": _spread([one.settled for one in some]),
        }
        for kind, some in sorted(by_kind.items())
    }
    medians = {
        f"{kind.replace('-', '_')}_served_median_seconds": faults[kind]["served_seconds"]["median"]
        for kind in _SERVED_WITHIN
        if kind in faults
    }
    return {
        "faults_injected": len(injected),
        **medians,
        "faults": faults,
        "schedule": [one._asdict() for one in injected],
    }


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    return {"median": round(median(seconds), 2), "most": max(seconds)}


def _print_table(injected: Sequence[Injected]) -> None:
    faults: dict[str, Any] = _recoveries(injected)["faults"]
    print(f"\n{'fault':15} {'times':>5} {'served after, s':>22} {'settled after, s':>22}")
    print(f"{'':15} {'':5} {'median':>14} {'most':>7} {'median':>14} {'most':>7}")
    for kind, one in faults.items():
        served, settled = one["served_seconds"], one["settled_seconds"]
        print(
            f"{kind:15} {one['injected']:5} {served['median']:14.1f} {served['most']:7.1f}"
            f" {settled['median']:14.1f} {settled['most']:7.1f}"
        )


if __name__ == "__main__":
    main()
