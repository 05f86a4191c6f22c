"""A risk record: what matured labels have said of a terminal or a customer. Written by the learner only.

Windows run over *label time*, the moment a verdict became known: the learner can only know what was reported,
so "frauds in 7 days" means frauds reported in the last 7 days, whatever the verification latency.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream import kernel
from stream.clock import DAY_MS
from stream.features.packing import Packing, Rows, as_bytes, take
from stream.features.window import advance, total

DAYS: Final = 30
EXPLAINED_RATIO: Final = 2.5
"""A fraud whose amount is this many times the customer's usual says little about the terminal."""
MAX_AGE_DAYS: Final = 60.0
RECENT: Final = 8
"""The last labels of a terminal that are remembered one by one."""
FULL: Final = 1 << RECENT
"""The leading 1 of so many."""


RISK: Final = np.dtype(
    [
        ("run_start", "<i8"),
        ("last_fraud", "<i8"),
        ("day", "<u4"),
        ("run", "<u4"),
        ("last_ratio", "<u4"),
        ("frauds", "<u2", DAYS),
        ("labels", "<u2", DAYS),
        ("recent", "<u2"),
        ("unused", "u1", 2),
    ]
)
"""A record as it lies in memory and, packed, in the store: the fields of :class:`RiskRecord`. Where there is
none, all are zero."""
MOST_OF_A_DAY: Final = 65_535
"""A day's labels stop here."""


@dataclass
class RiskRecord:
    """What is known of a terminal or customer; lists are windows over days of label time, newest first."""

    run_start: int = 0
    """Event time of the first fraud of the run, in milliseconds."""
    last_fraud: int = 0
    """Event time of the last fraud, in milliseconds; 0 when there was none."""
    day: int = 0
    run: int = 0
    """Frauds in a row, without a legitimate transaction between them, that their amounts do not explain."""
    last_ratio: int = 0
    """The last fraud's amount over its customer's usual, in thousandths."""
    frauds: list[int] = field(default_factory=lambda: [0] * DAYS)
    labels: list[int] = field(default_factory=lambda: [0] * DAYS)
    recent: int = 1
    """The last `RECENT` labels, a bit each, 1 for a fraud, the newest lowest, under a leading 1 that says how
    many they are. Frauds that their amounts explain are left out: they speak neither for nor against."""


_PACKING: Final = Packing("risk record", RISK, layout=3)
_STRUCT: Final = Struct(f"<qqIII{DAYS}H{DAYS}HHxx")
assert _STRUCT.size == RISK.itemsize


def pack_risks(records: Iterable[RiskRecord]) -> list[bytes]:
    """Encode records for the store."""
    return pack_risk_rows(risk_rows(records))


def pack_risk_rows(rows: Rows) -> list[bytes]:
    """Encode rows of `RISK` for the store."""
    return _PACKING.pack(rows)


def risk_rows(records: Iterable[RiskRecord]) -> Rows:
    """Return records as rows of `RISK`, shape (n,); not to be changed."""
    flat = b"".join(
        _STRUCT.pack(
            one.run_start,
            one.last_fraud,
            one.day,
            one.run,
            one.last_ratio,
            *one.frauds,
            *one.labels,
            one.recent,
        )
        for one in records
    )
    return np.frombuffer(flat, RISK)


def unpack_risk_rows(packed: Sequence[bytes]) -> Rows:
    """Decode stored records; rows of `RISK`, shape (n,).

    Raises
    ------
    SnapshotError
        The bytes are not a risk record.
    """
    rows = _PACKING.unpack(packed)
    if not _are_whole(rows):
        raise _PACKING.damaged("it contradicts itself")
    return rows


def _are_whole(rows: Rows) -> bool:
    if kernel.in_use():
        return kernel.features.risks_are_whole(as_bytes(rows), 2 * FULL)
    return bool(
        (rows["run_start"] >= 0).all()
        and (rows["last_fraud"] >= 0).all()
        and ((rows["recent"] >= 1) & (rows["recent"] < 2 * FULL)).all()
        and not rows["unused"].any()
    )


