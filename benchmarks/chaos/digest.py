"""A digest of an object's whole state: equal for equal bits, whatever shares an object with whom.

A pickle's bytes would not do. They also say which parts are the same object, and that changes when a
checkpoint is written and read.
"""

import hashlib
from collections.abc import Callable, Collection
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_PLAIN: Final = (type(None), bool, int, float, complex, str, bytes)


def digest(thing: object, leaving_out: Collection[str] = ()) -> str:
    """Return a digest in hexadecimal.

    Parameters
    ----------
    thing
        Pickles.
    leaving_out
        Attributes' names that do not count.

    Examples
    --------
    >>> shared = [1.0]
    >>> digest([shared, shared]) == digest([[1.0], [1.0]])
    True
    >>> digest(0.1 + 0.2) == digest(0.3)
    False
    >>> digest({"a", "b"}) == digest({"b", "a"})
    True
    """
    return _Digester(frozenset(leaving_out)).of(thing).hex()


class _Digester:
    def __init__(self, leaving_out: Collection[str]) -> None:
        self._leaving_out = leaving_out
        self._known: dict[int, tuple[object, bytes]] = {}
        """By identity; the objects are kept so that no other takes one's identity meanwhile."""

    def of(self, thing: Any) -> bytes:
        if isinstance(thing, _PLAIN) and type(thing) in _PLAIN:
            text = thing.hex() if isinstance(thing, float) else repr(thing)
            return _hash(type(thing).__name__.encode(), text.encode())
        known = self._known.get(id(thing))
        if known is not None:
            return known[1]
        # What refers back to itself finds this.
        self._known[id(thing)] = (thing, b"itself")
        made = self._made(thing)
        self._known[id(thing)] = (thing, made)
        return made

    def _made(self, thing: Any) -> bytes:  # noqa: PLR0911 - one for each kind of thing
        name = f"{type(thing).__module__}.{type(thing).__qualname__}".encode()
        match thing:
            case np.ndarray() if thing.dtype != object:
                array: NDArray[Any] = np.ascontiguousarray(thing)
                return _hash(name, repr((array.dtype.str, array.shape)).encode(), array.tobytes())
            case np.generic():
                return _hash(name, thing.dtype.str.encode(), thing.tobytes())
            case set() | frozenset():
                return _hash(name, *sorted(map(self.of, thing)))
            case type():
                return _hash(b"type", f"{thing.__module__}.{thing.__qualname__}".encode())
        if type(thing) in {list, tuple}:
            return _hash(name, *map(self.of, thing))
        if type(thing) is dict:
            kept = {key: value for key, value in thing.items() if key not in self._leaving_out}
            return _hash(name, *(self.of(part) for pair in kept.items() for part in pair))
        reduced = thing.__reduce_ex__(4)
        if isinstance(reduced, str):
            return _hash(name, reduced.encode())
        maker, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        return _hash(
            name,
            _named(maker),
            self.of(arguments),
            self.of(state),
            self.of(list(items or ())),
            self.of([part for pair in pairs or () for part in pair]),
        )


def _named(maker: Callable[..., Any]) -> bytes:
    return f"{getattr(maker, '__module__', '')}.{getattr(maker, '__qualname__', repr(maker))}".encode()


def _hash(*parts: bytes) -> bytes:
    whole = hashlib.blake2b(digest_size=16)
    for part in parts:
        whole.update(len(part).to_bytes(8, "little"))
        whole.update(part)
    return whole.digest()
