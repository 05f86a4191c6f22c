"""The story takes figures and sightings in, each once."""

from collections.abc import Callable

import pytest

from stream.demo.scrape import Histogram
from stream.demo.story import Story
from stream.demo.witness import Sighting
from tests.stream.demo.tale import Seconds, a_dead_letter, an_alert, figures

NOTHING = Sighting([], [], [])


def test_a_dead_letter_counts_once_however_often_it_comes(new_story: Callable[[], Story]) -> None:
    story = new_story()

    story.see(Sighting([], [], [a_dead_letter(1), a_dead_letter(2), a_dead_letter(1)]))
    story.see(Sighting([], [], [a_dead_letter(2)]))

    assert story.dead_lettered == 2
    assert story.dead_letters == {"malformed_json": 2}


def test_a_labels_dead_letter_is_no_transaction(new_story: Callable[[], Story]) -> None:
    story = new_story()

    story.see(Sighting([], [], [a_dead_letter(1, topic="labels")]))

    assert story.dead_lettered == 0


def test_throughput_is_that_of_the_last_seconds(new_story: Callable[[], Story], seconds: Seconds) -> None:
    story = new_story()
    story.take_in(figures(0, 0), NOTHING)
    assert story.transactions_per_second == 0
    for processed in (10_000, 20_000, 21_000, 22_000, 23_000):
        seconds.now += 2.5
        story.take_in(figures(1, processed), NOTHING)

    assert story.transactions_per_second == pytest.approx(2_000 / 5)


def test_latency_is_that_of_the_last_seconds(new_story: Callable[[], Story], seconds: Seconds) -> None:
    story = new_story()
    assert story.latency(0.5) is None
    slow_start = Histogram((0.1, 1.0), (0.0, 500.0))
    quick_since = Histogram((0.1, 1.0), (500.0, 1_000.0))
    story.take_in(figures(0, 500, latency=slow_start), NOTHING)
    seconds.now += 2
    story.take_in(figures(1, 1_000, latency=quick_since), NOTHING)

    assert story.latency(0.5) == pytest.approx(0.05)


def test_the_last_alerts_are_kept_and_no_more(new_story: Callable[[], Story]) -> None:
    story = new_story()

    story.see(Sighting([an_alert(number) for number in range(1_000)], [], []))

    assert len(story.alerts) < 100
    assert story.alerts[-1].transaction_id == "s7-999"


def test_the_history_of_a_models_quality_stays_short_and_whole(new_story: Callable[[], Story]) -> None:
    story = new_story()
    for day in range(2_000):
        story.take_in(figures(day, day, average_precision={"forest-1": day / 2_000}), NOTHING)

    points = story.quality["forest-1"]
    assert len(points) <= 400
    assert points == sorted(points)
    assert points[0][1] == 0
    assert points[-1][1] == 1_999 / 2_000
