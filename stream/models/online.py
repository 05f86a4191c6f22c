"""The online model: classifiers that learn from rare frauds, weighed together into one calibrated score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan, nan
from typing import Final, Protocol

import numpy as np

from stream.models.blend import Blend, Mixer, log_odds
from stream.models.compiled import CompiledModel, Constant
from stream.models.lessons import EVERY_VIEW, Flags, Lessons, View
from stream.models.parts import Floats
from stream.models.sampling import corrected

MIN_FRAUDS: Final = 20
"""Before so many frauds were learnt a model serves the base rate."""
PRIOR_RATE: Final = 0.005
"""The base rate before any label; weighs as much as `PRIOR_LABELS` labels."""
PRIOR_LABELS: Final = 1_000
WEIGHED: Final = 0.05
"""Share of the legitimate transactions on which classifiers are weighed against each other."""


class Classifier(Protocol):
    """A classifier of one family, which knows how to compile itself. Pickles whole."""

    negative_rate: float

    @property
    def knows(self) -> bool:
        """Whether it has anything to say yet."""
        ...

    def learn_row(self, row: Sequence[float], y: bool) -> None:
        """Learn one transaction of the sample."""
        ...

    def predict_row(self, row: Sequence[float]) -> float:
        """Return the share of frauds in the sample among such rows."""
        ...

    def learn_rows(self, rows: Floats, y: Flags, shown: Flags, asked: Flags) -> list[float]:
        """Learn a batch: to the same bits as row by row.

        Parameters
        ----------
        rows
            Shape (n, features).
        y
            Whether each was fraud; shape (n,), as are the others.
        shown
            Which of them it is to learn, one after the other.
        asked
            Which of them it is to answer for, each just before it is learnt.

        Returns
        -------
        list[float]
            What `predict_row` would have returned for each that was asked for; nan where it had nothing to
            say yet.
        """
        ...

    def compile(self, prior: float) -> CompiledModel | None:
        """Return what gives the same answers, corrected for the sampling; None while it knows nothing."""
        ...


@dataclass
class Member:
    """A classifier with the labels that it learns from."""

    classifier: Classifier
    view: View = "all"
    above_base: bool = False
    """Whether it has a say on suspects only: under the base rate its score is taken for the base rate."""
    learned: int = 0
    frauds_learned: int = 0


@dataclass
class OnlineModel:
    """A model that learns from labelled transactions one at a time.

    Each classifier is shown every fraud and its own share of the rest. Their scores, corrected for that, are
    weighed together on the logit scale by a mixer that learns from the same labels, each before the
    classifiers have seen it: so the model's score is a calibrated probability, with one classifier or many.

    Pickles with everything that learning depends on: a copy that is fed the same labels ends in the same
    bits.

    Examples
    --------
    >>> from stream.models.recipes import recipe
    >>> model = recipe("logistic").build(seed=7, feature_names=("amount",))
    >>> model.learn_one("t1", {"amount": 12.5}, True)
    True
    >>> model.ready, round(model.predict_proba_one({"amount": 12.5}), 6)
    (False, 0.005994)
    """

    members: list[Member]
    feature_names: tuple[str, ...]
    mixer: Mixer
    salt: int
    """Decides, with the transaction's id, which legitimate transactions the classifiers are shown."""
    min_frauds: int = MIN_FRAUDS
    labels: int = 0
    """Labels taken in, those left out of the sample included; each transaction's first."""
    frauds: int = 0
    """Frauds among them."""
    learned: int = 0
    """Labels that any classifier was shown."""

    @property
    def taught(self) -> int:
        """Labels that it was taught: those left out of its samples count for the base rate."""
        return self.labels

    @property
    def frauds_learned(self) -> int:
        """Frauds that were shown to the classifier that has seen most of them."""
        return max(member.frauds_learned for member in self.members)

    @property
    def ready(self) -> bool:
        """Whether any classifier has seen enough frauds to be believed."""
        return any(self._believed(member) for member in self.members)

    @property
    def base_rate(self) -> float:
        """The share of frauds among the labels, starting from `PRIOR_RATE`."""
        return _base_rate(self.labels, self.frauds)

    def learn_one(self, transaction_id: str, x: Mapping[str, float], y: bool) -> bool:
        """Learn one labelled transaction, its features by name; see :meth:`learn_row`.

        Raises
        ------
        KeyError
            A feature is missing; others are ignored.
        ValueError
            A feature is not finite.
        """
        row = [float(x[name]) for name in self.feature_names]
        for name, value in zip(self.feature_names, row, strict=True):
            if not isfinite(value):
                raise ValueError(
                    f"feature {name} of transaction {transaction_id} is {value}: features are finite"
                )
        return self.learn_row(transaction_id, row, y)

    def learn_row(
        self,
        transaction_id: str,
        row: Sequence[float],
        y: bool,
        views: frozenset[View] = EVERY_VIEW,
    ) -> bool:
        """Learn one labelled transaction.

        Parameters
        ----------
        transaction_id
            Chooses, for a legitimate one, whether it is in the sample (`stream.models.sampling.place`): a
            replay chooses the same.
        row
            Every feature, finite, in order.
        y
            Whether it was fraud.
        views
            To whom the label is news.

        Returns
        -------
        bool
            False when it was left out of every sample.
        """
        before = self.learned
        self.learn_rows(Lessons([transaction_id], np.array([row], float), np.array([bool(y)]), [views]))
        return self.learned > before

    def learn_rows(self, lessons: Lessons) -> None:
        """Learn labelled transactions: to the same bits, however they are cut into batches."""
        if not len(lessons):
            return
        is_fraud, drawn = lessons.is_fraud, lessons.draws(self.salt)
        first = lessons.news("all")
        labels = (self.labels + np.cumsum(first)).tolist()
        frauds = (self.frauds + np.cumsum(first & is_fraud)).tolist()
        weighed = lessons.news("matured") & (drawn < WEIGHED)
        shown = np.zeros(len(lessons), bool)
        suspicions = []
        # The classifiers do not know of each other, nor of the mixer: each goes through the whole batch, and
        # says on the way what it would have said.
        for member in self.members:
            own = lessons.news(member.view) & (drawn < member.classifier.negative_rate)
            seen = member.frauds_learned + np.cumsum(own & is_fraud) - (own & is_fraud)
            asked = weighed & (seen >= self.min_frauds)
            shares = member.classifier.learn_rows(lessons.rows, is_fraud, own, asked)
            suspicions.append(dict(zip(np.flatnonzero(asked).tolist(), shares, strict=True)))
            member.learned += int(own.sum())
            member.frauds_learned += int((own & is_fraud).sum())
            shown |= own
        for place in np.flatnonzero(weighed).tolist():
            said = [shares.get(place, nan) for shares in suspicions]
            if all(map(isnan, said)):
                continue
            base = log_odds(_base_rate(labels[place], frauds[place]))
            y = bool(is_fraud[place])
            self.mixer.learn(self._above(said, base), y, 1.0 if y else 1.0 / WEIGHED, base)
        self.labels, self.frauds = labels[-1], frauds[-1]
        self.learned += int(shown.sum())

    def predict_proba_one(self, x: Mapping[str, float]) -> float:
        """Return the probability of fraud by the classifiers' own path, one transaction at a time.

        Parameters
        ----------
        x
            Every feature by name, finite.
        """
        if not self.ready:
            return self.base_rate
        row = [float(x[name]) for name in self.feature_names]
        return self.mixer.probability(self._suspicion(row), log_odds(self.base_rate))

    def compile(self) -> CompiledModel:
        """Return what scorers run: equal to `predict_proba_one` within 1e-9.

        Until it is `ready` that is the base rate, the same for every transaction: honest, where the first
        trees and weights would be noise.
        """
        compiled = [
            member.classifier.compile(self.base_rate) if self._believed(member) else None
            for member in self.members
        ]
        known = [(one, number) for number, one in enumerate(compiled) if one is not None]
        if not known:
            return Constant(self.base_rate)
        return Blend(
            [one for one, _ in known],
            weights=np.array([self.mixer.weights[number] for _, number in known]),
            above_base=[self.members[number].above_base for _, number in known],
            base=log_odds(self.base_rate),
            shift=self.mixer.shift,
        )

    def _believed(self, member: Member) -> bool:
        return member.frauds_learned >= self.min_frauds and member.classifier.knows

    def _suspicion(self, row: Sequence[float]) -> list[float]:
        shares = [
            member.classifier.predict_row(row) if self._believed(member) else nan for member in self.members
        ]
        return self._above(shares, log_odds(self.base_rate))

    def _above(self, shares: Sequence[float], base: float) -> list[float]:
        """Return each classifier's log-odds above the base rate's; 0 for one that is not to be believed."""
        found = []
        for member, share in zip(self.members, shares, strict=True):
            if isnan(share):
                found.append(0.0)
                continue
            above = log_odds(corrected(share, member.classifier.negative_rate)) - base
            found.append(max(above, 0.0) if member.above_base else above)
        return found


def _base_rate(labels: int, frauds: int) -> float:
    return (frauds + PRIOR_RATE * PRIOR_LABELS) / (labels + PRIOR_LABELS)
