"""The live view fits its terminal and says what matters."""

import io
import re
from collections.abc import Callable

import pytest
from rich.cells import cell_len
from rich.console import Console

from stream.demo.figures import Figures
from stream.demo.story import Story
from stream.demo.view import View
from stream.demo.witness import Sighting

SIZES = [(80, 24), (100, 30), (119, 24), (120, 24), (200, 50)]


def rendered(story: Story, width: int, height: int, **options: object) -> str:
    console = Console(
        **{"width": width, "height": height, "record": True, "file": io.StringIO(), **options},  # type: ignore[arg-type]
    )
    console.print(View(story))
    return console.export_text()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_it_fits_into_the_terminal(story: Story, width: int, height: int) -> None:
    lines = rendered(story, width, height).splitlines()

    assert len(lines) < height
    assert max(cell_len(line) for line in lines) <= width


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_it_fits_when_nothing_has_happened_yet(
    new_story: Callable[[], Story], width: int, height: int
) -> None:
    lines = rendered(new_story(), width, height).splitlines()

    assert len(lines) < height
    assert max(cell_len(line) for line in lines) <= width


@pytest.mark.parametrize("models", [1, 4])
def test_it_fits_with_few_and_with_many_models(new_story: Callable[[], Story], models: int) -> None:
    story = new_story()
    quality = {f"forest-{n}": n / 10 for n in range(models)}
    story.take_in(Figures(average_precision=quality, event_time_seconds=1e9), Sighting([], [], []))

    assert len(rendered(story, 80, 24).splitlines()) < 24


def test_it_shows_how_the_stream_runs(story: Story) -> None:
    text = rendered(story, 80, 24)

    assert "180,002 of 240,000  75%" in text
    assert re.search(r"throughput +4,000/s", text)
    assert re.search(r"latency p50 +100 ms", text)
    assert re.search(r"dead letters +2 ", text)
    assert "1,234 + 5 labels" in text
    assert "simulated 2025-04-01" in text


def test_it_marks_the_champion_and_the_change_of_fraud(story: Story) -> None:
    text = rendered(story, 80, 24)

    assert re.search(r"★ logistic-1 0\.625 ▄", text)
    assert re.search(r"  forest-1   0\.757 ▅", text)
    assert "▼ fraud changes" in text


def test_it_shows_events_and_alerts_with_their_reasons(story: Story) -> None:
    text = rendered(story, 200, 50)

    assert "drift    logistic-1: frauds scored too low" in text
    assert "swap     forest-1 takes over from logistic-1" in text
    assert re.search(r"score 0\.\d\d  420\.00 paid by C29 at T33", text)
    assert "amount 8.4 times the usual; first time at this terminal" in text


def test_an_event_is_told_whole_where_there_is_room(story: Story) -> None:
    text = " ".join(rendered(story, 80, 50).split())

    assert all(event.detail in text for event in story.model_events)
    assert "★ decides, the others score in shadow" in text


def test_it_uses_no_colour_that_one_ground_swallows(story: Story) -> None:
    console = Console(
        width=80, height=24, force_terminal=True, color_system="standard", file=io.StringIO(), no_color=False
    )
    with console.capture() as captured:
        console.print(View(story))

    used = {
        int(code) for codes in re.findall(r"\x1b\[([\d;]*)m", captured.get()) for code in codes.split(";")
    }
    black_yellow_blue_white = {30, 33, 34, 37, 93, 94, 97, *range(40, 48)}
    assert used & {31, 32, 35}
    assert not used & black_yellow_blue_white


def test_it_needs_no_unicode_where_there_is_none(story: Story) -> None:
    console = Console(width=80, height=24, file=io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    with console.capture() as captured:
        console.print(View(story))

    text = captured.get().replace("…", "...")  # rich's own, for what does not fit
    assert text.isascii()
    assert "* logistic-1" in text