def unpack_risks(packed: Sequence[bytes]) -> list[RiskRecord]:
    """Decode stored records, each for itself; raises as :func:`unpack_risk_rows` does."""
    return risk_records(unpack_risk_rows(packed))


def risk_records(rows: Rows) -> list[RiskRecord]:
    """Return rows of `RISK` as records."""
    records = []
    for one in _STRUCT.iter_unpack(rows.tobytes()):
        frauds, labels = list(one[5 : 5 + DAYS]), list(one[5 + DAYS : 5 + 2 * DAYS])
        run_start, last_fraud, day, run, last_ratio = one[:5]
        records.append(RiskRecord(run_start, last_fraud, day, run, last_ratio, frauds, labels, one[-1]))
    return records


TERMINAL_FEATURES: Final = (
    "terminal_frauds_7d",
    "terminal_frauds_30d",
    "terminal_fraud_rate_30d",
    "terminal_recent_share",
    "terminal_fraud_run",
    "terminal_run_age",
    "terminal_days_since_fraud",
    "terminal_last_ratio",
)
RISK_OF_CUSTOMER_FEATURES: Final = ("customer_frauds_30d", "customer_days_since_fraud")

_OF_CUSTOMER: Final = [
    TERMINAL_FEATURES.index(f"terminal_{name}") for name in ("frauds_30d", "days_since_fraud")
]
"""Which of a terminal's features a customer has as well."""

NO_TERMINAL_RISK: Final = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, MAX_AGE_DAYS, 0.0)
NO_CUSTOMER_RISK: Final = (0.0, MAX_AGE_DAYS)


def terminal_risk(
    record: RiskRecord, event_time: int
) -> tuple[float, float, float, float, float, float, float, float]:
    """Describe a terminal as it was known at `event_time` (milliseconds); see `TERMINAL_FEATURES`."""
    age = record.day - event_time // DAY_MS
    frauds_7d = frauds_30d = 0
    rate = 0.0
    # Most terminals have no fraud at all, and need only one look at their window.
    if any(record.frauds):
        frauds_7d = total(record.frauds, age, 7)
        frauds_30d = total(record.frauds, age, 30)
        # A prior of five legitimate labels keeps one early fraud from reading as certainty.
        rate = frauds_30d / (total(record.labels, age, 30) + 5.0)
    return (
        float(frauds_7d),
        float(frauds_30d),
        rate,
        (record.recent.bit_count() - 1) / record.recent.bit_length(),
        float(record.run),
        _days(record.run_start, event_time) if record.run else 0.0,
        _days(record.last_fraud, event_time),
        record.last_ratio / 1000,
    )


def customer_risk(record: RiskRecord, event_time: int) -> tuple[float, float]:
    """Describe a customer by the frauds reported on them; see `RISK_OF_CUSTOMER_FEATURES`."""
    age = record.day - event_time // DAY_MS
    frauds = total(record.frauds, age, 30) if any(record.frauds) else 0
    return float(frauds), _days(record.last_fraud, event_time)


