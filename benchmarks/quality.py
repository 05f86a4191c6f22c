"""Model quality on recorded transactions: what would have been served, judged by the Handbook's protocol.

    python -m benchmarks.quality FILE [--start 2018-08-08] [--weeks 4] [--only default ...] [--json Q.json]

Each line is a backtest of its own over the whole file, every label seven days late: the default set-up with
its swaps, each recipe alone, and the batch challenger, refitted once a week, by the scores it gave in shadow.
Recipes that tell analysts' verdicts from matured labels, and for comparison one that does not, run with
simulated analysts, who judge the 100 most suspect customers at each day's end. Takes some minutes a line.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from benchmarks.provenance import provenance, write
from stream.adapters.recorded import RecordedFile
from stream.backtest.analysts import Analysts
from stream.backtest.run import Backtest, Scored
from stream.clock import DAY_MS
from stream.evaluation.handbook import Scores, judge_weeks
from stream.evaluation.reliability import brier_score, expected_calibration_error
from stream.garbage import calm_collector
from stream.models.recipes import RECIPES
from stream.settings import Settings

PUBLISHED: Final = {"random forest": 0.678, "XGBoost": 0.687, "logistic regression": 0.623}
"""Mean average precision over the four weeks (Le Borgne et al. 2022, ch. 3 and 4)."""
_ANALYSTS: Final = 100
"""Customers that simulated analysts judge a day: the protocol's card precision counts as many."""
_ROWS: Final = 500


class Line(NamedTuple):
    """What a line of the table is run with."""

    settings: Settings
    shadow: str | None = None
    """The recipe whose scores are judged, its last fit's; None: those that were served."""
    analysts: int = 0
    """Customers that simulated analysts judge a day."""


def lines() -> dict[str, Line]:
    """Return every line of the table by its name."""
    alone = {name: Settings(champion=name, challengers=()) for name in RECIPES}
    apart = [name for name, one in RECIPES.items() if any(part.view != "all" for part in one.ingredients)]
    return {
        "default": Line(Settings()),
        "default+lightgbm": Line(Settings(batch="on")),
        **{name: Line(settings) for name, settings in alone.items() if name not in apart},
        "lightgbm": Line(
            Settings(champion="logistic", challengers=(), batch="on", batch_every_days=7.0),
            shadow="lightgbm",
        ),
        "ensemble+analysts": Line(alone["ensemble"], analysts=_ANALYSTS),
        **{f"{name}+analysts": Line(alone[name], analysts=_ANALYSTS) for name in apart},
    }


def judge(file: Path, line: Line, start: datetime, weeks: int) -> dict[str, Any]:
    """Backtest one set-up and judge the scores that it served, or those that one model gave in shadow.

    Until the model in shadow is there, what was served stands for it.
    """
    settings, shadow, analysts = line
    truth = [(r.transaction.event_time, r.transaction.customer_id, r.is_fraud) for r in RecordedFile(file)]
    scores: list[float] = []
    last: list[bytes] = []
    seconds: defaultdict[str, float] = defaultdict(float)

    def keep(scored: Scored) -> None:
        scores.extend(pending.scores[_place(shadow, pending.models)] for pending in scored.values())
        last[:] = [*last, *(pending.features for pending in scored.values())][-_ROWS:]

    def add(role: str, stages: Mapping[str, float]) -> None:
        seconds[role] += stages["compute"]

    run = Backtest(settings, Analysts(analysts) if analysts else None)
    result = run.run(RecordedFile(file), timedelta(days=7), timedelta(hours=1), on_scored=keep, on_stages=add)
    served = Scores(
        np.array([event_time for event_time, _, _ in truth]),
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
        "shadow": shadow,
        "analysts": analysts,
        "weeks": [week._asdict() for week in judged],
        "mean": {name: float(np.mean([getattr(week, name) for week in judged])) for name in _SHOWN},
        "expected_calibration_error": expected_calibration_error(*calibration),
        "brier": brier_score(*calibration),
        "swaps": result.swaps,
        "alerts_per_day": result.alerts_per_day,
        "predict_microseconds": _predict_microseconds(run, shadow, last),
        "learn_microseconds": 1e6 * seconds["learn"] / result.labels_joined,
        "seconds": result.seconds,
        "transactions_per_second": result.transactions_per_second,
    }


_SHOWN = ("average_precision", "auc", "card_precision")


def _place(shadow: str | None, models: Sequence[str]) -> int:
    """Find the recipe's last version among those that scored; the champion's place where there is none."""
    fits = [version for version in models if shadow is not None and version.startswith(f"{shadow}-")]
    return models.index(max(fits, key=lambda version: int(version.rpartition("-")[2]))) if fits else 0


def _predict_microseconds(run: Backtest, shadow: str | None, features: list[bytes]) -> float:
    """Time the compiled model at the end of the run on a batch; per row, the best of 20."""
    model = run.served[_place(shadow, [one.version for one in run.served])].model
    x = np.frombuffer(b"".join(features), dtype="<f4").reshape(len(features), -1).astype(np.float64)
    times = []
    for _ in range(20):
        started = time.perf_counter()
        model.predict(x)
        times.append(time.perf_counter() - started)
    return 1e6 * min(times) / len(x)


def main() -> None:
    """Run every line and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--start", default="2018-08-08", help="first day of the first test week, UTC")
    parser.add_argument("--weeks", type=int, default=4)
    parser.add_argument("--only", nargs="+", choices=list(lines()), help="these lines of the table")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    calm_collector()  # as the commands do
    start = datetime.fromisoformat(args.start).replace(tzinfo=UTC)

    results: dict[str, Any] = {}
    print(
        f"{'':18} {'AP':>6} {'AUC':>6} {'CP@100':>7} {'AP, first week':>15} {'ECE':>7} {'Brier':>7}"
        f" {'predict µs':>11} {'learn µs':>9} {'seconds':>8}",
        flush=True,
    )
    for name, line in lines().items():
        if args.only and name not in args.only:
            continue
        results[name] = judged = judge(args.file, line, start, args.weeks)
        mean, first = judged["mean"], judged["weeks"][0]
        print(
            f"{name:18} {mean['average_precision']:6.3f} {mean['auc']:6.3f} {mean['card_precision']:7.3f}"
            f" {first['average_precision']:15.3f} {judged['expected_calibration_error']:7.4f}"
            f" {judged['brier']:7.4f} {judged['predict_microseconds']:11.1f}"
            f" {judged['learn_microseconds']:9.1f} {judged['seconds']:8.0f}",
            flush=True,
        )
        # Line by line: whoever has to stop keeps what there is.
        write(args.json, {**provenance(seed=Settings().seed), "results": results})
    for name, precision in PUBLISHED.items():
        print(f"{'published':18} {precision:6.3f}  {name}, trained on a fixed week")


if __name__ == "__main__":
    main()
