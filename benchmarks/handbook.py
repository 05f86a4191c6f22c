"""The protocol of the Fraud Detection Handbook (Le Borgne et al. 2022, ch. 3 and 4), for a file of scores.

For each test week, transactions of customers already known to be compromised are dropped: those with a fraud
in the seven days of training, which end seven days before the week, or on the days since that lie more than a
week behind the day tested. Average precision and AUC are over what remains; card precision at k is the share
of compromised customers among the k most suspect of a day, a detected one leaving the list, averaged over the
days.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.clock import DAY_MS
from stream.evaluation.ranking import average_precision


class Week(NamedTuple):
    """One test week's results."""

    average_precision: float
    auc: float
    card_precision: float
    transactions: int
    frauds: int


class Scores(NamedTuple):
    """Transactions in time order with their truth and score; arrays of shape (n,)."""

    event_time: NDArray[np.int64]
    """Milliseconds since 1970."""
    customer: NDArray[np.int64]
    is_fraud: NDArray[np.bool_]
    score: NDArray[np.float64]


def judge_weeks(scores: Scores, first_day_ms: int, weeks: int, top: int = 100) -> list[Week]:
    """Judge scores week by week from `first_day_ms` (midnight UTC, milliseconds since 1970) on."""
    day = (scores.event_time - first_day_ms) // DAY_MS
    return [_week(scores, day, 7 * number, top) for number in range(weeks)]


def _week(scores: Scores, day: NDArray[np.int64], first: int, top: int) -> Week:
    fraud, customer = scores.is_fraud, scores.customer
    known = set(customer[(day >= first - 14) & (day < first - 7) & fraud].tolist())
    kept = []
    for offset in range(7):
        known |= set(customer[(day == first - 7 + offset - 1) & fraud].tolist())
        rows = np.flatnonzero(day == first + offset)
        kept.append(rows[~np.isin(customer[rows], list(known))])
    rows = np.concatenate(kept)
    return Week(
        average_precision(fraud[rows], scores.score[rows]),
        _auc(fraud[rows], scores.score[rows]),
        _card_precision(scores, kept, top),
        len(rows),
        int(fraud[rows].sum()),
    )


def _card_precision(scores: Scores, days: list[NDArray[np.intp]], top: int) -> float:
    detected: set[int] = set()
    shares = []
    for day in days:
        rows = day[~np.isin(scores.customer[day], list(detected))]
        names, place = np.unique(scores.customer[rows], return_inverse=True)
        highest = np.full(len(names), -np.inf)
        np.maximum.at(highest, place, scores.score[rows])
        compromised = np.zeros(len(names), dtype=bool)
        np.logical_or.at(compromised, place, scores.is_fraud[rows])
        best = np.argsort(-highest, kind="stable")[:top]
        hits = best[compromised[best]]
        shares.append(len(hits) / top)
        detected |= set(names[hits].tolist())
    return float(np.mean(shares))


def _auc(fraud: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Area under the ROC curve: the chance that a fraud outranks the rest, ties counted half."""
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place]
    frauds = int(fraud.sum())
    return float((rank[fraud].sum() - frauds * (frauds + 1) / 2) / (frauds * (len(fraud) - frauds)))
