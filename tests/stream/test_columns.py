"""Decoding into columns: what the kernel reads is what single records give, to the last bit."""

import json
import struct
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from producers.simulator import Simulator
from stream import kernel
from stream.cards import suspicious
from stream.decoding import (
    EARLIEST_EVENT_MS,
    MAX_FUTURE_MS,
    MAX_RECORD_BYTES,
    DecodedColumns,
    decode_columns,
    decode_transactions,
)
from stream.records import Record, Transaction, encode
from stream.tokens import NO_TOKENS, Tokens

NOW = 1_700_000_000_000
CARD = "4111111111111111"
SCOPES = (
    NO_TOKENS,
    Tokens("cards"),
    Tokens("cards", b"a key that nobody knows"),
    Tokens("customers", b"a key that nobody knows"),
)
GOOD = Transaction(
    transaction_id="t1",
    event_time=NOW,
    customer_id="c1",
    terminal_id="m1",
    amount=12.5,
    currency="EUR",
    channel="online",
    country="FR",
    merchant_category="5411",
)
WHOLE = json.loads(encode(GOOD))
needs_kernel = pytest.mark.service("kernel")


def record(value: bytes | None, key: bytes | None = b"c1") -> Record:
    return Record("transactions", 2, 41, NOW - 5, key, value)


def keyed(value: bytes) -> Record:
    """Give a record the key that it should have, where it has one."""
    try:
        return record(value, json.loads(value)["customer_id"].encode())
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return record(value)


def written(**fields: object) -> bytes:
    """Write the good transaction with other fields, or without those that are `...`."""
    return json.dumps({name: value for name, value in (WHOLE | fields).items() if value is not ...}).encode()


def raw(field: str, text: bytes) -> bytes:
    """Write the good transaction with the JSON of a field as it is given."""
    return written(**{field: "<here>"}).replace(b'"<here>"', text)


def left_of(batch: list[Record], *, careful: bool = False) -> list[int]:
    """Return which records the kernel leaves."""
    times, amounts = np.empty(len(batch), np.int64), np.empty(len(batch))
    latest = NOW + MAX_FUTURE_MS
    return kernel.reading.read(batch, EARLIEST_EVENT_MS, latest, MAX_RECORD_BYTES, careful, times, amounts)[
        -1
    ]


def told(decoded: DecodedColumns) -> object:
    columns = decoded.transactions
    assert (columns.event_times.dtype, columns.amounts.dtype) == (np.int64, np.float64)
    return (
        (columns.names, columns.customers, columns.terminals),
        (columns.event_times.tolist(), [struct.pack("<d", amount) for amount in columns.amounts.tolist()]),
        (columns.countries, columns.categories, columns.channels),
        list(map(id, decoded.places)),
        decoded.dead_letters,
        decoded.tokenised,
    )


def compare(batch: list[Record], tokens: Tokens = NO_TOKENS) -> DecodedColumns:
    """Decode with the kernel and without; both, and single records, must tell the same."""
    with kernel.using(True):
        decoded = decode_columns(batch, NOW, tokens)
    with kernel.using(False):
        twin = decode_columns(batch, NOW, tokens)
    assert told(decoded) == told(twin)
    one_by_one = decode_transactions(batch, NOW, tokens)
    assert decoded.transactions.names == [one.transaction_id for one in one_by_one.records]
    assert decoded.dead_letters == one_by_one.dead_letters
    return decoded


