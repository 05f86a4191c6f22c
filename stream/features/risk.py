"""A risk record: what matured labels have said of a terminal or a customer. Written by the learner only.

Windows run over *label time*, the moment a verdict became known: the learner can only know what was reported,
so "frauds in 7 days" means frauds reported in the last 7 days, whatever the verification latency.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from stream.clock import DAY_MS
from stream.errors import SnapshotError
from stream.features.window import advance, total
from stream.records import UNREADABLE

DAYS: Final = 30
EXPLAINED_RATIO: Final = 2.5
"""A fraud whose amount is this many times the customer's usual says little about the terminal."""
MAX_AGE_DAYS: Final = 60.0
RECENT: Final = 8
"""The last labels of a terminal that are remembered one by one."""
_FULL: Final = 1 << RECENT


Count = Annotated[int, Meta(ge=0)]
Days = Annotated[list[Count], Meta(min_length=DAYS, max_length=DAYS)]


class RiskRecord(Struct, array_like=True, gc=False):
    """What is known of a terminal or customer; lists are windows over days of label time, newest first."""

    day: int = 0
    frauds: Days = msgspec.field(default_factory=lambda: [0] * DAYS)
    labels: Days = msgspec.field(default_factory=lambda: [0] * DAYS)
    run: int = 0
    """Frauds in a row, without a legitimate transaction between them, that their amounts do not explain."""
    run_start: int = 0
    """Event time of the first of them, in milliseconds."""
    last_fraud: int = 0
    """Event time of the last fraud, in milliseconds; 0 when there was none."""
    last_ratio: int = 0
    """That fraud's amount over its customer's usual, in thousandths."""
    # From here on: not in records stored by versions before, which decode to these defaults.
    recent: Annotated[int, Meta(ge=1, lt=2 * _FULL)] = 1
    """The last `RECENT` labels, a bit each, 1 for a fraud, the newest lowest, under a leading 1 that says how
    many they are. Frauds that their amounts explain are left out: they speak neither for nor against."""


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(RiskRecord)


def pack_risk(record: RiskRecord) -> bytes:
    """Encode a record for the store."""
    return _ENCODER.encode(record)


def unpack_risk(packed: bytes) -> RiskRecord:
    """Decode a stored record.

    Raises
    ------
    SnapshotError
        The bytes are not a risk record.
    """
    try:
        return _DECODER.decode(packed)
    except UNREADABLE as error:
        raise SnapshotError(f"a stored risk record is damaged ({error}): delete its key") from error


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
        record.labels[age] += 1
        record.frauds[age] += is_fraud
    if not (is_fraud and explained):
        recent = record.recent << 1 | is_fraud
        record.recent = recent if recent < 2 * _FULL else recent & (_FULL - 1) | _FULL
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
        record.frauds[age] = max(0, record.frauds[age] + (1 if is_fraud else -1))


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
