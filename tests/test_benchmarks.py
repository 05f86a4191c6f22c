import numpy as np
import pytest

from benchmarks.handbook import Scores, judge_weeks

DAY = 86_400_000


def scores(rows: list[tuple[int, int, bool, float]]) -> Scores:
    """Make scores from (day, customer, fraud, score)."""
    day, customer, fraud, score = zip(*rows, strict=True)
    return Scores(np.array(day) * DAY, np.array(customer), np.array(fraud), np.array(score))


def test_customers_known_to_be_compromised_are_left_out() -> None:
    week = judge_weeks(
        scores(
            [
                (0, 1, True, 0.1),  # in the training week: known from the first day of the test on
                (8, 2, True, 0.1),  # a day behind in the delay: known from the third
                (14, 1, True, 0.0),
                (14, 2, True, 0.8),
                (14, 3, False, 0.9),
                (16, 2, True, 0.0),
                (16, 3, False, 0.1),
                (17, 4, True, 0.7),
                *((day, 5, False, 0.2) for day in range(14, 21)),
            ]
        ),
        first_day_ms=14 * DAY,
        weeks=1,
        top=1,
    )[0]
    assert (week.transactions, week.frauds) == (11, 2)
    assert week.average_precision == pytest.approx((1 / 2 + 2 / 3) / 2)
    # Two frauds, each outranked at most by the 0.9: 17 of 18 pairs in order, less one.
    assert week.auc == pytest.approx(16 / 18)
    # A compromised customer headed the list on one day of seven.
    assert week.card_precision == pytest.approx(1 / 7)
