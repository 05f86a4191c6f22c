"""A pending record: what a transaction was scored on and with, kept until its label is known.

A label joins *this*, never recomputed features (point-in-time correctness), and a redelivered transaction is
answered from it, so that it gets the same answer. Stored as a msgpack array (``docs/redis-format.md``).
"""

from typing import Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from stream.errors import SnapshotError
from stream.records import UNREADABLE, Alert, Decision, Reason, Score

LAYOUT: Final = 1


class Pending(Struct, array_like=True, frozen=True, gc=False):
    """What was decided on a transaction, and on what grounds."""

    layout: int
    feature_schema: str
    features: bytes
    """float32, little-endian, in the order of the catalogue."""
    models: tuple[str, ...]
    """Model versions, the champion first."""
    scores: tuple[float, ...]
    """Their scores, in the same order."""
    snapshot: int
    threshold: float
    """The champion's score is an alert if it reaches this; above 1, none would have."""
    event_time: int
    amount: float
    customer_id: str
    terminal_id: str
    scored_at: int
    reasons: tuple[tuple[str, float, float, str], ...] = ()
    """Of an alert, at least one: feature, value, contribution, text."""

    @property
    def vector(self) -> NDArray[np.float32]:
        """The features, shape (width,)."""
        return np.frombuffer(self.features, dtype="<f4")

    @property
    def decision(self) -> Decision:
        """What the champion's score meant."""
        return "alert" if self.scores[0] >= self.threshold else "allow"


_ENCODER = msgspec.msgpack.Encoder()
_DECODER = msgspec.msgpack.Decoder(Pending)


def pack_pending(pending: Pending) -> bytes:
    """Encode a pending record for the store."""
    return _ENCODER.encode(pending)


def unpack_pending(packed: bytes) -> Pending:
    """Decode a stored pending record.

    Raises
    ------
    SnapshotError
        The bytes are not a pending record of this layout.
    """
    try:
        pending = _DECODER.decode(packed)
    except UNREADABLE as error:
        raise SnapshotError(f"a stored pending record is damaged ({error}): delete its key") from error
    if pending.layout != LAYOUT:
        raise SnapshotError(
            f"a stored pending record has layout {pending.layout}, this version reads {LAYOUT}:"
            " let the older version finish its labels first, or delete the pending keys"
        )
    if len(pending.features) % 4 or not pending.scores or len(pending.scores) != len(pending.models):
        raise SnapshotError(
            "a stored pending record is damaged (features or scores are not whole): delete its key"
        )
    return pending


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
    if score.decision == "allow":
        return score
    reasons = tuple(
        Reason(feature=feature, value=value, contribution=contribution, text=text)
        for feature, value, contribution, text in pending.reasons
    )
    return Alert(**msgspec.structs.asdict(score), reasons=reasons)
