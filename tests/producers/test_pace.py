"""The pace: event time in step with a clock that the test moves."""

import pytest

from producers.pace import Pace
from producers.stopping import StopRequested


class Clock:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_moments_come_at_their_distance_divided_by_the_speed() -> None:
    clock = Clock()
    pace = Pace(3600, monotonic=clock, sleep=clock.sleep)
    times = []
    for hour in (0, 1, 1, 5):
        pace.wait_until(hour * 3_600_000)
        times.append(clock.now - 100)
    assert times == pytest.approx([0, 1, 1, 5], abs=0.002)


def test_a_delay_is_made_up_for() -> None:
    clock = Clock()
    pace = Pace(1, monotonic=clock, sleep=clock.sleep)
    pace.wait_until(0)
    clock.now += 7  # the pipeline was slow
    pace.wait_until(5_000)
    assert clock.now == pytest.approx(107, abs=0.002)
    pace.wait_until(10_000)
    assert clock.now == pytest.approx(110, abs=0.002)


def test_a_sleep_that_returns_early_is_slept_on() -> None:
    clock = Clock()
    pace = Pace(1, monotonic=clock, sleep=lambda seconds: clock.sleep(seconds / 3))
    pace.wait_until(0)
    pace.wait_until(1_000)
    assert clock.now == pytest.approx(101, abs=0.002)


def test_a_request_to_stop_ends_a_long_wait() -> None:
    clock = Clock()
    pace = Pace(1, monotonic=clock, sleep=clock.sleep, stop=lambda: clock.now > 103)
    pace.wait_until(0)
    with pytest.raises(StopRequested):
        pace.wait_until(86_400_000)
    assert clock.now < 104
