"""A seal: says that bytes are whole, what they are for, and who wrote them.

Layout: 4 bytes of magic, 1 byte of kind (0 checksum only, 1 signed), 8 bytes that name the signing key (zeros
when there is none), 32 bytes of digest, the payload. The digest is SHA-256 of what is before it, the purpose
and the payload, or their HMAC-SHA256 with the signing key.
"""

import hashlib
import hmac
from typing import Final, Literal, NamedTuple

from stream.errors import SnapshotError

Purpose = Literal["roster", "snapshot", "checkpoint", "order"]
"""What sealed bytes are for: signed with them, so that none can be put in another's place."""

_MAGIC: Final = b"FSS2"
_EARLIER: Final = b"FSS1"
_CHECKED: Final = b"\x00"
_SIGNED: Final = b"\x01"
_ID_BYTES: Final = 8
_BEFORE_DIGEST: Final = len(_MAGIC) + 1 + _ID_BYTES
SEAL_BYTES: Final = _BEFORE_DIGEST + 32


class Keyring(NamedTuple):
    """The key that signs, and those whose signatures are accepted besides: the one before, or the next."""

    signing: bytes
    accepted: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        names = ", ".join(key_id(key).hex() for key in (self.signing, *self.accepted))
        return f"Keyring({names})"


Key = Keyring | bytes | None
"""A ring of keys, a single key, or none where nothing is signed."""


def key_id(key: bytes) -> bytes:
    """Return the 8 bytes by which a seal names its key.

    Examples
    --------
    >>> key_id(b"secret").hex()
    'a71951b4d1bf24d4'
    """
    return hmac.digest(key, b"fraudstream key id", "sha256")[:_ID_BYTES]


def seal(payload: bytes, key: Key, purpose: Purpose) -> bytes:
    """Put a digest before `payload`: signed with `key`, or a mere checksum when there is none."""
    signing = key.signing if isinstance(key, Keyring) else key
    head = _MAGIC + (_CHECKED + bytes(_ID_BYTES) if signing is None else _SIGNED + key_id(signing))
    return b"".join((head, _digest(head, purpose, payload, signing), payload))


def unseal(sealed: bytes, key: Key, purpose: Purpose, *, most_bytes: int) -> bytes:
    """Return the payload, if it is whole, for this purpose, and sealed with an accepted key.

    Parameters
    ----------
    sealed
        What :func:`seal` returned.
    key
        The keys, or None where nothing is signed: then signed bytes are refused too, since a reader
        without the key cannot tell whose they are.
    purpose
        What they are to be for.
    most_bytes
        Larger ones are refused unread.

    Raises
    ------
    SnapshotError
        Too large, cut short, altered, for another purpose, or sealed with no key that is accepted.

    Examples
    --------
    >>> unseal(seal(b"model", b"secret", "snapshot"), b"secret", "snapshot", most_bytes=100)
    b'model'
    >>> old, new = b"a" * 16, b"b" * 16
    >>> unseal(seal(b"model", old, "snapshot"), Keyring(new, (old,)), "snapshot", most_bytes=100)
    b'model'
    >>> unseal(seal(b"model", None, "snapshot"), b"secret", "snapshot", most_bytes=100)
    Traceback (most recent call last):
    stream.errors.SnapshotError: it is not signed, but FRAUD_SIGNING_KEY is set: its writer lacks the key
    """
    if len(sealed) > most_bytes + SEAL_BYTES:
        raise SnapshotError(f"it has {len(sealed)} bytes, more than the {most_bytes} that are allowed")
    if sealed.startswith(_EARLIER):
        raise SnapshotError("an earlier version sealed it, which did not say what for: it is made anew")
    if len(sealed) < SEAL_BYTES or not sealed.startswith(_MAGIC):
        raise SnapshotError("it does not begin like one of ours: cut short, or something else")
    head, digest, payload = sealed[:_BEFORE_DIGEST], sealed[_BEFORE_DIGEST:SEAL_BYTES], sealed[SEAL_BYTES:]
    kind = head[len(_MAGIC) : len(_MAGIC) + 1]
    if key is None:
        if kind != _CHECKED:
            raise SnapshotError("it is signed, and FRAUD_SIGNING_KEY is not set here: set the writer's key")
        if not hmac.compare_digest(digest, _digest(head, purpose, payload, None)):
            raise SnapshotError(f"its checksum does not match: damaged, cut short, or made for no {purpose}")
        return payload
    if kind != _SIGNED:
        raise SnapshotError("it is not signed, but FRAUD_SIGNING_KEY is set: its writer lacks the key")
    ring = key if isinstance(key, Keyring) else Keyring(key)
    named = head[-_ID_BYTES:]
    known = next((one for one in (ring.signing, *ring.accepted) if key_id(one) == named), None)
    if known is None:
        raise SnapshotError(
            f"its signature is of the key {named.hex()}, which is not accepted here: set its writer's"
            " FRAUD_SIGNING_KEY, or name that in FRAUD_SIGNING_KEYS_ACCEPTED"
        )
    if not hmac.compare_digest(digest, _digest(head, purpose, payload, known)):
        raise SnapshotError(f"its signature does not match: altered, cut short, or made for no {purpose}")
    return payload


def _digest(head: bytes, purpose: Purpose, payload: bytes, key: bytes | None) -> bytes:
    # The payload apart: a checkpoint may have hundreds of megabytes, which need not be copied.
    described = head + purpose.encode() + b"\x00"
    made = hashlib.sha256(described) if key is None else hmac.new(key, described, "sha256")
    made.update(payload)
    return made.digest()
