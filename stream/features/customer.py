"""A customer's state: what the scorer remembers of somebody's spending, of fixed size however busy they are.

Stored without its zero bytes (``docs/redis-format.md``), about 240 bytes. Sums are integers in hundredths of
the currency's unit, so that the order of arrival never changes a sum and the stored state is the exact one.

:func:`observe` describes one transaction by one state: plain Python, and the definition of the features.
:func:`stream.features.cohort.observe_all` does the same for many customers at once.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf, sqrt
from struct import Struct
from typing import Any, Final
from zlib import crc32

import numpy as np

from stream import kernel
from stream.clock import DAY_MS, HOUR_MS
from stream.features.packing import Packing, Rows, as_bytes
from stream.features.window import advance
from stream.records import Transaction

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
MAX_SINCE_HOURS: Final = 720.0
MAX_SINCE_HIGH_DAYS: Final = 30.0
HOUR_PARTS: Final = 8
"""Parts of a UTC day in which a customer's habits are counted, three hours each."""
PART_MS: Final = DAY_MS // HOUR_PARTS
MOST_OF_A_PART: Final = 127
"""All parts are halved when one would pass it: old habits fade, and each stays one byte."""
MOST_OF_A_DAY: Final = 10**17
"""A day's sum stops here, in hundredths: what a stored integer can hold, whatever comes."""
MOST_OF_A_COUNT: Final = 65_535
"""An hour's or day's transactions stop here."""
MOST_SEEN: Final = 2**32 - 1
WORD_BITS: Final = 64
CHANNEL_BITS: Final = 16


STATE: Final = np.dtype(
    [
        ("day_sums", "<i8", DAYS),
        ("usual", "<f8"),
        ("spread", "<f8"),
        ("last_event_time", "<i8"),
        ("last_high", "<i8"),
        ("terminals", "<u8", 4),
        ("countries", "<u8"),
        ("categories", "<u8"),
        ("max_ratios", "<u4", RATIO_DAYS),
        ("hour", "<u4"),
        ("seen", "<u4"),
        ("hour_counts", "<u2", HOURS),
        ("day_counts", "<u2", DAYS),
        ("high_counts", "<u2", RATIO_DAYS),
        ("channels", "<u2"),
        ("hour_parts", "u1", HOUR_PARTS),
        ("unused", "u1", 6),
    ]
)
"""A state as it lies in memory and, packed, in the store: the fields of :class:`CustomerState`."""
_STRUCT: Final = Struct(f"<{DAYS}qddqq4QQQ{RATIO_DAYS}III{HOURS}H{DAYS}H{RATIO_DAYS}HH{HOUR_PARTS}B6x")
"""The same row for one at a time, which numpy takes three times as long for."""
assert _STRUCT.size == STATE.itemsize
_ENDS: Final = tuple(
    accumulate((DAYS, 1, 1, 1, 1, 4, 1, 1, RATIO_DAYS, 1, 1, HOURS, DAYS, RATIO_DAYS, 1, HOUR_PARTS))
)
_SPANS: Final = tuple(zip((0, *_ENDS), _ENDS, strict=False))
"""Where each field's numbers stand in it."""


@dataclass
class CustomerState:
    """What is remembered of a customer; lists are windows, newest bucket first."""

    day_sums: list[int] = field(default_factory=lambda: [0] * DAYS)
    """Hundredths of the currency's unit."""
    usual: float = 0.0
    """Robust running mean of the amounts: each enters capped at `CAP` times the mean so far."""
    spread: float = 0.0
    """Running mean of the capped amounts' squared distance from `usual`."""
    last_event_time: int = 0
    last_high: int = 0
    """Event time of the last high amount, in milliseconds; 0 when there was none."""
    terminals: list[int] = field(default_factory=lambda: [0] * 4)
    """A set of 256 bits of hashed terminal ids, 64 a word."""
    countries: int = 0
    """A set of 64 bits of hashed countries."""
    categories: int = 0
    """A set of 64 bits of hashed merchant categories."""
    max_ratios: list[int] = field(default_factory=lambda: [0] * RATIO_DAYS)
    """Thousandths."""
    hour: int = 0
    """The newest hour seen, in hours since 1970; the newest day is the one that it lies in."""
    seen: int = 0
    hour_counts: list[int] = field(default_factory=lambda: [0] * HOURS)
    day_counts: list[int] = field(default_factory=lambda: [0] * DAYS)
    high_counts: list[int] = field(default_factory=lambda: [0] * RATIO_DAYS)
    channels: int = 0
    """A set of 16 bits of hashed channels."""
    hour_parts: list[int] = field(default_factory=lambda: [0] * HOUR_PARTS)
    """Transactions in each part of the UTC day, all halved now and then."""

    @property
    def day(self) -> int:
        """The newest day seen, in days since 1970."""
        return self.hour // HOURS

    @classmethod
    def of(cls, row: np.void) -> "CustomerState":
        """Return the state that lies in a row of `STATE`."""
        one = _STRUCT.unpack(row.tobytes())
        fields: list[Any] = [list(one[start:end]) if end - start > 1 else one[start] for start, end in _SPANS]
        return cls(*fields)

    def row(self) -> np.void:
        """Return the row of `STATE` in which it lies."""
        packed = _STRUCT.pack(
            *(*self.day_sums, self.usual, self.spread, self.last_event_time, self.last_high),
            *(*self.terminals, self.countries, self.categories, *self.max_ratios, self.hour, self.seen),
            *(*self.hour_counts, *self.day_counts, *self.high_counts, self.channels, *self.hour_parts),
        )
        row: np.void = np.frombuffer(packed, STATE)[0]
        return row


