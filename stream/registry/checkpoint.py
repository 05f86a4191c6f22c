"""Checkpoints: the learner's whole state, River objects included, for the learner alone.

A pickle inside a seal. The seal is verified first; then an unpickler that knows only River's and our own
classes, numpy's arrays and plain containers takes the rest. River promises no pickles across versions: a
checkpoint of another one is refused, and the learner learns from the labels again.
"""

import io
import pickle
import platform
from typing import Any, Final

import msgspec
import river
from msgspec import Struct

from stream.errors import SnapshotError
from stream.registry.seal import seal, unseal

LAYOUT: Final = 1
MOST_BYTES: Final = 512 * 1024 * 1024
_ALLOWED: Final = {
    "builtins": {
        *("set", "frozenset", "bytearray", "complex", "range", "slice", "object"),
        *("bool", "int", "float", "str", "bytes", "list", "dict", "tuple"),
    },
    "collections": {"deque", "defaultdict", "OrderedDict", "Counter"},
    "copyreg": {"_reconstructor", "__newobj__"},
    "datetime": {"datetime", "timedelta", "date"},
    # River nests its default dictionaries with it; what it may call must be allowed, too.
    "functools": {"partial"},
    "random": {"Random"},
    "msgspec._utils": {"rebuild"},
    "numpy": {"ndarray", "dtype"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
    "numpy.random._pickle": {"__randomstate_ctor", "__generator_ctor", "__bit_generator_ctor"},
    "numpy.random._mt19937": {"MT19937"},
}
_OURS: Final = ("river.", "stream.")


class _Header(Struct, frozen=True):
    layout: int
    river: str
    python: str
    feature_schema: str


class _Body(Struct):
    header: _Header
    pickled: bytes


_BODY = msgspec.msgpack.Decoder(_Body)


def encode_checkpoint(state: object, key: bytes | None, feature_schema: str) -> bytes:
    """Seal the learner's state."""
    pickled = pickle.dumps(state, protocol=5)
    return seal(msgspec.msgpack.encode(_Body(_here(feature_schema), pickled)), key)


def decode_checkpoint(sealed: bytes, key: bytes | None, feature_schema: str) -> Any:
    """Open a checkpoint.

    Raises
    ------
    SnapshotError
        It is damaged, forged, of another version of River, Python or the features, or holds what no
        checkpoint of ours holds. Nothing of it was executed.
    """
    try:
        body = _BODY.decode(unseal(sealed, key, most_bytes=MOST_BYTES))
    except msgspec.DecodeError as error:
        raise SnapshotError(f"the checkpoint cannot be read: {error}") from error
    here = _here(feature_schema)
    for name in ("layout", "river", "python", "feature_schema"):
        theirs, ours = getattr(body.header, name), getattr(here, name)
        if theirs != ours:
            raise SnapshotError(
                f"the checkpoint was written with {name} {theirs}, here it is {ours}: learn from the labels"
                f" again, or go back to {theirs}"
            )
    try:
        return _Unpickler(io.BytesIO(body.pickled)).load()
    except (pickle.UnpicklingError, AttributeError, ImportError, EOFError, IndexError, TypeError) as error:
        raise SnapshotError(f"the checkpoint holds what no checkpoint of ours holds: {error}") from error


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if name in _ALLOWED.get(module, ()) or (module.startswith(_OURS) and "." not in name):
            found = super().find_class(module, name)
            # A module of ours also holds what it imports: only what it defines itself may be named.
            if not module.startswith(_OURS) or getattr(found, "__module__", "").startswith(_OURS):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")


def _here(feature_schema: str) -> _Header:
    python = ".".join(platform.python_version_tuple()[:2])
    return _Header(LAYOUT, river.__version__, python, feature_schema)
