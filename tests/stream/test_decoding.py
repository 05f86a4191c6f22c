import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.decoding import (
    EARLIEST_EVENT_MS,
    MAX_FUTURE_MS,
    MAX_RECORD_BYTES,
    decode_labels,
    decode_transactions,
)
from stream.records import DeadLetter, DeadLetterReason, Record, encode

NOW = 1_700_000_000_000
GOOD = {"transaction_id": "t1", "event_time": NOW, "customer_id": "c1", "terminal_id": "m1", "amount": 12.5}
LABEL = {"transaction_id": "t1", "is_fraud": True, "source": "chargeback", "label_time": NOW}


def place(value: bytes | None, key: bytes | None = b"c1") -> Record:
    return Record("transactions", 2, 41, NOW - 5, key, value)


def changed(**fields: object) -> bytes:
    return json.dumps({name: value for name, value in (GOOD | fields).items() if value is not ...}).encode()


def refused(value: bytes | None, key: bytes | None = b"c1") -> DeadLetter:
    decoded = decode_transactions([place(value, key)], NOW)
    assert not decoded.records
    (letter,) = decoded.dead_letters
    return letter


def test_a_transaction_is_read_with_its_optional_fields_and_unknown_ones_are_ignored() -> None:
    value = changed(currency="EUR", channel="online", country="FR", merchant_category="5411", shoe_size=43)
    (transaction,) = decode_transactions([place(value)], NOW).records
    assert (transaction.currency, transaction.country) == ("EUR", "FR")
    assert transaction.event_time == NOW


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("2023-11-14T22:13:20Z", 1_700_000_000_000),
        ("2023-11-14T23:13:20.250+01:00", 1_700_000_000_250),
    ],
)
def test_a_time_may_be_rfc_3339(text: str, milliseconds: int) -> None:
    (transaction,) = decode_transactions([place(changed(event_time=text))], NOW).records
    assert transaction.event_time == milliseconds


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (b'{"oops"', DeadLetterReason.MALFORMED_JSON, "truncated"),
        (b"\xff\xfe", DeadLetterReason.MALFORMED_JSON, "malformed"),
        (b'{"transaction_id":"\xff"}', DeadLetterReason.MALFORMED_JSON, "utf-8"),
        (b"[" * 10_000, DeadLetterReason.INVALID_FIELD, "Expected `object`"),
        (b"[]", DeadLetterReason.INVALID_FIELD, "Expected `object`"),
        (b"", DeadLetterReason.EMPTY, "no value"),
        (None, DeadLetterReason.EMPTY, "no value"),
        (changed(amount=...), DeadLetterReason.INVALID_FIELD, "`amount`"),
        (changed(customer_id=7), DeadLetterReason.INVALID_FIELD, "$.customer_id"),
        (changed(terminal_id=""), DeadLetterReason.INVALID_FIELD, "$.terminal_id"),
        (changed(transaction_id="x" * 65), DeadLetterReason.INVALID_FIELD, "$.transaction_id"),
        (changed(currency="euro"), DeadLetterReason.INVALID_FIELD, "$.currency"),
        (changed(schema_version=2), DeadLetterReason.INVALID_FIELD, "$.schema_version"),
        (changed(amount=-0.01), DeadLetterReason.INVALID_AMOUNT, "$.amount"),
        (changed(amount="12"), DeadLetterReason.INVALID_AMOUNT, "$.amount"),
        (changed(amount=2e12), DeadLetterReason.INVALID_AMOUNT, "$.amount"),
        (changed().replace(b"12.5", b"1e999"), DeadLetterReason.INVALID_AMOUNT, "$.amount"),
        (changed().replace(b"12.5", b"NaN"), DeadLetterReason.MALFORMED_JSON, "invalid character"),
        (changed(event_time="yesterday"), DeadLetterReason.INVALID_TIME, "$.event_time"),
        (changed(event_time="2023-11-14T22:13:20"), DeadLetterReason.INVALID_TIME, "timezone"),
        (changed(event_time=EARLIEST_EVENT_MS - 1), DeadLetterReason.INVALID_TIME, "year 2000"),
        (changed(event_time=NOW // 1000), DeadLetterReason.INVALID_TIME, "milliseconds"),
        (changed(event_time=NOW + MAX_FUTURE_MS + 1), DeadLetterReason.INVALID_TIME, "ahead of the clock"),
        (changed(event_time=10**30), DeadLetterReason.INVALID_TIME, "not a time"),
        (changed(channel="x" * MAX_RECORD_BYTES), DeadLetterReason.OVERSIZED, f"{MAX_RECORD_BYTES} are"),
    ],
)
def test_what_cannot_be_used_says_why(value: bytes | None, reason: DeadLetterReason, detail: str) -> None:
    letter = refused(value)
    assert letter.reason == reason
    assert detail in letter.detail


@pytest.mark.parametrize("key", [None, b"", b"c2", b"C1"])
def test_a_transaction_not_keyed_by_its_customer_is_refused(key: bytes | None) -> None:
    letter = refused(changed(), key)
    assert letter.reason == DeadLetterReason.MISKEYED
    assert "customer_id" in letter.detail


def test_a_dead_letter_holds_the_record_whole_with_its_place() -> None:
    letter = refused(b"\x00\xff{", key=b"\x01")
    again = msgspec.json.decode(encode(letter), type=DeadLetter)
    assert (again.topic, again.partition, again.offset, again.timestamp) == ("transactions", 2, 41, NOW - 5)
    assert (again.key, again.value) == (b"\x01", b"\x00\xff{")


def test_one_bad_record_does_not_disturb_its_neighbours() -> None:
    batch = [place(changed(transaction_id="a")), place(b"{"), place(changed(transaction_id="b"))]
    decoded = decode_transactions(batch, NOW)
    assert [transaction.transaction_id for transaction in decoded.records] == ["a", "b"]
    assert decoded.places == [batch[0], batch[2]]
    assert len(decoded.dead_letters) == 1


@given(st.binary(max_size=300), st.one_of(st.none(), st.binary(max_size=5)))
def test_any_bytes_become_a_record_or_a_dead_letter(value: bytes, key: bytes | None) -> None:
    for decode in (decode_transactions, decode_labels):
        decoded = decode([place(value, key)], NOW)
        assert len(decoded.records) + len(decoded.dead_letters) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(GOOD)), json_values)
def test_any_value_of_any_field_becomes_a_record_or_a_dead_letter(field: str, value: object) -> None:
    record = place(json.dumps(GOOD | {field: value}).encode())
    decoded = decode_transactions([record], NOW)
    assert len(decoded.records) + len(decoded.dead_letters) == 1
    for letter in decoded.dead_letters:
        msgspec.json.decode(encode(letter), type=DeadLetter)


def test_labels_are_read_as_strictly() -> None:
    good = json.dumps(LABEL).encode()
    assert decode_labels([place(good, key=None)], NOW).records[0].is_fraud
    for field, value in (("is_fraud", "yes"), ("source", "rumour"), ("label_time", 5)):
        bad = json.dumps(LABEL | {field: value}).encode()
        assert decode_labels([place(bad)], NOW).dead_letters
