import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.clock import DAY_MS, HOUR_MS
from stream.errors import SnapshotError
from stream.features.customer import (
    CUSTOMER_FEATURES,
    CustomerState,
    observe,
    pack_customer,
    unpack_customer,
)

START = 1_700_000_000_000
amounts = st.floats(0, 1e6, allow_nan=False).map(lambda amount: round(amount, 2))
events = st.lists(
    st.tuples(st.integers(0, 45 * DAY_MS), amounts, st.sampled_from("abcdefgh")), min_size=1, max_size=80
)


def described(state: CustomerState, time: int, amount: float, terminal: str) -> dict[str, float]:
    return dict(zip(CUSTOMER_FEATURES, observe(state, time, amount, terminal), strict=True))


@given(events)
def test_counts_and_sums_in_order_are_those_of_a_naive_recount(
    events: list[tuple[int, float, str]],
) -> None:
    state = CustomerState()
    past: list[tuple[int, float]] = []
    for offset, amount, terminal in sorted(events):
        now = START + offset
        seen = described(state, now, amount, terminal)
        day = now // DAY_MS
        hours = [a for t, a in past if now // HOUR_MS - 24 < t // HOUR_MS]
        week = [a for t, a in past if day - 7 < t // DAY_MS]
        month = [a for t, a in past if day - 30 < t // DAY_MS]
        assert seen["customer_count_1d"] == len(hours)
        assert seen["customer_count_7d"] == len(week)
        assert seen["customer_count_30d"] == len(month)
        expected = sum(week) / len(week) if week else amount
        assert seen["customer_mean_7d"] == pytest.approx(expected, abs=0.011)
        past.append((now, amount))


@given(events)
def test_the_order_of_arrival_within_the_windows_does_not_change_counts(
    events: list[tuple[int, float, str]],
) -> None:
    late = [(START + offset % (5 * DAY_MS), amount, terminal) for offset, amount, terminal in events]
    in_order, as_it_came = CustomerState(), CustomerState()
    for time, amount, terminal in sorted(late):
        observe(in_order, time, amount, terminal)
    for time, amount, terminal in late:
        observe(as_it_came, time, amount, terminal)
    assert in_order.day_counts == as_it_came.day_counts
    assert in_order.day_sums == as_it_came.day_sums
    # An hour leaves its window of 24 before a later-arriving event can still be counted in it.
    assert in_order.hour_counts[0] == as_it_came.hour_counts[0]


@given(events)
def test_a_stored_state_is_the_exact_one(events: list[tuple[int, float, str]]) -> None:
    kept, stored = CustomerState(), CustomerState()
    for offset, amount, terminal in events:
        expected = observe(kept, START + offset, amount, terminal)
        stored = unpack_customer(pack_customer(stored))
        assert observe(stored, START + offset, amount, terminal) == expected
    assert pack_customer(kept) == pack_customer(stored)


def test_a_late_event_is_judged_by_the_window_that_ends_with_it() -> None:
    state = CustomerState()
    for day in range(10):
        observe(state, START + day * DAY_MS, 10.0, "a")
    assert described(state, START + 4 * DAY_MS, 10.0, "a")["customer_count_7d"] == 5
    # ... and is counted in its own day by those who come after it.
    assert described(state, START + 9 * DAY_MS, 10.0, "a")["customer_count_7d"] == 8


def test_a_new_customer_is_ordinary_until_something_is_known() -> None:
    assert described(CustomerState(), START, 500.0, "a") == {
        "customer_count_1d": 0,
        "customer_count_7d": 0,
        "customer_count_30d": 0,
        "customer_mean_7d": 500.0,
        "amount_ratio": 1.0,
        "amount_zscore": 0.0,
        "hours_since_last": 720.0,
        "high_count_14d": 0,
        "max_ratio_14d": 0.0,
        "new_terminal": 1.0,
    }


def test_one_huge_amount_hardly_moves_the_usual_one() -> None:
    state = CustomerState()
    for n in range(30):
        observe(state, START + n * DAY_MS, 20.0, "a")
    observe(state, START + 30 * DAY_MS, 1_000_000.0, "a")
    ratio = described(state, START + 31 * DAY_MS, 20.0, "a")["amount_ratio"]
    assert 0.85 < ratio < 1.0


def test_a_customer_who_only_ever_paid_nothing_has_no_ratio() -> None:
    state = CustomerState()
    observe(state, START, 0.0, "a")
    assert described(state, START + 1, 50.0, "a")["amount_ratio"] == 1.0


def test_a_state_stays_small_however_busy_the_customer() -> None:
    state = CustomerState()
    for n in range(20_000):
        observe(state, START + n * 120_000, 1e6, f"t{n}")
    assert len(pack_customer(state)) < 560


def test_a_damaged_state_is_refused_in_one_sentence() -> None:
    with pytest.raises(SnapshotError, match="delete its key"):
        unpack_customer(b"\x93nonsense")
