"""Checkpoints: the learner's whole state, River objects included, for the learner alone.

A pickle inside a seal. The seal is verified first, then the versions; then an unpickler that makes only what
a checkpoint of ours holds takes the rest. What keeps forgers out is the signing key: the allow-list is a
second wall, for deployments without one. River promises no pickles across versions: a checkpoint of another
one is refused, and the learner learns from the labels again.
"""

import io
import pickle
import platform
from typing import Any, Final

import msgspec
import river
from msgspec import Struct

import stream
from stream.errors import SnapshotError
from stream.records import UNREADABLE
from stream.registry.seal import Key, seal, unseal

LAYOUT: Final = 14
"""To be raised whenever a class that the learner holds changes what it is made of."""
MOST_BYTES: Final = 512 * 1024 * 1024

_NAMED: Final = {
    "builtins": {"bool", "bytearray", "complex", "float", "frozenset", "int", "list", "set", "str", "tuple"},
    "collections": {"Counter", "OrderedDict", "defaultdict", "deque"},
    "datetime": {"date", "datetime", "timedelta", "timezone"},
    # River's confusion matrix is a defaultdict of partial(defaultdict, float).
    "functools": {"partial"},
    # How a Struct with keywords comes back: it calls the class, which must be allowed itself.
    "msgspec._utils": {"rebuild"},
    "numpy": {"dtype", "ndarray"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
    "random": {"Random"},
}
"""What may be named outside River and fraudstream. Whatever is here can be *called* by a forged pickle."""
_RIVER: Final = frozenset(
    {
        "_river_rust",
        "compose",
        "drift",
        "ensemble",
        "forest",
        "linear_model",
        "metrics",
        "naive_bayes",
        "optim",
        "preprocessing",
        "proba",
        "stats",
        "tree",
        "utils",
    }
)
"""River's packages whose classes may be made: those that learn. `datasets`, say, downloads."""
_OURS: Final = frozenset(
    {"drift", "evaluation", "features", "models", "pipeline", "records", "registry", "roles"}
)
"""Ours: those that do no I/O when an object is made."""


class _Header(Struct, frozen=True):
    layout: int
    river: str
    python: str
    feature_schema: str
    fraudstream: str
    """Told in errors, not compared: a new release that reads old checkpoints keeps the layout's number."""


class _Body(Struct, frozen=True):
    header: _Header
    pickled: bytes


_BODY = msgspec.msgpack.Decoder(_Body)


def encode_checkpoint(state: object, key: Key, feature_schema: str) -> bytes:
    """Seal the learner's state.

    Parameters
    ----------
    state
        Pickles; of the classes that :func:`decode_checkpoint` allows.
    key
        Signs it; None: it is only checksummed.
    feature_schema
        Of the features that the models learn from.
    """
    pickled = pickle.dumps(state, protocol=5)
    return seal(msgspec.msgpack.encode(_Body(_here(feature_schema), pickled)), key, "checkpoint")


def decode_checkpoint(sealed: bytes, key: Key, feature_schema: str) -> Any:
    """Open a checkpoint.

    Parameters
    ----------
    sealed, key, feature_schema
        As for :func:`encode_checkpoint`; all three must be those it was written with.

    Raises
    ------
    SnapshotError
        It is damaged, forged, of another version of River, Python or the features, or holds what no
        checkpoint of ours holds. Nothing outside the allow-list was called.
    """
    try:
        body = _BODY.decode(unseal(sealed, key, "checkpoint", most_bytes=MOST_BYTES))
    except UNREADABLE as error:
        raise SnapshotError(f"the checkpoint cannot be read: {error}") from error
    here = _here(feature_schema)
    for name in ("layout", "river", "python", "feature_schema"):
        theirs, ours = getattr(body.header, name), getattr(here, name)
        if theirs != ours:
            raise SnapshotError(
                f"the checkpoint was written by fraudstream {body.header.fraudstream} with {name} {theirs},"
                f" here it is {ours}: rebuild from the labels, or go back to {theirs}"
            )
    try:
        return _Unpickler(io.BytesIO(body.pickled)).load()
    except Exception as error:  # a pickle that does not fit its classes may raise anything at all
        raise SnapshotError(f"the checkpoint holds what no checkpoint of ours holds: {error}") from error


class _Unpickler(pickle.Unpickler):
    """Makes objects of the allowed classes, and of no others."""

    def find_class(self, module: str, name: str) -> Any:
        if name in _NAMED.get(module, ()):
            return super().find_class(module, name)
        package, _, rest = module.partition(".")
        allowed = {"river": _RIVER, "stream": _OURS}.get(package, frozenset())
        # Before anything is imported. A dotted name would reach through what a module imports.
        if rest.partition(".")[0] not in allowed or "." in name:
            raise pickle.UnpicklingError(f"{module}.{name} is not allowed")
        found = super().find_class(module, name)
        # A module also holds what it imports, and functions: only its own classes may be named.
        if not isinstance(found, type) or found.__module__ != module:
            raise pickle.UnpicklingError(f"{module}.{name} is not a class of that module")
        return found


def _here(feature_schema: str) -> _Header:
    python = ".".join(platform.python_version_tuple()[:2])
    return _Header(LAYOUT, river.__version__, python, feature_schema, stream.__version__)
