"""An online model: a River classifier with what it needs to learn from rare frauds and to be compiled."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from stream.models.compiled import CompiledModel, Constant

MIN_FRAUDS: Final = 20
"""Before so many frauds were learnt a model serves the base rate."""
PRIOR_LABELS: Final = 1_000.0
PRIOR_RATE: Final = 0.005
"""The base rate before any label; weighs as much as `PRIOR_LABELS` labels."""

Compile = Callable[[Any, tuple[str, ...], float, float], CompiledModel]
"""From a River model, the feature names, the negative rate and the prior."""


@dataclass
class OnlineModel:
    """A River classifier that learns from labelled transactions one at a time.

    Pickles with everything that learning depends on: a copy fed the same labels ends in the same bits.
    """

    river: Any
    """Learns and predicts by River's interface; classes are False and True."""
    feature_names: tuple[str, ...]
    compiler: Compile
    negative_rate: float = 1.0
    """Share of the legitimate transactions that it is shown."""
    salt: int = 0
    """Makes models with the same rate see different samples."""
    learned: int = 0
    """Labels taken in, those left out of the sample included."""
    frauds_learned: int = 0

    @property
    def ready(self) -> bool:
        """Whether it has seen enough frauds to be believed."""
        return self.frauds_learned >= MIN_FRAUDS

    @property
    def base_rate(self) -> float:
        """The share of frauds among the labels, from a prior of `PRIOR_RATE`."""
        return (self.frauds_learned + PRIOR_RATE * PRIOR_LABELS) / (self.learned + PRIOR_LABELS)

    def learn_one(self, transaction_id: str, x: Mapping[str, float], is_fraud: bool) -> bool:
        """Learn one labelled transaction.

        Returns
        -------
        bool
            False when it was left out: of the legitimate ones a share of `negative_rate` is learnt, chosen by
            a hash of the id, so that a replay chooses the same.
        """
        self.learned += 1
        self.frauds_learned += is_fraud
        if not is_fraud and self.negative_rate < 1.0:
            draw = crc32(transaction_id.encode(), self.salt) / 2**32
            if draw >= self.negative_rate:
                return False
        self.river.learn_one(dict(x), is_fraud)
        return True

    def predict_proba_one(self, x: Mapping[str, float]) -> float:
        """Return the probability of fraud by River's own path, corrected for the sampling."""
        if not self.ready:
            return self.base_rate
        probabilities = self.river.predict_proba_one(dict(x))
        share = probabilities.get(True)
        if share is None or probabilities.get(False, 0.0) + share == 0:
            return self.base_rate
        rate = self.negative_rate
        corrected: float = rate * share / (rate * share - share + 1.0)
        return corrected

    def compile(self) -> CompiledModel:
        """Return what scorers run: equal to `predict_proba_one` within 1e-9."""
        if not self.ready:
            return Constant(self.base_rate)
        return self.compiler(self.river, self.feature_names, self.negative_rate, self.base_rate)
