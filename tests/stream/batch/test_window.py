import math
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.batch.window import TrainingWindow
from stream.clock import DAY_MS
from stream.models.sampling import keeps
from stream.records import Label

Source = Literal["chargeback", "analyst", "settlement"]


def window(*, days: float = 60, rate: float = 1.0, most: int = 1_000, salt: int = 7) -> TrainingWindow:
    return TrainingWindow(days=days, negative_rate=rate, salt=salt, most_rows=most)


def label(name: str, *, fraud: bool = False, day: float = 0, source: Source = "chargeback") -> Label:
    return Label(transaction_id=name, is_fraud=fraud, source=source, label_time=round(day * DAY_MS))


def features(value: float) -> bytes:
    return np.array([value, -value], "<f4").tobytes()


def held(one: TrainingWindow) -> list[tuple[float, bool]]:
    """Return the first feature and the verdict of each row, in order."""
    sample = one.sample()
    return [(float(row[0]), bool(y)) for row, y in zip(sample.x, sample.y, strict=True)]


def test_all_frauds_and_a_sample_of_the_rest_are_kept_in_label_order() -> None:
    one = window(rate=0.2)
    for n in range(1_000):
        one.add(label(f"t{n}", fraud=n % 50 == 0, day=n / 1_000), features(n))
    sampled = [n for n in range(1_000) if n % 50 == 0 or keeps(f"t{n}", 0.2, 7)]
    assert held(one) == [(float(n), n % 50 == 0) for n in sampled]
    assert 150 < one.rows < 280
    assert one.frauds == one.sample().frauds == 20
    assert one.sample().negative_rate == 0.2


def test_another_salt_draws_another_sample() -> None:
    drawn = []
    for salt in (1, 2):
        one = window(rate=0.5, salt=salt)
        for n in range(100):
            one.add(label(f"t{n}"), features(n))
        drawn.append(held(one))
    assert drawn[0] != drawn[1]


def test_rows_leave_when_their_days_are_over() -> None:
    one = window(days=10)
    for n, day in enumerate([0, 5, 9.9, 10]):
        one.add(label(f"t{n}", fraud=n == 0, day=day), features(n))
    assert [value for value, _ in held(one)] == [1, 2, 3]
    assert one.frauds == 0
    assert (one.sample().first_label_ms, one.sample().last_label_ms) == (5 * DAY_MS, 10 * DAY_MS)
    one.add(label("none", day=50), features(9))
    assert [value for value, _ in held(one)] == [9]


def test_a_label_out_of_order_stays_as_long_as_one_that_came_with_it() -> None:
    one = window(days=10)
    one.add(label("a", day=20), features(1))
    one.add(label("late", day=5), features(2))
    one.add(label("b", day=29), features(3))
    assert [value for value, _ in held(one)] == [1, 2, 3]
    assert one.now_ms == 29 * DAY_MS
    one.add(label("c", day=30), features(4))
    assert [value for value, _ in held(one)] == [3, 4]


def test_a_correction_replaces_what_was_said_before() -> None:
    one = window()
    for n in range(3):
        one.add(label(f"t{n}"), features(n))
    one.add(label("t1", fraud=True, day=1), features(1))
    assert held(one) == [(0, False), (2, False), (1, True)]
    one.add(label("t1", day=2, source="analyst"), features(1))
    assert held(one) == [(0, False), (2, False), (1, False)]
    assert one.frauds == 0


def test_a_fraud_found_legitimate_after_all_is_sampled_like_others() -> None:
    left_out = next(f"t{n}" for n in range(1_000) if not keeps(f"t{n}", 0.2, 7))
    one = window(rate=0.2)
    one.add(label(left_out, fraud=True), features(1))
    assert one.rows == 1
    one.add(label(left_out), features(1))
    assert (one.rows, one.frauds) == (0, 0)


def test_silence_does_not_overrule_a_person_and_repetition_says_nothing_new() -> None:
    one = window()
    one.add(label("a", fraud=True, day=1), features(1))
    one.add(label("b", day=2), features(2))
    one.add(label("a", day=3, source="settlement"), features(1))
    one.add(label("a", fraud=True, day=3), features(1))
    assert held(one) == [(1, True), (2, False)]


def test_an_empty_window_has_no_sample() -> None:
    with pytest.raises(ValueError, match="nothing to fit on"):
        window().sample()


@given(
    labels=st.lists(
        st.tuples(
            st.integers(0, 12),
            st.booleans(),
            st.floats(0, 30),
            st.sampled_from(["chargeback", "settlement"]),
        ),
        max_size=60,
    ),
    most=st.integers(1, 8),
)
def test_it_holds_what_a_naive_recount_says(labels: list[tuple[int, bool, float, Source]], most: int) -> None:
    one = window(days=7, rate=0.5, most=most)
    naive: list[tuple[int, bool, int]] = []
    now, rate = 0, 0.5
    for n, fraud, day, source in labels:
        one.add(label(f"t{n}", fraud=fraud, day=day, source=source), features(n))
        now = max(now, round(day * DAY_MS))
        naive = [row for row in naive if now - row[2] < 7 * DAY_MS]
        said = [row[1] for row in naive if row[0] == n]
        if said and (said[0] == fraud or source == "settlement"):
            continue
        naive = [row for row in naive if row[0] != n]
        if fraud or keeps(f"t{n}", rate, 7):
            naive.append((n, fraud, now))
        if len(naive) > most and 2 * sum(row[1] for row in naive) <= len(naive):
            rate /= 2
            naive = [row for row in naive if row[1] or keeps(f"t{row[0]}", rate, 7)]
        naive = naive[-most:]
    assert one.rows == len(naive)
    assert one.frauds == sum(fraud for _, fraud, _ in naive)
    if naive:
        assert held(one) == [(float(n), fraud) for n, fraud, _ in naive]
        assert math.isclose(one.sample().last_label_ms, naive[-1][2])


def test_a_full_window_keeps_half_of_the_legitimate_ones_of_every_day() -> None:
    one = window(most=100)
    for n in range(260):
        one.add(label(f"t{n}", fraud=n % 20 == 0, day=n / 10), features(n))
    assert one.rows <= 100
    assert one.frauds == 13
    rate = one.sample().negative_rate
    assert rate == 0.25
    kept = [n for n in range(260) if n % 20 == 0 or keeps(f"t{n}", rate, 7)]
    assert held(one) == [(float(n), n % 20 == 0) for n in kept]


def test_a_window_full_of_frauds_lets_the_oldest_go() -> None:
    one = window(most=50)
    for n in range(60):
        one.add(label(f"t{n}", fraud=True, day=n / 100), features(n))
    assert [value for value, _ in held(one)] == [float(n) for n in range(10, 60)]
    assert one.sample().negative_rate == 1.0
