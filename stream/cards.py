"""Card numbers: found in any text by their length, their first digit and their check digit.

References
----------
ISO/IEC 7812-1 (numbers of up to 19 digits; the first names the industry; the last is Luhn's check digit).
We depart from it where a number is far more likely to be something else: nothing that begins with 0, and with
1 only numbers of 15 digits, as airlines' cards have, so that times in milliseconds are left alone; of 13
digits only what begins with 4.
"""

import re
from collections.abc import Callable
from typing import Final

SHORTEST: Final = 13
"""Digits of the shortest card number: no shorter text holds one."""
_LONGEST: Final = 19
_OF_AIRLINES: Final = 15

# Digits of a float. Looked for first, so that nothing else begins within them.
_FRACTION: Final = r"(?<=[0-9])\.[0-9]{5,}"
# As cards show them: 4-4-4-4, up to 4-4-4-4-3, and 4-6-5 or 4-6-4. The groups of a UUID are none of these.
_GROUPED: Final = (
    r"[0-9]{4}([ ._/-])"
    r"(?:[0-9]{4}\2[0-9]{4}\2[0-9]{1,4}(?:\2[0-9]{1,3})?|[0-9]{6}\2[0-9]{4,5})"
    r"(?![0-9A-Za-z])"
)
# In bytes that were no text of ours: digits as JSON escapes them, and as UTF-16 has them.
_ESCAPED: Final = r"(?:(?:\\u003)?[0-9]){13,}"
_WIDE: Final = r"[0-9](?:\x00[0-9]){12,}"
_OTHER_ESCAPE: Final = r"\\u(?!003[0-9])[0-9A-Fa-f]{4}"

_IN_TEXT: Final = re.compile(f"({_FRACTION})|{_GROUPED}|[0-9]{{13,}}")
_IN_BYTES: Final = re.compile(f"({_FRACTION}|{_OTHER_ESCAPE})|{_GROUPED}|{_WIDE}|{_ESCAPED}")
# What spares nearly everything the patterns, which take ten times as long: its shape, each digit a 0 and each
# mark that may part groups a hyphen.
_SHAPE: Final = bytes(
    ord("0") if byte in b"0123456789" else ord("-") if byte in b" ._/-" else ord("x") for byte in range(256)
)
_RUN: Final = b"0" * SHORTEST
_NO_DIGITS: Final = re.compile(r"\\u003|[^0-9]")
_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def passes_luhn(digits: str) -> bool:
    """Tell whether the last digit is Luhn's check digit of those before it.

    Examples
    --------
    >>> passes_luhn("4111111111111111"), passes_luhn("4111111111111112")
    (True, False)
    """
    odd = sum(map(int, digits[::-2]))
    even = sum(_DOUBLED[int(digit)] for digit in digits[-2::-2])
    return (odd + even) % 10 == 0


def may_be_card(digits: str) -> bool:
    """Tell whether a run of digits may be a card number, or hold one.

    Parameters
    ----------
    digits
        The whole run. One of more than 19 digits may be a number with whatever followed it: it counts.

    Examples
    --------
    >>> may_be_card("4111111111111111"), may_be_card("1700000000000")
    (True, False)
    """
    length = len(digits)
    if length > _LONGEST:
        return True
    first = digits[0]
    shaped = length > SHORTEST if first >= "2" else length == _OF_AIRLINES and first == "1"
    return (shaped or (length == SHORTEST and first == "4")) and passes_luhn(digits)


def replace_cards(text: str, replacement: Callable[[str], str]) -> str:
    """Return a text with every card number in it replaced; the text itself where there is none.

    Parameters
    ----------
    text
        Any.
    replacement
        Given the digits of a card number, says what comes in its place.

    Examples
    --------
    >>> replace_cards("card 4111-1111-1111-1111, 42 EUR", lambda digits: f"<{digits[-4:]}>")
    'card <1111>, 42 EUR'
    """
    if not suspicious(text.encode("utf-8", "replace")):
        return text
    return _IN_TEXT.sub(lambda found: _replaced(found, replacement), text)


def replace_cards_in_bytes(value: bytes, replacement: Callable[[str], str]) -> bytes:
    r"""Return bytes of any kind with every card number in them replaced.

    Examples
    --------
    >>> replace_cards_in_bytes(b'{"pan":4111111111111111,\xff', lambda _: "x")
    b'{"pan":x,\xff'
    >>> replace_cards_in_bytes(b"\\u0034111111111111111", lambda _: "x")
    b'x'
    """
    if not suspicious_bytes(value):
        return value
    text = value.decode("latin-1")
    return _IN_BYTES.sub(lambda found: _replaced(found, replacement), text).encode("latin-1")


def mask_cards(text: str) -> str:
    """Return a text without card numbers, for people: logs, errors.

    Examples
    --------
    >>> mask_cards("no transaction 4111111111111111")
    'no transaction ****************'
    """
    return replace_cards(text, masked)


def masked(digits: str) -> str:
    """Return what stands for a card number that nobody is to know again."""
    return "*" * len(digits)


def suspicious(value: bytes) -> bool:
    r"""Tell whether a text should be looked at: never False where a card number is, seldom True elsewhere.

    Cheap for many short ones put together, which a line feed parts.

    Examples
    --------
    >>> suspicious(b"c1\n1700000000000\n123e4567-e89b-12d3-a456-426614174000")
    False
    >>> suspicious(b"c1\n4111111111111111")
    True
    """
    shape = value.translate(_SHAPE)
    if b"0000-0000-0000-0" in shape or b"0000-000000-0000" in shape:
        return True
    start = shape.find(_RUN)
    while start >= 0:
        end = start + SHORTEST
        if shape[end : end + 1] == b"0" or value[start] == ord("4"):
            return True
        start = shape.find(_RUN, end)
    return False


def suspicious_bytes(value: bytes) -> bool:
    """Tell the same of bytes of any kind."""
    return suspicious(value) or b"\\u003" in value or b"\x00" in value


def _replaced(found: re.Match[str], replacement: Callable[[str], str]) -> str:
    if found[1] is not None:
        return found[0]
    digits = _NO_DIGITS.sub("", found[0])
    return replacement(digits) if may_be_card(digits) else found[0]
