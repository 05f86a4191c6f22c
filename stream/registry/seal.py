"""A seal: says that bytes are whole, and who wrote them.

Layout: 4 bytes of magic, 1 byte of kind (0 checksum only, 1 signed), 32 bytes of digest, the payload. The
digest is SHA-256 of the payload, or HMAC-SHA256 with the signing key.
"""

import hashlib
import hmac
from typing import Final

from stream.errors import SnapshotError

_MAGIC: Final = b"FSS1"
_CHECKED: Final = b"\x00"
_SIGNED: Final = b"\x01"
_HEAD: Final = len(_MAGIC) + 1 + 32


def seal(payload: bytes, key: bytes | None) -> bytes:
    """Put a digest before `payload`: signed with `key`, or a mere checksum when there is none."""
    if key is None:
        return b"".join((_MAGIC, _CHECKED, hashlib.sha256(payload).digest(), payload))
    return b"".join((_MAGIC, _SIGNED, hmac.digest(key, payload, "sha256"), payload))


def unseal(sealed: bytes, key: bytes | None, *, most_bytes: int) -> bytes:
    """Return the payload, if it is whole and was sealed with this key.

    Parameters
    ----------
    sealed
        What :func:`seal` returned.
    key
        The signing key, or None where nothing is signed: then signed bytes are refused too, since a reader
        without the key cannot tell whose they are.
    most_bytes
        Larger ones are refused unread.

    Raises
    ------
    SnapshotError
        Too large, cut short, altered, or sealed with another key or none.

    Examples
    --------
    >>> unseal(seal(b"model", b"secret"), b"secret", most_bytes=100)
    b'model'
    >>> unseal(seal(b"model", None), b"secret", most_bytes=100)
    Traceback (most recent call last):
    stream.errors.SnapshotError: it is not signed, but FRAUD_SIGNING_KEY is set: its writer lacks the key
    """
    if len(sealed) > most_bytes + _HEAD:
        raise SnapshotError(f"it has {len(sealed)} bytes, more than the {most_bytes} that are allowed")
    if len(sealed) < _HEAD or not sealed.startswith(_MAGIC):
        raise SnapshotError("it does not begin like one of ours: cut short, or something else")
    kind, digest, payload = sealed[4:5], sealed[5:_HEAD], sealed[_HEAD:]
    if key is None:
        if kind != _CHECKED:
            raise SnapshotError("it is signed, and FRAUD_SIGNING_KEY is not set here: set the writer's key")
        if not hmac.compare_digest(digest, hashlib.sha256(payload).digest()):
            raise SnapshotError("its checksum does not match: it was cut short or damaged")
        return payload
    if kind != _SIGNED:
        raise SnapshotError("it is not signed, but FRAUD_SIGNING_KEY is set: its writer lacks the key")
    if not hmac.compare_digest(digest, hmac.digest(key, payload, "sha256")):
        raise SnapshotError("its signature does not match: it was altered, or signed with another key")
    return payload
