"""Baselines: what the Fraud Detection Handbook published for its data, and ours by the same protocol."""

from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np

from stream.backtest.answers import UNKNOWN
from stream.backtest.report.collector import Columns
from stream.clock import DAY_MS
from stream.evaluation.handbook import HISTORY_DAYS, Week, week_samples


class Published(NamedTuple):
    """A model of the Handbook: average precision over four weeks, and its first test week."""

    model: str
    four_weeks: float
    auc: float
    average_precision: float
    card_precision: float


PUBLISHED: Final = (
    Published("logistic regression", 0.623, 0.871, 0.606, 0.291),
    Published("random forest", 0.678, 0.867, 0.658, 0.287),
    Published("XGBoost", 0.687, 0.862, 0.639, 0.273),
)
"""Le Borgne, Siblini, Lebichot & Bontempi (2022), Reproducible Machine Learning for Credit Card Fraud
Detection: Practical Handbook, ch. 3. Trained on one week, tested on the one that begins seven days later."""

START: Final = datetime(2018, 8, 8, tzinfo=UTC)
"""First day of the first test week."""
WEEKS: Final = 4
_WEEK_DAYS: Final = 7


class Comparison(NamedTuple):
    """Ours, for as many of the Handbook's weeks as the recording covers."""

    weeks: tuple[Week, ...]
    remark: str
    """Says which weeks were judged, or why none was."""

    @property
    def four_weeks(self) -> float | None:
        """Mean of the four weeks' average precision; None unless all four were judged."""
        if len(self.weeks) < WEEKS:
            return None
        return float(np.mean([week.average_precision for week in self.weeks]))


def compare(columns: Columns) -> Comparison:
    """Judge the served scores in the Handbook's weeks.

    Returns
    -------
    Comparison
        Weeks from the first on, up to the first that is not covered: from two weeks before it to its end,
        every transaction with its truth.
    """
    start_ms = round(START.timestamp() * 1000)
    day = (columns.event_time - start_ms) // DAY_MS
    if not len(day) or day[0] > -HISTORY_DAYS or day[-1] < _WEEK_DAYS - 1:
        return Comparison(
            (),
            "Ours is missing: the recording does not cover the Handbook's first test week, which begins on"
            f" {START:%Y-%m-%d}, together with the two weeks before it.",
        )
    covered = min(WEEKS, (int(day[-1]) + 1) // _WEEK_DAYS)
    unlabelled = day[(columns.truth == UNKNOWN) & (day >= -HISTORY_DAYS)]
    if len(unlabelled):
        covered = max(0, min(covered, int(unlabelled[0]) // _WEEK_DAYS))
    if not covered:
        return Comparison(
            (),
            "Ours is missing: the recording covers the Handbook's weeks, but not what each of their"
            " transactions turned out to be.",
        )
    samples = week_samples(columns.event_time, columns.customer, columns.truth == 1, start_ms, covered)
    weeks = tuple(sample.judge(columns.served) for sample in samples)
    which = (
        "all four of the Handbook's weeks"
        if covered == WEEKS
        else f"{covered} of the Handbook's four weeks, so the mean over four is missing"
    )
    return Comparison(weeks, f"The recording covers {which}.")
