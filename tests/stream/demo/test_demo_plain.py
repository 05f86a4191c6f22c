"""Plain lines tell the story to logs and pipes."""

from collections.abc import Callable

import msgspec

from stream.demo.plain import PlainLines, status_line
from stream.demo.story import Story
from stream.demo.witness import Sighting
from tests.stream.demo.tale import Seconds, an_alert, an_event, figures


def test_a_status_line_comes_every_few_seconds_only(new_story: Callable[[], Story], seconds: Seconds) -> None:
    written: list[str] = []
    lines = PlainLines(new_story(), written.append)

    for _ in range(41):  # 20 seconds
        lines.refresh()
        seconds.now += 0.5

    assert len(written) == 5
    assert written[0] == "[0:00] waiting for the first transactions"


def test_a_status_line_says_how_things_stand(story: Story) -> None:
    line = status_line(story)

    assert line.startswith("[0:45] 2025-04-01: 180,002 of 240,000 done at 4,000/s")
    assert "lag 1,234, 2 dead letters, 12 alerts, 890 labels joined" in line
    assert line.endswith("average precision: *logistic-1 0.625, forest-1 0.757")


def test_events_come_once_each_and_at_once(new_story: Callable[[], Story]) -> None:
    story, written = new_story(), []
    lines = PlainLines(story, written.append)
    lines.refresh()

    story.see(Sighting([], [an_event("drift", "it fails"), an_event()], []))
    lines.refresh()
    lines.refresh()

    assert written[1:] == [
        "2025-03-12 drift    it fails",
        "2025-03-12 swap     forest-1 takes over from logistic-1",
    ]


def test_the_first_alerts_come_with_their_reasons_and_no_more(new_story: Callable[[], Story]) -> None:
    story, written = new_story(), []
    lines = PlainLines(story, written.append)
    lines.refresh()

    for number in range(1, 100):
        story.take_in(figures(number, number), Sighting([an_alert(number)], [], []))
        lines.refresh()

    alerts = [line for line in written if line.startswith("alert ")]
    assert len(alerts) == 5
    assert alerts[0] == (
        "alert 2025-01-02 00:00 score 0.97  420.00 paid by C1 at T33:"
        " amount 8.4 times the usual; first time at this terminal"
    )
    assert written[-1] == "(further alerts are counted only)"


def test_alerts_of_a_model_that_knows_nothing_yet_are_not_shown(new_story: Callable[[], Story]) -> None:
    story, written = new_story(), []
    lines = PlainLines(story, written.append)
    unsure = msgspec.structs.replace(an_alert(1), score=0.01)

    for alert in (unsure, an_alert(2), an_alert(2)):
        story.take_in(figures(1, 1), Sighting([alert], [], []))
        lines.refresh()

    assert [line[:33] for line in written if line.startswith("alert ")] == [
        "alert 2025-01-03 00:00 score 0.97"
    ]
