"""Which alarm and which swap a change is said to have led to."""

import pytest

from benchmarks.drift.changes import answered
from stream.clock import DAY_MS


@pytest.mark.parametrize(
    ("happened", "alarm", "swap"),
    [
        ([(62, "drift"), (63, "swap"), (64, "drift"), (65, "swap")], 62, 63),
        ([(62, "drift"), (62, "swap")], 62, 62),
        # What came before the change is none of it, nor is a swap that no alarm led to.
        ([(58, "drift"), (61, "swap"), (62, "drift"), (63, "rollback")], 62, None),
        ([(59, "drift"), (61, "swap")], None, None),
        ([(58, "swap"), (61, "swap"), (62, "drift"), (70, "swap")], 62, 70),
    ],
)
def test_a_swap_counts_from_the_alarm_on(
    happened: list[tuple[int, str]], alarm: int | None, swap: int | None
) -> None:
    events = [(day * DAY_MS, {"kind": kind}) for day, kind in happened]
    days = {what: when and when // DAY_MS for what, when in answered(events, 60).items()}
    assert days == {"alarm": alarm, "swap": swap}
