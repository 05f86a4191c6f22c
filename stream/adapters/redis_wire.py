"""Commands as they go over the wire to Redis (RESP), made of whole sequences at once.

A command of some thousand arguments would cost more in lists of keys, in flat lists and in a look at each
argument than in being sent.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import hiredis

from stream import kernel


class Arguments(NamedTuple):
    """Arguments of a command, packed."""

    number: int
    packed: bytes


def plain(values: Iterable[str | bytes]) -> Arguments:
    r"""Pack arguments as they are; text in UTF-8.

    Examples
    --------
    >>> plain(["GET", b"x"])
    Arguments(number=2, packed=b'$3\r\nGET\r\n$1\r\nx\r\n')
    """
    values = [*values]
    return Arguments(len(values), kernel.wire.plain(values) if kernel.in_use() else _packed(values))


def prefixed(prefix: str, names: Iterable[str]) -> Arguments:
    r"""Pack names, each behind `prefix`.

    Examples
    --------
    >>> prefixed("c:", ["c1", "c2"])
    Arguments(number=2, packed=b'$4\r\nc:c1\r\n$4\r\nc:c2\r\n')
    """
    names = [*names]
    if kernel.in_use():
        return Arguments(len(names), kernel.wire.prefixed(prefix.encode(), names))
    return Arguments(len(names), _packed([prefix + name for name in names]))


def pairs(values: Mapping[str, bytes]) -> Arguments:
    r"""Pack names and values by turns.

    Examples
    --------
    >>> pairs({"t1": b"x"})
    Arguments(number=2, packed=b'$2\r\nt1\r\n$1\r\nx\r\n')
    """
    if kernel.in_use():
        return Arguments(2 * len(values), kernel.wire.pairs(dict(values)))
    return Arguments(2 * len(values), _packed([one for pair in values.items() for one in pair]))


def command(*parts: Arguments) -> list[bytes]:
    r"""Return a command of all these arguments, in pieces that are to be sent one after the other.

    Examples
    --------
    >>> b"".join(command(plain(["MGET"]), prefixed("c:", ["c1"])))
    b'*2\r\n$4\r\nMGET\r\n$4\r\nc:c1\r\n'
    """
    return [b"*%d\r\n" % sum(part.number for part in parts), *(part.packed for part in parts if part.number)]


def gathered(pieces: Iterable[bytes]) -> list[bytes]:
    """Return the same bytes in fewer pieces.

    Each piece is a system call; to copy large ones would cost more than that.

    Examples
    --------
    >>> gathered([b"a", b"b", bytes(300_000), b"c"]) == [b"ab", bytes(300_000), b"c"]
    True
    """
    whole: list[bytes] = []
    small: list[bytes] = []
    size = 0
    for piece in pieces:
        if size + len(piece) > _LARGE:
            whole.append(b"".join(small))
            small, size = [], 0
        small.append(piece)
        size += len(piece)
    whole.append(b"".join(small))
    return [piece for piece in whole if piece]


_LARGE: Final = 262_144


def _packed(values: Sequence[str | bytes]) -> bytes:
    if not values:
        return b""
    whole: bytes = hiredis.pack_command(tuple(values))  # type: ignore[arg-type]  # typed as a tuple of one
    return whole[whole.index(b"\n") + 1 :]
