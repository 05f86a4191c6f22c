"""Where the time of a transaction goes: the scorer's and the learner's stages on a simulated stream.

    python -m benchmarks.stages [--transactions 100000] [--json S.json]

One process, in-memory store, no broker: what remains is decoding, features, models, packing and encoding.
"""

import argparse
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from benchmarks.provenance import provenance, write
from producers.simulator import Simulator, as_recorded
from stream.backtest.run import Backtest
from stream.settings import Settings


def main() -> None:
    """Run a backtest with a stopwatch on each stage and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transactions", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()

    backtest = Backtest(Settings())
    seconds: defaultdict[str, float] = defaultdict(float)

    def add(role: str, stages: Mapping[str, float]) -> None:
        for stage, spent in stages.items():
            seconds[f"{role} {stage}"] += spent

    simulator = Simulator(seed=args.seed, transactions=args.transactions)
    summary = backtest.run(
        as_recorded(simulator),
        timedelta(days=7),
        timedelta(hours=1),
        on_stages=add,
    )
    counts = {"score": summary.scored, "learn": summary.labels_joined}
    table = {name: 1e6 * spent / counts[name.split()[0]] for name, spent in seconds.items()}
    print(f"{'stage':16} {'µs each':>8}")
    for name, microseconds in table.items():
        print(f"{name:16} {microseconds:8.1f}")
    print(f"{summary.transactions_per_second:,.0f} transactions a second, labels learnt on the way")
    write(args.json, {**provenance(seed=args.seed), "microseconds": table, **counts})


if __name__ == "__main__":
    main()
