"""Model quality on recorded transactions: what would have been served, judged by the Handbook's protocol.

    python -m benchmarks.quality FILE [--start 2018-08-08] [--weeks 4] [--json Q.json]

Each line is a backtest of its own over the whole file, every label seven days late: the default set-up with
its swaps, and each recipe alone. Takes some minutes a line.
"""

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.provenance import provenance, write
from stream.adapters.recorded import RecordedFile
from stream.backtest.run import Backtest, Scored
from stream.clock import DAY_MS
from stream.evaluation.handbook import Scores, judge_weeks
from stream.evaluation.reliability import brier_score, expected_calibration_error
from stream.models.recipes import RECIPES
from stream.settings import Settings


def judge(file: Path, settings: Settings, start: datetime, weeks: int) -> dict[str, Any]:
    """Backtest one set-up and judge the scores that it served."""
    truth = [(r.transaction.event_time, r.transaction.customer_id, r.is_fraud) for r in RecordedFile(file)]
    scores: list[float] = []

    def keep(scored: Scored) -> None:
        scores.extend(pending.scores[0] for pending in scored.values())

    result = Backtest(settings).run(RecordedFile(file), timedelta(days=7), timedelta(hours=1), on_scored=keep)
    served = Scores(
        np.array([time for time, _, _ in truth]),
        np.array([customer for _, customer, _ in truth], dtype=object),
        np.array([bool(fraud) for _, _, fraud in truth]),
        np.array(scores),
    )
    first_day_ms = round(start.timestamp() * 1000)
    judged = judge_weeks(served, first_day_ms, weeks)
    # Of every transaction of the weeks: those that the protocol drops were served a score, too.
    day = (served.event_time - first_day_ms) // DAY_MS
    tested = (day >= 0) & (day < 7 * weeks)
    calibration = (served.is_fraud[tested], served.score[tested])
    return {
        "champion": settings.champion,
        "challengers": list(settings.challengers),
        "weeks": [week._asdict() for week in judged],
        "mean": {name: float(np.mean([getattr(week, name) for week in judged])) for name in _SHOWN},
        "expected_calibration_error": expected_calibration_error(*calibration),
        "brier": brier_score(*calibration),
        "swaps": result.swaps,
        "transactions_per_second": result.transactions_per_second,
    }


_SHOWN = ("average_precision", "auc", "card_precision")


def main() -> None:
    """Run every line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--start", default="2018-08-08", help="first day of the first test week, UTC")
    parser.add_argument("--weeks", type=int, default=4)
    parser.add_argument("--only", choices=["default", *RECIPES], help="one line of the table")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    start = datetime.fromisoformat(args.start).replace(tzinfo=UTC)

    setups = {"default": Settings()}
    setups |= {name: Settings(champion=name, challengers=()) for name in RECIPES}
    results = {}
    print(f"{'':10} {'AP':>6} {'AUC':>6} {'CP@100':>7} {'AP, first week':>15} {'ECE':>7} {'Brier':>7}")
    for name, settings in setups.items():
        if args.only in (None, name):
            results[name] = line = judge(args.file, settings, start, args.weeks)
            mean, first = line["mean"], line["weeks"][0]
            print(
                f"{name:10} {mean['average_precision']:6.3f} {mean['auc']:6.3f} {mean['card_precision']:7.3f}"
                f" {first['average_precision']:15.3f} {line['expected_calibration_error']:7.4f}"
                f" {line['brier']:7.4f}",
                flush=True,
            )
    write(args.json, {**provenance(seed=Settings().seed), "results": results})


if __name__ == "__main__":
    main()
