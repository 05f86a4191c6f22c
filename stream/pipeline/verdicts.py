"""Verdicts: what labels have said of a transaction, and to whom another label of it is news."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from stream.errors import SnapshotError
from stream.models.lessons import View
from stream.records import UNREADABLE, Label


class Said(NamedTuple):
    """One verdict on a transaction: which label gave it, and what it was."""

    offset: int
    is_fraud: bool
    analyst: bool = False
    """Whether an analyst gave it, and not time."""


MOST_VERDICTS: Final = 16
"""Labels that contradict each other on one transaction; whoever goes on changes nothing any more."""

Verdicts = tuple[Said, ...]
"""Everything labels have said of one transaction, in offset order; stored as a msgpack array."""

_VERDICTS = msgspec.msgpack.Decoder(Verdicts)


def pack_verdicts(verdicts: Verdicts) -> bytes:
    """Encode what was said of a transaction for the store."""
    return msgspec.msgpack.encode(verdicts)


def unpack_verdicts(packed: bytes) -> Verdicts:
    """Decode what was said of a transaction.

    Raises
    ------
    SnapshotError
        The bytes are not verdicts.
    """
    try:
        return _VERDICTS.decode(packed)
    except UNREADABLE as error:
        raise SnapshotError(f"stored verdicts are damaged ({error}): delete their key") from error


def said_before(verdicts: Verdicts, offset: int) -> tuple[Sequence[Said], bool]:
    """Return what was said before a label, and whether that label was among the verdicts itself."""
    earlier = [said for said in verdicts if said.offset < offset]
    return earlier, any(said.offset == offset for said in verdicts)


def views_of(label: Label, earlier: Sequence[Said], *, learnt: bool = True) -> frozenset[View]:
    """Say to whom a label is news: to nobody where it is not to be learnt.

    To all: the first of its transaction, and one that contradicts those before; to those who listen to one
    side alone: the first from there.
    """
    if not learnt:
        return frozenset()
    own: View = "analyst" if label.source == "analyst" else "matured"
    if not earlier:
        return _FIRST[own]
    if earlier[-1].is_fraud == label.is_fraud:
        heard = any(said.analyst == (own == "analyst") for said in earlier)
        return frozenset() if heard else frozenset({own})
    return frozenset() if label.source == "settlement" else _FIRST[own]


_FIRST: Final[dict[View, frozenset[View]]] = {
    "analyst": frozenset({"all", "analyst"}),
    "matured": frozenset({"all", "matured"}),
}
