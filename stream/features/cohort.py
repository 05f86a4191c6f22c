"""Many customers at once: what :func:`stream.features.customer.observe` does, for a whole record batch.

Plain Python takes some 20 µs to describe one transaction by its customer's state, most of it for windows.
The kernel, where it is compiled, does the same in a fraction of one. Without it the states lie side by side
in rows, and each step of the arithmetic is one call of numpy for all of them: 4 µs a transaction in batches
of 500. The same operations in the same order give the same numbers to the last bit; a property test holds all
of them against each other.

A customer's second transaction in a batch must see the first. So numpy works a batch off in *rounds*, the
first transactions of everybody, then the second ones, and so on, until so few are left that plain Python is
faster.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from stream import kernel
from stream.clock import DAY_MS, HOUR_MS
from stream.columns import Transactions
from stream.features.customer import (
    CAP,
    CHANNEL_BITS,
    CUSTOMER_FEATURES,
    HIGH_RATIO,
    HOUR_PARTS,
    HOURS,
    MAX_RATIO,
    MAX_SINCE_HIGH_DAYS,
    MAX_SINCE_HOURS,
    MAX_ZSCORE,
    MEMORY,
    MOST_OF_A_COUNT,
    MOST_OF_A_DAY,
    MOST_OF_A_PART,
    MOST_SEEN,
    PART_MS,
    WORD_BITS,
    CustomerState,
    observe,
)
from stream.features.packing import Rows, as_bytes, put, take
from stream.records import Transaction

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Words = NDArray[np.uint64]

_FEW: Final = 20
"""So few transactions are described faster one by one."""


def observe_all(rows: Rows, places: Integers, transactions: Transactions) -> Floats:
    """Describe transactions by their customers' pasts, each then being part of that past.

    Parameters
    ----------
    rows
        States of the customers (``stream.features.customer.STATE``), changed in place; zeros for one who is
        new.
    places
        Whose transaction it is: for each the place of its customer's state in `rows`; shape (n,).
    transactions
        In the order of arrival.

    Returns
    -------
    ndarray
        Shape (transactions, features), in the order of ``CUSTOMER_FEATURES``: row by row what
        :func:`~stream.features.customer.observe` returns.
    """
    described = np.empty((len(transactions), len(CUSTOMER_FEATURES)))
    one = transactions
    if kernel.in_use():
        kernel.features.observe(
            *(as_bytes(rows), places, one.event_times, one.amounts),
            *(one.terminals, one.countries, one.categories, one.channels),
            described,
        )
        return described
    rounds, rest = _in_rounds(places.tolist())
    if rounds:
        facts = _facts(transactions)
        for numbers in rounds:
            of = np.array(numbers)
            states = take(rows, places[of])
            described[of] = _observe_round(states, _Facts(*(fact[of] for fact in facts)))
            put(rows, places[of], states)
    alone: dict[int, CustomerState] = {}
    for number, place in zip(rest, places[rest].tolist(), strict=True):
        state = alone.get(place)
        if state is None:
            state = alone[place] = CustomerState.of(rows[place])
        described[number] = observe(state, _single(transactions, number))
    for place, state in alone.items():
        rows[place] = state.row()
    return described


def _single(transactions: Transactions, number: int) -> Transaction:
    one = transactions
    return Transaction(
        transaction_id=one.names[number],
        event_time=int(one.event_times[number]),
        customer_id=one.customers[number],
        terminal_id=one.terminals[number],
        amount=float(one.amounts[number]),
        country=one.countries[number],
        merchant_category=one.categories[number],
        channel=one.channels[number],
    )


def _in_rounds(places: Sequence[int]) -> tuple[list[list[int]], list[int]]:
    """Return who is described together, and, in order, who is described after them, one by one."""
    rounds: list[list[int]] = []
    turns: dict[int, int] = {}
    for number, place in enumerate(places):
        turn = turns[place] = turns.get(place, -1) + 1
        if turn == len(rounds):
            rounds.append([])
        rounds[turn].append(number)
    # No round is larger than the one before it.
    many = sum(len(numbers) >= _FEW for numbers in rounds)
    return rounds[:many], sorted(number for numbers in rounds[many:] for number in numbers)


class _Facts(NamedTuple):
    """What is told of each transaction; arrays of shape (n,)."""

    times: Integers
    amounts: Floats
    terminals: NDArray[np.int64]
    """Hashes."""
    countries: Words
    """A bit of the set, or none; so the next two."""
    categories: Words
    channels: Words


def _facts(transactions: Transactions) -> _Facts:
    one = transactions
    return _Facts(
        one.event_times,
        one.amounts,
        np.array([crc32(name.encode()) for name in one.terminals]),
        np.array([_bit(name, WORD_BITS) for name in one.countries], np.uint64),
        np.array([_bit(name, WORD_BITS) for name in one.categories], np.uint64),
        np.array([_bit(name, CHANNEL_BITS) for name in one.channels], np.uint64),
    )


@lru_cache(maxsize=4_096)
def _bit(name: str | None, bits: int) -> int:
    return 0 if name is None else 1 << crc32(name.encode()) % bits


def _observe_round(states: Rows, facts: _Facts) -> Floats:
    """Describe one transaction of each of many customers; `states` are changed in place."""
    times, amounts = facts.times, facts.amounts
    own = np.arange(len(times))
    newest = states["hour"].astype(np.int64)
    hour = times // HOUR_MS
    hours_on, days_on = hour - newest, times // DAY_MS - newest // HOURS
    hours = _window(states["hour_counts"], hours_on)
    counts, sums, highs, ratios = (
        _window(states[name], days_on) for name in ("day_counts", "day_sums", "high_counts", "max_ratios")
    )
    ratio, zscore = _compare(states["usual"], states["spread"], amounts)
    largest = ratios.max(axis=1) / 1000
    count_7d = counts[:, :7].sum(axis=1, dtype=np.int64)
    parts, part = states["hour_parts"], times % DAY_MS // PART_MS
    described = np.column_stack(
        [
            hours[:, :2].sum(axis=1, dtype=np.int64),
            hours.sum(axis=1, dtype=np.int64),
            count_7d,
            counts.sum(axis=1, dtype=np.int64),
            sums[:, :7].sum(axis=1).astype(np.float64) / np.maximum(100 * count_7d, 1),
            _spend_ratio(sums, amounts),
            ratio,
            zscore,
            _since(states["last_event_time"], times, HOUR_MS, MAX_SINCE_HOURS),
            (parts[own, part].astype(np.int64) + 1) / (parts.sum(axis=1, dtype=np.int64) + HOUR_PARTS),
            highs.sum(axis=1, dtype=np.int64),
            largest,
            np.where(largest > 0, np.minimum(ratio / np.where(largest > 0, largest, 1.0), MAX_RATIO), 1.0),
            _since(states["last_high"], times, DAY_MS, MAX_SINCE_HIGH_DAYS),
            _new_terminal(states["terminals"], facts.terminals),
            _new_kind(states, "countries", facts.countries),
            _new_kind(states, "categories", facts.categories),
            _new_kind(states, "channels", facts.channels),
        ]
    )
    high = ratio >= HIGH_RATIO
    cents, thousandths = (np.rint(amounts * 100).astype(np.int64), np.rint(ratio * 1000).astype(np.uint32))
    _count(states["hour_counts"], hours, hours_on)
    _count(states["day_counts"], counts, days_on)
    _count(states["high_counts"], highs, days_on, high)
    at = _keep(states["day_sums"], sums, days_on)
    states["day_sums"][at] = np.minimum(states["day_sums"][at] + cents[at[0]], MOST_OF_A_DAY)
    at = _keep(states["max_ratios"], ratios, days_on)
    states["max_ratios"][at] = np.maximum(states["max_ratios"][at], thousandths[at[0]])
    states["hour"] = np.maximum(newest, hour)
    states["last_high"] = np.where(high, np.maximum(states["last_high"], times), states["last_high"])
    states["last_event_time"] = np.maximum(states["last_event_time"], times)
    parts[own, part] += 1
    full = parts[own, part] > MOST_OF_A_PART
    parts[full] >>= 1
    _learn_usual(states, amounts)
    return described


def _window(buckets: NDArray[Any], on: Integers) -> NDArray[Any]:
    """Return each row's window as seen at its transaction, `on` buckets after its newest, or before it."""
    size = buckets.shape[1]
    if not on.any():
        return buckets.copy()
    beside = np.zeros((len(buckets), 3 * size), buckets.dtype)
    beside[:, size : 2 * size] = buckets
    begin = np.arange(size, beside.size, 3 * size) - np.minimum(np.maximum(on, -size), size)
    window: NDArray[Any] = beside.ravel()[begin[:, None] + np.arange(size)]
    return window