NUMBERS = (
    b"0 -0 0.0 -0.0 1 01 00 1. .5 1.e2 1e5 1E5 1.0E+2 0.1e-3 1e-07 1e22 1e23 1e999 -1 +1 0x1 1_000 NaN"
    b" Infinity - 12345678901234567890 123456789012345678 9007199254740992 9007199254740993"
    b" 9007199254.740993 0.9007199254740993 0.123456789012345678 0.12345678901234567 0.00000000000000001"
    b" 123456789012345.678 0.1 0.30000000000000004 0.3 1e12 1000000000000 1000000000000.0 1000000000000.01"
    b" 1000000000001 999999999999.99 18446744073709551616 9223372036854775807 9223372036854775808"
    b" 1700000000000 1700000000000.0 1.7e12 1700086400000 1700086400001 946684800000 946684799999 1 2 3"
    b' true false null "" "12" [] {} [1]'
).split(b" ")
TEXTS = (
    b'"" "a" " " null nul nulll Null NULL true 7 1.5 [] {} ["a"] "EUR" "eur" "EU" "EURO" "FR" "fr" "F" "F1"'
    b' "FR\\n" "\\u0046R" "\\u0041" "\\"" "\\\\" "\\/" "\\x" "\\u00" "\\ud800" "\x00" "\x1f" "\x7f" "\n"'
    b' "\xc3\xa9" "\xff" "\xc3" "a\\u0000" \'a\' "a ""a" "2023-11-14T22:13:20Z" "2023-11-14T22:13:20" "c1"'
    b' "c\\u0031"'
).split(b" ")
LENGTHS = tuple(b'"' + letter * size + b'"' for size in (32, 33, 64, 65) for letter in (b"x", b"\xc3\xa9"))
IDENTIFIERS = (
    *(CARD, "4111-1111-1111-1111", "4111 1111 1111 1111", "411111111111111", "4222222222222"),
    *("378282246310005", "3782-822463-10005", "3782.822463.1000", f"x{CARD}x", f"a-{CARD}"),
    *("12344111_1111_1111_1111", "1700000000000", "17000000000001", "4999999999999", "4111--1111-1111-1111"),
    *("4111-1111-1111-", "123e4567-e89b-12d3-a456-4266", "411111111111", "4111-11111-1111-1111", "t1"),
    *("4111/1111/1111/1", "4111-1111.1111_1111", "1" * 64, "c" * 64),
)


@needs_kernel
@pytest.mark.parametrize("tokens", SCOPES, ids=repr)
@pytest.mark.parametrize("field", WHOLE)
def test_odd_values_of_any_field_come_to_the_same(field: str, tokens: Tokens) -> None:
    batch = [keyed(raw(field, text)) for text in (*NUMBERS, *TEXTS, *LENGTHS)]
    batch += [keyed(written(**{field: name})) for name in IDENTIFIERS]
    decoded = compare(batch, tokens)
    assert decoded.dead_letters
    for one in batch:
        compare([one], tokens)


@needs_kernel
@pytest.mark.parametrize("tokens", SCOPES, ids=repr)
def test_odd_forms_come_to_the_same(tokens: Tokens) -> None:
    good = written()
    forms = [
        b"",
        b"{}",
        b"{",
        b"}",
        b"[" + good + b"]",
        b" \t\r\n" + good + b" \t\r\n",
        b"\x0b" + good,
        good + b"\x00",
        good + b"x",
        good + b"}",
        good + good,
        b"\xef\xbb\xbf" + good,
        good[:-1] + b",}",
        good.replace(b"{", b"{,"),
        good.replace(b":", b" :\n\t"),
        good.replace(b": ", b"="),
        good.replace(b", ", b"\r\n,"),
        good.replace(b", ", b" "),
        good.replace(b", ", b",,", 1),
        good.replace(b'"amount"', b"amount"),
        good.replace(b"amount", b"Amount"),
        good.replace(b"amount", b"amount "),
        good.replace(b"amount", b"am\\u006funt"),
        good.replace(b"currency", b"customer_id"),
        good.replace(b"currency", b"country"),
        good[:-1] + b', "amount": 13.5}',
        good[:-1] + b', "amount": "13.5"}',
        good[:-1] + b', "country": null}',
        good.ljust(MAX_RECORD_BYTES),
        good.ljust(MAX_RECORD_BYTES + 1),
        json.dumps(dict(reversed(WHOLE.items()))).encode(),
        *(good[:-1] + b', "": ' + text + b"}" for text in (*NUMBERS, *TEXTS)),
        *(b'{"x": ' + text + b", " + good[1:] for text in (b'{"y": [{}]}', b"[", b"tru", b"truefalse")),
        *(good[:size] for size in range(len(good))),
    ]
    batch = [record(form) for form in forms]
    compare(batch, tokens)
    for one in batch:
        compare([one], tokens)


