"""Every decoder as something to feed bytes to: it raises what it promises to raise, and nothing else.

Each target takes any bytes at all. What escapes it is a finding.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

import msgspec
import numpy as np

from consumers.decoder import Decoder
from consumers.redrive import Filed, Redrive
from stream.adapters.kafka_access import KafkaAccess
from stream.columns import Transactions
from stream.decoding import Decoded, dead_letter, decode_columns, decode_labels, decode_transactions
from stream.errors import SnapshotError
from stream.features.catalogue import SCHEMA, WIDTH
from stream.features.cohort import observe_all
from stream.features.customer import STATE, CustomerState, observe, pack_customers, unpack_customers
from stream.features.risk import (
    RiskRecord,
    customer_risk,
    pack_risks,
    terminal_risk,
    terminal_risks,
    unpack_risk_rows,
    unpack_risks,
)
from stream.models.compiled import Constant
from stream.pipeline.budget import Ledger
from stream.pipeline.lineup import NAME_BYTES, lineup_name, pack_lineup, unpack_lineup
from stream.pipeline.pending import LAYOUT, Pending, score_record
from stream.pipeline.pending_packing import pack_pending, unpack_pending
from stream.pipeline.verdicts import Said, pack_verdicts, unpack_verdicts
from stream.records import Alert, DeadLetter, DeadLetterReason, Label, Record, Score, Transaction, encode
from stream.registry.checkpoint import decode_checkpoint, encode_checkpoint
from stream.registry.seal import Purpose, seal, unseal
from stream.registry.snapshot import (
    Member,
    Roster,
    SnapshotInfo,
    decode_roster,
    decode_snapshot,
    encode_roster,
    encode_snapshot,
)

NOW: Final = 1_735_689_600_000
_MOST: Final = 1 << 20
_TRANSACTION: Final = Transaction(
    transaction_id="t1", event_time=NOW, customer_id="c1", terminal_id="m1", amount=12.5, currency="EUR"
)
_LABEL: Final = Label(transaction_id="t1", is_fraud=True, source="chargeback", label_time=NOW)
_PENDING: Final = Pending(
    *(LAYOUT, SCHEMA, np.zeros(WIDTH, dtype="<f4").tobytes(), ("ensemble-1", "logistic-1"), (0.75, 0.25)),
    *(7, 0.5, NOW, 12.5, "c1", "m1", NOW, (("amount", 12.5, 1.5, "12.50, usually 3"),)),
)
_QUIET: Final = msgspec.structs.replace(
    _PENDING,
    features=np.array([12.5, *(7.0, 0.3) * ((WIDTH - 1) // 2), 1.0], dtype="<f4").tobytes(),
    threshold=0.9,
    reasons=(),
)
_LINEUPS: Final = {lineup_name(_PENDING.lineup).hex(): _PENDING.lineup}


class Target(NamedTuple):
    """A decoder, and valid bytes for it from which to set out."""

    feed: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


def feed_transaction(data: bytes) -> None:
    """Decode a transaction; it becomes one, or a dead letter that keeps it whole, and the same in columns."""
    _whole(data, decode_transactions)
    batch = [Record("transactions", 0, 1, NOW, b"c1", data)]
    decoded, columns = decode_transactions(batch, NOW), decode_columns(batch, NOW)
    assert columns[1:] == decoded[1:]
    expected = Transactions.of(decoded.records)
    for name in Transactions.__slots__:
        assert list(getattr(columns.transactions, name)) == list(getattr(expected, name))


def feed_label(data: bytes) -> None:
    """Decode a label; it becomes one, or a dead letter that keeps it whole."""
    _whole(data, decode_labels)


def feed_outputs(data: bytes) -> None:
    """Decode what consumers read; what is not theirs is counted."""
    record = Record("scores", 0, 1, NOW, b"c1", data)
    for record_type in (Score, Alert, Label, DeadLetter):
        decoder = Decoder(record_type)
        assert (decoder(record) is None) == bool(decoder.foreign)


def feed_redrive(data: bytes) -> None:
    """Read a dead letter, and find the key under which its original goes back."""
    redrive = Redrive(KafkaAccess("broker:1"), "group", "dead-letters", ["transactions"], rekey=True)
    place = Record("dead-letters", 0, 1, NOW, b"c1", data)
    letter = Decoder(DeadLetter)(place)
    original = dead_letter(place, DeadLetterReason.MISKEYED, "", NOW)
    for one in (letter, original):
        if one is not None:
            redrive._key(Filed(place, one))  # noqa: SLF001 - it asks nothing of a broker


def feed_pending(data: bytes) -> None:
    """Open a pending record, and answer from it."""
    with suppress(SnapshotError):
        pending = unpack_pending(data, _LINEUPS)
        assert len(pending.vector) == pending.lineup.width
        encode(score_record("t1", pending))


def feed_lineup(data: bytes) -> None:
    """Open a lineup, under a name that is not its own and under its own."""
    for name in (b"another", hashlib.sha256(data).digest()[:NAME_BYTES]):
        with suppress(SnapshotError):
            lineup = unpack_lineup(name, data)
            assert 4 * lineup.width == len(lineup.usual)
            assert lineup_name(lineup)


def feed_customer(data: bytes) -> None:
    """Open a customer's state, and go on from it."""
    with suppress(SnapshotError):
        rows = unpack_customers([data])
        observe(CustomerState.of(rows[0]), _TRANSACTION)
        observe_all(rows, np.array([0]), Transactions.of([_TRANSACTION]))


