"""A demo's story, made up: what the view, the plain lines and the summary are tested with."""

from collections.abc import Callable

import pytest

from stream.demo.plan import Plan
from stream.demo.services import Services
from stream.demo.story import Story
from stream.demo.witness import Sighting
from stream.settings import Settings
from tests.stream.demo.tale import Seconds, a_dead_letter, an_alert, an_event, figures


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def new_story(seconds: Seconds) -> Callable[[], Story]:
    """Return a factory of stories in which nothing has happened yet."""
    return lambda: Story(Plan.of(240_000, "sudden", 7), "transactions", seconds)


@pytest.fixture
def story(new_story: Callable[[], Story], seconds: Seconds) -> Story:
    """Return a story that has come to day 90 of 120, 180,000 transactions, with a drift and a swap."""
    told = new_story()
    for day in range(91):
        seconds.now += 0.5
        dip = 0.3 if 60 <= day < 75 else 0.0
        quality = {"logistic-1": 0.4 + day / 400 - dip, "forest-1": 0.5 + day / 350 - dip / 2}
        told.take_in(
            figures(day, 2_000 * day, average_precision=quality if day else {}), Sighting([], [], [])
        )
    alerts = [an_alert(number) for number in range(1, 30)]
    events = [an_event("drift", "logistic-1: frauds scored too low, 0.21 before and 0.43 after"), an_event()]
    told.see(Sighting(alerts, events, [a_dead_letter(1), a_dead_letter(2)]))
    return told


@pytest.fixture
def services() -> Services:
    return Services(Settings(), "embedded broker at 127.0.0.1:9092", "embedded Redis", None)
