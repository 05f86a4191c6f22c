"""Reports: what a batch of labels says of terminals and customers, made part of their risk records."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream.clock import DAY_MS
from stream.features.packing import Rows
from stream.features.risk import (
    DAYS,
    MOST_OF_A_DAY,
    MOST_RATIO,
    RECENT,
    RISK,
    pack_risk_rows,
    unpack_risk_rows,
)

K = TypeVar("K", bound=Hashable)

_FULL: Final = 1 << RECENT


class Report(NamedTuple):
    """What a label says of whoever had a part in its transaction.

    See :func:`~stream.features.risk.learn_label`.
    """

    is_fraud: bool
    corrects: bool
    """Whether an earlier label had said the opposite."""
    label_time: int
    event_time: int
    ratio: float
    explained: bool


def add_reports(stored: Mapping[K, bytes], whose: Sequence[K], reports: Iterable[Report]) -> dict[K, bytes]:
    """Make reports part of records, as :func:`~stream.features.risk.learn_label` does one by one.

    Parameters
    ----------
    stored
        Records as they are stored; one that is missing is new.
    whose
        Whose record each report belongs to.
    reports
        In the order of the labels.

    Returns
    -------
    dict
        The records to store, in the order in which they are first named.

    Raises
    ------
    SnapshotError
        What is stored is no risk record.

    Notes
    -----
    Some 60 µs for each time that one record is named, and 1 µs for each report.
    """
    numbers: dict[K, int] = {}
    record = np.array([numbers.setdefault(one, len(numbers)) for one in whose], np.intp)
    if not len(record):
        return {}
    rows = np.zeros(len(numbers), RISK)
    rows["recent"] = 1
    known = {number: stored[one] for one, number in numbers.items() if one in stored}
    if known:
        rows[list(known)] = unpack_risk_rows([*known.values()])
    columns = _Columns(*map(np.array, zip(*reports, strict=True)))
    # The first report on each record, then the second: no record twice at a time.
    order = np.argsort(record, kind="stable")
    begins = np.searchsorted(record[order], record[order])
    turn = np.arange(len(order)) - begins
    for one in range(int(turn.max()) + 1):
        at = order[turn == one]
        _add(rows, record[at], _Columns(*(column[at] for column in columns)))
    return dict(zip(numbers, pack_risk_rows(rows), strict=True))


class _Columns(NamedTuple):
    """Reports as columns; see :class:`Report`."""

    is_fraud: NDArray[np.bool_]
    corrects: NDArray[np.bool_]
    label_time: NDArray[np.int64]
    event_time: NDArray[np.int64]
    ratio: NDArray[np.float64]
    explained: NDArray[np.bool_]


def _add(rows: Rows, record: NDArray[np.intp], new: _Columns) -> None:
    """Make a report on each of some records part of it, in place."""
    some = rows[record]
    day = new.label_time // DAY_MS
    last_day = some["day"].astype(np.int64)
    behind = np.flatnonzero(day > last_day)
    if len(behind):
        some["day"][behind] = day[behind]
        place = np.arange(DAYS) - (day - last_day)[behind, None]
        for window in (some["frauds"], some["labels"]):
            window[behind] = np.where(
                place >= 0, np.take_along_axis(window[behind], np.maximum(place, 0), 1), 0
            )
    age = np.maximum(last_day - day, 0)
    counted = np.flatnonzero(age < DAYS)
    age, frauds, corrects = age[counted], new.is_fraud[counted].astype(np.int64), new.corrects[counted]
    more = some["frauds"][counted, age].astype(np.int64) + np.where(corrects, 2 * frauds - 1, frauds)
    some["frauds"][counted, age] = np.clip(more, 0, MOST_OF_A_DAY)
    more = some["labels"][counted, age].astype(np.int64) + ~corrects
    some["labels"][counted, age] = np.minimum(more, MOST_OF_A_DAY)

    first, fraud = ~new.corrects, new.is_fraud
    recent = some["recent"].astype(np.int64) << 1 | fraud
    recent = np.where(recent < 2 * _FULL, recent, recent & (_FULL - 1) | _FULL)
    some["recent"] = np.where(first & ~(fraud & new.explained), recent, some["recent"])
    unexplained = first & fraud & ~new.explained
    some["run_start"] = np.where(unexplained & (some["run"] == 0), new.event_time, some["run_start"])
    run = np.where(unexplained, some["run"] + np.uint32(1), some["run"])
    some["run"] = np.where(first & ~fraud, 0, run)
    latest = np.flatnonzero(first & fraud & (new.event_time >= some["last_fraud"]))
    some["last_fraud"][latest] = new.event_time[latest]
    some["last_ratio"][latest] = np.minimum(np.rint(new.ratio[latest] * 1000), MOST_RATIO)
    rows[record] = some
