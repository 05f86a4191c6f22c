import numpy as np
import pytest

from stream.backtest.answers import UNKNOWN, Answers
from stream.backtest.tally import Tally
from stream.evaluation.reliability import expected_calibration_error
from stream.recording import Recorded
from stream.records import Transaction
from tests.stream.backtest.made import START_MS, answers, pending


def tallied(*batches: Answers) -> Tally:
    tally = Tally()
    for batch in batches:
        tally.add(batch)
    return tally


def test_answers_take_the_truth_of_the_record_that_was_scored() -> None:
    first, second = (
        Transaction(transaction_id="t", event_time=START_MS, customer_id="c", terminal_id="m", amount=amount)
        for amount in (10.0, 20.0)
    )
    given = Answers.of(
        [Recorded(first, is_fraud=True), Recorded(second, is_fraud=False)],
        {"t": pending(START_MS, (0.7, 0.2), ("a-1", "b-1"))},
    )
    assert given.truth.tolist() == [1]
    assert given.scores.tolist() == [[0.7, 0.2]]
    assert given.alert.tolist() == [True]


def test_a_batch_that_was_refused_whole_has_no_rows() -> None:
    given = Answers.of([], {})
    assert given.scores.shape == (0, 0)
    assert tallied(given).total.transactions == 0


def test_precision_and_recall_are_by_count_and_by_amount() -> None:
    # Amounts 10, 20, 30, 40.
    total = tallied(
        answers([(0, True, (0.9,)), (0, False, (0.9,)), (0, True, (0.1,)), (0, False, (0,))])
    ).total
    assert (total.precision, total.recall) == (1 / 2, 1 / 2)
    assert total.amount_precision == pytest.approx(10 / 30)
    assert total.amount_recall == pytest.approx(10 / 40)


def test_transactions_of_unknown_truth_count_as_alerts_only() -> None:
    given = answers([(0, None, (0.9,)), (0, True, (0.9,))])
    assert given.truth.tolist() == [UNKNOWN, 1]
    total = tallied(given).total
    assert (total.alerts, total.judged_alerts, total.judged, total.precision) == (2, 1, 1, 1.0)


def test_nothing_known_is_none_and_not_a_number() -> None:
    tally = tallied(answers([(0, None, (0.1,))]))
    assert (tally.total.precision, tally.total.recall, tally.alerts_per_day) == (None, None, None)
    assert np.isnan(tally.calibration.expected_calibration_error)


def test_days_are_utc_and_batches_may_span_them() -> None:
    tally = tallied(answers([(0.99, True, (0.9,)), (1.0, True, (0.1,))]), answers([(1.5, False, (0.7,))]))
    first, second = (tally.days[day] for day in sorted(tally.days))
    assert (first.transactions, first.alerts, first.frauds) == (1, 1, 1)
    assert (second.transactions, second.alerts, second.frauds) == (2, 1, 1)


def test_alerts_per_day_leaves_out_the_first_and_the_last_day() -> None:
    rows = [
        (0, False, (0.9,)),
        (1, False, (0.9,)),
        (1, False, (0.9,)),
        (3, False, (0.9,)),
        (4, False, (0.9,)),
    ]
    # Between them lie days with 2, 0 and 1 alerts.
    assert tallied(answers([*rows])).alerts_per_day == 1.0
    assert tallied(answers([*rows[:3]])).alerts_per_day is None


def test_calibration_is_the_champions() -> None:
    given = answers([(0, True, (0.6, 0.1)), (0, False, (0.3, 0.9))], ("a-1", "b-1"))
    expected = expected_calibration_error(np.array([True, False]), np.array([0.6, 0.3]))
    assert tallied(given).calibration.expected_calibration_error == pytest.approx(expected)