def feed_risk(data: bytes) -> None:
    """Open a risk record, and describe a terminal and a customer by it."""
    with suppress(SnapshotError):
        (record,) = unpack_risks([data])
        terminal_risk(record, NOW)
        customer_risk(record, NOW)
        terminal_risks(unpack_risk_rows([data]), np.array([0]), np.array([NOW]))


def feed_verdicts(data: bytes) -> None:
    """Open what labels said of a transaction."""
    with suppress(SnapshotError):
        pack_verdicts(unpack_verdicts(data))


def feed_ledger(data: bytes) -> None:
    """Open the account of an alert budget."""
    with suppress(SnapshotError):
        Ledger(10.0, 0.3).unpack(data)


def feed_roster(data: bytes) -> None:
    """Open a roster, sealed by nobody and under a good seal."""
    for sealed in (data, seal(data, None, "roster")):
        with suppress(SnapshotError):
            decode_roster(sealed, None)


def feed_snapshot(data: bytes) -> None:
    """Open a snapshot, sealed by nobody and under a good seal, and score with it."""
    for sealed in (data, seal(data, None, "snapshot")):
        with suppress(SnapshotError):
            info, model = decode_snapshot(sealed, None, SCHEMA)
            if 0 < info.features <= WIDTH:
                model.predict(np.zeros((1, info.features)))


def feed_checkpoint(data: bytes) -> None:
    """Open a checkpoint's frame: the pickle inside is for the seal to keep whole."""
    with suppress(SnapshotError):
        decode_checkpoint(data, b"secret", SCHEMA)
    with suppress(SnapshotError):
        decode_checkpoint(seal(data, None, "checkpoint"), None, "other features")


def _whole(data: bytes, decode: Callable[[list[Record], int], Decoded[Transaction] | Decoded[Label]]) -> None:
    for key in (b"c1", None):
        place = Record("transactions", 0, 1, NOW, key, data)
        decoded = decode([place], NOW)
        assert len(decoded.records) + len(decoded.dead_letters) == 1
        for letter in decoded.dead_letters:
            back = msgspec.json.decode(encode(letter), type=DeadLetter)
            assert (back.key, back.value, back.offset) == (key, data, 1)


def _payload(sealed: bytes, purpose: Purpose) -> bytes:
    return unseal(sealed, None, purpose, most_bytes=_MOST)


def _targets() -> dict[str, Target]:
    info = SnapshotInfo(
        model_version="logistic-1",
        snapshot=1,
        recipe="logistic",
        parents=(),
        feature_schema=SCHEMA,
        features=WIDTH,
        label_offset=1,
        river_version="0.26.1",
        metrics={"learned": 1.0},
    )
    member = Member(
        version="logistic-1", recipe="logistic", snapshot=1, key="logistic-1.1.1", digest=bytes(32)
    )
    roster = encode_roster(Roster(roster=1, champion="logistic-1", members=(member,)), None)
    snapshot = encode_snapshot(info, Constant(0.25), None)
    state = CustomerState()
    observe(state, _TRANSACTION)
    iso = json.dumps(json.loads(encode(_TRANSACTION)) | {"event_time": "2025-01-01T00:00:00Z"}).encode()
    letter = dead_letter(
        Record("transactions", 0, 1, NOW, None, encode(_TRANSACTION)), DeadLetterReason.MISKEYED, "why", NOW
    )
    ledger = Ledger(10.0, 0.3)
    answer = score_record("t1", _PENDING)
    return {
        "transaction": Target(feed_transaction, (encode(_TRANSACTION), iso)),
        "label": Target(feed_label, (encode(_LABEL),)),
        "outputs": Target(feed_outputs, (encode(answer), encode(letter), encode(_LABEL))),
        "redrive": Target(feed_redrive, (encode(letter), encode(_TRANSACTION))),
        "pending": Target(feed_pending, (pack_pending(_PENDING), pack_pending(_QUIET))),
        "lineup": Target(feed_lineup, (pack_lineup(_PENDING.lineup),)),
        "customer": Target(feed_customer, tuple(pack_customers(np.array([state.row()], STATE)))),
        "risk": Target(feed_risk, tuple(pack_risks([RiskRecord()]))),
        "verdicts": Target(feed_verdicts, (pack_verdicts((Said(1, True), Said(2, False))),)),
        "ledger": Target(feed_ledger, (ledger.pack(),)),
        "roster": Target(feed_roster, (roster, _payload(roster, "roster"))),
        "snapshot": Target(feed_snapshot, (snapshot, _payload(snapshot, "snapshot"))),
        "checkpoint": Target(
            feed_checkpoint,
            (
                encode_checkpoint({"a": 1}, b"secret", SCHEMA),
                _payload(encode_checkpoint({}, None, SCHEMA), "checkpoint"),
            ),
        ),
    }


TARGETS: Final = _targets()
"""Every decoder, by name."""
