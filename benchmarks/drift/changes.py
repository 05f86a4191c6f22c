"""Changes: one stream whose frauds change, lived through by the pipeline and by its rivals."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift.observed import DELAY_DAYS, Observed, observe, simulated
from benchmarks.drift.rivals import WINDOW_DAYS, lightgbm, oracle, weekly
from producers.scenarios import Scenario
from stream.clock import DAY_MS
from stream.evaluation.ranking import average_precision
from stream.settings import Settings

STEP_DAYS: Final = 3
"""Average precision over time: of so many days at a time, about 60 frauds."""


class Change(NamedTuple):
    """A way to change."""

    scenario: Scenario
    days: int
    at: tuple[int, ...]
    """Days on which frauds change, or begin to."""
    rare: int = 1
    """How many times rarer than one in a hundred frauds are."""


CHANGES: Final[Mapping[str, Change]] = {
    "sudden": Change("sudden", 120, (60,)),
    "gradual": Change("gradual", 140, (60,)),
    "incremental": Change("incremental", 140, (60,)),
    "recurring": Change("recurring", 160, (40, 80, 120)),
    "rare": Change("sudden", 120, (60,), rare=10),
}


def live_through(name: str, seed: int, batch: bool = True) -> dict[str, Any]:
    """Run one stream, and everybody on it.

    Parameters
    ----------
    name
        Of the change.
    seed
        Of the stream.
    batch
        Whether the batch challenger is in the field.

    Returns
    -------
    dict
        Average precision over time of each, from the change on; how long until the first alarm, and until the
        first swap from then on, in days, transactions, and labels of transactions since the change.
    """
    change = CHANGES[name]
    first = change.at[0]
    # On as many days as its rival.
    settings = Settings(batch="on" if batch else "off", batch_window_days=WINDOW_DAYS)
    seen = observe(
        simulated(change.scenario, seed, change.days, first, rare=change.rare), seed, change.days, settings
    )
    scores = {
        "served": seen.served,
        "alone": seen.alone,
        "oracle": oracle(seen, change.at),
        "weekly": weekly(seen, first),
        "lightgbm": lightgbm(seen, first),
    }
    curves = {who: over_time(seen, said, first) for who, said in scores.items()}
    area = {who: float(np.mean(curve)) for who, curve in curves.items()}
    begin = int(seen.event_time[0]) // DAY_MS * DAY_MS
    happened = [(event["event_time"] - begin, event) for event in seen.events]
    return {
        "change": name,
        "seed": seed,
        "transactions": len(seen.event_time),
        "frauds": int(seen.is_fraud.sum()),
        "before": float(np.mean(over_time(seen, seen.alone, first - 21, first))),
        "area": area,
        "way": (area["served"] - area["alone"]) / (area["oracle"] - area["alone"]),
        "over_time": {who: [round(value, 4) for value in curve] for who, curve in curves.items()},
        **{f"to_{what}": _delay(seen, when, first) for what, when in answered(happened, first).items()},
        "false_alarms": sum(event["kind"] == "drift" and when < first * DAY_MS for when, event in happened),
        "events": [
            {"day": round(when / DAY_MS, 2), "kind": event["kind"], "model": event["model_version"]}
            for when, event in happened
        ],
    }


def over_time(seen: Observed, score: NDArray[np.float64], begin: int, end: int | None = None) -> list[float]:
    """Return the average precision of each `STEP_DAYS` days."""
    day, found = seen.day, []
    for first in range(begin, (seen.days if end is None else end) - STEP_DAYS + 1, STEP_DAYS):
        some = (day >= first) & (day < first + STEP_DAYS)
        found.append(average_precision(seen.is_fraud[some], score[some]))
    return found


def answered(happened: list[tuple[int, dict[str, Any]]], change_day: int) -> dict[str, int | None]:
    """Find the first alarm after the change, and the first swap that follows it; milliseconds, or None.

    A swap before the alarm, at a review, is none to the change: it would have come without it.
    """
    since = ((when, event["kind"]) for when, event in happened if when >= change_day * DAY_MS)
    alarm = next((when for when, kind in since if kind == "drift"), None)
    return {"alarm": alarm, "swap": next((when for when, kind in since if kind == "swap"), None)}


def _delay(seen: Observed, when: int | None, change_day: int) -> dict[str, float] | None:
    """Measure from the change to a moment; None when there was none."""
    if when is None:
        return None
    changed = change_day * DAY_MS
    begin = int(seen.event_time[0]) // DAY_MS * DAY_MS
    since = seen.event_time - begin
    known = (since >= changed) & (since + DELAY_DAYS * DAY_MS <= when)
    return {
        "days": (when - changed) / DAY_MS,
        "transactions": int(((since >= changed) & (since <= when)).sum()),
        "labels": int(known.sum()),
        "frauds": int(seen.is_fraud[known].sum()),
    }
