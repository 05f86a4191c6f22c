import numpy as np
import pytest

from stream.evaluation.handbook import Scores, judge_weeks, week_samples

DAY = 86_400_000


def scores(rows: list[tuple[int, object, bool, float]]) -> Scores:
    """Make scores from (day, customer, fraud, score)."""
    day, customer, fraud, score = zip(*rows, strict=True)
    kind = int if isinstance(customer[0], int) else object
    return Scores(np.array(day) * DAY, np.array(customer, kind), np.array(fraud), np.array(score))


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


def test_a_card_that_was_found_leaves_the_list() -> None:
    rows = [(0, 1, True, 0.9), (0, 2, False, 0.1), (1, 1, True, 0.9), (1, 2, True, 0.1)]
    # 1 heads the first day's list, and is gone on the second: 2 is looked into.
    assert judge_weeks(scores([*rows]), 0, 1, top=1)[0].card_precision == 1


def test_days_without_transactions_do_not_count() -> None:
    assert judge_weeks(scores([(0, 1, True, 0.9), (6, 2, False, 0.1)]), 0, 1, top=1)[0].card_precision == 0.5


def test_equal_scores_are_half_right() -> None:
    assert judge_weeks(scores([(0, 1, True, 0.5), (0, 2, False, 0.5)]), 0, 1)[0].auc == 0.5


def test_customers_are_any_strings() -> None:
    """Also such as differ by what a fixed-width string cannot hold."""
    names = ["c", "c\0", "\N{SNOWMAN}", ""]
    rows = [(0, 0, True, 0.9), (0, 1, False, 0.8), (0, 2, True, 0.7), (1, 1, True, 0.6), (1, 3, False, 0.5)]
    named = [(day, names[customer], fraud, score) for day, customer, fraud, score in rows]
    assert judge_weeks(scores(named), 0, 1, top=1) == judge_weeks(scores([*rows]), 0, 1, top=1)


def test_of_equal_scores_the_smaller_identifier_is_looked_into() -> None:
    for first, second in (("a", "b"), (1, 2)):
        rows = [(0, second, True, 0.5), (0, first, False, 0.5)]
        assert judge_weeks(scores([*rows]), 0, 1, top=1)[0].card_precision == 0


def test_a_week_without_frauds_or_without_anything_has_nothing_to_judge() -> None:
    quiet, empty = judge_weeks(scores([(0, 1, False, 0.5)]), 0, 2)
    assert (quiet.transactions, quiet.card_precision) == (1, 0)
    assert np.isnan([quiet.average_precision, quiet.auc, empty.card_precision]).all()
    assert empty.transactions == 0


def test_one_sample_judges_several_models() -> None:
    given = scores([(0, 1, True, 0.9), (0, 2, False, 0.1), (7, 3, True, 0.2)])
    first, _ = week_samples(given.event_time, given.customer, given.is_fraud, 0, 2)
    assert first.judge(given.score).auc == 1
    assert first.judge(np.array([0.1, 0.9, np.nan])).auc == 0
