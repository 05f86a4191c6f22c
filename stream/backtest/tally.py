"""The tally: what the served scores came to, day by day and altogether."""

from dataclasses import dataclass, field, fields
from typing import Final

import numpy as np

from stream.backtest.answers import UNKNOWN, Answers
from stream.clock import DAY_MS
from stream.evaluation.reliability import CalibrationTally

_WHOLE_DAYS: Final = 3
"""With fewer days of event time there is none between the first and the last."""


@dataclass
class Day:
    """Transactions and alerts of a day, UTC, and what they turned out to be; amounts in the file's unit."""

    transactions: int = 0
    judged: int = 0
    """Transactions of which the recording says what they were."""
    frauds: int = 0
    alerts: int = 0
    judged_alerts: int = 0
    caught: int = 0
    """Alerts that were frauds."""
    fraud_amount: float = 0.0
    judged_alert_amount: float = 0.0
    caught_amount: float = 0.0
    threshold_sum: float = 0.0

    @property
    def precision(self) -> float | None:
        """Share of frauds among the alerts; None without alerts."""
        return _share(self.caught, self.judged_alerts)

    @property
    def recall(self) -> float | None:
        """Share of the frauds that were alerts; None without frauds."""
        return _share(self.caught, self.frauds)

    @property
    def amount_precision(self) -> float | None:
        """Share of frauds in the amount of the alerts."""
        return _share(self.caught_amount, self.judged_alert_amount)

    @property
    def amount_recall(self) -> float | None:
        """Share of alerts in the amount of the frauds."""
        return _share(self.caught_amount, self.fraud_amount)

    @property
    def threshold(self) -> float:
        """Mean of the thresholds in force; nan without transactions."""
        return self.threshold_sum / self.transactions if self.transactions else float("nan")


@dataclass
class Tally:
    """Adds answers up; memory grows by the day, not by the transaction."""

    days: dict[int, Day] = field(default_factory=dict)
    """By days since 1970, those that have transactions."""
    calibration: CalibrationTally = field(default_factory=CalibrationTally)
    """Of the champions' scores, the served ones."""

    def add(self, answers: Answers) -> None:
        """Take in a batch's answers."""
        judged = answers.truth != UNKNOWN
        fraud = answers.truth == 1
        if judged.any():
            self.calibration.add(fraud[judged], answers.scores[judged, 0])
        days = answers.event_time // DAY_MS
        for number in np.unique(days).tolist():
            of_day = days == number
            alert, caught = of_day & answers.alert, of_day & answers.alert & fraud
            day = self.days.setdefault(number, Day())
            day.transactions += int(of_day.sum())
            day.judged += int((of_day & judged).sum())
            day.frauds += int((of_day & fraud).sum())
            day.alerts += int(alert.sum())
            day.judged_alerts += int((alert & judged).sum())
            day.caught += int(caught.sum())
            day.fraud_amount += float(answers.amount[of_day & fraud].sum())
            day.judged_alert_amount += float(answers.amount[alert & judged].sum())
            day.caught_amount += float(answers.amount[caught].sum())
            day.threshold_sum += float(answers.threshold[of_day].sum())

    @property
    def total(self) -> Day:
        """All days as one."""
        total = Day()
        for day in self.days.values():
            for each in fields(Day):
                setattr(total, each.name, getattr(total, each.name) + getattr(day, each.name))
        return total

    @property
    def alerts_per_day(self) -> float | None:
        """Mean over the days between the first and the last, which may be cut; None when there is none."""
        if not self.days or max(self.days) - min(self.days) + 1 < _WHOLE_DAYS:
            return None
        first, last = min(self.days), max(self.days)
        alerts = sum(day.alerts for number, day in self.days.items() if first < number < last)
        return alerts / (last - first - 1)


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
