"""Figures are read from the metrics that the workers really export."""

import math

from prometheus_client import generate_latest

from stream.adapters.metrics import Metrics
from stream.demo.figures import Figures
from stream.demo.scrape import Scrape

TOPICS = ("demo.transactions", "demo.labels")


def scrape_of(metrics: Metrics) -> Scrape:
    return Scrape.parse(generate_latest(metrics.registry).decode())


def test_a_scorers_metrics_become_figures() -> None:
    scorer = Metrics()
    scorer.transactions.labels("scored").inc(95)
    scorer.transactions.labels("redelivered").inc(3)
    scorer.transactions.labels("dead_letter").inc(2)
    scorer.alerts.inc(7)
    scorer.lag.labels("demo.transactions", "0").set(10)
    scorer.lag.labels("demo.transactions", "1").set(5)
    scorer.event_time.labels("score").set(1.75e9)
    scorer.scoring_latency.observe(0.02)
    scorer.batch_seconds.labels("score", "compute").observe(0.5)

    figures = Figures.of(scrape_of(scorer), Scrape(), (100, 0), TOPICS)

    assert (figures.published, figures.scored, figures.redelivered, figures.refused) == (100, 95, 3, 2)
    assert figures.alerts == 7
    assert figures.transactions_lag == 15
    assert figures.event_time_seconds == 1.75e9
    assert 0 < (figures.latency.quantile(0.5) or 0) < 0.1
    assert figures.stage_seconds["score"]["compute"] == 0.5


def test_a_learners_metrics_become_figures() -> None:
    learner = Metrics()
    learner.labels.labels("joined").inc(40)
    learner.labels.labels("duplicate").inc(2)
    learner.labels.labels("parked").inc(4)
    learner.parked.set(1)
    learner.lag.labels("demo.labels", "0").set(6)
    learner.drift.labels("missed_frauds").inc()
    learner.drift.labels("false_alerts").inc(2)
    learner.swaps.inc()
    for model, champion, quality in (("logistic-1", 0, 0.5), ("forest-1", 1, 0.4), ("forest-2", 0, math.nan)):
        learner.champion.labels(model).set(champion)
        learner.model_ap.labels(model).set(quality)
    learner.learned.labels("logistic-1").inc(40)
    learner.learned.labels("forest-2").inc(10)

    figures = Figures.of(Scrape(), scrape_of(learner), (0, 43), TOPICS)

    assert figures.labels_published == 43
    assert figures.labels["joined"] == 40
    assert figures.labels_read == 43, "a parked label is counted while it waits, and once by how it ended"
    assert figures.labels_lag == 6
    assert figures.learned == 40
    assert (figures.drifts, figures.swaps) == (3, 1)
    assert figures.champion == "forest-1"
    assert figures.judged() == {"forest-1": 0.4, "logistic-1": 0.5, "forest-2": None}
    assert next(iter(figures.judged())) == "forest-1", "the champion comes first"


def test_before_the_first_scrape_everything_is_zero() -> None:
    figures = Figures.of(Scrape(), Scrape(), (0, 0), TOPICS)

    assert figures.scored == figures.labels_read == figures.alerts == 0
    assert figures.champion is None
    assert figures.judged() == {}
    assert figures.latency.quantile(0.5) is None
