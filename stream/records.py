"""The records that cross the topics.

Everything on the wire is JSON. How bytes become records is in :mod:`stream.decoding`; ``docs/schemas`` holds
the same definitions as JSON Schema.
"""

from enum import StrEnum
from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises on bytes that are not what they should be."""
SCHEMA_VERSION: Final = 1

Identifier = Annotated[str, Meta(min_length=1, max_length=64, description="Opaque; never a card number.")]
Amount = Annotated[
    float,
    Meta(ge=0, le=1e12, description="In the unit of the account's currency; one currency per customer."),
]
Timestamp = Annotated[int, Meta(description="Milliseconds since 1970-01-01 UTC.")]
Version = Annotated[int, Meta(ge=1, le=SCHEMA_VERSION, description="Version of this record's schema.")]


class Transaction(Struct, frozen=True, kw_only=True, gc=False):
    """A payment to be judged. Keyed by ``customer_id`` on the topic ``transactions``.

    ``event_time`` may also be an RFC 3339 string with an offset; it becomes milliseconds on decoding.
    """

    transaction_id: Identifier
    event_time: Timestamp
    customer_id: Identifier
    terminal_id: Identifier
    amount: Amount
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$", description="ISO 4217.")] | None = None
    channel: Annotated[str, Meta(min_length=1, max_length=32)] | None = None
    country: Annotated[str, Meta(pattern="^[A-Z]{2}$", description="ISO 3166-1 alpha-2.")] | None = None
    merchant_category: Annotated[str, Meta(min_length=1, max_length=32, description="MCC.")] | None = None
    schema_version: Version = SCHEMA_VERSION


LabelSource = Literal["chargeback", "analyst", "settlement"]


class Label(Struct, frozen=True, kw_only=True, gc=False):
    """What a transaction turned out to be. Keyed by ``transaction_id`` on the topic ``labels``.

    ``label_time`` is when it became known: the moment from which features and models may use it.
    """

    transaction_id: Identifier
    is_fraud: bool
    source: LabelSource
    label_time: Timestamp
    schema_version: Version = SCHEMA_VERSION


Decision = Literal["allow", "alert"]


class Reason(Struct, frozen=True, kw_only=True, gc=False):
    """One feature that moved a score upwards, for people; where none did, the one that did least against."""

    feature: str
    value: float
    contribution: float
    """On the scale of log-odds: positive pushes towards fraud."""
    text: str


class Score(Struct, frozen=True, kw_only=True, gc=False):
    """The answer to a transaction. Keyed by ``customer_id`` on the topic ``scores``."""

    transaction_id: Identifier
    event_time: Timestamp
    customer_id: Identifier
    terminal_id: Identifier
    amount: Amount
    score: Annotated[float, Meta(ge=0, le=1, description="Probability of fraud.")]
    decision: Decision
    threshold: Annotated[
        float,
        Meta(
            description="This score was an alert if it reached it. It moves with the alert budget, or depends"
            " on the amount; above 1, no score would have been one."
        ),
    ]
    model_version: Annotated[str, Meta(description="The champion that gave the score.")]
    snapshot: Annotated[int, Meta(ge=0, description="How far that model had learnt: its snapshot's number.")]
    feature_schema: Annotated[str, Meta(description="Identifies the names and order of `features`.")]
    features: Annotated[tuple[float, ...], Meta(description="float32 values, as the models saw them.")]
    shadow: Annotated[dict[str, float], Meta(description="Scores of the challengers, by model version.")]
    scored_at: Timestamp
    schema_version: Version = SCHEMA_VERSION


class Alert(Score, frozen=True, kw_only=True, gc=False):
    """A score at or above its threshold, with its reasons. Keyed by ``customer_id`` on ``alerts``."""

    reasons: Annotated[tuple[Reason, ...], Meta(description="At least one, the strongest first.")]


class DeadLetterReason(StrEnum):
    """Why a record could not be used: a closed set, so that it can be a metric's label."""

    MALFORMED_JSON = "malformed_json"
    INVALID_FIELD = "invalid_field"
    INVALID_AMOUNT = "invalid_amount"
    INVALID_TIME = "invalid_time"
    OVERSIZED = "oversized"
    MISKEYED = "miskeyed"
    EMPTY = "empty"
    CARD_NUMBER = "card_number"
    LABEL_RATE = "label_rate"
    UNMATCHED_LABEL = "unmatched_label"
    CONTESTED_LABEL = "contested_label"


class DeadLetter(Struct, frozen=True, kw_only=True, gc=False):
    """A record that could not be used, whole but for card numbers. Keyed by its key on ``dead-letters``."""

    reason: DeadLetterReason
    detail: Annotated[str, Meta(description="What is wrong, and in which field.")]
    topic: str
    partition: int
    offset: int
    timestamp: Annotated[Timestamp, Meta(description="The broker's or sender's time of the record.")]
    key: Annotated[bytes | None, Meta(description="Base64 of the original key.")]
    value: Annotated[bytes | None, Meta(description="Base64 of the original value.")]
    failed_at: Timestamp
    withheld: Annotated[
        Literal["nothing", "tokens", "masked"],
        Meta(
            description="What became of card numbers in key, value and detail: there were none; tokens stand"
            " for them, by which the record can be used; they are masked, and it cannot."
        ),
    ] = "nothing"
    schema_version: Version = SCHEMA_VERSION


ModelEventKind = Literal[
    "erased",
    "suspect_labels",
    "born",
    "drift",
    "gate_passed",
    "gate_refused",
    "swap",
    "rollback",
    "confirmed",
    "resumed",
    "retired",
    "refitted",
    "fit_undone",
    "order_refused",
    "roster_restored",
    "signal",
]


class ModelEvent(Struct, frozen=True, kw_only=True, gc=False):
    """A line of the audit log. Keyed by model version on ``model-events``."""

    kind: ModelEventKind
    model_version: Annotated[str, Meta(description="The model it is about; for a swap, the new champion.")]
    previous_version: str | None = None
    detail: Annotated[str, Meta(description="One sentence for people.")]
    evidence: Annotated[
        dict[str, float | int | str], Meta(description="The numbers the decision was made on.")
    ]
    label_offset: Annotated[
        int, Meta(description="The last label learnt when it happened; -1 when a scorer says it.")
    ]
    event_time: Annotated[Timestamp, Meta(description="That label's time: the stream's own clock.")]
    recorded_at: Timestamp
    schema_version: Version = SCHEMA_VERSION


class Record(NamedTuple):
    """A record as it lay on a topic, before anybody has looked inside."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Milliseconds since 1970-01-01 UTC, as the broker or the sender stamped it."""
    key: bytes | None
    value: bytes | None


def encode(record: Struct) -> bytes:
    """Encode any record as the JSON that goes on the wire."""
    return _ENCODER.encode(record)


def json_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema (2020-12) of every record, by file name without ending."""
    records = (Transaction, Label, Score, Alert, DeadLetter, ModelEvent)
    schemas = {}
    for record in records:
        name = "".join("-" + c.lower() if c.isupper() else c for c in record.__name__).lstrip("-")
        schemas[name] = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": record.__name__,
            **msgspec.json.schema(record),
        }
    return schemas


_ENCODER = msgspec.json.Encoder()