_PACKING: Final = Packing("customer state", STATE, layout=3)


def pack_customers(rows: Rows) -> list[bytes]:
    """Encode states for the store; `rows` of `STATE`, shape (n,)."""
    return _PACKING.pack(rows)


def unpack_customers(packed: Sequence[bytes]) -> Rows:
    """Decode stored states; rows of `STATE`, shape (n,).

    Raises
    ------
    SnapshotError
        The bytes are not a customer's state.
    """
    rows = _PACKING.unpack(packed)
    if not _are_whole(rows):
        raise _PACKING.damaged("it contradicts itself")
    return rows


def _are_whole(rows: Rows) -> bool:
    if kernel.in_use():
        return kernel.features.states_are_whole(as_bytes(rows))
    sums, usual, spread = rows["day_sums"], rows["usual"], rows["spread"]
    # Of what is not a number, no comparison is true.
    return bool(
        ((sums >= 0) & (sums <= MOST_OF_A_DAY)).all()
        and ((usual >= 0) & (usual < inf) & (spread >= 0) & (spread < inf)).all()
        and (rows["last_event_time"] >= 0).all()
        and (rows["last_high"] >= 0).all()
        and (rows["hour_parts"] <= MOST_OF_A_PART).all()
        and (rows["max_ratios"] <= 1000 * MAX_RATIO).all()
        and not rows["unused"].any()
    )


CUSTOMER_FEATURES: Final = (
    "customer_count_2h",
    "customer_count_1d",
    "customer_count_7d",
    "customer_count_30d",
    "customer_mean_7d",
    "spend_ratio_1d",
    "amount_ratio",
    "amount_zscore",
    "hours_since_last",
    "hour_share",
    "high_count_14d",
    "max_ratio_14d",
    "ratio_to_max_14d",
    "days_since_high",
    "new_terminal",
    "new_country",
    "new_category",
    "new_channel",
)