def _keep(buckets: NDArray[Any], seen: NDArray[Any], on: Integers) -> tuple[Integers, Integers]:
    """Keep the windows as they are from now on; return the buckets of those transactions that they hold."""
    late = on < 0
    if late.any():
        buckets[~late] = seen[~late]
        age = np.where(late, -on, 0)
        held = np.flatnonzero(age < buckets.shape[1])
        return held, age[held]
    buckets[:] = seen
    return np.arange(len(on)), np.zeros(len(on), np.int64)


def _count(buckets: NDArray[Any], seen: NDArray[Any], on: Integers, which: Flags | None = None) -> None:
    at = _keep(buckets, seen, on)
    more = 1 if which is None else which[at[0]].astype(buckets.dtype)
    buckets[at] = np.minimum(buckets[at], MOST_OF_A_COUNT - more) + more


def _compare(usual: Floats, spread: Floats, amounts: Floats) -> tuple[Floats, Floats]:
    known = usual > 0
    usual = np.where(known, usual, 1.0)
    with np.errstate(over="ignore"):
        ratio = np.minimum(amounts / usual, MAX_RATIO)
        zscore = (amounts - usual) / np.maximum(np.maximum(np.sqrt(spread), 0.1 * usual), 0.01)
    return np.where(known, ratio, 1.0), np.where(
        known, np.minimum(np.maximum(zscore, -MAX_ZSCORE), MAX_ZSCORE), 0.0
    )


