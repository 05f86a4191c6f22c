import json
import re

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.cards import mask_cards
from stream.decoding import decode_labels, decode_transactions, transaction_called
from stream.records import DeadLetter, DeadLetterReason, Record, encode
from stream.tokens import MOST_CHARACTERS, NO_TOKENS, Tokens

NOW = 1_700_000_000_000
CARD = "4111111111111111"
OTHER = "5555555555554444"
TOKENS = Tokens("cards", b"a key of some length")
CUSTOMERS = Tokens("customers", b"a key of some length")
KEYLESS = Tokens("cards", None)


def transaction(**fields: object) -> dict[str, object]:
    good = {"transaction_id": "t", "event_time": NOW, "customer_id": "c", "terminal_id": "m", "amount": 1.5}
    return {**good, **fields}


def place(value: dict[str, object] | bytes, key: str | None = None) -> Record:
    if key is None:
        key = str(value["customer_id"]) if isinstance(value, dict) else "c"
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Record("transactions", 0, 7, NOW, key.encode(), raw)


def letter_of(record: Record, tokens: Tokens) -> DeadLetter:
    (letter,) = decode_transactions([record], NOW, tokens).dead_letters
    return letter


def test_the_same_card_has_the_same_token_however_it_is_written() -> None:
    spellings = ("4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111")
    tokens = {TOKENS.identifier(spelling) for spelling in spellings}
    assert len(tokens) == 1
    assert re.fullmatch("tok_[a-p]{24}", tokens.pop())


def test_another_card_or_another_key_has_another_token() -> None:
    assert TOKENS.identifier(CARD) != TOKENS.identifier(OTHER)
    assert TOKENS.identifier(CARD) != Tokens("cards", b"another key, as long").identifier(CARD)


def test_a_token_of_a_token_is_that_token() -> None:
    for tokens in (TOKENS, CUSTOMERS):
        once = tokens.customer(CARD)
        assert tokens.customer(once) == tokens.identifier(once) == once
    assert CUSTOMERS.customer("anybody") == CUSTOMERS.customer(CUSTOMERS.customer("anybody"))


def test_what_stands_around_a_card_number_stays_as_long_as_there_is_room() -> None:
    assert TOKENS.identifier(f"eu:{CARD}") == f"eu:{TOKENS.identifier(CARD)}"
    long = "x" * (MOST_CHARACTERS - len(CARD)) + CARD
    assert TOKENS.identifier(long).startswith("tok_")
    assert len(KEYLESS.identifier(long)) <= MOST_CHARACTERS


@given(st.text(max_size=64))
def test_any_identifier_becomes_one_that_may_cross_the_topics(text: str) -> None:
    for tokens in (TOKENS, CUSTOMERS, KEYLESS):
        called = tokens.customer(text)
        assert len(called) <= MOST_CHARACTERS
        assert mask_cards(called) == called
    assert NO_TOKENS.customer(text) == text


def test_without_a_key_customers_cannot_become_tokens() -> None:
    with pytest.raises(ValueError, match="key"):
        Tokens("customers", None)


def test_the_key_is_in_no_text() -> None:
    assert "some length" not in repr(TOKENS)


def test_decoding_puts_tokens_for_card_numbers_wherever_they_are() -> None:
    record = place(transaction(transaction_id=f"{CARD}-1", customer_id=CARD, terminal_id=OTHER))
    (one,) = decode_transactions([record], NOW, TOKENS).records
    assert one.customer_id == TOKENS.identifier(CARD)
    assert one.transaction_id == f"{TOKENS.identifier(CARD)}-1"
    assert one.terminal_id == TOKENS.identifier(OTHER)
    assert CARD not in encode(one).decode()
    assert decode_transactions([record], NOW, TOKENS).tokenised == 1


def test_a_label_finds_its_transaction_by_the_same_token() -> None:
    label = {"transaction_id": CARD, "is_fraud": True, "source": "analyst", "label_time": NOW, "note": OTHER}
    decoded = decode_labels([place(json.dumps(label).encode(), key=CARD)], NOW, TOKENS)
    (one,) = decode_transactions([place(transaction(transaction_id=CARD))], NOW, TOKENS).records
    assert decoded.records[0].transaction_id == one.transaction_id
    kept = decoded.places[0]
    assert CARD.encode() not in (kept.key or b"") + (kept.value or b"")
    assert OTHER.encode() not in (kept.value or b"")


