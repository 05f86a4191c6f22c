"""The online model: a River classifier with what it takes to learn from rare frauds and to be compiled."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Final, Protocol

from stream.models.compiled import CompiledModel, Constant
from stream.models.sampling import corrected, keeps

MIN_FRAUDS: Final = 20
"""Before so many frauds were learnt a model serves the base rate."""
PRIOR_RATE: Final = 0.005
"""The base rate before any label; weighs as much as `PRIOR_LABELS` labels."""
PRIOR_LABELS: Final = 1_000


class Classifier(Protocol):
    """A River classifier of one family, which knows how to compile itself. Pickles whole."""

    feature_names: tuple[str, ...]
    negative_rate: float

    def learn_one(self, x: dict[str, float], y: bool) -> None:
        """Learn one transaction of the sample."""
        ...

    def predict_proba_one(self, x: dict[str, float]) -> float | None:
        """Return the share of frauds in the sample among such as `x`; None when nothing is known."""
        ...

    def compile(self, prior: float) -> CompiledModel:
        """Return what gives the same answers, corrected for the sampling; `prior` where nothing is known."""
        ...


@dataclass
class OnlineModel:
    """A model that learns from labelled transactions one at a time.

    Pickles with everything that learning depends on: a copy that is fed the same labels ends in the same
    bits.

    Examples
    --------
    >>> from stream.models.recipes import recipe
    >>> model = recipe("logistic").build(seed=7, feature_names=("amount",))
    >>> model.learn_one("t1", {"amount": 12.5}, False)
    True
    >>> model.ready, round(model.predict_proba_one({"amount": 12.5}), 6)
    (False, 0.004995)
    """

    classifier: Classifier
    salt: int
    """Decides, with the transaction's id, which legitimate transactions the classifier is shown."""
    min_frauds: int = MIN_FRAUDS
    labels: int = 0
    """Labels taken in, those left out of the sample included."""
    learned: int = 0
    """Labels that the classifier was shown."""
    frauds_learned: int = 0
    """Frauds among them: every one is shown."""

    @property
    def ready(self) -> bool:
        """Whether it has seen enough frauds to be believed."""
        return self.frauds_learned >= self.min_frauds

    @property
    def base_rate(self) -> float:
        """The share of frauds among the labels, starting from `PRIOR_RATE`."""
        return (self.frauds_learned + PRIOR_RATE * PRIOR_LABELS) / (self.labels + PRIOR_LABELS)

    def learn_one(self, transaction_id: str, x: Mapping[str, float], y: bool) -> bool:
        """Learn one labelled transaction.

        Parameters
        ----------
        transaction_id
            Chooses, for a legitimate one, whether it is in the sample (`stream.models.sampling.keeps`): a
            replay chooses the same.
        x
            Every feature by name, finite. Others are ignored.
        y
            Whether it was fraud.

        Returns
        -------
        bool
            False when it was left out of the sample.

        Raises
        ------
        KeyError
            A feature is missing.
        ValueError
            A feature is not finite: learnt once, it would turn every later score into nan.
        """
        row = self._row(x)
        for name, value in row.items():
            if not isfinite(value):
                raise ValueError(
                    f"feature {name} of transaction {transaction_id} is {value}: features are finite"
                )
        self.labels += 1
        if not y and not keeps(transaction_id, self.classifier.negative_rate, self.salt):
            return False
        self.classifier.learn_one(row, bool(y))
        self.learned += 1
        self.frauds_learned += bool(y)
        return True

    def predict_proba_one(self, x: Mapping[str, float]) -> float:
        """Return the probability of fraud by River's own path, corrected for the sampling.

        Parameters
        ----------
        x
            Every feature by name, finite.
        """
        share = self.classifier.predict_proba_one(self._row(x)) if self.ready else None
        return self.base_rate if share is None else corrected(share, self.classifier.negative_rate)

    def compile(self) -> CompiledModel:
        """Return what scorers run: equal to `predict_proba_one` within 1e-9.

        Until it is `ready` that is the base rate, the same for every transaction: honest, where the first
        trees and weights would be noise.
        """
        return self.classifier.compile(self.base_rate) if self.ready else Constant(self.base_rate)

    def _row(self, x: Mapping[str, float]) -> dict[str, float]:
        # In one order, whatever the caller's: sums of floats depend on it.
        return {name: float(x[name]) for name in self.classifier.feature_names}
