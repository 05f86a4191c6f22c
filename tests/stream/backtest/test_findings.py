import numpy as np
import pytest

from stream.backtest.answers import Answers
from stream.backtest.report.baselines import START, compare
from stream.backtest.report.collector import Collector
from stream.backtest.report.findings import Findings, find
from stream.backtest.tally import Tally
from stream.clock import DAY_MS
from stream.evaluation.handbook import Scores, judge_weeks
from stream.evaluation.ranking import average_precision
from stream.features.catalogue import FEATURE_NAMES, WIDTH
from stream.models.compiled import Constant
from stream.models.linear import Linear
from stream.pipeline.scoring import Served
from tests.stream.backtest.made import START_MS, answers, month

HANDBOOK_MS = round(START.timestamp() * 1000)


def found(*batches: Answers, served: tuple[Served, ...] = ()) -> Findings:
    collector, tally = Collector(seed=1), Tally()
    for batch in batches:
        collector.add(batch)
        tally.add(batch)
    return find(collector, tally, served)


def collected(*batches: Answers) -> Collector:
    collector = Collector(seed=1)
    for batch in batches:
        collector.add(batch)
    return collector


def test_weeks_are_judged_by_the_handbooks_protocol() -> None:
    given = month()
    findings = found(given)
    customers = np.array([one.customer_id for one in given.pendings], object)
    for number, version in enumerate(given.models):
        scores = given.scores[:, number]
        expected = judge_weeks(Scores(given.event_time, customers, given.truth == 1, scores), START_MS, 4)
        ours = [week.models[version] for week in findings.weeks]
        assert np.array(ours) == pytest.approx(np.array(expected), abs=1e-6)
        if number == 0:
            assert [week.served for week in findings.weeks] == expected


def test_a_model_is_judged_in_weeks_that_it_scored_whole() -> None:
    late = month(("a-1", "c-1"), start_ms=START_MS + 10 * DAY_MS, days=18)
    findings = found(month(("a-1", "b-1"), days=10), late)
    assert [sorted(week.models) for week in findings.weeks] == [
        ["a-1", "b-1"],
        ["a-1"],
        ["a-1", "c-1"],
        ["a-1", "c-1"],
    ]


def test_less_than_a_week_has_no_weeks() -> None:
    assert found(month(days=6)).weeks == []


def test_transactions_of_unknown_truth_are_not_judged() -> None:
    rows = [
        (day, truth, (score,))
        for day in range(7)
        for truth, score in [(True, 0.9), (None, 0.95), (False, 0.1)]
    ]
    findings = found(answers([*rows]))
    assert findings.served.average_precision == 1
    assert findings.served.judged == 14
    assert findings.weeks[0].served.transactions == 14
    nothing = found(answers([(0, None, (0.9,))]))
    assert nothing.served.judged == len(nothing.curve) == len(nothing.weeks) == 0


def test_models_stand_in_the_order_of_what_became_of_them() -> None:
    constant = Constant(0.1)
    findings = found(
        month(("a-1", "b-1"), days=7),
        month(("b-1", "c-1"), start_ms=START_MS + 7 * DAY_MS, days=3),
        served=(Served("b-1", 9, constant), Served("c-1", 2, constant)),
    )
    lines = [(line.version, line.role, line.snapshot) for line in findings.models]
    assert lines == [("b-1", "champion", 9), ("c-1", "challenger", 2), ("a-1", "retired", None)]
    retired = findings.models[-1]
    assert retired.days_served == pytest.approx(7, abs=0.5)
    first = month(("a-1", "b-1"), days=7)
    expected = average_precision(first.truth == 1, first.scores[:, 0])
    assert retired.goodness.average_precision == pytest.approx(expected, abs=1e-6)


def test_importance_is_the_mean_push_of_the_champion() -> None:
    weight = np.zeros(WIDTH)
    weight[1], weight[4] = -2.0, 1.0
    model = Linear(np.zeros(WIDTH), np.full(WIDTH, 10.0), weight, 0.0, limit=1_000)
    # Every feature of made transactions is the amount: 10 and 20, so 1 and 2 standardised.
    findings = found(answers([(0, True, (0.5,)), (0, False, (0.5,))]), served=(Served("a-1", 1, model),))
    assert [(one.feature.name, one.push) for one in findings.importances[:2]] == [
        (FEATURE_NAMES[1], 3.0),
        (FEATURE_NAMES[4], 1.5),
    ]
    assert findings.sampled == 2
    ignorant = found(answers([(0, True, (0.5,))]), served=(Served("a-1", 1, Constant(0.1)),))
    assert ignorant.importances == []


def test_ours_stands_beside_the_published_where_the_weeks_are_covered() -> None:
    given = month(start_ms=HANDBOOK_MS - 14 * DAY_MS, days=14 + 28)
    comparison = compare(collected(given).columns())
    customers = np.array([one.customer_id for one in given.pendings], object)
    scores = Scores(given.event_time, customers, given.truth == 1, given.scores[:, 0])
    assert list(comparison.weeks) == judge_weeks(scores, HANDBOOK_MS, 4)
    assert comparison.four_weeks == pytest.approx(np.mean([w.average_precision for w in comparison.weeks]))
    assert "all four" in comparison.remark


@pytest.mark.parametrize(
    ("days", "weeks"), [(14 + 6, 0), (14 + 7, 1), (14 + 13, 1), (14 + 27, 3), (14 + 40, 4)]
)
def test_only_whole_weeks_are_compared(days: int, weeks: int) -> None:
    comparison = compare(collected(month(start_ms=HANDBOOK_MS - 14 * DAY_MS, days=days)).columns())
    assert len(comparison.weeks) == weeks
    assert (comparison.four_weeks is None) == (weeks < 4)
    assert ("does not cover" in comparison.remark) == (weeks == 0)


def test_a_recording_that_begins_too_late_or_elsewhere_is_not_compared() -> None:
    for start in (HANDBOOK_MS - 13 * DAY_MS, START_MS):
        comparison = compare(collected(month(start_ms=start, days=60)).columns())
        assert comparison.weeks == ()
        assert "does not cover" in comparison.remark


def test_weeks_without_their_labels_are_not_compared() -> None:
    given = month(start_ms=HANDBOOK_MS - 14 * DAY_MS, days=14 + 28)
    for unlabelled_day, weeks in ((3, 0), (14, 0), (14 + 8, 1)):
        truth = given.truth.copy()
        truth[6 * unlabelled_day] = -1
        comparison = compare(collected(given._replace(truth=truth)).columns())
        assert len(comparison.weeks) == weeks
        assert ("turned out to be" in comparison.remark) == (weeks == 0)


def test_nothing_scored_is_nothing_found() -> None:
    findings = found()
    assert (findings.models, findings.weeks, findings.curve) == ([], [], [])
    assert findings.comparison.weeks == ()
