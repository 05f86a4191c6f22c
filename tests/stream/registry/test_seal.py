"""Seals: whole, and from whom."""

import hashlib
from itertools import permutations
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import SnapshotError
from stream.registry.seal import Keyring, Purpose, key_id, seal, unseal

KEYS = pytest.mark.parametrize("key", [None, b"secret"], ids=["checksum", "signature"])


@given(payload=st.binary(max_size=200), key=st.none() | st.binary(min_size=1, max_size=80))
def test_what_was_sealed_comes_out_again(payload: bytes, key: bytes | None) -> None:
    assert unseal(seal(payload, key, "snapshot"), key, "snapshot", most_bytes=200) == payload


@KEYS
def test_no_single_byte_may_change_and_none_be_missing(key: bytes | None) -> None:
    sealed = seal(b"a model", key, "snapshot")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(SnapshotError):
            unseal(bytes(changed), key, "snapshot", most_bytes=100)
        with pytest.raises(SnapshotError):
            unseal(sealed[:place], key, "snapshot", most_bytes=100)
    with pytest.raises(SnapshotError):
        unseal(sealed + b"!", key, "snapshot", most_bytes=100)


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(SnapshotError, match="signature is of the key a71951b4d1bf24d4"):
        unseal(seal(b"a model", b"secret", "snapshot"), b"other", "snapshot", most_bytes=100)


def test_a_signed_one_is_refused_where_no_key_is_set() -> None:
    with pytest.raises(SnapshotError, match="FRAUD_SIGNING_KEY is not set here"):
        unseal(seal(b"a model", b"secret", "snapshot"), None, "snapshot", most_bytes=100)


def test_an_unsigned_one_is_refused_where_a_key_is_set() -> None:
    with pytest.raises(SnapshotError, match="FRAUD_SIGNING_KEY is set"):
        unseal(seal(b"a model", None, "snapshot"), b"secret", "snapshot", most_bytes=100)


def test_a_checksum_does_not_pass_for_a_signature() -> None:
    forged = bytearray(seal(b"a model", None, "snapshot"))
    forged[4:13] = b"\x01" + key_id(b"secret")
    with pytest.raises(SnapshotError, match="signature does not match"):
        unseal(bytes(forged), b"secret", "snapshot", most_bytes=100)


@KEYS
def test_one_that_is_too_large_is_refused_unread(key: bytes | None) -> None:
    with pytest.raises(SnapshotError, match="more than the 100 that are allowed"):
        unseal(seal(bytes(101), key, "snapshot"), key, "snapshot", most_bytes=100)


def test_the_layout_is_the_documented_one() -> None:
    sealed = seal(b"abc", None, "snapshot")
    assert sealed[:13] == b"FSS2\x00" + bytes(8)
    assert sealed[13:45] == hashlib.sha256(b"FSS2\x00" + bytes(8) + b"snapshot\0abc").digest()
    assert sealed[45:] == b"abc"


def test_keys_change_without_a_moment_in_which_one_is_refused() -> None:
    old, new = b"the old key of theirs", b"the new key of theirs"
    of = {key: seal(b"a model", key, "roster") for key in (old, new)}

    def opens(sealed: bytes, ring: Keyring) -> bool:
        try:
            return unseal(sealed, ring, "roster", most_bytes=100) == b"a model"
        except SnapshotError:
            return False

    steps = (Keyring(old), Keyring(old, (new,)), Keyring(new, (old,)), Keyring(new))
    assert [opens(of[old], ring) for ring in steps] == [True, True, True, False]
    assert [opens(of[new], ring) for ring in steps] == [False, True, True, True]
    assert [seal(b"a model", ring, "roster") for ring in steps] == [of[old], of[old], of[new], of[new]]
    assert "theirs" not in repr(steps)


@KEYS
def test_what_is_sealed_for_one_purpose_is_refused_for_another(key: bytes | None) -> None:
    for meant, used in permutations(get_args(Purpose), 2):
        with pytest.raises(SnapshotError, match=f"made for no {used}"):
            unseal(seal(b"a model", key, meant), key, used, most_bytes=100)
