from math import isfinite
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.clock import DAY_MS, HOUR_MS
from stream.errors import SnapshotError
from stream.features.customer import (
    CUSTOMER_FEATURES,
    STATE,
    CustomerState,
    observe,
    pack_customers,
    unpack_customers,
)
from stream.features.packing import Rows
from stream.records import Transaction
from tests.stream.features.naive import NaiveCustomer

pytestmark = pytest.mark.usefixtures("both_ways")

START = 1_700_000_000_000
# Names whose hashes do not collide: the sets of hashes are then exact.
TERMINALS, COUNTRIES, CATEGORIES, CHANNELS = (
    "abcdefgh",
    ("DE", "FR", "US"),
    ("5411", "7995", "x"),
    ("pos", "web"),
)


def transaction(
    time: int,
    amount: float,
    terminal: str = "a",
    country: str | None = None,
    category: str | None = None,
    channel: str | None = None,
) -> Transaction:
    return Transaction(
        transaction_id="t",
        event_time=time,
        customer_id="c",
        terminal_id=terminal,
        amount=amount,
        country=country,
        merchant_category=category,
        channel=channel,
    )


steps = st.one_of(
    st.just(0),
    st.integers(0, 3 * HOUR_MS),
    st.integers(0, 3 * DAY_MS),
    st.integers(-40 * DAY_MS, 0),  # late
    # Whole buckets, so that every window's edge is met.
    st.integers(-30, 30).map(lambda hours: hours * HOUR_MS),
    st.integers(-31, 31).map(lambda days: days * DAY_MS),
    st.integers(31 * DAY_MS, 400 * DAY_MS),  # after a long silence
)
amounts = st.one_of(
    st.sampled_from([0.0, 0.01, 10.0, 25.0, 1e12]),
    st.floats(0, 1e6).map(lambda amount: round(amount, 2)),
)


@st.composite
def streams(draw: st.DrawFn) -> list[Transaction]:
    """Draw a customer's transactions as they arrive, in order or not."""
    now, stream = START, []
    for step in draw(st.lists(steps, min_size=1, max_size=60)):
        now = max(now + step, START - 1000 * DAY_MS)
        stream.append(
            transaction(
                now,
                draw(amounts),
                draw(st.sampled_from(TERMINALS)),
                draw(st.sampled_from((None, *COUNTRIES))),
                draw(st.sampled_from((None, *CATEGORIES))),
                draw(st.sampled_from((None, *CHANNELS))),
            )
        )
    return stream


def pack(state: CustomerState) -> bytes:
    (packed,) = pack_customers(np.array([state.row()], STATE))
    return packed


def unpack(packed: bytes) -> CustomerState:
    return CustomerState.of(unpack_customers([packed])[0])


def described(state: CustomerState, one: Transaction) -> dict[str, float]:
    return dict(zip(CUSTOMER_FEATURES, observe(state, one), strict=True))


def test_the_names_used_here_do_not_collide() -> None:
    for names, bits in ((TERMINALS, 256), (COUNTRIES, 64), (CATEGORIES, 64), (CHANNELS, 16)):
        assert len({crc32(name.encode()) % bits for name in names}) == len(names)


@given(streams())
def test_every_feature_is_that_of_a_naive_recount(stream: list[Transaction]) -> None:
    state, naive = CustomerState(), NaiveCustomer()
    for one in stream:
        assert described(state, one) == pytest.approx(naive.observe(one), rel=1e-9, abs=1e-9)


@given(streams())
def test_every_feature_is_finite_and_every_state_small(stream: list[Transaction]) -> None:
    state = CustomerState()
    for one in stream:
        assert all(map(isfinite, observe(state, one)))
        # 280 for customers as they are; every number as large as it can get, here.
        assert len(pack(state)) < 600


@given(streams())
def test_the_order_of_arrival_within_the_windows_does_not_change_counts(stream: list[Transaction]) -> None:
    late = [transaction(START + one.event_time % (5 * DAY_MS), one.amount, one.terminal_id) for one in stream]
    in_order, as_it_came = CustomerState(), CustomerState()
    for one in sorted(late, key=lambda one: one.event_time):
        observe(in_order, one)
    for one in late:
        observe(as_it_came, one)
    assert in_order.day_counts == as_it_came.day_counts
    assert in_order.day_sums == as_it_came.day_sums
    assert in_order.hour_parts == as_it_came.hour_parts
    # An hour leaves its window of 24 before a later-arriving event can still be counted in it.
    assert in_order.hour_counts[0] == as_it_came.hour_counts[0]


@given(streams())
def test_a_stored_state_is_the_exact_one(stream: list[Transaction]) -> None:
    kept, stored = CustomerState(), CustomerState()
    for one in stream:
        expected = observe(kept, one)
        stored = unpack(pack(stored))
        assert observe(stored, one) == expected
    assert pack(kept) == pack(stored)


@pytest.mark.parametrize("unit", [HOUR_MS, DAY_MS])
@pytest.mark.parametrize("late", [1, -1])
def test_every_windows_edge_is_where_a_naive_recount_has_it(unit: int, late: int) -> None:
    for apart in range(33):
        state, naive = CustomerState(), NaiveCustomer()
        for time in (START, START + late * apart * unit, START, START + late * apart * unit):
            one = transaction(time, 40.0 if time == START else 20.0)
            assert described(state, one) == pytest.approx(naive.observe(one), rel=1e-9, abs=1e-9)


