"""Risk labels: the labels of a batch, made part of the risk records of their terminals and customers."""

from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.clock import DAY_MS
from stream.features.packing import Rows, put, take
from stream.features.risk import (
    DAYS,
    FULL,
    MOST_OF_A_DAY,
    correct_label,
    learn_label,
    risk_records,
    risk_rows,
)

_FEW: Final = 16
"""Labels at a time under which they are sooner counted one by one."""

Flags = NDArray[np.bool_]
Milliseconds = NDArray[np.int64]


class RiskLabels(NamedTuple):
    """What :func:`~stream.features.risk.learn_label` is told of a label, as columns; shape (n,)."""

    is_fraud: Flags
    label_time: Milliseconds
    event_time: Milliseconds
    ratio: NDArray[np.float64]
    explained: Flags
    corrects: Flags
    """Whether it contradicts one that was counted (:func:`~stream.features.risk.correct_label`)."""

    def take(self, places: NDArray[np.intp]) -> "RiskLabels":
        """Return some of the labels."""
        return RiskLabels._make(column[places] for column in self)


def learn_labels(rows: Rows, places: NDArray[np.intp], labels: RiskLabels) -> None:
    """Make labels part of records, in place: to the same bits as one after the other.

    Parameters
    ----------
    rows
        Of `RISK`, shape (records,).
    places
        Which record each label belongs to, shape (n,); a record may have several.
    labels
        In the order in which they are to be counted.

    Notes
    -----
    Every record's first label is counted at once, then every record's second, and so on; where there are few
    left, as of a terminal that has most of a batch, one by one. About 0.5 µs a label.
    """
    order = np.argsort(places, kind="stable")
    ordered = places[order]
    number = np.arange(len(order))
    begins = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(order) else np.zeros(0, bool)
    turn = number - np.maximum.accumulate(np.where(begins, number, 0))
    left = 0
    for count in np.bincount(turn):
        if count < _FEW:
            break
        some = order[np.flatnonzero(turn == left)]
        changed = take(rows, places[some])
        _learn(changed, labels.take(some))
        put(rows, places[some], changed)
        left += 1
    _learn_one_by_one(rows, places, order[np.flatnonzero(turn >= left)], labels)


def _learn_one_by_one(
    rows: Rows, places: NDArray[np.intp], some: NDArray[np.intp], labels: RiskLabels
) -> None:
    for place, group in groupby(some.tolist(), key=places.__getitem__):
        (record,) = risk_records(rows[place : place + 1])
        for n in group:
            is_fraud, label_time = bool(labels.is_fraud[n]), int(labels.label_time[n])
            if labels.corrects[n]:
                correct_label(record, is_fraud=is_fraud, label_time=label_time)
            else:
                learn_label(
                    record,
                    is_fraud=is_fraud,
                    label_time=label_time,
                    event_time=int(labels.event_time[n]),
                    ratio=float(labels.ratio[n]),
                    explained=bool(labels.explained[n]),
                )
        rows[place] = risk_rows([record])[0]


def _learn(rows: Rows, labels: RiskLabels) -> None:
    """Make one label part of each row."""
    age = _bucket(rows, labels.label_time // DAY_MS)
    fraud, learns = labels.is_fraud, ~labels.corrects
    frauds, counted = rows["frauds"], rows["labels"]
    inside = age < DAYS
    at = np.flatnonzero(inside & learns)
    counted[at, age[at]] = np.minimum(counted[at, age[at]].astype(np.int64) + 1, MOST_OF_A_DAY)
    # A correction that is no fraud takes one away; the first word of one adds nothing.
    step = np.where(fraud, 1, np.where(learns, 0, -1))
    at = np.flatnonzero(inside & (step != 0))
    frauds[at, age[at]] = np.clip(frauds[at, age[at]].astype(np.int64) + step[at], 0, MOST_OF_A_DAY)

    at = np.flatnonzero(learns & ~(fraud & labels.explained))
    recent = rows["recent"][at].astype(np.int64) << 1 | fraud[at]
    rows["recent"][at] = np.where(recent < 2 * FULL, recent, recent & (FULL - 1) | FULL)
    rows["run"][np.flatnonzero(learns & ~fraud)] = 0

    at = np.flatnonzero(learns & fraud & (labels.event_time >= rows["last_fraud"]))
    rows["last_fraud"][at] = labels.event_time[at]
    rows["last_ratio"][at] = np.rint(labels.ratio[at] * 1000).astype(np.uint32)
    at = np.flatnonzero(learns & fraud & ~labels.explained)
    first = at[np.flatnonzero(rows["run"][at] == 0)]
    rows["run_start"][first] = labels.event_time[first]
    rows["run"][at] += 1


def _bucket(rows: Rows, day: Milliseconds) -> NDArray[np.int64]:
    """Move each row's windows forward to a day, and return how old the day is in them."""
    known = rows["day"].astype(np.int64)
    newest = np.maximum(known, day)
    moved = np.flatnonzero(newest > known)
    if len(moved):
        source = np.arange(DAYS) - (newest - known)[moved, None]
        there = source >= 0
        np.maximum(source, 0, out=source)
        for window in (rows["frauds"], rows["labels"]):
            window[moved] = np.where(there, np.take_along_axis(window[moved], source, axis=1), 0)
        rows["day"] = newest
    return newest - day
