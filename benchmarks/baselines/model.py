"""The baselines' model: River's logistic regression on standardised features, which has learnt a little."""

from itertools import islice
from typing import Any, Final

from river import compose, linear_model, preprocessing

from benchmarks.baselines.aggregates import describe
from producers.simulator import Simulator

VERSION: Final = "river-logistic-1"
ALERT: Final = 0.5
_LABELS: Final = 3_000


def trained_model(seed: int = 7) -> Any:
    """Return a model that predicts at the price at which a trained one predicts."""
    model = compose.Pipeline(preprocessing.StandardScaler(), linear_model.LogisticRegression())
    customers: dict[str, dict[str, str]] = {}
    for one, is_fraud, _ in islice(Simulator(seed=seed, customers=200, terminals=400), _LABELS):
        known = customers.get(one.customer_id, {})
        features, after = describe(one.amount, one.event_time, known, {})
        customers[one.customer_id] = {name: str(value) for name, value in after.items()}
        model.learn_one(features, is_fraud)
    return model


def probability(model: Any, features: dict[str, float]) -> float:
    """Return the probability of fraud."""
    return float(model.predict_proba_one(features)[True])