def test_a_long_life_is_that_of_a_naive_recount() -> None:
    state, naive = CustomerState(), NaiveCustomer()
    for n in range(120):
        one = transaction(START + n * 7 * HOUR_MS, float(20 + n * n % 37), TERMINALS[n % 8])
        assert described(state, one) == pytest.approx(naive.observe(one), rel=1e-9, abs=1e-9)


def test_a_late_event_is_judged_by_the_window_that_ends_with_it() -> None:
    state = CustomerState()
    for day in range(10):
        observe(state, transaction(START + day * DAY_MS, 10.0))
    assert described(state, transaction(START + 4 * DAY_MS, 10.0))["customer_count_7d"] == 5
    # ... and is counted in its own day by those who come after it.
    assert described(state, transaction(START + 9 * DAY_MS, 10.0))["customer_count_7d"] == 8


def test_one_huge_amount_hardly_moves_the_usual_one() -> None:
    state = CustomerState()
    for n in range(30):
        observe(state, transaction(START + n * DAY_MS, 20.0))
    observe(state, transaction(START + 30 * DAY_MS, 1_000_000.0))
    ratio = described(state, transaction(START + 31 * DAY_MS, 20.0))["amount_ratio"]
    assert 0.85 < ratio < 1.0


def test_amounts_of_zero_say_nothing_of_the_usual_one() -> None:
    state = CustomerState()
    observe(state, transaction(START, 0.0))
    first = described(state, transaction(START + 1, 50.0))
    assert (first["amount_ratio"], first["amount_zscore"]) == (1.0, 0.0)
    observe(state, transaction(START + 2, 0.0))
    assert described(state, transaction(START + 3, 50.0))["amount_ratio"] == 1.0


def test_a_day_of_plunder_does_not_become_a_usual_day() -> None:
    state = CustomerState()
    for day in range(8):
        observe(state, transaction(START + day * DAY_MS, 1e6 if day == 5 else 20.0))
    assert described(state, transaction(START + 8 * DAY_MS, 40.0))["spend_ratio_1d"] == 2.0
    assert described(state, transaction(START + 8 * DAY_MS, 40.0))["spend_ratio_1d"] == 4.0


def test_an_hour_of_the_day_is_as_usual_as_the_customer_made_it() -> None:
    state, noon = CustomerState(), START // DAY_MS * DAY_MS + 13 * HOUR_MS
    for day in range(92):
        observe(state, transaction(noon + day * DAY_MS, 20.0))
    assert described(state, transaction(noon - 10 * HOUR_MS, 20.0))["hour_share"] == 0.01
    assert described(state, transaction(noon, 20.0))["hour_share"] == pytest.approx(0.92, abs=0.01)


def test_habits_of_long_ago_fade() -> None:
    state, noon = CustomerState(), START // DAY_MS * DAY_MS + 13 * HOUR_MS
    for n in range(1000):
        observe(state, transaction(noon + n * 1000, 20.0))
    night = [described(state, transaction(noon + n * DAY_MS + 12 * HOUR_MS, 20.0)) for n in range(130)]
    assert night[-1]["hour_share"] > 0.5
    assert all(0 <= count <= 127 for count in state.hour_parts)


def test_a_state_stays_small_however_busy_the_customer() -> None:
    state = CustomerState()
    for n in range(20_000):
        observe(state, transaction(START + n * 120_000, 1e12, f"t{n}", f"c{n}", f"m{n}", f"w{n}"))
    assert len(pack(state)) < 600


def test_a_usual_customers_state_is_as_small_as_promised() -> None:
    state = CustomerState()
    for n in range(200):
        observe(state, transaction(START + n * DAY_MS // 3, 30.0 + n, f"t{n}", "FR", f"m{n}", "web"))
    assert len(pack(state)) < 280


def test_a_days_sum_stops_where_a_stored_integer_would() -> None:
    state = CustomerState(day_sums=[10**17 - 1] + [0] * 29, hour=START // HOUR_MS)
    observe(state, transaction(START, 1e12))
    assert state.day_sums[0] == 10**17
    assert unpack(pack(state)) == state


def test_an_hours_and_days_transactions_stop_where_their_count_would() -> None:
    state = CustomerState(
        hour_counts=[65_535] + [0] * 23, day_counts=[65_535] + [0] * 29, seen=2**32 - 1, hour=START // HOUR_MS
    )
    observe(state, transaction(START, 1.0))
    assert (state.hour_counts[0], state.day_counts[0], state.seen) == (65_535, 65_535, 2**32 - 1)
    assert unpack(pack(state)) == state


def test_a_damaged_state_is_refused_in_one_sentence() -> None:
    with pytest.raises(SnapshotError, match="delete its key"):
        unpack(b"\x93nonsense")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("usual", np.nan),
        ("usual", -1.0),
        ("spread", np.inf),
        ("day_sums", -1),
        ("day_sums", 2 * 10**17),
        ("last_event_time", -1),
        ("last_high", -1),
        ("hour_parts", 128),
        ("max_ratios", 100_001),
        ("unused", 1),
    ],
)
def test_a_state_that_contradicts_itself_is_refused(name: str, value: float) -> None:
    rows: Rows = np.zeros(3, STATE)
    rows[name][1] = value
    with pytest.raises(SnapshotError, match="contradicts itself"):
        unpack_customers(pack_customers(rows))
