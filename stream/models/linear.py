"""Logistic regression: as River learns it, and compiled."""

from collections.abc import Mapping, Sequence
from math import log
from typing import Any, Final

import numpy as np

from stream.models.lessons import Flags
from stream.models.parts import Arrays, Floats, Metadata, Parts, within
from stream.models.sampling import corrected

LIMIT: Final = 10.0
"""Standardised values are held within it: farther out, amounts say nothing more."""
_LARGEST_LOG_ODDS: Final = 30.0
"""Where River's sigmoid jumps to 0 or 1. Compiled, it stays 1e-13 away from them: log loss remains finite."""


class Linear:
    """A logistic regression on standardised features, as arrays.

    Parameters
    ----------
    mean, deviation
        Shape (features,): what a value is standardised with. A deviation of 0 leaves its feature out.
    weight
        Shape (features,), on standardised values.
    intercept
        Log-odds of a row of means.
    limit
        Standardised values are held within ±`limit`.
    negative_rate
        Share of the legitimate transactions that were learnt from.

    Examples
    --------
    >>> model = Linear(np.array([10.0]), np.array([2.0]), np.array([1.0]), 0.0, limit=5.0)
    >>> model.predict(np.array([[10.0], [12.0]])).round(6).tolist()
    [0.5, 0.731059]
    >>> model.contributions(np.array([[12.0], [1e12]])).tolist()
    [[1.0], [5.0]]
    """

    kind = "linear"

    def __init__(
        self,
        mean: Floats,
        deviation: Floats,
        weight: Floats,
        intercept: float,
        *,
        limit: float = LIMIT,
        negative_rate: float = 1.0,
    ) -> None:
        self.mean, self.deviation, self.weight = mean, deviation, weight
        self.intercept = intercept
        self.limit = limit
        self.negative_rate = negative_rate
        self._varies = deviation > 0
        self._divisor = np.where(self._varies, deviation, 1.0)

    def predict(self, x: Floats) -> Floats:
        """See :class:`~stream.models.compiled.CompiledModel`."""
        # A sum per row, not a matrix product: BLAS rounds differently with the number of rows.
        log_odds = self.contributions(x).sum(axis=1) + self.intercept
        share = 1.0 / (1.0 + np.exp(-within(log_odds, -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS)))
        return corrected(share, self.negative_rate)

    def contributions(self, x: Floats) -> Floats:
        """See :class:`~stream.models.compiled.CompiledModel`; exact, against a row of means."""
        # In C order: the order of a row's sum, and with it the last bit, follows the memory's.
        scaled = (np.ascontiguousarray(x, dtype=np.float64) - self.mean) / self._divisor
        return np.where(self._varies, within(scaled, -self.limit, self.limit) * self.weight, 0.0)

    def to_parts(self) -> tuple[Metadata, Arrays]:
        """See :class:`~stream.models.compiled.CompiledModel`."""
        metadata = {"intercept": self.intercept, "limit": self.limit, "negative_rate": self.negative_rate}
        return metadata, {"mean": self.mean, "deviation": self.deviation, "weight": self.weight}

    @classmethod
    def from_parts(cls, parts: Parts, features: int) -> "Linear":
        """Undo `to_parts`, checking everything."""
        return cls(
            parts.floats("mean", features),
            parts.floats("deviation", features, low=0.0),
            parts.floats("weight", features),
            parts.number("intercept"),
            limit=parts.number("limit", low=0.0),
            negative_rate=parts.number("negative_rate", low=np.finfo(float).tiny, high=1.0),
        )


