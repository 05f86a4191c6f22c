"""Orders: what a person asks of the learner, on its way through the store."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct

from stream.errors import SnapshotError
from stream.records import UNREADABLE
from stream.registry.seal import Key, seal, unseal

MOST_BYTES: Final = 4_096
_Words = Annotated[str, Meta(min_length=1, max_length=500)]


class Order(Struct, frozen=True, kw_only=True):
    """To make a model the champion, or to go back to the one before."""

    action: Literal["promote", "rollback"]
    model_version: str = ""
    """Whom to promote; empty for a rollback, which finds the predecessor itself."""
    who: _Words
    why: _Words
    given_at: int
    """Milliseconds since 1970."""


_ORDER = msgspec.msgpack.Decoder(Order)


def encode_order(order: Order, key: Key) -> bytes:
    """Seal an order.

    Examples
    --------
    >>> order = Order(action="rollback", who="ann", why="too many false alerts", given_at=0)
    >>> decode_order(encode_order(order, b"secret"), b"secret").who
    'ann'
    """
    return seal(msgspec.msgpack.encode(order), key, "order")


def decode_order(sealed: bytes, key: Key) -> Order:
    """Open an order.

    Raises
    ------
    SnapshotError
        It is damaged, or was not given with this key.
    """
    try:
        return _ORDER.decode(unseal(sealed, key, "order", most_bytes=MOST_BYTES))
    except UNREADABLE as error:
        raise SnapshotError(f"the order cannot be read: {error}") from error
