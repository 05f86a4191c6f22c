"""How rows of numbers are kept: without the bytes that are zero, of which a state has many.

A row's bytes are put in another order first, so that zeros lie together: field by field, of a field of
several numbers the lowest byte of each, then the next one of each. Each of these bytes has a mark, a bit: the
first byte's is the highest of the first byte of marks, 1 where the byte is not zero. A packed row is one byte
that names its layout; marks of the marks, made in the same way; those bytes of marks that are not zero; and
those bytes of the row that are not (``docs/redis-format.md``).
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from stream import kernel
from stream.errors import SnapshotError

Rows = NDArray[np.void]
"""Structured rows, shape (n,), side by side in memory; a row is a multiple of 8 bytes."""
Places = Sequence[int] | NDArray[np.int64]


def take(rows: Rows, places: Places) -> Rows:
    """Return copies of some of the rows.

    Of rows of fields numpy would copy each field by itself; here they are so many 64-bit words.
    """
    some: Rows = _words(rows)[places].view(rows.dtype)[:, 0]
    return some


def put(rows: Rows, places: Places, some: Rows) -> None:
    """Write rows back to where :func:`take` has them from."""
    _words(rows)[places] = _words(some)


def as_bytes(rows: Rows) -> NDArray[np.uint8]:
    """Return the rows as the bytes that they are, shape (n, bytes of a row); no copy."""
    return rows.view(np.uint8).reshape(len(rows), rows.dtype.itemsize)


def _words(rows: Rows) -> NDArray[np.uint64]:
    return rows.view(np.uint64).reshape(len(rows), rows.dtype.itemsize // 8)


_WRONG: Final = {1: "too short", 2: "of another layout", 3: "not whole", 4: "not as it is packed"}


class Packing:
    r"""Packs rows of one type.

    Parameters
    ----------
    what
        They are, for people: "customer state".
    dtype
        Of a row; structured, little-endian, without padding between its fields.
    layout
        Byte that packed rows begin with.

    Examples
    --------
    >>> packing = Packing("pair", np.dtype([("a", "<u4", 2)]), layout=1)
    >>> packing.pack(np.array([([1, 513],)], packing.dtype))
    [b'\x01\x80\xd0\x01\x01\x02']
    >>> packing.unpack([b"\x01\x80\xd0\x01\x01\x02"])["a"].tolist()
    [[1, 513]]
    """

    def __init__(self, what: str, dtype: np.dtype[Any], layout: int) -> None:
        self.dtype = dtype
        self._what = what
        self._layout = layout
        self._width = dtype.itemsize
        self._marks = -(-self._width // 8)
        self._head = 1 + -(-self._marks // 8)
        self._order = np.concatenate(list(_planes(dtype))).astype(np.int32)
        self._back = np.argsort(self._order)

    def pack(self, rows: Rows) -> list[bytes]:
        """Return each row as it is kept."""
        if not len(rows):
            return []
        if kernel.in_use():
            raw = as_bytes(np.ascontiguousarray(rows))
            return kernel.packing.pack(raw, self._order, self._layout, self._head, self._marks)
        head, marked = self._head, self._head + self._marks
        whole = np.empty((len(rows), marked + self._width), np.uint8)
        raw = as_bytes(np.ascontiguousarray(rows))
        whole[:, marked:] = np.take(raw, self._order, axis=1)
        whole[:, head:marked] = np.packbits(whole[:, marked:] != 0, axis=1)
        whole[:, 1:head] = np.packbits(whole[:, head:marked] != 0, axis=1)
        whole[:, 0] = self._layout
        there = whole != 0
        there[:, :head] = True
        kept = whole.ravel()[np.flatnonzero(there)].tobytes()  # six times as fast as whole[there]
        sizes = head + np.bitwise_count(whole[:, 1:marked]).sum(axis=1, dtype=np.int64)
        ends = np.cumsum(sizes).tolist()
        return [kept[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def unpack(self, packed: Sequence[bytes]) -> Rows:
        """Return the rows that were packed; shape (n,), one's own to change.

        Raises
        ------
        SnapshotError
            One is not such a row.
        """
        if not packed:
            return np.zeros(0, self.dtype)
        if kernel.in_use():
            rows: Rows = np.empty(len(packed), self.dtype)
            wrong = kernel.packing.unpack(
                *([*packed], self._order, self._layout, self._head, self._marks), as_bytes(rows)
            )
            if wrong:
                raise self.damaged(_WRONG[wrong])
            return rows
        sizes = np.array([len(one) for one in packed])
        if sizes.min() < self._head:
            raise self.damaged(_WRONG[1])
        flat = np.frombuffer(b"".join(packed), np.uint8)
        ends = np.cumsum(sizes)
        heads = flat[(ends - sizes)[:, None] + np.arange(self._head)]
        if (heads[:, 0] != self._layout).any():
            raise self.damaged(_WRONG[2])
        marks, places = self._placed(flat, ends - sizes + self._head, ends, heads[:, 1:], self._marks)
        raw, places = self._placed(flat, places, ends, marks, self._width)
        if (places != ends).any():
            raise self.damaged(_WRONG[3])
        found: Rows = np.take(raw, self._back, axis=1).view(self.dtype)[:, 0]
        return found

    def _placed(
        self,
        flat: NDArray[np.uint8],
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
        marks: NDArray[np.uint8],
        width: int,
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return each row's bytes where its marks have them, shape (n, width), and where the next begin."""
        there = np.unpackbits(marks, axis=1)
        sizes = np.bitwise_count(marks).sum(axis=1, dtype=np.int64)
        if (starts + sizes > ends).any() or there[:, width:].any():
            raise self.damaged(_WRONG[3])
        before = np.cumsum(sizes) - sizes
        kept = flat[np.repeat(starts - before, sizes) + np.arange(sizes.sum())]
        if not kept.all():
            raise self.damaged(_WRONG[4])
        rows = np.zeros((len(marks), width), np.uint8)
        rows.reshape(-1)[np.flatnonzero(there[:, :width])] = kept
        return rows, starts + sizes

    def damaged(self, detail: str) -> SnapshotError:
        """Return the error to raise about a stored row."""
        return SnapshotError(f"a stored {self._what} is damaged ({detail}): delete its key")


def _planes(dtype: np.dtype[Any]) -> Iterator[NDArray[np.int64]]:
    """Yield, field by field, where in a row its bytes lie, in the order in which they are packed."""
    for name in dtype.names or ():
        field, start = dtype.fields[name][:2]  # type: ignore[index]
        yield start + np.arange(field.itemsize).reshape(-1, field.base.itemsize).T.ravel()
