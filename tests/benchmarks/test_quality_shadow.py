"""Whose scores a line of the quality table is judged by."""

import pytest

from benchmarks.quality import _place


@pytest.mark.parametrize(
    ("shadow", "models", "place"),
    [
        (None, ["logistic-1", "lightgbm-1"], 0),
        ("lightgbm", ["logistic-1"], 0),
        ("lightgbm", ["logistic-1", "lightgbm-1"], 1),
        # The fit before stays in shadow for its successor's probation.
        ("lightgbm", ["lightgbm-10", "logistic-1", "lightgbm-9"], 0),
        ("lightgbm", ["lightgbm-9", "logistic-1", "lightgbm-10"], 2),
    ],
)
def test_a_recipes_last_fit_is_judged(shadow: str | None, models: list[str], place: int) -> None:
    assert _place(shadow, models) == place