@needs_kernel
def test_odd_records_come_to_the_same() -> None:
    good = written()
    batch = [record(good, key) for key in (b"c1", None, b"", b"c", b"c11", b"C1", b"c1\x00")]
    batch += [record(None), record(written(customer_id=...), None)]
    assert len(compare(batch).places) == 1
    assert left_of(batch) == [*range(1, len(batch))]
    once = record(good)
    # The same record at several places, fine, odd and wrong.
    odd, bad = record(raw("amount", b"1e2")), record(b"{")
    assert len(compare([odd, bad, once, odd, bad, once, odd]).places) == 5


@needs_kernel
def test_a_batch_without_anything_odd_is_its_own_places() -> None:
    batch = [record(written()), record(encode(GOOD))]
    assert compare(batch).places is batch
    assert left_of(batch) == []
    assert len(compare([]).transactions) == 0


@needs_kernel
@pytest.mark.parametrize(
    "value",
    [
        encode(GOOD),
        written(),
        json.dumps(WHOLE, indent=2).encode(),
        json.dumps(dict(reversed(WHOLE.items()))).encode(),
        written(currency=None, channel=None, country=None, merchant_category=None),
        written(currency=..., channel=..., country=..., merchant_category=..., schema_version=...),
        written(shoe_size=43, weight=70.25, name="x", known=True, dead=False, colour=None),
        written(amount=0),
        written(amount=1e12),
        written(transaction_id="x" * 64, terminal_id="y" * 64, channel="z" * 32, merchant_category="a" * 32),
        written(terminal_id="1700000000000", transaction_id="123e4567-e89b-12d3-a456-426614174000"),
        written(event_time=EARLIEST_EVENT_MS),
        written(event_time=NOW + MAX_FUTURE_MS),
    ],
)
def test_what_is_plainly_fine_is_not_left(value: bytes) -> None:
    assert left_of([record(value)], careful=True) == []
    assert len(compare([record(value)]).places) == 1


@needs_kernel
@pytest.mark.parametrize("field", ["transaction_id", "customer_id", "terminal_id"])
@pytest.mark.parametrize(
    "name", [CARD, "4111-1111-1111-1111", "3782 822463 10005", "4222222222222", "1" * 20]
)
def test_what_may_hold_a_card_number_is_left_where_that_matters(field: str, name: str) -> None:
    batch = [keyed(written(**{field: name}))]
    assert left_of(batch) == []
    assert left_of(batch, careful=True) == [0]


@needs_kernel
def test_nothing_of_an_ordinary_stream_is_left() -> None:
    # Or the kernel would be of no use, and nobody would notice.
    start = datetime(2023, 1, 1, tzinfo=UTC)
    simulator = Simulator(customers=50, terminals=100, transactions=3000, start=start)
    stream = (one.transaction for one in simulator)
    batch = [record(encode(one), one.customer_id.encode()) for one in stream]
    assert left_of(batch, careful=True) == []
    compare(batch)


@needs_kernel
def test_strings_that_repeat_are_shared() -> None:
    with kernel.using(True):
        columns = decode_columns([record(written()), record(written())], NOW).transactions
    for column in (columns.countries, columns.categories, columns.channels):
        assert column[0] is column[1]


@needs_kernel
def test_columns_of_another_length_are_refused() -> None:
    batch = [record(written())]
    for times, amounts in ((0, 1), (1, 0), (2, 1)):
        with pytest.raises(ValueError, match="as long"):
            kernel.reading.read(batch, 0, 0, 0, False, np.empty(times, np.int64), np.empty(amounts))


def test_without_the_kernel_single_records_become_columns() -> None:
    batch = [record(written()), record(b"{"), record(raw("event_time", b'"2023-11-14T22:13:20Z"'))]
    with kernel.using(False):
        decoded = decode_columns(batch, NOW)
    assert decoded.transactions.names == ["t1", "t1"]
    assert decoded.transactions.event_times.tolist() == [NOW, NOW]
    assert decoded.transactions.channels == ["online", "online"]
    assert decoded.places == [batch[0], batch[2]]
    assert [letter.reason for letter in decoded.dead_letters] == ["malformed_json"]
    assert decoded.tokenised == 0


