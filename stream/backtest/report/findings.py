"""Findings: the numbers of a report, computed from what the collector kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.backtest.answers import UNKNOWN
from stream.backtest.report.baselines import Comparison, compare
from stream.backtest.report.collector import Collector, Columns, Reign
from stream.backtest.tally import Tally
from stream.clock import DAY_MS
from stream.evaluation.handbook import Week, week_samples
from stream.evaluation.ranking import average_precision, log_loss
from stream.evaluation.reliability import (
    ReliabilityPoint,
    brier_score,
    equal_count_calibration_error,
    expected_calibration_error,
    reliability_curve,
)
from stream.features.catalogue import CATALOGUE, Feature
from stream.pipeline.scoring import Served

WEEK_MS: Final = 7 * DAY_MS


class Goodness(NamedTuple):
    """How good scores were, over all transactions that have one; nan where there was nothing to judge."""

    average_precision: float
    log_loss: float
    calibration_error: float
    brier: float
    judged: int
    frauds: int


class WeekLine(NamedTuple):
    """A week, and how good the scores were in it, by the Handbook's protocol."""

    first_ms: int
    """Its first midnight, milliseconds since 1970."""
    served: Week
    models: Mapping[str, Week]
    """Those that scored every transaction of it, by version."""


class ModelLine(NamedTuple):
    """A model and what became of it."""

    version: str
    role: Literal["champion", "challenger", "retired"]
    """At the end of the recording."""
    first_ms: int
    last_ms: int
    days_served: float
    goodness: Goodness
    snapshot: int | None
    """Number of the one that scored last; None when the model is retired."""


class Importance(NamedTuple):
    """How much a feature moved the champion's scores."""

    feature: Feature
    push: float
    """Mean of its absolute contributions, on the scale of log-odds."""


@dataclass(frozen=True)
class Findings:
    """Everything that a report says, as numbers."""

    tally: Tally
    served: Goodness
    equal_count_error: float
    curve: Sequence[ReliabilityPoint]
    weeks: Sequence[WeekLine]
    comparison: Comparison
    reigns: Sequence[Reign]
    models: Sequence[ModelLine]
    """The champion first, then the other models there are, then the retired ones; by time served."""
    importances: Sequence[Importance]
    """The strongest first; empty when the champion's scores depend on no feature yet."""
    sampled: int
    """Transactions that importances rest on."""


def find(collector: Collector, tally: Tally, served: Sequence[Served]) -> Findings:
    """Compute a report's numbers.

    Parameters
    ----------
    collector, tally
        What they took in.
    served
        The models at the end, the champion first.
    """
    columns = collector.columns()
    known = columns.truth != UNKNOWN
    is_fraud = columns.truth[known] == 1
    score = columns.served[known]
    return Findings(
        tally=tally,
        served=_goodness(is_fraud, score),
        equal_count_error=equal_count_calibration_error(is_fraud, score),
        curve=reliability_curve(is_fraud, score),
        weeks=_weeks(columns, collector, known),
        comparison=compare(columns),
        reigns=collector.reigns,
        models=_models(columns, collector, served),
        importances=_importances(collector.sample, served),
        sampled=len(collector.sample),
    )


def _goodness(is_fraud: NDArray[np.bool_], score: NDArray[np.float64]) -> Goodness:
    return Goodness(
        average_precision(is_fraud, score),
        log_loss(is_fraud, score),
        expected_calibration_error(is_fraud, score),
        brier_score(is_fraud, score),
        len(score),
        int(is_fraud.sum()),
    )


def _weeks(columns: Columns, collector: Collector, known: NDArray[np.bool_]) -> list[WeekLine]:
    """Judge whole weeks from the first day on; what is left of a week at the end is left out."""
    event_time = columns.event_time[known]
    if not len(event_time):
        return []
    first_day = int(event_time[0]) // DAY_MS
    count = (int(event_time[-1]) // DAY_MS - first_day + 1) // 7
    samples = week_samples(
        event_time, columns.customer[known], columns.truth[known] == 1, first_day * DAY_MS, count
    )
    kept = list(samples)
    models: list[dict[str, Week]] = [{} for _ in kept]
    # A model at a time: all of their scores together are what takes memory.
    for version in collector.lives:
        scores = collector.scores(version)[known]
        for sample, of_week in zip(kept, models, strict=True):
            if len(sample.rows) and not np.isnan(scores[sample.rows]).any():
                of_week[version] = sample.judge(scores)
    served = columns.served[known]
    return [
        WeekLine(first_day * DAY_MS + number * WEEK_MS, sample.judge(served), of_week)
        for number, (sample, of_week) in enumerate(zip(kept, models, strict=True))
    ]


def _models(columns: Columns, collector: Collector, served: Sequence[Served]) -> list[ModelLine]:
    snapshots = {one.version: one.snapshot for one in served}
    champion = served[0].version if served else None
    lines = []
    for version, (first_ms, last_ms) in collector.lives.items():
        scores = collector.scores(version)
        rows = ~np.isnan(scores) & (columns.truth != UNKNOWN)
        lines.append(
            ModelLine(
                version,
                "champion" if version == champion else "challenger" if version in snapshots else "retired",
                first_ms,
                last_ms,
                sum(reign.last_ms - reign.first_ms for reign in collector.reigns if reign.version == version)
                / DAY_MS,
                _goodness(columns.truth[rows] == 1, scores[rows].astype(np.float64)),
                snapshots.get(version),
            )
        )
    order = ("champion", "challenger", "retired")
    return sorted(lines, key=lambda line: (order.index(line.role), -line.days_served, line.first_ms))


def _importances(sample: NDArray[np.float64], served: Sequence[Served]) -> list[Importance]:
    if not served or not len(sample):
        return []
    pushes = np.abs(served[0].model.contributions(sample)).mean(axis=0)
    if not pushes.any():
        return []
    order = np.argsort(-pushes, kind="stable").tolist()
    return [Importance(CATALOGUE[n], float(pushes[n])) for n in order]