def terminal_risks(
    rows: Rows, places: NDArray[np.int64], event_times: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Describe a terminal for each transaction: :func:`terminal_risk`, row by row.

    Parameters
    ----------
    rows
        Of `RISK`, one for each terminal; zeros where there is no record.
    places
        Where each transaction's terminal lies in `rows`, shape (n,).
    event_times
        Milliseconds, shape (n,).

    Returns
    -------
    ndarray
        Shape (n, 8), in the order of `TERMINAL_FEATURES`.
    """
    described = np.zeros((len(event_times), len(TERMINAL_FEATURES)))
    if kernel.in_use():
        kernel.features.describe_risks(as_bytes(rows), places, event_times, _SHARES, described)
        return described
    rows = take(rows, places)
    reported = np.flatnonzero(rows["frauds"].any(axis=1))
    if len(reported):
        some = rows[reported]
        age = some["day"].astype(np.int64) - event_times[reported] // DAY_MS
        frauds_30d = _totals(some["frauds"], age, DAYS)
        described[reported, 0] = _totals(some["frauds"], age, 7)
        described[reported, 1] = frauds_30d
        described[reported, 2] = frauds_30d / (_totals(some["labels"], age, DAYS) + 5.0)
    described[:, 3] = _SHARES[rows["recent"]]
    run = rows["run"]
    described[:, 4] = run
    described[:, 5] = np.where(run > 0, _days_since(rows["run_start"], event_times), 0.0)
    described[:, 6] = _days_since(rows["last_fraud"], event_times)
    described[:, 7] = rows["last_ratio"] / 1000
    return described


def customer_risks(
    rows: Rows, places: NDArray[np.int64], event_times: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Describe a customer for each transaction: :func:`customer_risk`, row by row.

    Parameters
    ----------
    rows, places, event_times
        As for :func:`terminal_risks`.

    Returns
    -------
    ndarray
        Shape (n, 2), in the order of `RISK_OF_CUSTOMER_FEATURES`.
    """
    return terminal_risks(rows, places, event_times)[:, _OF_CUSTOMER]


def learn_label(
    record: RiskRecord, *, is_fraud: bool, label_time: int, event_time: int, ratio: float, explained: bool
) -> None:
    """Make one label part of a record, in place.

    Parameters
    ----------
    is_fraud
        The verdict.
    label_time, event_time
        When it became known, and when the transaction happened; milliseconds since 1970.
    ratio
        The transaction's amount over its customer's usual at that time.
    explained
        Whether the amount alone explains the fraud, so that it tells little of the terminal.
    """
    age = _bucket(record, label_time)
    if age < DAYS:
        record.labels[age] = min(record.labels[age] + 1, MOST_OF_A_DAY)
        record.frauds[age] = min(record.frauds[age] + is_fraud, MOST_OF_A_DAY)
    if not (is_fraud and explained):
        recent = record.recent << 1 | is_fraud
        record.recent = recent if recent < 2 * FULL else recent & (FULL - 1) | FULL
    if not is_fraud:
        record.run = 0
        return
    if event_time >= record.last_fraud:
        record.last_fraud = event_time
        record.last_ratio = round(ratio * 1000)
    if not explained:
        if record.run == 0:
            record.run_start = event_time
        record.run += 1


def correct_label(record: RiskRecord, *, is_fraud: bool, label_time: int) -> None:
    """Undo the opposite verdict's count after a second label for the same transaction, in place.

    The count moves where the first label was counted if that day is still in the window of `label_time`;
    runs, the last labels and the time of the last fraud stay as they are, since what followed them cannot be
    told apart any more.
    """
    age = _bucket(record, label_time)
    if age < DAYS:
        frauds = record.frauds[age] + (1 if is_fraud else -1)
        record.frauds[age] = min(max(frauds, 0), MOST_OF_A_DAY)


def _bucket(record: RiskRecord, label_time: int) -> int:
    day = label_time // DAY_MS
    if day > record.day:
        advance(record.frauds, day - record.day)
        advance(record.labels, day - record.day)
        record.day = day
    return record.day - day


def _days(since_ms: int, now_ms: int) -> float:
    if not since_ms:
        return MAX_AGE_DAYS
    days = (now_ms - since_ms) / DAY_MS
    return 0.0 if days < 0 else min(days, MAX_AGE_DAYS)


_SHARES: Final = np.array([0.0, *((one.bit_count() - 1) / one.bit_length() for one in range(1, 2 * FULL))])
"""What share of the last labels are frauds, by the record's `recent`; the 0 of no record says none."""


def _totals(buckets: NDArray[np.uint16], age: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Sum each row's window: :func:`~stream.features.window.total`, row by row."""
    place = np.arange(DAYS)
    held = (place >= age[:, None]) & (place < age[:, None] + width)
    sums: NDArray[np.int64] = np.where(held, buckets, 0).sum(axis=1, dtype=np.int64)
    return sums


def _days_since(since_ms: NDArray[np.int64], now_ms: NDArray[np.int64]) -> NDArray[np.float64]:
    days = np.minimum(np.maximum((now_ms - since_ms) / DAY_MS, 0.0), MAX_AGE_DAYS)
    return np.where(since_ms > 0, days, MAX_AGE_DAYS)
