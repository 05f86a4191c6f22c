import pytest

from benchmarks.drift.changes import _answers
from stream.clock import DAY_MS


@pytest.mark.parametrize(
    ("happened", "days"),
    [
        # A fit of whoever serves, or a swap; whatever came before the alarm answers nothing.
        ([(58, "refitted", "a-1"), (59, "swap", "b-1"), (61, "refitted", "b-1"), (62, "drift", "b-1")], []),
        ([(62, "drift", "a-1"), (63, "refitted", "b-1"), (65, "refitted", "a-1")], [65]),
        (
            [(62, "drift", "a-1"), (63, "swap", "b-1"), (64, "refitted", "a-1"), (65, "refitted", "b-1")],
            [63, 65],
        ),
        ([(59, "swap", "b-1"), (62, "drift", "b-1"), (63, "rollback", "a-1"), (64, "refitted", "b-1")], [63]),
        # Nor is an alarm before the change one of it.
        ([(59, "drift", "a-1"), (61, "refitted", "a-1")], []),
    ],
)
def test_an_alarm_is_answered_by_whatever_renews_whoever_serves(
    happened: list[tuple[int, str, str]], days: list[int]
) -> None:
    events = [(day * DAY_MS, {"kind": kind, "model_version": version}) for day, kind, version in happened]
    assert [when // DAY_MS for when, _ in _answers(events, "a-1", 60)] == days