def test_the_key_is_compared_before_there_are_tokens_and_afterwards() -> None:
    assert decode_transactions([place(transaction(customer_id=CARD))], NOW, TOKENS).records
    token = TOKENS.identifier(CARD)
    assert decode_transactions([place(transaction(customer_id=token))], NOW, TOKENS).records
    letter = letter_of(place(transaction(customer_id=CARD), key=OTHER), TOKENS)
    assert letter.reason == DeadLetterReason.MISKEYED
    assert letter.key == TOKENS.identifier(OTHER).encode()


def test_ordinary_identifiers_are_left_alone_and_their_records_are_the_same_objects() -> None:
    records = [
        place(transaction(transaction_id="123e4567-e89b-12d3-a456-426614174000", terminal_id="m" * 40))
    ]
    assert decode_transactions(records, NOW, TOKENS) == decode_transactions(records, NOW)


def test_every_customer_may_be_a_token() -> None:
    (one,) = decode_transactions([place(transaction(customer_id="ann"))], NOW, CUSTOMERS).records
    assert one.customer_id == CUSTOMERS.customer("ann") != "ann"
    letter = letter_of(place(transaction(customer_id="ann", amount=-1)), CUSTOMERS)
    assert letter.key == one.customer_id.encode()
    assert b"ann" not in (letter.value or b"")


def test_without_a_key_a_card_number_is_refused_with_what_to_do_and_masked() -> None:
    good = place(transaction())
    decoded = decode_transactions([place(transaction(customer_id=CARD)), good], NOW, KEYLESS)
    assert decoded.places == [good]
    assert len(decoded.records) == 1
    (letter,) = decoded.dead_letters
    assert letter.reason == DeadLetterReason.CARD_NUMBER
    assert "FRAUD_TOKEN_KEY" in letter.detail
    assert letter.withheld == "masked"
    assert CARD.encode() not in encode(letter) + (letter.key or b"") + (letter.value or b"")
    assert decoded.tokenised == 0


def test_a_label_without_a_key_is_refused_likewise() -> None:
    label = {"transaction_id": CARD, "is_fraud": True, "source": "analyst", "label_time": NOW}
    decoded = decode_labels([place(json.dumps(label).encode(), key=CARD)], NOW, KEYLESS)
    assert not decoded.records
    assert not decoded.places
    assert decoded.dead_letters[0].withheld == "masked"


@pytest.mark.parametrize(
    "value",
    [
        b'{"transaction_id":"t","customer_id":"4111111111111111","amo',
        json.dumps(transaction(note=f"paid with {CARD}", amount=-1)).encode(),
        json.dumps(transaction(customer_id=int(CARD))).encode(),
        json.dumps(transaction(note="x" * 20_000 + CARD)).encode(),
        f"PAN={CARD}&EXP=2512".encode(),
        f"PAN={CARD}".encode("utf-16"),
        json.dumps(transaction(event_time=int(CARD))).encode(),
        b"4111-1111-1111-1111",
    ],
)
@pytest.mark.parametrize("tokens", [TOKENS, KEYLESS, CUSTOMERS])
def test_what_is_kept_of_a_bad_record_has_no_card_number(value: bytes, tokens: Tokens) -> None:
    letter = letter_of(place(value, key=CARD), tokens)
    kept = msgspec.json.decode(encode(letter), type=DeadLetter)
    whole = (kept.key or b"") + (kept.value or b"") + kept.detail.encode()
    assert CARD not in whole.replace(b"\x00", b"").replace(b"-", b"").decode("latin-1")
    assert kept.withheld == ("tokens" if tokens.keyed else "masked")
    assert "4111" not in kept.detail


def test_a_bad_record_with_a_token_can_be_mended_and_used() -> None:
    letter = letter_of(place(transaction(customer_id=CARD), key="wrong"), TOKENS)
    assert letter.value is not None
    token = json.loads(letter.value)["customer_id"]
    again = place(letter.value, key=token)
    (one,) = decode_transactions([again], NOW, TOKENS).records
    assert one.customer_id == TOKENS.identifier(CARD)


def test_a_detail_is_cut_without_cutting_a_card_number_in_two() -> None:
    label = {
        "transaction_id": "t",
        "is_fraud": True,
        "label_time": NOW,
        "source": "x" * 470 + CARD + "y" * 90,
    }
    decoded = decode_labels([place(json.dumps(label).encode())], NOW, TOKENS)
    (letter,) = decoded.dead_letters
    assert len(letter.detail) < 600
    assert "4111" not in letter.detail


def test_a_recording_is_called_as_the_pipeline_calls_it() -> None:
    record = place(transaction(transaction_id=CARD, customer_id=CARD))
    (raw,) = decode_transactions([record], NOW).records
    assert [transaction_called(raw, TOKENS)] == decode_transactions([record], NOW, TOKENS).records
