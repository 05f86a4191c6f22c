"""A lineup: which features and models transactions were scored by, and what those features usually are.

A pending record names its lineup by a number of six bytes, and the store keeps each lineup once
(``docs/redis-format.md``): so a record says in six bytes what it would say in some hundred, and can still be
answered when neither its models nor its features are those of today.
"""

import hashlib
from functools import lru_cache
from typing import Final

import msgspec
import numpy as np
from msgspec import Struct

from stream.errors import SnapshotError
from stream.features.catalogue import CATALOGUE, SCHEMA, WIDTH
from stream.records import UNREADABLE

LAYOUT: Final = 1
NAME_BYTES: Final = 6
"""Of a lineup's hash; two of ten thousand lineups share them once in five million times."""


class Lineup(Struct, array_like=True, frozen=True, gc=False):
    """What all transactions of a batch have in common."""

    layout: int
    feature_schema: str
    models: tuple[str, ...]
    """Model versions, the champion first."""
    usual: bytes
    """The value that each feature is not stored at: float32, little-endian. Not a number where that is the
    transaction's own: its amount for the first feature, the hour of its day for the second."""

    @property
    def width(self) -> int:
        """How many features there are."""
        return len(self.usual) // 4


_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Lineup)
_USUAL: Final = np.array(
    [np.nan if feature.default is None else feature.default for feature in CATALOGUE], dtype="<f4"
).tobytes()
_OWN: Final = 2
"""The features that may be the transaction's own are the first two."""


@lru_cache(maxsize=256)
def lineup_of(feature_schema: str, models: tuple[str, ...], width: int) -> Lineup:
    """Return the lineup of some models on `width` features; of features unknown here, 0 is usual."""
    known = feature_schema == SCHEMA and width == WIDTH
    return Lineup(LAYOUT, feature_schema, models, _USUAL if known else bytes(4 * width))


@lru_cache(maxsize=256)
def pack_lineup(lineup: Lineup) -> bytes:
    """Encode a lineup for the store."""
    return _ENCODER.encode(lineup)


@lru_cache(maxsize=256)
def lineup_name(lineup: Lineup) -> bytes:
    """Return what pending records name a lineup by: the beginning of its hash.

    Examples
    --------
    >>> lineup_name(lineup_of("abcde", ("forest-1",), 2)).hex()
    'fcb719aee26b'
    """
    return _name(pack_lineup(lineup))


def unpack_lineup(name: bytes, packed: bytes) -> Lineup:
    """Decode a stored lineup.

    Raises
    ------
    SnapshotError
        The bytes are not the lineup of this name.
    """
    if _name(packed) != name:
        raise SnapshotError(f"the stored lineup {name.hex()} is damaged (it is another one): {_REMEDY}")
    try:
        lineup = _DECODER.decode(packed)
    except UNREADABLE as error:
        raise SnapshotError(f"the stored lineup {name.hex()} is damaged ({error}): {_REMEDY}") from error
    if lineup.layout != LAYOUT:
        raise SnapshotError(
            f"the stored lineup {name.hex()} has layout {lineup.layout}, this version reads {LAYOUT}:"
            f" let the older version finish its labels first, or {_REMEDY}"
        )
    if not lineup.models or len(lineup.usual) % 4 or not _finite(lineup.usual):
        raise SnapshotError(
            f"the stored lineup {name.hex()} is damaged (models or features are not whole): {_REMEDY}"
        )
    return lineup


_REMEDY: Final = "delete it and the pending records of its time"


def _name(packed: bytes) -> bytes:
    return hashlib.sha256(packed).digest()[:NAME_BYTES]


def _finite(usual: bytes) -> bool:
    values = np.frombuffer(usual, dtype="<f4")
    return bool(np.isfinite(values[_OWN:]).all()) and not np.isinf(values[:_OWN]).any()
