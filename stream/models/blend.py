"""A blend: several models' scores weighed together on the logit scale, into one calibrated probability."""

from collections.abc import Sequence
from math import exp, log
from operator import mul
from typing import TYPE_CHECKING, Final

import numpy as np

from stream.models.parts import Arrays, Floats, Metadata, Parts, within

if TYPE_CHECKING:
    from stream.models.compiled import CompiledModel

CERTAINTY: Final = 1e-6
"""Log-odds are taken of probabilities held this far from 0 and 1."""
HALF_LIFE: Final = 200_000.0
"""Labels after which what the weights were learnt from counts half."""
_SPREAD: Final = 0.1
"""Variance of each weight before anything is known."""
_MOST_MEMBERS: Final = 8
_LEVEL: Final = 1e-9
_LARGEST_LOG_ODDS: Final = 30.0


def log_odds(probability: float) -> float:
    """Return the log-odds of a probability, held `CERTAINTY` from 0 and 1.

    Examples
    --------
    >>> round(log_odds(0.8), 4), round(log_odds(0.0), 4)
    (1.3863, -13.8155)
    """
    held = min(max(probability, CERTAINTY), 1.0 - CERTAINTY)
    return log(held / (1.0 - held))


class Mixer:
    """Learns how much each classifier's word is worth, and calibrates the sum.

    A logistic regression on the classifiers' log-odds above the base rate's, fitted recursively with
    forgetting: its weights follow the loss of the last few hundred thousand labels.

    Parameters
    ----------
    members
        How many classifiers; they start with equal weights that sum to 1.

    Notes
    -----
    One Newton step a label, in the form of recursive least squares: about 10 µs for two classifiers.

    Examples
    --------
    Two classifiers, the second of which says nothing of use:

    >>> mixer = Mixer(2)
    >>> for n in range(2_000):
    ...     fraud = n % 10 == 0
    ...     mixer.learn([4.0 if fraud else 0.0, float(n % 7)], fraud, 1.0, log_odds(0.1))
    >>> mixer.weights[0] > 0.5 > 0.1 > abs(mixer.weights[1])
    True

    References
    ----------
    Stacking: Wolpert (1992). Calibration by a logistic fit on log-odds: Platt (1999). The recursion is the
    extended Kalman filter of a logistic model with exponential forgetting (Penny & Roberts 1999).
    """

    def __init__(self, members: int) -> None:
        self.weights = [1.0 / members] * members
        self.shift = 0.0
        """Added to the base rate's log-odds."""
        size = members + 1
        self._spread = [[_SPREAD if row == column else 0.0 for column in range(size)] for row in range(size)]

    def probability(self, suspicion: Sequence[float], base: float) -> float:
        """Return the probability of fraud.

        Parameters
        ----------
        suspicion
            Each classifier's log-odds above the base rate's.
        base
            The base rate's log-odds.
        """
        return _sigmoid(self._sum(suspicion, base))

    def learn(self, suspicion: Sequence[float], y: bool, weight: float, base: float) -> None:
        """Learn from a label, before the classifiers do.

        Parameters
        ----------
        suspicion, base
            As for :meth:`probability`.
        y
            Whether it was fraud.
        weight
            For how many labels it stands.
        """
        # Plain numbers: of matrices this small numpy takes longer to hear than to multiply them.
        known = [*suspicion, 1.0]
        size = range(len(known))
        probability = _sigmoid(self._sum(suspicion, base))
        information = weight * probability * (1.0 - probability)
        growth = 2.0 ** (weight / HALF_LIFE)
        # What nothing was heard of for long must not become infinitely uncertain.
        growth *= min(1.0, _SPREAD * len(known) / (growth * sum(self._spread[n][n] for n in size)))
        spread = [[growth * one for one in row] for row in self._spread]
        reach = [sum(map(mul, row, known)) for row in spread]
        scale = 1.0 / (1.0 + information * sum(map(mul, known, reach)))
        self._spread = [
            [
                one - information * scale * reach[n] * other
                for one, other in zip(spread[n], reach, strict=True)
            ]
            for n in size
        ]
        step = scale * weight * (float(y) - probability)
        # A classifier whose word is worth less than nothing is not heard.
        self.weights = [max(one + step * way, 0.0) for one, way in zip(self.weights, reach, strict=False)]
        self.shift += step * reach[-1]

    def _sum(self, suspicion: Sequence[float], base: float) -> float:
        total: float = base + self.shift + sum(map(mul, self.weights, suspicion))
        return total


