"""The protocol of the Fraud Detection Handbook (Le Borgne et al. 2022, ch. 3 and 4), week by week.

For each test week, transactions of customers already known to be compromised are dropped: those with a fraud
in the seven days of training, which end seven days before the week, or on the days since that lie more than a
week behind the day tested. Average precision and AUC are over what remains; card precision at k is the share
of compromised customers among the k most suspect of a day, a detected one leaving the list, averaged over the
days.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.clock import DAY_MS
from stream.evaluation.ranking import average_precision

TOP: Final = 100
"""Cards that are looked into on a day."""
DELAY_DAYS: Final = 7
"""After which the protocol takes a fraud for known."""
HISTORY_DAYS: Final = 14
"""What the protocol looks at before a test week: the days of training and those of the delay."""
_WEEK: Final = 7


class Week(NamedTuple):
    """One test week's results; nan where there was nothing to judge."""

    average_precision: float
    auc: float
    card_precision: float
    transactions: int
    frauds: int


class Scores(NamedTuple):
    """Transactions in time order with their truth and score; arrays of shape (n,)."""

    event_time: NDArray[np.int64]
    """Milliseconds since 1970."""
    customer: NDArray[Any]
    """Identifiers: numbers, or strings as an array of objects. Of customers with equal scores the smaller
    identifier comes first."""
    is_fraud: NDArray[np.bool_]
    score: NDArray[np.float64]


class WeekSample:
    """The transactions that one test week is judged on: several models' scores can be judged on the same.

    Parameters
    ----------
    days
        For each day of the week the rows that remain.
    customer
        Shape (n,), int64: codes of customers, from 0 on.
    is_fraud
        Shape (n,).
    """

    def __init__(
        self, days: list[NDArray[np.intp]], customer: NDArray[np.int64], is_fraud: NDArray[np.bool_]
    ) -> None:
        self.rows = np.concatenate(days)
        """Of the whole week."""
        self._days = days
        self._customer = customer
        self._is_fraud = is_fraud

    def judge(self, score: NDArray[np.float64] | NDArray[np.float32], top: int = TOP) -> Week:
        """Judge scores of shape (n,); those of other weeks are not looked at."""
        fraud, scored = self._is_fraud[self.rows], score[self.rows].astype(np.float64)
        return Week(
            average_precision(fraud, scored),
            _auc(fraud, scored),
            self._card_precision(score, top),
            len(self.rows),
            int(fraud.sum()),
        )

    def _card_precision(self, score: NDArray[np.floating], top: int) -> float:
        detected = np.zeros(int(self._customer.max(initial=-1)) + 1, dtype=np.bool_)
        shares = []
        for day in self._days:
            if not len(day):
                continue
            rows = day[~detected[self._customer[day]]]
            names, place = np.unique(self._customer[rows], return_inverse=True)
            highest = np.full(len(names), -np.inf)
            np.maximum.at(highest, place, score[rows])
            compromised = np.zeros(len(names), dtype=np.bool_)
            np.logical_or.at(compromised, place, self._is_fraud[rows])
            best = np.argsort(-highest, kind="stable")[:top]
            hits = best[compromised[best]]
            shares.append(len(hits) / top)
            detected[names[hits]] = True
        return float(np.mean(shares)) if shares else float("nan")


def week_samples(
    event_time: NDArray[np.int64],
    customer: NDArray[Any],
    is_fraud: NDArray[np.bool_],
    first_day_ms: int,
    weeks: int,
) -> Iterator[WeekSample]:
    """Yield what each week is judged on.

    Parameters
    ----------
    event_time, customer, is_fraud
        As in :class:`Scores`.
    first_day_ms
        The first week begins then: midnight UTC, milliseconds since 1970.
    weeks
        How many.
    """
    codes = _codes(customer)
    day = (event_time - first_day_ms) // DAY_MS
    for number in range(weeks):
        first = _WEEK * number
        known = np.zeros(int(codes.max(initial=-1)) + 1, dtype=np.bool_)
        known[codes[(day >= first - HISTORY_DAYS) & (day < first - DELAY_DAYS) & is_fraud]] = True
        kept = []
        for tested in range(first, first + _WEEK):
            known[codes[(day == tested - DELAY_DAYS - 1) & is_fraud]] = True
            rows = np.flatnonzero(day == tested)
            kept.append(rows[~known[codes[rows]]])
        yield WeekSample(kept, codes, is_fraud)


def judge_weeks(scores: Scores, first_day_ms: int, weeks: int, top: int = TOP) -> list[Week]:
    """Judge scores week by week from `first_day_ms` (midnight UTC, milliseconds since 1970) on.

    Examples
    --------
    Two customers on one day, and the fraud is found among the one card that is looked into:

    >>> scores = Scores(
    ...     np.array([0, 1]), np.array(["c1", "c2"], object), np.array([False, True]), np.array([0.1, 0.9])
    ... )
    >>> judge_weeks(scores, first_day_ms=0, weeks=1, top=1)
    [Week(average_precision=1.0, auc=1.0, card_precision=1.0, transactions=2, frauds=1)]
    """
    samples = week_samples(scores.event_time, scores.customer, scores.is_fraud, first_day_ms, weeks)
    return [sample.judge(scores.score, top) for sample in samples]


def _codes(customer: NDArray[Any]) -> NDArray[np.int64]:
    """Return a number for each customer, in the order of their identifiers."""
    if customer.dtype != object:
        return np.unique(customer, return_inverse=True)[1].astype(np.int64)
    # Sorting each identifier once takes a tenth of the time of sorting every row's.
    names = customer.tolist()
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    return np.fromiter((numbers[name] for name in names), np.int64, len(names))


def _auc(fraud: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Area under the ROC curve: the chance that a fraud outranks the rest, ties counted half."""
    rest = np.sort(score[~fraud])
    frauds = score[fraud]
    if not len(rest) or not len(frauds):
        return float("nan")
    lower, upper = (np.searchsorted(rest, frauds, side=side) for side in ("left", "right"))
    return float((lower + upper).mean() / (2 * len(rest)))
