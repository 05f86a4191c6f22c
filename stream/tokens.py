"""Tokens: what stands for identifiers that are to be known to nobody, and still tell who is who.

A token is a keyed hash: the same for the same identifier, so that features, labels and alerts find together,
and without the key nobody can try all card numbers to see whose it is. It has no digits, so that it is never
taken for a card number itself: to make a token of a token changes nothing.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from hmac import digest
from typing import Final, Literal

from stream.cards import SHORTEST, mask_cards, masked, replace_cards, replace_cards_in_bytes

Tokenised = Literal["cards", "customers", "off"]
"""What becomes a token: card numbers, wherever they are; every customer's identifier as well; nothing."""

MOST_CHARACTERS: Final = 64
"""Of an identifier, as records have them."""
_PREFIX: Final = "tok_"
_HASH_BYTES: Final = 12
"""96 bits: among 10^9 cards two share a token with a probability of 10^-11."""
_LETTERS: Final = bytes.maketrans(b"0123456789abcdef", b"abcdefghijklmnop")
_TOKEN: Final = re.compile(f"{_PREFIX}[a-p]{{{2 * _HASH_BYTES}}}")
_CUSTOMER: Final = re.compile(rb'("customer_id"\s*:\s*")((?:[^"\\]|\\.)*)(")')
_REMEMBERED: Final = 65_536
"""Identifiers whose tokens are kept in memory, so that a busy customer's is not made anew each time."""


class Tokens:
    """Makes tokens, and keeps card numbers out of whatever is kept.

    Parameters
    ----------
    scope
        What becomes a token.
    key
        Of the hash. None: there are no tokens, so that card numbers can only be masked and identifiers that
        hold one must be refused.

    Raises
    ------
    ValueError
        Customers are to become tokens, and there is no key.

    Examples
    --------
    >>> tokens = Tokens("cards", b"a key that nobody knows")
    >>> tokens.identifier("c1"), tokens.identifier("4111 1111 1111 1111")
    ('c1', 'tok_gilfnhckkomcpeedphiihpfd')
    >>> tokens.identifier("4111111111111111") == tokens.identifier("4111-1111-1111-1111")
    True
    """

    def __init__(self, scope: Tokenised = "cards", key: bytes | None = None) -> None:
        if scope == "customers" and key is None:
            raise ValueError("tokens of customers need a key")
        self.scope: Final = scope
        self.keyed: Final = key is not None
        # Another use of the same key, for signatures say, must not give the same hashes.
        self._key = sha256(b"fraudstream token" + key).digest() if key is not None else b""
        self._token = lru_cache(_REMEMBERED)(self._make)
        self._stand_in: Callable[[str], str] = self._token if self.keyed else masked

    def __repr__(self) -> str:
        return f"Tokens({self.scope!r}, {'with' if self.keyed else 'without'} a key)"

    def identifier(self, text: str) -> str:
        """Return what an identifier is called by us: itself, but for card numbers in it."""
        if len(text) < SHORTEST or self.scope == "off":
            return text
        replaced = replace_cards(text, self._stand_in)
        # What is left of a long one could not cross the topics.
        return replaced if len(replaced) <= MOST_CHARACTERS else self._stand_in(text)[:MOST_CHARACTERS]

    def customer(self, text: str) -> str:
        """Return what a customer is called by us."""
        if self.scope != "customers":
            return self.identifier(text)
        return text if _TOKEN.fullmatch(text) else self._token(text)

    def text(self, text: str) -> str:
        """Return a text for people without card numbers in it."""
        return text if self.scope == "off" else replace_cards(text, self._stand_in)

    def note(self, text: str) -> str:
        """Return what a person has written without card numbers in it: as long as it was, however bounded."""
        return text if self.scope == "off" else mask_cards(text)

    def value(self, value: bytes | None) -> bytes | None:
        """Return the bytes of a record, readable or not, without what they must not tell."""
        if not value or self.scope == "off":
            return value
        if self.scope == "customers":
            value = _CUSTOMER.sub(lambda found: found[1] + self._bytes(found[2]) + found[3], value)
        return replace_cards_in_bytes(value, self._stand_in)

    def key(self, key: bytes | None) -> bytes | None:
        """Return the key of a record, which is a customer's identifier where it is right."""
        if not key or self.scope == "off":
            return key
        return self._bytes(key) if self.scope == "customers" else replace_cards_in_bytes(key, self._stand_in)

    def _bytes(self, name: bytes) -> bytes:
        return self.customer(name.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")

    def _make(self, text: str) -> str:
        hashed = digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")
        return _PREFIX + hashed[:_HASH_BYTES].hex().encode().translate(_LETTERS).decode()


NO_TOKENS: Final = Tokens("off")
"""Leaves everything as it is."""