identifiers = st.sampled_from(("t1", "c1", *IDENTIFIERS)) | st.text(
    st.sampled_from("0123456789- ./_4x"), min_size=1, max_size=40
)
decimals = st.decimals(0, 10**12, allow_nan=False, places=2).map(float)
kinds = st.none() | st.sampled_from(("pos", "online", "5411", "5412", "FR", "x" * 32)) | st.text(max_size=34)
transactions = st.fixed_dictionaries(
    {
        "transaction_id": identifiers,
        "event_time": st.integers(EARLIEST_EVENT_MS - 1, NOW + MAX_FUTURE_MS + 1) | st.just(NOW),
        "customer_id": identifiers,
        "terminal_id": identifiers,
        "amount": decimals | st.floats(0, 1e12) | st.integers(0, 10**12) | st.floats(),
    },
    optional={
        "currency": st.sampled_from((None, "EUR", "USD", "eur")),
        "channel": kinds,
        "country": st.sampled_from((None, "FR", "DE", "fr", "F")),
        "merchant_category": kinds,
        "schema_version": st.sampled_from((1, 1, 2, None, "1")),
        "shoe_size": st.none() | st.booleans() | st.floats() | st.text(max_size=4) | st.just([{}]),
    },
)
fragments = st.sampled_from(
    (*NUMBERS, *TEXTS, *b'{ } [ ] , : " \\ \x00 \xff'.split(b" "), b" ", b'"amount":1,')
)


@st.composite
def values(draw: st.DrawFn) -> bytes:
    """Write a transaction in some order and style, and at times break it."""
    fields = draw(transactions)
    names = draw(st.permutations(sorted(fields)) | st.just(list(fields)))
    separators = draw(st.sampled_from(((",", ":"), (", ", ": "), (" ,\n", "\t:\r"))))
    some = {name: fields[name] for name in names}
    value = json.dumps(some, separators=separators, ensure_ascii=draw(st.booleans())).encode(
        errors="surrogatepass"
    )
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 1, 2)))):
        start = draw(st.integers(0, len(value)))
        end = draw(st.integers(start, min(len(value), start + 3)))
        value = value[:start] + draw(fragments | st.binary(max_size=2) | st.just(b"")) + value[end:]
    return value


@needs_kernel
@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(values(), st.sampled_from((True, True, True, False))), max_size=12),
    st.sampled_from(SCOPES),
)
@example([(written(customer_id=CARD), True), (b"{", True), (written(), True), (written(), False)], SCOPES[1])
def test_any_batch_comes_to_the_same(made: list[tuple[bytes, bool]], tokens: Tokens) -> None:
    compare([keyed(value) if right else record(value) for value, right in made], tokens)


@needs_kernel
@settings(max_examples=500)
@given(st.integers(0, 10**16) | st.integers(0, 10**18), st.integers(0, 18))
def test_an_amount_is_the_double_that_is_nearest(digits: int, point: int) -> None:
    text = f"{digits:0{point + 1}d}"
    text = f"{text[: len(text) - point]}.{text[len(text) - point :]}".rstrip(".")
    decoded = compare([record(raw("amount", text.encode()))])
    assert decoded.transactions.amounts.tolist() in ([float(text)], [])


runs = st.lists(st.tuples(st.sampled_from((1, 3, 4, 4, 4, 5, 6, 6, 12, 13, 14)), st.sampled_from("1445")))
names = runs.flatmap(
    lambda some: st.lists(st.sampled_from(("-", ".", " ", "_", "/", "--", "x")), min_size=len(some)).map(
        lambda marks: "".join(digit * size + mark for (size, digit), mark in zip(some, marks, strict=False))
    )
)


@needs_kernel
@settings(max_examples=500)
@given(names.map(lambda name: name[:60] + "0"))
@example("3056-930902-5904")
@example("4111-1111-1111-1")
def test_no_card_number_is_missed(name: str) -> None:
    one = keyed(written(terminal_id=name))
    assert left_of([one], careful=True) == [0] * suspicious(name.encode())
    compare([one], SCOPES[1])
