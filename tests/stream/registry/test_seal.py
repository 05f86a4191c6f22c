"""Seals: whole, and from whom."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import SnapshotError
from stream.registry.seal import seal, unseal

KEYS = pytest.mark.parametrize("key", [None, b"secret"], ids=["checksum", "signature"])


@given(payload=st.binary(max_size=200), key=st.none() | st.binary(min_size=1, max_size=80))
def test_what_was_sealed_comes_out_again(payload: bytes, key: bytes | None) -> None:
    assert unseal(seal(payload, key), key, most_bytes=200) == payload


@KEYS
def test_no_single_byte_may_change_and_none_be_missing(key: bytes | None) -> None:
    sealed = seal(b"a model", key)
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(SnapshotError):
            unseal(bytes(changed), key, most_bytes=100)
        with pytest.raises(SnapshotError):
            unseal(sealed[:place], key, most_bytes=100)
    with pytest.raises(SnapshotError):
        unseal(sealed + b"!", key, most_bytes=100)


def test_another_key_does_not_open_it() -> None:
    with pytest.raises(SnapshotError, match="signature does not match"):
        unseal(seal(b"a model", b"secret"), b"other", most_bytes=100)


def test_a_signed_one_is_refused_where_no_key_is_set() -> None:
    with pytest.raises(SnapshotError, match="FRAUD_SIGNING_KEY is not set here"):
        unseal(seal(b"a model", b"secret"), None, most_bytes=100)


def test_an_unsigned_one_is_refused_where_a_key_is_set() -> None:
    with pytest.raises(SnapshotError, match="FRAUD_SIGNING_KEY is set"):
        unseal(seal(b"a model", None), b"secret", most_bytes=100)


def test_a_checksum_does_not_pass_for_a_signature() -> None:
    forged = bytearray(seal(b"a model", None))
    forged[4] = 1
    with pytest.raises(SnapshotError, match="signature does not match"):
        unseal(bytes(forged), b"secret", most_bytes=100)


@KEYS
def test_one_that_is_too_large_is_refused_unread(key: bytes | None) -> None:
    with pytest.raises(SnapshotError, match="more than the 100 that are allowed"):
        unseal(seal(bytes(101), key), key, most_bytes=100)


def test_the_layout_is_the_documented_one() -> None:
    sealed = seal(b"abc", None)
    assert sealed[:5] == b"FSS1\x00"
    assert sealed[5:37].hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sealed[37:] == b"abc"
