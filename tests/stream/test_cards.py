import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.cards import SHORTEST, mask_cards, passes_luhn, replace_cards_in_bytes, suspicious_bytes

CARDS = [
    "4111111111111111",  # Visa
    "4222222222222",  # Visa of 13 digits
    "5555555555554444",  # Mastercard
    "2223003122003222",  # Mastercard, second series
    "378282246310005",  # American Express
    "30569309025904",  # Diners Club
    "6011111111111117",  # Discover
    "3530111333300000",  # JCB
    "6200000000000005",  # UnionPay
    "9792030394440796",  # Troy
    "135412345678911",  # airlines
    "6304000000000000117"[:19],  # of 19 digits
]
"""Numbers that card networks publish for tests, and two that are made up."""


def check_digit(digits: str) -> str:
    return next(digits + last for last in "0123456789" if passes_luhn(digits + last))


def replaced(value: bytes) -> bytes:
    return replace_cards_in_bytes(value, lambda digits: f"<{digits}>")


@pytest.mark.parametrize("card", [check_digit(card[:-1]) for card in CARDS])
def test_the_numbers_of_every_network_are_found(card: str) -> None:
    assert mask_cards(f"card {card}.") == f"card {'*' * len(card)}."
    assert replaced(f'{{"pan":"{card}"}}'.encode()) == f'{{"pan":"<{card}>"}}'.encode()


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "4111.1111.1111.1111",
        "3782-822463-10005",
        "x4111111111111111y",
        "acct:4111111111111111:eur",
        "41111111111111112512",  # with its expiry date
        ";4111111111111111=25121010000000000?",  # as on the magnetic stripe
    ],
)
def test_however_it_is_written(text: str) -> None:
    found = mask_cards(text)
    assert "1111" not in found
    assert "822463" not in found
    assert replaced(text.encode()) != text.encode()


@pytest.mark.parametrize(
    "value",
    [
        b"\\u0034111111111111111",
        b"\\u0034\\u0031\\u0031\\u00311111\\u00311111\\u0031\\u00311",
        "4111111111111111".encode("utf-16-le"),
        b"\xff\xfe" + "pan 4111111111111111".encode("utf-16-le"),
    ],
)
def test_also_where_bytes_are_no_plain_text(value: bytes) -> None:
    assert b"<4111111111111111>" in replaced(value)


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # not its check digit
        "1700000000000",  # a time in milliseconds
        "1735689600000",
        "0000000000000000",
        '"amount":12.340000000000002',
        "123e4567-e89b-12d3-a456-426614174000",
        "4000-4000-4000-426614174000",
        "2026-11-28T10:00:00.000000Z",
        "c1",
        "",
    ],
)
def test_other_numbers_are_left_alone(text: str) -> None:
    assert mask_cards(text) == text
    assert replaced(text.encode()) == text.encode()


@given(st.binary(max_size=200))
def test_any_bytes_are_looked_through_and_what_is_not_digits_stays(value: bytes) -> None:
    found = replace_cards_in_bytes(value, lambda digits: digits)
    assert len(found) <= len(value)
    if not suspicious_bytes(value):
        assert found == value


@given(
    st.text(st.characters(exclude_categories=("Nd", "Cs")), max_size=20),
    st.from_regex(r"[2-9][0-9]{12,17}", fullmatch=True),
    st.text(st.characters(exclude_categories=("Nd", "Cs")), max_size=20),
)
def test_no_number_with_its_check_digit_is_left_in_any_text(before: str, digits: str, after: str) -> None:
    card = check_digit(digits)
    if len(card) == SHORTEST or before.endswith("."):
        return
    assert card not in mask_cards(before + card + after)
    value = json.dumps({"note": before + card + after}).encode()
    assert card.encode() not in replace_cards_in_bytes(value, lambda _: "token")
