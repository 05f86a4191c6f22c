"""Figures: what the workers' metrics say of the stream at one moment."""

import math
from dataclasses import dataclass, field
from typing import Self

from stream.demo.scrape import Histogram, Scrape


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How far the stream has come; counts since its beginning."""

    published: int = 0
    """Transactions that the broker has taken."""
    scored: int = 0
    redelivered: int = 0
    refused: int = 0
    """Transactions that became dead letters; more than once, if they were redelivered."""
    alerts: int = 0
    labels_published: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    """By outcome: joined, duplicate, corrected, unmatched, dead_letter."""
    labels_parked: int = 0
    """Labels that wait for their transactions now."""
    learned: int = 0
    drifts: int = 0
    swaps: int = 0
    transactions_lag: int = 0
    labels_lag: int = 0
    event_time_seconds: float = 0.0
    """The newest scored transaction's time since 1970; 0 before the first."""
    average_precision: dict[str, float] = field(default_factory=dict)
    """By model, over the last labels; nan before the first."""
    champion: str | None = None
    latency: Histogram = field(default_factory=Histogram)
    """From a transaction's arrival at the broker to its score, in seconds."""
    stage_seconds: dict[str, dict[str, float]] = field(default_factory=dict)
    """Time spent by role and stage."""

    @classmethod
    def of(cls, scorer: Scrape, learner: Scrape, published: tuple[int, int], topics: tuple[str, str]) -> Self:
        """Take the figures from both workers.

        Parameters
        ----------
        scorer, learner
            Their metrics.
        published
            Transactions and labels that the broker has taken.
        topics
            The names of ``transactions`` and ``labels``.
        """
        champions = learner.by("fraud_model_champion", "model")
        stages = {role: _stages(scrape, role) for role, scrape in (("score", scorer), ("learn", learner))}
        return cls(
            published=published[0],
            scored=int(scorer.total("fraud_transactions_total", outcome="scored")),
            redelivered=int(scorer.total("fraud_transactions_total", outcome="redelivered")),
            refused=int(scorer.total("fraud_transactions_total", outcome="dead_letter")),
            alerts=int(scorer.total("fraud_alerts_total")),
            labels_published=published[1],
            labels={
                name: int(count)
                for name, count in learner.by("fraud_labels_total", "outcome").items()
                if name != "parked"  # it is counted again by how it ends
            },
            labels_parked=int(learner.total("fraud_parked_labels")),
            # Every model learns from every label since its birth.
            learned=int(max(learner.by("fraud_learned_total", "model").values(), default=0.0)),
            drifts=int(learner.total("fraud_drift_total")),
            swaps=int(learner.total("fraud_swaps_total")),
            transactions_lag=int(scorer.total("fraud_consumer_lag_records", topic=topics[0])),
            labels_lag=int(learner.total("fraud_consumer_lag_records", topic=topics[1])),
            event_time_seconds=scorer.value("fraud_event_timestamp_seconds", role="score") or 0.0,
            average_precision=learner.by("fraud_model_average_precision", "model"),
            champion=next((model for model, is_champion in champions.items() if is_champion), None),
            latency=scorer.histogram("fraud_scoring_latency_seconds"),
            stage_seconds=stages,
        )

    @property
    def labels_read(self) -> int:
        """Labels of which something has become, or that wait."""
        return sum(self.labels.values()) + self.labels_parked

    def judged(self) -> dict[str, float | None]:
        """Return the average precision of each model, the champion first, then the best; None: not yet."""
        known = {
            model: None if math.isnan(value) else value for model, value in self.average_precision.items()
        }
        return dict(
            sorted(known.items(), key=lambda item: (item[0] != self.champion, -(item[1] or 0.0), item[0]))
        )


def _stages(scrape: Scrape, role: str) -> dict[str, float]:
    name = "fraud_batch_seconds_sum"
    return {
        stage: round(scrape.total(name, role=role, stage=stage), 3)
        for stage in scrape.by(name, "stage")
        if scrape.value(name, role=role, stage=stage) is not None
    }
