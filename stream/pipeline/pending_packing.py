"""How pending records are kept: in some 110 bytes (``docs/redis-format.md``).

What all records of a batch have in common is a :mod:`lineup <stream.pipeline.lineup>` that each names, and of
the features it has those that are not as usual.
"""

import math
import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream import kernel
from stream.clock import DAY_MS, HOUR_MS
from stream.errors import SnapshotError
from stream.pipeline.lineup import NAME_BYTES, Lineup, lineup_name, pack_lineup
from stream.pipeline.pending import LAYOUT, Pending, PendingBatch, Reasons
from stream.records import UNREADABLE


class Packed(NamedTuple):
    """Pending records for the store."""

    records: dict[str, bytes]
    """By transaction id."""
    lineups: dict[str, bytes]
    """Those that the records name, by that name in hexadecimal digits."""


USUAL, ZERO, SMALL, FLOAT = range(4)
"""How a feature is stored: not at all, twice; as a byte, from 1 on; as a float32."""
_MOST_SMALL: Final = 255
_HEAD: Final = struct.Struct("<B6s6s6sIddHH")
_REASONS: Final = msgspec.msgpack.Decoder(Reasons)
_ENCODER: Final = msgspec.msgpack.Encoder()


@lru_cache(maxsize=64)
def front_type(models: int, width: int) -> np.dtype[Any]:
    """Return the type of what every record of a lineup begins with."""
    return np.dtype(
        [
            ("layout", "u1"),
            ("lineup", f"V{NAME_BYTES}"),
            ("event_time", "u1", (6,)),
            ("scored_at", "u1", (6,)),
            ("snapshot", "<u4"),
            ("amount", "<f8"),
            ("threshold", "<f8"),
            ("customer", "<u2"),
            ("terminal", "<u2"),
            ("scores", "<f4", (models,)),
            ("kinds", "u1", (-(-width // 4),)),
        ]
    )


def pack_batch(batch: PendingBatch) -> list[bytes]:
    """Encode pending records for the store, in the batch's order."""
    records = _compiled(batch) if kernel.in_use() else _on_numpy(batch)
    for place, reasons in batch.reasons.items():
        if reasons:
            records[place] += _ENCODER.encode(reasons)
    return records


def pack_pendings(batch: PendingBatch) -> Packed:
    """Encode pending records for the store, and the lineup that they name."""
    if not batch.names:
        return Packed({}, {})
    records = dict(zip(batch.names, pack_batch(batch), strict=True))
    return Packed(records, {lineup_name(batch.lineup).hex(): pack_lineup(batch.lineup)})


def pack_pending(pending: Pending) -> bytes:
    """Encode a pending record for the store."""
    return pack_batch(PendingBatch.of({"": pending}))[0]


def named_lineup(packed: bytes) -> str:
    """Return the name, in hexadecimal digits, of the lineup that a stored pending record is of."""
    return packed[1 : 1 + NAME_BYTES].hex()


def unpack_pending(packed: bytes, lineups: Mapping[str, Lineup]) -> Pending:
    """Decode a stored pending record.

    Parameters
    ----------
    packed
        As stored.
    lineups
        Those that are known, by name.

    Raises
    ------
    SnapshotError
        The bytes are not a pending record of this layout, or of none of the `lineups`.
    """
    if packed and packed[0] != LAYOUT:
        raise SnapshotError(
            f"a stored pending record has layout {packed[0]}, this version reads {LAYOUT}:"
            " let the older version finish its labels first, or delete the pending keys"
        )
    if len(packed) < _HEAD.size:
        raise SnapshotError("a stored pending record is damaged (it ends too early): delete it")
    lineup = lineups.get(named_lineup(packed))
    if lineup is None:
        raise SnapshotError(
            f"a stored pending record is of the lineup {named_lineup(packed)}, of which nothing is stored:"
            " delete the record"
        )
    try:
        return _unpack(packed, lineup)
    except (*UNREADABLE, struct.error, OverflowError, ValueError) as error:
        raise SnapshotError(f"a stored pending record is damaged ({error}): delete it") from error


def _unpack(packed: bytes, lineup: Lineup) -> Pending:
    _, _, event, scored, snapshot, amount, threshold, customer_bytes, terminal_bytes = _HEAD.unpack_from(
        packed
    )
    event_time = int.from_bytes(event, "little")
    models = len(lineup.models)
    begin = _HEAD.size + 4 * models
    end = begin + -(-lineup.width // 4)
    scores = struct.unpack_from(f"<{models}f", packed, _HEAD.size)
    plan = _plan(lineup.usual, packed[begin:end])
    values = plan.stored.unpack_from(packed, end)
    features = list(plan.usual)
    if plan.own_amount:
        features[0] = amount
    if plan.own_hour:
        features[1] = event_time % DAY_MS / HOUR_MS
    for place, value in zip(plan.places, values, strict=True):
        features[place] = value
    end += plan.stored.size
    begin, end = end, end + customer_bytes
    last = end + terminal_bytes
    if len(packed) < last:
        raise ValueError("it ends too early")
    reasons: Reasons = ()
    if len(packed) > last:
        reasons = _REASONS.decode(packed[last:])
        if not reasons:
            raise ValueError("it has an empty list of reasons")
    # Their sum is no number when one of them is none.
    pushes = (number for _, value, push, _ in reasons for number in (value, push))
    if not math.isfinite(sum((amount, threshold, *scores, *values, *pushes))):
        raise ValueError("it has what is no number")
    return Pending(
        LAYOUT,
        lineup.feature_schema,
        plan.whole.pack(*features),
        lineup.models,
        scores,
        snapshot,
        threshold,
        event_time,
        amount,
        packed[begin:end].decode(),
        packed[end:last].decode(),
        int.from_bytes(scored, "little"),
        reasons,
    )


class _Plan(NamedTuple):
    """How the features of a record are read, given how each is stored."""

    usual: tuple[float, ...]
    """Of each feature, before what is stored is put in its place."""
    own_amount: bool
    own_hour: bool
    stored: struct.Struct
    places: tuple[int, ...]
    """Of the stored ones."""
    whole: struct.Struct


@lru_cache(maxsize=4096)
def _plan(usual: bytes, packed_kinds: bytes) -> _Plan:
    width = len(usual) // 4
    if len(packed_kinds) != -(-width // 4):
        raise ValueError("it ends too early")
    kinds = [byte >> 2 * turn & 3 for byte in packed_kinds for turn in range(4)]
    if any(kinds[width:]):
        raise ValueError("it has more features than its lineup")
    whole = struct.Struct(f"<{width}f")
    values = whole.unpack(usual)
    small = [place for place, kind in enumerate(kinds) if kind == SMALL]
    floats = [place for place, kind in enumerate(kinds) if kind == FLOAT]
    own = [kinds[place] == USUAL and math.isnan(values[place]) for place in range(min(2, width))]
    return _Plan(
        tuple(0.0 if kinds[place] != USUAL else value for place, value in enumerate(values)),
        own[:1] == [True],
        own[1:] == [True],
        struct.Struct(f"<{len(small)}B{len(floats)}f"),
        (*small, *floats),
        whole,
    )


def _compiled(batch: PendingBatch) -> list[bytes]:
    """Encode records but for their reasons: what :func:`_on_numpy` returns."""
    return kernel.pending.pack(
        np.ascontiguousarray(batch.features, dtype="<f4").view("<u4"),
        np.frombuffer(batch.lineup.usual, "<u4").copy(),
        np.ascontiguousarray(batch.scores, dtype="<f4").reshape(-1, len(batch.lineup.models)),
        np.ascontiguousarray(batch.event_times, dtype=np.int64),
        np.ascontiguousarray(batch.amounts, dtype=np.float64),
        np.ascontiguousarray(batch.thresholds, dtype=np.float64),
        list(batch.customers),
        list(batch.terminals),
        bytes([LAYOUT]) + lineup_name(batch.lineup),
        batch.scored_at,
        batch.snapshot,
    )


def _on_numpy(batch: PendingBatch) -> list[bytes]:
    """Encode records but for their reasons."""
    lineup, features = batch.lineup, np.ascontiguousarray(batch.features, dtype="<f4")
    count, width = features.shape
    customers = [one.encode() for one in batch.customers]
    terminals = [one.encode() for one in batch.terminals]
    kinds = _kinds(lineup, features, batch.amounts, batch.event_times)
    front = np.zeros(count, front_type(len(lineup.models), width))
    front["layout"] = LAYOUT
    front["lineup"] = np.void(lineup_name(lineup))
    front["event_time"] = _six_bytes(batch.event_times, count)
    front["scored_at"] = _six_bytes(batch.scored_at, count)
    front["snapshot"] = batch.snapshot
    front["amount"] = batch.amounts
    front["threshold"] = batch.thresholds
    front["customer"] = [len(one) for one in customers]
    front["terminal"] = [len(one) for one in terminals]
    front["scores"] = batch.scores
    for turn in range(4):
        some = kinds[:, turn::4]
        front["kinds"][:, : some.shape[1]] |= some << 2 * turn
    small, whole = kinds == SMALL, kinds == FLOAT
    flat = features.ravel()
    fronts, smalls, wholes = (
        front.tobytes(),
        # By places: with a mask it takes numpy several times as long.
        flat[np.flatnonzero(small)].astype(np.uint8).tobytes(),
        flat[np.flatnonzero(whole)].tobytes(),
    )
    size, start, first = front.itemsize, 0, 0
    records = []
    for place, (end, last, customer, terminal) in enumerate(
        zip(_ends(small, 1), _ends(whole, 4), customers, terminals, strict=True)
    ):
        begin = place * size
        records.append(
            b"".join(
                (fronts[begin : begin + size], smalls[start:end], wholes[first:last], customer, terminal)
            )
        )
        start, first = end, last
    return records


def _kinds(
    lineup: Lineup,
    features: NDArray[np.float32],
    amounts: NDArray[np.float64],
    event_times: NDArray[np.int64],
) -> NDArray[np.uint8]:
    """Tell how each feature of each record is stored; shape (n, width)."""
    # Compared by their bits: what is read is what was packed, a negative zero too.
    bits = features.view("<u4")
    usual = np.frombuffer(lineup.usual, dtype="<f4")
    as_usual = bits == usual.view("<u4")
    for place, own in enumerate((amounts, event_times % DAY_MS / HOUR_MS)[: len(usual)]):
        if np.isnan(usual[place]):
            as_usual[:, place] = bits[:, place] == own.astype("<f4").view("<u4")
    small = (features >= 1) & (features <= _MOST_SMALL) & (features == np.rint(features))
    kinds = np.where(small, np.uint8(SMALL), np.uint8(FLOAT))
    kinds[bits == 0] = ZERO
    kinds[as_usual] = USUAL
    return kinds


def _six_bytes(times: NDArray[np.int64] | int, count: int) -> NDArray[np.uint8]:
    eight = np.ascontiguousarray(np.broadcast_to(np.asarray(times, dtype="<i8"), (count,)))
    return eight.view(np.uint8).reshape(count, 8)[:, :6]


def _ends(stored: NDArray[np.bool_], size: int) -> Iterable[int]:
    """Return where each row's values end, of all stored ones in a row."""
    ends: list[int] = np.cumsum(stored.sum(axis=1) * size).tolist()
    return ends