def observe(state: CustomerState, transaction: Transaction) -> tuple[float, ...]:
    """Describe a transaction by its customer's past, then make it part of that past.

    Parameters
    ----------
    state
        Changed in place.
    transaction
        May lie before events seen earlier; what has left the windows is not counted.

    Returns
    -------
    tuple of float
        In the order of `CUSTOMER_FEATURES`; this transaction is in none of them. All finite.

    Notes
    -----
    About 15 µs. "Before" is in the order of arrival: a late event knows what came before it, judged by the
    windows that end with its own time.
    """
    event_time, amount = transaction.event_time, transaction.amount
    hour_age, day_age = _move(state, event_time)
    hours = state.hour_counts[hour_age:] if hour_age else state.hour_counts
    counts, sums, highs, ratios = state.day_counts, state.day_sums, state.high_counts, state.max_ratios
    if day_age:
        counts, sums, highs, ratios = counts[day_age:], sums[day_age:], highs[day_age:], ratios[day_age:]
    ratio, zscore = _compare(state, amount)
    largest = max(ratios, default=0) / 1000
    count_7d = sum(counts[:7])
    parts = state.hour_parts
    row = (
        float(sum(hours[:2])),
        float(sum(hours)),
        float(count_7d),
        float(sum(counts)),
        float(sum(sums[:7])) / (100 * count_7d) if count_7d else 0.0,
        _spend_ratio(sums, amount),
        ratio,
        zscore,
        _since(state.last_event_time, event_time, HOUR_MS, MAX_SINCE_HOURS),
        (parts[event_time % DAY_MS // PART_MS] + 1) / (sum(parts) + HOUR_PARTS),
        float(sum(highs)),
        largest,
        min(ratio / largest, MAX_RATIO) if largest else 1.0,
        _since(state.last_high, event_time, DAY_MS, MAX_SINCE_HIGH_DAYS),
        _new_terminal(state, transaction.terminal_id),
        *_new_kinds(state, transaction),
    )
    _remember(state, transaction, ratio, hour_age, day_age)
    return row


def _move(state: CustomerState, event_time: int) -> tuple[int, int]:
    """Bring the windows up to `event_time`; return how many hours and days it lies behind their newest."""
    hour, day = event_time // HOUR_MS, event_time // DAY_MS
    by = hour - state.hour
    if by <= 0:
        # Not a new hour, so not a new day either.
        return -by, state.day - day
    days = day - state.day
    advance(state.hour_counts, by)
    state.hour = hour
    if days > 0:
        advance(state.day_counts, days)
        advance(state.day_sums, days)
        advance(state.high_counts, days)
        advance(state.max_ratios, days)
    return 0, 0


def _compare(state: CustomerState, amount: float) -> tuple[float, float]:
    """Return ratio and z-score of `amount` against the usual one."""
    usual = state.usual
    if usual <= 0:
        return 1.0, 0.0
    zscore = (amount - usual) / max(sqrt(state.spread), 0.1 * usual, 0.01)
    return min(amount / usual, MAX_RATIO), max(-MAX_ZSCORE, min(zscore, MAX_ZSCORE))


def _since(last: int, event_time: int, unit_ms: int, most: float) -> float:
    if not last:
        return most
    if event_time <= last:
        return 0.0
    return min((event_time - last) / unit_ms, most)


def _spend_ratio(sums: list[int], amount: float) -> float:
    """Return the day's spending with `amount` over that of the customer's usual day; `sums` from that day on.

    The usual day is the median of those with any spending: neither a day of plunder nor days without a
    purchase move it, where a mean would follow both.
    """
    past = sums[1:]
    past.sort()
    empty = bisect_right(past, 0)
    if empty == len(past):
        return 1.0
    ratio = (sums[0] + 100 * amount) / past[(empty + len(past)) // 2]
    return min(ratio, MAX_RATIO)


def _new_terminal(state: CustomerState, terminal_id: str) -> float:
    bit = crc32(terminal_id.encode()) & 255
    word, mask = bit >> 6, 1 << (bit & 63)
    if state.terminals[word] & mask:
        return 0.0
    state.terminals[word] |= mask
    return 1.0


def _new_kinds(state: CustomerState, transaction: Transaction) -> tuple[float, float, float]:
    """Say whether country, merchant category and channel are new to a customer of whom others are known."""
    country, category, channel = transaction.country, transaction.merchant_category, transaction.channel
    new_country = new_category = new_channel = 0.0
    if country is not None:
        new_country, state.countries = _met(state.countries, country, WORD_BITS)
    if category is not None:
        new_category, state.categories = _met(state.categories, category, WORD_BITS)
    if channel is not None:
        new_channel, state.channels = _met(state.channels, channel, CHANNEL_BITS)
    return new_country, new_category, new_channel


def _met(known: int, name: str, bits: int) -> tuple[float, int]:
    """Return whether `name` is new beside those `known`, and the set with it."""
    mask = 1 << crc32(name.encode()) % bits
    return (1.0 if known and not known & mask else 0.0), known | mask


def _remember(
    state: CustomerState, transaction: Transaction, ratio: float, hour_age: int, day_age: int
) -> None:
    event_time, amount = transaction.event_time, transaction.amount
    if hour_age < HOURS:
        state.hour_counts[hour_age] = min(state.hour_counts[hour_age] + 1, MOST_OF_A_COUNT)
    if day_age < DAYS:
        state.day_counts[day_age] = min(state.day_counts[day_age] + 1, MOST_OF_A_COUNT)
        state.day_sums[day_age] = min(state.day_sums[day_age] + round(amount * 100), MOST_OF_A_DAY)
    if day_age < RATIO_DAYS:
        state.max_ratios[day_age] = max(state.max_ratios[day_age], round(ratio * 1000))
        high = state.high_counts[day_age] + (ratio >= HIGH_RATIO)
        state.high_counts[day_age] = min(high, MOST_OF_A_COUNT)
    if ratio >= HIGH_RATIO:
        state.last_high = max(state.last_high, event_time)
    state.last_event_time = max(state.last_event_time, event_time)
    part = event_time % DAY_MS // PART_MS
    state.hour_parts[part] += 1
    if state.hour_parts[part] > MOST_OF_A_PART:
        state.hour_parts = [count >> 1 for count in state.hour_parts]
    _learn_usual(state, amount)


def _learn_usual(state: CustomerState, amount: float) -> None:
    state.seen = min(state.seen + 1, MOST_SEEN)
    if amount <= 0:
        # An account is verified with an amount of zero: nothing was bought.
        return
    if state.usual <= 0:
        state.usual = amount
        state.spread = amount / 2 * (amount / 2)
        return
    step = 1 / min(state.seen, MEMORY)
    distance = min(amount, CAP * state.usual) - state.usual
    state.usual += step * distance
    state.spread += step * (distance * distance - state.spread)
