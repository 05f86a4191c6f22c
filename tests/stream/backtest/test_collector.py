import numpy as np

from stream.backtest.report.collector import Collector, Reign
from stream.clock import DAY_MS
from tests.stream.backtest.made import START_MS, answers, month


def test_scores_of_models_that_come_and_go_stand_at_their_transactions() -> None:
    collector = Collector(seed=1)
    collector.add(answers([(0, True, (0.5, 0.25))], ("a-1", "b-1")))
    collector.add(answers([(1, False, (0.125, 0.75))], ("c-1", "a-1")))
    np.testing.assert_array_equal(collector.scores("a-1"), np.array([0.5, 0.75], np.float32))
    np.testing.assert_array_equal(collector.scores("b-1"), np.array([0.25, np.nan], np.float32))
    assert collector.columns().served.tolist() == [0.5, 0.125]
    assert collector.columns().truth.tolist() == [1, 0]


def test_reigns_and_lives_follow_the_roster() -> None:
    collector = Collector(seed=1)
    for day, models in enumerate([("a-1", "b-1"), ("a-1", "b-1"), ("b-1", "a-1"), ("a-1", "c-1")]):
        collector.add(answers([(day, False, (0.1, 0.2))], models))
    day = [START_MS + n * DAY_MS for n in range(4)]
    assert collector.reigns == [
        Reign("a-1", day[0], day[1]),
        Reign("b-1", day[2], day[2]),
        Reign("a-1", day[3], day[3]),
    ]
    assert collector.lives == {"a-1": (day[0], day[3]), "b-1": (day[0], day[2]), "c-1": (day[3], day[3])}


def test_customers_are_numbered_in_the_order_of_their_names() -> None:
    collector = Collector(seed=1)
    collector.add(answers([(0, None, (0.1,))] * 4, customers=("z", "\N{SNOWMAN}", "a")))
    assert collector.columns().customer.tolist() == [1, 2, 0, 1]


def test_the_sample_is_seeded_of_its_size_and_from_everywhere() -> None:
    def sample(seed: int) -> np.ndarray:
        collector = Collector(seed=seed, sample=50)
        given = month(days=70)
        for start in range(0, len(given.pendings), 7):
            rows = slice(start, start + 7)
            collector.add(
                given._replace(
                    pendings=given.pendings[rows],
                    **{
                        name: getattr(given, name)[rows]
                        for name in ("event_time", "amount", "truth", "alert", "threshold", "scores")
                    },
                )
            )
        return collector.sample

    first = sample(1)
    assert len(first) == 50
    amounts = first[:, 0]  # every feature of made transactions is their amount, which tells their place
    assert len(set(amounts.tolist())) == 50
    assert amounts.min() < 700
    assert amounts.max() > 3_500
    np.testing.assert_array_equal(first, sample(1))
    assert not np.array_equal(first, sample(2))


def test_few_transactions_are_all_in_the_sample() -> None:
    collector = Collector(seed=1, sample=50)
    collector.add(answers([(0, None, (0.1,))] * 3))
    assert collector.sample[:, 0].tolist() == [10.0, 20.0, 30.0]


def test_nothing_collected_is_empty_columns() -> None:
    collector = Collector(seed=1)
    collector.add(answers([]))
    assert len(collector.columns().served) == len(collector.sample) == 0
    assert collector.reigns == []