class Blend:
    """Compiled models, weighed together.

    Parameters
    ----------
    members
        Compiled models of any other kind.
    weights
        Shape (members,), at least 0.
    above_base
        Of which members only what lies above the base rate counts.
    base
        The base rate's log-odds.
    shift
        Added to it.

    Examples
    --------
    >>> from stream.models.compiled import Constant
    >>> even, base = np.array([0.5]), log_odds(0.2)
    >>> half = Blend([Constant(0.5)], weights=even, above_base=[False], base=base, shift=0.0)
    >>> half.predict(np.zeros((1, 3))).round(6).tolist()  # half-way, on the logit scale
    [0.333333]
    """

    kind = "blend"

    def __init__(
        self,
        members: Sequence["CompiledModel"],
        *,
        weights: Floats,
        above_base: Sequence[bool],
        base: float,
        shift: float,
    ) -> None:
        self.members = tuple(members)
        self.weights = weights
        self.above_base = tuple(above_base)
        self.base, self.shift = base, shift

    def predict(self, x: Floats) -> Floats:
        """See :class:`~stream.models.compiled.CompiledModel`."""
        total = np.full(len(x), self.base + self.shift)
        for number, member in enumerate(self.members):
            total += self.weights[number] * self._above(number, _log_odds(member.predict(x)) - self.base)
        score: Floats = 1.0 / (1.0 + np.exp(-within(total, -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS)))
        return score

    def contributions(self, x: Floats) -> Floats:
        """See :class:`~stream.models.compiled.CompiledModel`; each member's, by its weight.

        Where only what lies above the base rate counts, a member's are scaled for the row as a whole to what
        counts of them.
        """
        pushes = np.zeros(x.shape)
        for number, member in enumerate(self.members):
            own = member.contributions(x)
            here = _log_odds(member.predict(x)) - self.base
            way = own.sum(axis=1)
            counted = self._above(number, here) - self._above(number, here - way)
            part = np.divide(counted, way, out=np.zeros_like(way), where=np.abs(way) > _LEVEL)
            pushes += self.weights[number] * own * part[:, None]
        return pushes

    def to_parts(self) -> tuple[Metadata, Arrays]:
        """See :class:`~stream.models.compiled.CompiledModel`; members' names begin with their number."""
        metadata: Metadata = {"base": self.base, "shift": self.shift, "members": len(self.members)}
        arrays: Arrays = {"weights": self.weights, "above_base": np.array(self.above_base, np.int32)}
        for number, member in enumerate(self.members):
            theirs, their_arrays = member.to_parts()
            metadata[f"{number}.kind"] = member.kind
            metadata |= {f"{number}.{name}": value for name, value in theirs.items()}
            arrays |= {f"{number}.{name}": array for name, array in their_arrays.items()}
        return metadata, arrays

    @classmethod
    def from_parts(cls, parts: Parts, members: Sequence["CompiledModel"]) -> "Blend":
        """Undo `to_parts`, checking everything; the members were rebuilt already."""
        count = len(members)
        above = parts.integers("above_base", 0, 1, count)
        return cls(
            members,
            weights=parts.floats("weights", count, low=0.0),
            above_base=[bool(one) for one in above],
            base=parts.number("base", -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS),
            shift=parts.number("shift"),
        )

    @staticmethod
    def count_members(parts: Parts) -> int:
        """Say how many members there are to be rebuilt."""
        count = parts.number("members", 1, _MOST_MEMBERS)
        if count != int(count):
            raise parts.damaged(f"it has {count} members")
        return int(count)

    def _above(self, number: int, values: Floats) -> Floats:
        return np.maximum(values, 0.0) if self.above_base[number] else values


def _log_odds(probability: Floats) -> Floats:
    held = within(probability, CERTAINTY, 1.0 - CERTAINTY)
    result: Floats = np.log(held / (1.0 - held))
    return result


def _sigmoid(value: float) -> float:
    return 1.0 / (1.0 + exp(-min(max(value, -_LARGEST_LOG_ODDS), _LARGEST_LOG_ODDS)))
