"""How many labels a second the learner joins, judges and learns from, over Kafka and Redis.

    python -m benchmarks.learner [--json R.json] [--quick]

A scorer answers simulated transactions, so that they are pending; then, in rounds, a learner works off a
backlog of their labels, alone. It goes on from its checkpoint each time, so that from the second round on
its models are grown. Exit code 1 when the bar is missed or a label is not joined.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from benchmarks.bars import Bar, hold
from benchmarks.meter import Usage, drain, middle, print_budget, print_threads
from benchmarks.provenance import provenance, write
from benchmarks.site import Keyed, Site
from benchmarks.trained import keyed, label_of, simulator, train
from stream.records import encode
from stream.settings import Settings
from tests.services.pipeline import Pipeline
from tests.services.waiting import eventually
from tests.services.worker import Worker

LEAST: Final = 10_000.0
_TIMEOUT_SECONDS: Final = 1_200.0


class Run(NamedTuple):
    """One round."""

    usage: Usage
    outcomes: dict[str, int]
    """Labels by what became of them."""
    learned: dict[str, int]
    """Labels that each model has learnt from, by its version."""


def main() -> int:
    """Run the rounds, print what came of them; 1 when the bar is missed or a label was not joined."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=6, help="the first is left out of the median")
    parser.add_argument("--labels", type=int, default=40_000, help="in each round")
    parser.add_argument("--partitions", type=int, default=4, help="of transactions")
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="two small rounds; the bar is shown, not held")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.labels = 2, 8_000
    stream = simulator(args.customers, seed=args.seed)
    trained = train(stream, args.labels // 4, seed=args.seed)
    simulated = list(islice(stream, args.rounds * args.labels))
    labels = [(one.transaction.transaction_id.encode(), encode(label_of(one))) for one in simulated]
    with Site() as site:
        settings = trained.deploy(site, "labels", partitions=args.partitions)
        with Pipeline(settings) as pipeline:
            site.publish(pipeline.topics.transactions, map(keyed, simulated))
            with site.worker(settings, "score"):
                pipeline.await_scored(len(simulated), _TIMEOUT_SECONDS)
            runs = []
            for number in range(args.rounds):
                some = labels[number * args.labels :][: args.labels]
                runs.append(_run(site, settings, pipeline, some, number + 1))
        services = site.versions()
    rates = [run.usage.rate for run in runs]
    kept = [run.usage for run in runs[1:]]
    rate = median(rates[1:])
    stages, cpu = middle([one.stages for one in kept]), middle([one.cpu for one in kept])
    print_budget(stages, rate, beside=())
    print("µs of CPU each: " + ", ".join(f"{name} {spent:.1f}" for name, spent in cpu.items()))
    print_threads(middle([one.threads for one in kept]))
    for version, count in runs[-1].learned.items():
        print(f"{version} learnt from {count:,d} of {args.labels:,d}")
    met = hold([Bar("labels_per_second", rate, "at least", LEAST)])
    missing = sum(args.labels - run.outcomes["joined"] for run in runs)
    print(f"labels that were not joined: {missing}")
    if missing:
        print("\n".join(f"round {number}: {run.outcomes}" for number, run in enumerate(runs, 1)))
    result = {
        "services": services,
        "labels_per_second": rate,
        "rounds": rates,
        "cpu_microseconds": cpu,
        "stage_microseconds": stages,
        "learned": runs[-1].learned,
        "missing": missing,
        "passed": met and not missing,
    }
    write(args.json, {**provenance(seed=args.seed), **result})
    return not (not missing and (met or args.quick))


def _run(site: Site, settings: Settings, pipeline: Pipeline, labels: Sequence[Keyed], number: int) -> Run:
    begin = pipeline.learnt()
    site.publish(pipeline.topics.labels, labels)
    with site.worker(settings, "learn", number) as worker:
        measured = {"learner": worker}
        usage = drain(lambda: pipeline.learnt() - begin, len(labels), measured, site.processes(), "learn")
        # The store knows of a batch before it is counted. One that was parked is counted again at its end.
        eventually(lambda: _ended(worker) >= len(labels))
        run = Run(
            usage,
            _by(worker, "fraud_labels_total", "outcome"),
            _by(worker, "fraud_learned_total", "model"),
        )
    print(f"round {number}: {usage.rate:10,.0f} labels a second", flush=True)
    return run


def _by(worker: Worker, name: str, label: str) -> dict[str, int]:
    """Return a metric's samples by one of their labels."""
    return {
        series.partition(f'{label}="')[2].rstrip('"}'): round(value)
        for series, value in worker.metrics().items()
        if series.startswith(name)
    }


def _ended(worker: Worker) -> float:
    metric = worker.metric
    return metric("fraud_labels_total") - metric("fraud_labels_total", outcome="parked")


if __name__ == "__main__":
    sys.exit(main())
