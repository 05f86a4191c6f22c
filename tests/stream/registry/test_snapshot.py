import numpy as np
import pytest

from stream.errors import SnapshotError
from stream.models.compiled import Constant, Linear
from stream.registry.seal import seal, unseal
from stream.registry.snapshot import (
    Member,
    Roster,
    SnapshotInfo,
    decode_roster,
    decode_snapshot,
    encode_roster,
    encode_snapshot,
)

KEY = b"secret"
INFO = SnapshotInfo(
    model_version="logistic-1",
    snapshot=4,
    recipe="logistic",
    parents=(),
    feature_schema="abc",
    features=2,
    label_offset=99,
    river_version="0.26.1",
    metrics={"learned": 100.0},
)
MODEL = Linear(np.array([1.0, 2.0]), np.array([0.5, 0.1]), np.array([3.0, -1.0]), -4.0)
ROSTER = Roster(
    roster=3,
    champion="logistic-1",
    members=(Member(version="logistic-1", recipe="logistic", snapshot=4, key="logistic-1.4.1"),),
)


@pytest.mark.parametrize("key", [None, KEY])
def test_a_snapshot_comes_back_as_it_was(key: bytes | None) -> None:
    info, model = decode_snapshot(encode_snapshot(INFO, MODEL, key), key, "abc")
    assert info == INFO
    x = np.array([[0.3, 9.0]])
    assert model.predict(x).tolist() == MODEL.predict(x).tolist()


@pytest.mark.parametrize("key", [None, KEY])
def test_a_damaged_snapshot_is_refused_wherever_the_damage_is(key: bytes | None) -> None:
    sealed = encode_snapshot(INFO, MODEL, key)
    for place in range(0, len(sealed), 7):
        damaged = bytearray(sealed)
        damaged[place] ^= 1
        with pytest.raises(SnapshotError):
            decode_snapshot(bytes(damaged), key, "abc")
    for length in (0, 3, 40, len(sealed) - 1):
        with pytest.raises(SnapshotError):
            decode_snapshot(sealed[:length], key, "abc")


def test_another_key_no_key_and_a_key_too_many_are_refused() -> None:
    signed, unsigned = encode_snapshot(INFO, MODEL, KEY), encode_snapshot(INFO, MODEL, None)
    with pytest.raises(SnapshotError, match="signature does not match"):
        decode_snapshot(signed, b"other", "abc")
    with pytest.raises(SnapshotError, match="FRAUD_SIGNING_KEY is not set here"):
        decode_snapshot(signed, None, "abc")
    with pytest.raises(SnapshotError, match="is not signed"):
        decode_snapshot(unsigned, KEY, "abc")


def test_a_snapshot_for_other_features_is_refused() -> None:
    with pytest.raises(SnapshotError, match="same version"):
        decode_snapshot(encode_snapshot(INFO, MODEL, None), None, "def")


def test_what_is_too_large_is_refused_unread() -> None:
    with pytest.raises(SnapshotError, match="more than the 10"):
        unseal(seal(b"x" * 11, None), None, most_bytes=10)


def test_a_roster_comes_back_as_it_was() -> None:
    assert decode_roster(encode_roster(ROSTER, KEY), KEY) == ROSTER


def test_a_roster_without_its_champion_is_refused() -> None:
    stray = Roster(roster=1, champion="forest-1", members=ROSTER.members)
    with pytest.raises(SnapshotError, match="none of its members"):
        decode_roster(encode_roster(stray, None), None)


def test_a_constant_model_fits_into_a_snapshot_too() -> None:
    _, model = decode_snapshot(encode_snapshot(INFO, Constant(0.25), None), None, "abc")
    assert model.predict(np.zeros((1, 2))).tolist() == [0.25]