def _since(last: Integers, times: Integers, unit_ms: int, most: float) -> Floats:
    since = np.minimum(np.maximum(times - last, 0) / unit_ms, most)
    return np.where(last > 0, since, most)


def _spend_ratio(sums: Integers, amounts: Floats) -> Floats:
    past = np.sort(sums[:, 1:], axis=1)
    days = past.shape[1]
    empty = (past <= 0).sum(axis=1)
    usual = past[np.arange(len(past)), np.minimum((empty + days) // 2, days - 1)]
    ratio = (sums[:, 0] + 100 * amounts) / np.maximum(usual, 1)
    return np.where(empty < days, np.minimum(ratio, MAX_RATIO), 1.0)


def _new_terminal(terminals: Words, hashes: Integers) -> Flags:
    own, word = np.arange(len(hashes)), hashes >> 6 & 3
    mask = np.uint64(1) << (hashes & 63).astype(np.uint64)
    new: Flags = (terminals[own, word] & mask) == 0
    terminals[own, word] |= mask
    return new


def _new_kind(states: Rows, name: str, mask: Words) -> Flags:
    known = states[name]
    new: Flags = (mask != 0) & (known != 0) & (known & mask == 0)
    states[name] = known | mask
    return new


def _learn_usual(states: Rows, amounts: Floats) -> None:
    usual, spread = states["usual"], states["spread"]
    seen = np.minimum(states["seen"].astype(np.int64) + 1, MOST_SEEN)
    states["seen"] = seen
    first = usual <= 0
    step = 1 / np.minimum(seen, MEMORY)
    distance = np.minimum(amounts, CAP * usual) - usual
    bought = amounts > 0
    half = amounts / 2
    states["spread"] = np.where(
        bought, np.where(first, half * half, spread + step * (distance * distance - spread)), spread
    )
    states["usual"] = np.where(bought, np.where(first, amounts, usual + step * distance), usual)
