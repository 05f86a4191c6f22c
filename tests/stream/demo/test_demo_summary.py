"""The summary adds up, and says so as JSON and to people."""

import io
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from rich.console import Console

from stream.demo.services import Services
from stream.demo.story import Story
from stream.demo.summary import Summary, timeline


@pytest.fixture
def summary(story: Story, services: Services) -> Summary:
    return Summary.of(story, services, seconds=60.0, finished=True)


def text_of(renderable: object, width: int = 80) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(renderable)
    return console.export_text()


def test_every_published_transaction_is_accounted_for(summary: Summary) -> None:
    assert summary.published == summary.scored + summary.dead_lettered == 180_002
    assert summary.unaccounted == 0


def test_a_lost_transaction_is_noticed(story: Story, services: Services) -> None:
    story.figures = replace(story.figures, scored=story.figures.scored - 3)

    assert Summary.of(story, services, seconds=1.0, finished=True).unaccounted == 3


def test_the_rate_is_that_of_the_simulation(summary: Summary, story: Story, services: Services) -> None:
    assert summary.transactions_per_second == pytest.approx(180_002 / 60, abs=0.1)
    assert Summary.of(story, services, seconds=0.0, finished=False).transactions_per_second == 0


def test_the_json_has_everything_that_is_promised(summary: Summary, tmp_path: Path) -> None:
    summary.write(tmp_path / "S.json")

    written = json.loads((tmp_path / "S.json").read_text())
    promised = {
        *("published", "scored", "dead_lettered", "labels_published", "labels_joined", "learned", "alerts"),
        *("drift_events", "swaps", "champion_version", "average_precision", "seconds"),
        *("transactions_per_second", "latency_seconds", "broker", "redis", "seed", "versions"),
    }
    assert promised <= written.keys()
    assert written == json.loads(json.dumps(asdict(summary)))
    assert written["champion_version"] == "logistic-1"
    assert written["average_precision"] == pytest.approx({"logistic-1": 0.625, "forest-1": 0.7571}, abs=1e-4)
    assert (written["labels_joined"], written["labels_not_joined"]) == (890, 10)
    assert written["latency_seconds"]["p50"] == pytest.approx(0.1)
    assert [event["kind"] for event in written["model_events"]] == ["drift", "swap"]
    assert written["simulated_until"] == "2025-04-01T00:00:00+00:00"


def test_the_table_says_it_to_people(summary: Summary) -> None:
    text = text_of(summary.table())

    assert "180,002 published = 180,000 scored + 2 dead letters" in text
    assert "2 malformed json" in text
    assert "logistic-1, average precision 0.625" in text
    assert max(len(line) for line in text.splitlines()) <= 80


def test_the_timeline_names_every_event(story: Story) -> None:
    text = text_of(timeline(story), width=200)

    assert text.splitlines()[0].strip().startswith("2025-03-12 drift")
    assert text.splitlines()[1].strip() == "2025-03-12 swap     forest-1 takes over from logistic-1"


def test_a_demo_without_events_says_so(new_story: Callable[[], Story]) -> None:
    assert text_of(timeline(new_story())).strip() == "No drift, no swap."