class OnlineLinear:
    """River's standard scaler and logistic regression, learning by stochastic gradient descent.

    Parameters
    ----------
    feature_names
        In the order of the matrices' columns.
    seed
        Taken as every classifier takes one; nothing here is random.
    learning_rate
        Step of the weights and of the intercept.
    limit
        Standardised values are held within ±`limit`: one absurd amount must not throw the weights about.
    initial
        Probability of fraud before anything is learnt: an untrained model must not call everything suspect.
    negative_rate
        Share of the legitimate transactions that it is shown.
    """

    def __init__(
        self,
        feature_names: tuple[str, ...],
        seed: int,  # noqa: ARG002 (gradient descent draws nothing)
        *,
        learning_rate: float,
        limit: float = LIMIT,
        initial: float,
        negative_rate: float = 1.0,
    ) -> None:
        # Scorers know this module for the compiled form, and do without what takes a second to import.
        from river import linear_model, optim, preprocessing  # noqa: PLC0415

        self.feature_names = feature_names
        self.limit = limit
        self.negative_rate = negative_rate
        self.scaler: Any = preprocessing.StandardScaler()
        self.regression: Any = linear_model.LogisticRegression(
            optimizer=optim.SGD(learning_rate),
            intercept_init=log(initial / (1.0 - initial)),
            intercept_lr=learning_rate,
        )

    @property
    def knows(self) -> bool:
        """Always: untaught, it says its initial probability."""
        return True

    def learn_row(self, row: Sequence[float], y: bool) -> None:
        """Learn one transaction."""
        self.learn_rows(np.array([row], float), np.array([bool(y)]), np.array([True]), np.array([False]))

    def learn_rows(self, rows: Floats, y: Flags, shown: Flags, asked: Flags) -> list[float]:
        """See :class:`~stream.models.online.Classifier`. About 30 µs for each that is shown."""
        touched = np.flatnonzero(shown | asked)
        answers: list[float] = []
        moments = _Moments(self.scaler, self.feature_names)
        for row, is_true, learns, answers_first in zip(
            rows[touched], y[touched].tolist(), shown[touched].tolist(), asked[touched].tolist(), strict=True
        ):
            if answers_first:
                share: float = self.regression.predict_proba_one(self._held(moments.scaled(row)))[True]
                answers.append(share)
            if learns:
                moments.learn(row)
                self.regression.learn_one(self._held(moments.scaled(row)), is_true)
        moments.hand_back()
        return answers

    def predict_row(self, row: Sequence[float]) -> float:
        """Return the probability of fraud in the sample."""
        x = dict(zip(self.feature_names, row, strict=True))
        share: float = self.regression.predict_proba_one(self._scaled(x))[True]
        return share

    def compile(self, prior: float) -> Linear:  # noqa: ARG002 (the intercept is its prior)
        """Fold scaler and regression into arrays."""
        variances: Mapping[str, float] = self.scaler.vars
        means: Mapping[str, float] = self.scaler.means
        # River keeps no weight of a feature it has not met.
        weights: Mapping[str, float] = self.regression.weights
        names = self.feature_names
        return Linear(
            np.array([means.get(name, 0.0) for name in names]),
            # Python's power, which River divides by; numpy's root may differ in the last bit.
            np.array([variances.get(name, 0.0) ** 0.5 for name in names]),
            np.array([weights.get(name, 0.0) for name in names]),
            float(self.regression.intercept),
            limit=self.limit,
            negative_rate=self.negative_rate,
        )

    def _scaled(self, x: dict[str, float]) -> dict[str, float]:
        limit = self.limit
        scaled: dict[str, float] = self.scaler.transform_one(x)
        return {name: min(max(value, -limit), limit) for name, value in scaled.items()}

    def _held(self, scaled: Floats) -> dict[str, float]:
        held = np.minimum(np.maximum(scaled, -self.limit), self.limit)
        return dict(zip(self.feature_names, held.tolist(), strict=True))


class _Moments:
    """The means and variances of River's standard scaler, as arrays for as long as a batch takes.

    The numbers are its own to the last bit; of thirty features it takes three times as long about them.
    """

    def __init__(self, scaler: Any, names: Sequence[str]) -> None:
        self._scaler, self._names = scaler, names
        self._counts = np.array([scaler.counts.get(name, 0) for name in names], float)
        self._means = np.array([scaler.means.get(name, 0.0) for name in names])
        self._variances = np.array([scaler.vars.get(name, 0.0) for name in names])

    def learn(self, row: Floats) -> None:
        """Take a row in."""
        self._counts += 1.0
        off = row - self._means
        self._means += off / self._counts
        self._variances += (off * (row - self._means) - self._variances) / self._counts

    def scaled(self, row: Floats) -> Floats:
        """Return a row in deviations from the mean; 0 for what has never varied."""
        # Python's power, as River has it: numpy's root may differ in the last bit.
        deviations = np.array([variance**0.5 for variance in self._variances.tolist()])
        scaled: Floats = np.zeros(len(row))
        np.divide(row - self._means, deviations, out=scaled, where=deviations > 0.0)
        return scaled

    def hand_back(self) -> None:
        """Let the scaler have what was learnt."""
        if not self._counts.any():
            return
        scaler = self._scaler
        for name, count, mean, variance in zip(
            self._names,
            self._counts.tolist(),
            self._means.tolist(),
            self._variances.tolist(),
            strict=True,
        ):
            scaler.counts[name] = int(count)
            scaler.means[name] = mean
            scaler.vars[name] = variance
