"""A customer's state: what the scorer remembers of somebody's spending, of fixed size however busy they are.

Stored as a msgpack array (``docs/redis-format.md``), about 250 bytes. Sums are integers in hundredths of the
currency's unit, so that the order of arrival never changes a sum and the stored state is the exact one.
"""

from typing import Final
from zlib import crc32

import msgspec
from msgspec import Struct

from stream.clock import DAY_MS, HOUR_MS
from stream.errors import SnapshotError
from stream.features.window import advance, total

HOURS: Final = 24
DAYS: Final = 30
RATIO_DAYS: Final = 14
HIGH_RATIO: Final = 2.5
"""An amount this many times the customer's usual one counts as high."""
CAP: Final = 4.0
"""An amount enters the usual one as at most this many times it, so that one large fraud does not move it."""
MEMORY: Final = 60
"""The usual amount follows about this many transactions."""
MAX_RATIO: Final = 100.0
MAX_ZSCORE: Final = 50.0
_NEVER: Final = 30.0
"""Days since the last transaction, for customers without one."""


class CustomerState(Struct, array_like=True, gc=False):
    """What is remembered of a customer; lists are windows, newest bucket first."""

    hour: int = 0
    """The newest hour seen, in hours since 1970."""
    hour_counts: list[int] = msgspec.field(default_factory=lambda: [0] * HOURS)
    day: int = 0
    """The newest day seen, in days since 1970."""
    day_counts: list[int] = msgspec.field(default_factory=lambda: [0] * DAYS)
    day_sums: list[int] = msgspec.field(default_factory=lambda: [0] * DAYS)
    """Hundredths of the currency's unit."""
    high_counts: list[int] = msgspec.field(default_factory=lambda: [0] * RATIO_DAYS)
    max_ratios: list[int] = msgspec.field(default_factory=lambda: [0] * RATIO_DAYS)
    """Thousandths."""
    seen: int = 0
    usual: float = 0.0
    """Robust running mean of the amounts: each enters capped at `CAP` times the mean so far."""
    spread: float = 0.0
    """Running mean of the capped amounts' squared distance from `usual`."""
    last_event_time: int = 0
    terminals: list[int] = msgspec.field(default_factory=lambda: [0] * 4)
    """A set of 256 bits of hashed terminal ids, 64 a word."""


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(CustomerState)


def pack_customer(state: CustomerState) -> bytes:
    """Encode a state for the store."""
    return _ENCODER.encode(state)


def unpack_customer(packed: bytes) -> CustomerState:
    """Decode a stored state.

    Raises
    ------
    SnapshotError
        The bytes are not a customer's state.
    """
    try:
        return _DECODER.decode(packed)
    except msgspec.DecodeError as error:
        raise SnapshotError(f"a stored customer state is damaged ({error}): delete its key") from error


CUSTOMER_FEATURES: Final = (
    "customer_count_1d",
    "customer_count_7d",
    "customer_count_30d",
    "customer_mean_7d",
    "amount_ratio",
    "amount_zscore",
    "hours_since_last",
    "high_count_14d",
    "max_ratio_14d",
    "new_terminal",
)


def observe(
    state: CustomerState, event_time: int, amount: float, terminal_id: str
) -> tuple[float, float, float, float, float, float, float, float, float, float]:
    """Describe a transaction by its customer's past, then make it part of that past.

    Parameters
    ----------
    state
        Changed in place.
    event_time
        Milliseconds since 1970. May lie before events seen earlier; what has left the windows is not counted.
    amount
        In the currency's unit.
    terminal_id
        Where.

    Returns
    -------
    tuple of float
        In the order of `CUSTOMER_FEATURES`; this transaction is in none of them.
    """
    hour = event_time // HOUR_MS
    if hour > state.hour:
        advance(state.hour_counts, hour - state.hour)
        state.hour = hour
    day = event_time // DAY_MS
    if day > state.day:
        by = day - state.day
        advance(state.day_counts, by)
        advance(state.day_sums, by)
        advance(state.high_counts, by)
        advance(state.max_ratios, by)
        state.day = day
    hour_age = state.hour - hour
    day_age = state.day - day

    count_7d = total(state.day_counts, day_age, 7)
    if state.seen:
        ratio = min(amount / state.usual, MAX_RATIO) if state.usual > 0 else 1.0
        deviation = max(state.spread**0.5, 0.1 * state.usual, 0.01)
        zscore = max(-MAX_ZSCORE, min((amount - state.usual) / deviation, MAX_ZSCORE))
        since = min(max(event_time - state.last_event_time, 0) / HOUR_MS, _NEVER * 24)
    else:
        ratio, zscore, since = 1.0, 0.0, _NEVER * 24
    bit = crc32(terminal_id.encode()) & 255
    word, mask = bit >> 6, 1 << (bit & 63)
    row = (
        float(total(state.hour_counts, hour_age, 24)),
        float(count_7d),
        float(total(state.day_counts, day_age, 30)),
        total(state.day_sums, day_age, 7) / (100 * count_7d) if count_7d else amount,
        ratio,
        zscore,
        since,
        float(total(state.high_counts, day_age, 14)),
        max(state.max_ratios[day_age:], default=0) / 1000,
        0.0 if state.terminals[word] & mask else 1.0,
    )

    if hour_age < HOURS:
        state.hour_counts[hour_age] += 1
    if day_age < DAYS:
        state.day_counts[day_age] += 1
        state.day_sums[day_age] += round(amount * 100)
    if day_age < RATIO_DAYS:
        state.high_counts[day_age] += ratio >= HIGH_RATIO
        state.max_ratios[day_age] = max(state.max_ratios[day_age], round(ratio * 1000))
    _learn_usual(state, amount)
    state.last_event_time = max(state.last_event_time, event_time)
    state.terminals[word] |= mask
    return row


def _learn_usual(state: CustomerState, amount: float) -> None:
    state.seen += 1
    if state.seen == 1 or state.usual <= 0:
        state.usual = amount
        state.spread = (amount / 2) ** 2
        return
    step = 1 / min(state.seen, MEMORY)
    capped = min(amount, CAP * state.usual)
    distance = capped - state.usual
    state.usual += step * distance
    state.spread += step * (distance * distance - state.spread)
