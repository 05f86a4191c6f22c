"""Snapshots: models as scorers get them, and the roster that says which ones are active.

Both are sealed msgpack. A snapshot holds plain arrays and metadata, never code.
"""

import hashlib
from math import prod
from typing import Any, Final

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from stream.errors import SnapshotError
from stream.models.compiled import CompiledModel, compiled_from_parts
from stream.records import UNREADABLE
from stream.registry.seal import Key, seal, unseal

LAYOUT: Final = 1
ROSTER_LAYOUT: Final = 2
MOST_BYTES: Final = 64 * 1024 * 1024
MOST_ROSTER_BYTES: Final = 1024 * 1024
_DTYPES: Final = {"<f8", "<i4"}


class SnapshotInfo(Struct, frozen=True, kw_only=True):
    """Where a snapshot comes from."""

    model_version: str
    snapshot: int
    """Grows by one with each snapshot of the model."""
    recipe: str
    parents: tuple[str, ...]
    feature_schema: str
    features: int
    """Columns of the matrices it scores."""
    label_offset: int
    """The last label it learnt from."""
    river_version: str
    metrics: dict[str, float]
    """At birth."""
    parameters: dict[str, float | int] = msgspec.field(default_factory=dict)
    """What the recipe made its classifier with."""


class Member(Struct, frozen=True, kw_only=True):
    """A model of the roster, with the key of its snapshot in the store."""

    version: str
    recipe: str
    snapshot: int
    key: str
    digest: bytes
    """SHA-256 of the sealed snapshot: no other, and no older one, can be put under its key."""


class Roster(Struct, frozen=True, kw_only=True):
    """The active models, the order of `members` being that of the scores in pending records."""

    roster: int
    """Changes with the champion and with the list of members, not with their snapshots."""
    champion: str
    members: tuple[Member, ...]
    term: int = 0
    """Grows with each learner that takes the role over."""
    edition: int = 0
    """Grows with each roster of a term."""
    alarm: int = -1
    """Offset of the label at which a case on the champion was opened last, which asks for a fit; -1: none."""
    layout: int = ROSTER_LAYOUT

    @property
    def place(self) -> tuple[int, int]:
        """Which of two rosters is the newer: it grows with each that is published."""
        return self.term, self.edition


class _Array(Struct, array_like=True):
    dtype: str
    shape: tuple[int, ...]
    data: bytes


class _Body(Struct):
    layout: int
    info: SnapshotInfo
    kind: str
    meta: dict[str, Any]
    arrays: dict[str, _Array]


_BODY = msgspec.msgpack.Decoder(_Body)
_ROSTER = msgspec.msgpack.Decoder(Roster)


def model_version(recipe: str, generation: int) -> str:
    """Name a model: its recipe and the how-manyeth of it this is.

    Examples
    --------
    >>> model_version("forest", 2)
    'forest-2'
    """
    return f"{recipe}-{generation}"


def encode_snapshot(info: SnapshotInfo, model: CompiledModel, key: Key) -> bytes:
    """Seal a compiled model with what is to be known of it."""
    meta, arrays = model.to_parts()
    packed = {name: _pack(array) for name, array in arrays.items()}
    return seal(msgspec.msgpack.encode(_Body(LAYOUT, info, model.kind, meta, packed)), key, "snapshot")


def decode_snapshot(sealed: bytes, key: Key, feature_schema: str) -> tuple[SnapshotInfo, CompiledModel]:
    """Open a snapshot.

    Parameters
    ----------
    sealed
        As :func:`encode_snapshot` returned it.
    key
        The signing keys, or None where nothing is signed.
    feature_schema
        Identifies the names and the order of the features here.

    Raises
    ------
    SnapshotError
        It is damaged, forged, of another layout, or made for other features.
    """
    try:
        body = _BODY.decode(unseal(sealed, key, "snapshot", most_bytes=MOST_BYTES))
    except UNREADABLE as error:
        raise SnapshotError(f"a snapshot cannot be read: {error}") from error
    info = body.info
    if body.layout != LAYOUT:
        raise SnapshotError(f"{info.model_version} has layout {body.layout}, this version reads {LAYOUT}")
    if info.feature_schema != feature_schema:
        raise SnapshotError(
            f"{info.model_version} was made for the features {info.feature_schema}, here they are"
            f" {feature_schema}: run scorers and learner in the same version"
        )
    arrays = {name: _unpack(name, array) for name, array in body.arrays.items()}
    return info, compiled_from_parts(body.kind, body.meta, arrays, info.features)


def encode_roster(roster: Roster, key: Key) -> bytes:
    """Seal a roster."""
    return seal(msgspec.msgpack.encode(roster), key, "roster")


def decode_roster(sealed: bytes, key: Key) -> Roster:
    """Open a roster.

    Raises
    ------
    SnapshotError
        It is damaged, forged, of another layout, or its champion is none of its members.
    """
    try:
        roster = _ROSTER.decode(unseal(sealed, key, "roster", most_bytes=MOST_ROSTER_BYTES))
    except UNREADABLE as error:
        raise SnapshotError(f"the roster cannot be read: {error}") from error
    if roster.layout != ROSTER_LAYOUT:
        raise SnapshotError(f"the roster has layout {roster.layout}, this version reads {ROSTER_LAYOUT}")
    if roster.champion not in {member.version for member in roster.members}:
        raise SnapshotError(f"the roster's champion {roster.champion} is none of its members")
    return roster


def digest_of(sealed: bytes) -> bytes:
    """Return what a roster knows a sealed snapshot by."""
    return hashlib.sha256(sealed).digest()


def _pack(array: NDArray[Any]) -> _Array:
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return _Array(little.dtype.str, little.shape, little.tobytes())


def _unpack(name: str, array: _Array) -> NDArray[Any]:
    if array.dtype not in _DTYPES:
        raise SnapshotError(f"array {name!r} has the type {array.dtype}; allowed are {sorted(_DTYPES)}")
    dtype = np.dtype(array.dtype)
    if min(array.shape, default=0) < 0 or len(array.data) != dtype.itemsize * prod(array.shape):
        raise SnapshotError(
            f"array {name!r} has {len(array.data)} bytes, which is not its shape {array.shape}"
        )
    return np.frombuffer(array.data, dtype=dtype).reshape(array.shape)
