"""A pending record: what a transaction was scored on and with, kept until its label is known.

A label joins *this*, never recomputed features (point-in-time correctness), and a redelivered transaction is
answered from it, so that it gets the same answer.

How it is stored is a matter of :mod:`stream.pipeline.pending_packing`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from stream import kernel
from stream.pipeline.lineup import Lineup, lineup_of
from stream.records import SCHEMA_VERSION, Alert, Decision, Reason, Score, encode

LAYOUT: Final = 2
Reasons = tuple[tuple[str, float, float, str], ...]
"""Of an alert, at least one: feature, value, contribution, text."""
_JSON: Final = msgspec.json.Encoder().encode


class Pending(Struct, array_like=True, frozen=True, gc=False):
    """What was decided on a transaction, and on what grounds."""

    layout: int
    feature_schema: str
    features: bytes
    """float32, little-endian, in the order of the catalogue."""
    models: tuple[str, ...]
    """Model versions, the champion first."""
    scores: tuple[float, ...]
    """Their scores, in the same order, rounded to float32."""
    snapshot: int
    threshold: float
    """The champion's score is an alert if it reaches this; above 1, none would have."""
    event_time: int
    amount: float
    customer_id: str
    terminal_id: str
    scored_at: int
    reasons: Reasons = ()

    @property
    def vector(self) -> NDArray[np.float32]:
        """The features, shape (width,)."""
        return np.frombuffer(self.features, dtype="<f4")

    @property
    def decision(self) -> Decision:
        """What the champion's score meant."""
        return "alert" if self.scores[0] >= self.threshold else "allow"

    @property
    def lineup(self) -> Lineup:
        """What it has in common with others of its batch."""
        return lineup_of(self.feature_schema, self.models, len(self.features) // 4)


class PendingBatch(NamedTuple):
    """Pending records of one lineup, as columns: some hundred are faster made, packed and answered so."""

    names: Sequence[str]
    """Transaction ids."""
    lineup: Lineup
    features: NDArray[np.float32]
    """Shape (n, width)."""
    scores: NDArray[np.floating[Any]]
    """Shape (n, models), rounded to float32."""
    snapshot: int
    thresholds: NDArray[np.float64]
    event_times: NDArray[np.int64]
    """Milliseconds since 1970, from 0 to 2⁴⁸, as is `scored_at`."""
    amounts: NDArray[np.float64]
    customers: Sequence[str]
    terminals: Sequence[str]
    scored_at: int
    reasons: Mapping[int, Reasons]
    """Of the alerts, by their places in the batch."""

    @classmethod
    def of(cls, pendings: Mapping[str, Pending]) -> "PendingBatch":
        """Put records together, at least one, that were scored by the same models at the same time."""
        some = list(pendings.values())
        first = some[0]
        return cls(
            list(pendings),
            first.lineup,
            np.array([one.vector for one in some]),
            np.array([one.scores for one in some]),
            first.snapshot,
            np.array([one.threshold for one in some]),
            np.array([one.event_time for one in some]),
            np.array([one.amount for one in some]),
            [one.customer_id for one in some],
            [one.terminal_id for one in some],
            first.scored_at,
            {place: one.reasons for place, one in enumerate(some) if one.reasons},
        )

    def take(self, places: Sequence[int]) -> "PendingBatch":
        """Return some of the records."""
        return self._replace(
            names=[self.names[place] for place in places],
            features=self.features[places],
            scores=self.scores[places],
            thresholds=self.thresholds[places],
            event_times=self.event_times[places],
            amounts=self.amounts[places],
            customers=[self.customers[place] for place in places],
            terminals=[self.terminals[place] for place in places],
            reasons={n: self.reasons[place] for n, place in enumerate(places) if place in self.reasons},
        )

    def pendings(self) -> dict[str, Pending]:
        """Return the records one by one, by transaction id."""
        features = np.ascontiguousarray(self.features, dtype="<f4")
        return {
            name: Pending(
                LAYOUT,
                self.lineup.feature_schema,
                features[n].tobytes(),
                self.lineup.models,
                tuple(scores),
                self.snapshot,
                threshold,
                event_time,
                amount,
                self.customers[n],
                self.terminals[n],
                self.scored_at,
                self.reasons.get(n, ()),
            )
            for n, (name, scores, threshold, event_time, amount) in enumerate(
                zip(
                    self.names,
                    self.scores.tolist(),
                    self.thresholds.tolist(),
                    self.event_times.tolist(),
                    self.amounts.tolist(),
                    strict=True,
                )
            )
        }

    @property
    def alerts(self) -> list[int]:
        """Which of the records are alerts, by their places."""
        places: list[int] = (self.scores[:, 0] >= self.thresholds).nonzero()[0].tolist()
        return places

    def answers(self) -> list[Score | Alert]:
        """Say of each record what goes out on ``scores``; an :class:`Alert` goes out on ``alerts`` too.

        The same as :func:`score_record` says of each.
        """
        champion, *shadows = self.lineup.models
        return [
            _answer(
                Score(
                    transaction_id=name,
                    event_time=event_time,
                    customer_id=customer,
                    terminal_id=terminal,
                    amount=amount,
                    score=scores[0],
                    decision="alert" if scores[0] >= threshold else "allow",
                    threshold=threshold,
                    model_version=champion,
                    snapshot=self.snapshot,
                    feature_schema=self.lineup.feature_schema,
                    features=tuple(features),
                    shadow=dict(zip(shadows, scores[1:], strict=True)),
                    scored_at=self.scored_at,
                ),
                self.reasons.get(n, ()),
            )
            for n, (name, event_time, customer, terminal, amount, scores, threshold, features) in enumerate(
                zip(
                    self.names,
                    self.event_times.tolist(),
                    self.customers,
                    self.terminals,
                    self.amounts.tolist(),
                    self.scores.tolist(),
                    self.thresholds.tolist(),
                    self.features.tolist(),
                    strict=True,
                )
            )
        ]

    def encoded(self) -> list[bytes]:
        """Return what :meth:`answers` says as it goes on the wire."""
        if not (kernel.in_use() and self.names):
            return [encode(answer) for answer in self.answers()]
        written, alerts = [b""] * len(self.names), self.alerts
        if alerts:
            for place, alert in zip(alerts, self.take(alerts).answers(), strict=True):
                written[place] = encode(alert)
        # Of models of one version the last one's score counts, in the place of the first.
        shadows = {version: n for n, version in enumerate(self.lineup.models) if n}
        kernel.writing.write(
            list(self.names),
            np.ascontiguousarray(self.event_times, np.int64),
            list(self.customers),
            list(self.terminals),
            np.ascontiguousarray(self.amounts, np.float64),
            np.ascontiguousarray(self.scores[:, [0, *shadows.values()]], np.float64),
            np.ascontiguousarray(self.thresholds, np.float64),
            np.ascontiguousarray(self.features, np.float32),
            self._joints(list(shadows)),
            _JSON,
            written,
        )
        return written

    def _joints(self, shadows: Sequence[str]) -> list[bytes]:
        """Return what stands in an encoded :class:`Score` before, between and behind what differs."""
        lineup = self.lineup
        lasting = (_JSON(lineup.models[0]), self.snapshot, _JSON(lineup.feature_schema))
        keys = [b"%b%b:" % (b"," if n else b"", _JSON(version)) for n, version in enumerate(shadows)]
        first, *rest = *keys, b'},"scored_at":%d,"schema_version":%d}' % (self.scored_at, SCHEMA_VERSION)
        return [
            b'{"transaction_id":',
            b',"event_time":',
            b',"customer_id":',
            b',"terminal_id":',
            b',"amount":',
            b',"score":',
            b',"decision":"allow","threshold":',
            b',"model_version":%b,"snapshot":%d,"feature_schema":%b,"features":[' % lasting,
            b'],"shadow":{' + first,
            *rest,
        ]


def score_record(transaction_id: str, pending: Pending) -> Score | Alert:
    """Say what goes out on ``scores``; an :class:`Alert` goes out on ``alerts`` too."""
    score = Score(
        transaction_id=transaction_id,
        event_time=pending.event_time,
        customer_id=pending.customer_id,
        terminal_id=pending.terminal_id,
        amount=pending.amount,
        score=pending.scores[0],
        decision=pending.decision,
        threshold=pending.threshold,
        model_version=pending.models[0],
        snapshot=pending.snapshot,
        feature_schema=pending.feature_schema,
        features=tuple(pending.vector.tolist()),
        shadow=dict(zip(pending.models[1:], pending.scores[1:], strict=True)),
        scored_at=pending.scored_at,
    )
    return _answer(score, pending.reasons)


def _answer(score: Score, reasons: Reasons) -> Score | Alert:
    if score.decision == "allow":
        return score
    said = tuple(
        Reason(feature=feature, value=value, contribution=contribution, text=text)
        for feature, value, contribution, text in reasons
    )
    return Alert(**msgspec.structs.asdict(score), reasons=said)
