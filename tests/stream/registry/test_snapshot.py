"""Snapshots and rosters, on their way from the learner to the scorers."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from stream.errors import SnapshotError
from stream.models.compiled import CompiledModel
from stream.models.recipes import RECIPES
from stream.registry.seal import seal, unseal
from stream.registry.snapshot import (
    MOST_BYTES,
    Member,
    Roster,
    SnapshotInfo,
    decode_roster,
    decode_snapshot,
    encode_roster,
    encode_snapshot,
    model_version,
)

NAMES = ("amount", "ratio")
SCHEMA = "abcd1234"
INFO = SnapshotInfo(
    model_version="forest-2",
    snapshot=17,
    recipe="forest",
    parents=("forest-1",),
    feature_schema=SCHEMA,
    features=len(NAMES),
    label_offset=4711,
    river_version="0.26.1",
    metrics={"average_precision": 0.75},
    parameters={"trees": 10},
)
ROSTER = Roster(
    roster=3,
    champion="forest-2",
    members=(
        Member(version="forest-2", recipe="forest", snapshot=17, key="forest-2.17", digest=bytes(32)),
        Member(version="logistic-1", recipe="logistic", snapshot=40, key="logistic-1.40", digest=bytes(32)),
    ),
)

keys = pytest.mark.parametrize("key", [None, b"secret"], ids=["unsigned", "signed"])


def taught(name: str, count: int = 2_000) -> CompiledModel:
    rng = np.random.default_rng(1)
    model = RECIPES[name].build(1, NAMES)
    for number in range(count):
        y = bool(rng.random() < 0.3)
        model.learn_one(str(number), {"amount": rng.lognormal(3 + y), "ratio": rng.normal(1 + y)}, y)
    return model.compile()


@keys
@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("count", [0, 2_000])
def test_a_model_arrives_as_it_left_to_the_last_bit(name: str, count: int, key: bytes | None) -> None:
    model = taught(name, count)
    x = np.random.default_rng(2).lognormal(1, 1, (200, 2))
    info, arrived = decode_snapshot(encode_snapshot(INFO, model, key), key, SCHEMA)
    assert info == INFO
    assert arrived.kind == model.kind
    assert arrived.predict(x).tobytes() == model.predict(x).tobytes()
    assert arrived.contributions(x).tobytes() == model.contributions(x).tobytes()


def test_the_same_model_makes_the_same_bytes() -> None:
    assert encode_snapshot(INFO, taught("forest"), None) == encode_snapshot(INFO, taught("forest"), None)


def test_a_model_of_other_features_is_refused() -> None:
    sealed = encode_snapshot(INFO, taught("logistic"), None)
    with pytest.raises(SnapshotError, match="made for the features abcd1234, here they are ffff0000"):
        decode_snapshot(sealed, None, "ffff0000")


def test_a_model_of_fewer_columns_than_it_says_is_refused() -> None:
    info = msgspec.structs.replace(INFO, features=3)
    with pytest.raises(SnapshotError, match="mean is of type float64 and shape"):
        decode_snapshot(encode_snapshot(info, taught("logistic"), None), None, SCHEMA)


def test_a_signed_snapshot_needs_its_key() -> None:
    sealed = encode_snapshot(INFO, taught("logistic"), b"secret")
    for key in (None, b"other"):
        with pytest.raises(SnapshotError):
            decode_snapshot(sealed, key, SCHEMA)


def _body(change: Callable[[dict[str, Any]], Any]) -> bytes:
    """Return a snapshot with something changed under a good seal."""
    body = msgspec.msgpack.decode(
        unseal(encode_snapshot(INFO, taught("forest"), None), None, "snapshot", most_bytes=MOST_BYTES)
    )
    change(body)
    return seal(msgspec.msgpack.encode(body), None, "snapshot")


DAMAGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a layout of tomorrow": (lambda body: body.update(layout=99), "has layout 99, this version reads"),
    "a kind of tomorrow": (lambda body: body.update(kind="quantum"), "'quantum' are unknown"),
    "no info": (lambda body: body.pop("info"), "missing required field `info`"),
    "objects in an array": (lambda body: body["arrays"]["0.share"].__setitem__(0, "|O"), "has the type |O"),
    "numbers of the other end": (lambda body: body["arrays"]["0.share"].__setitem__(0, ">f8"), "type >f8"),
    "fewer bytes than the shape": (
        lambda body: body["arrays"]["0.share"].__setitem__(2, b""),
        "has 0 bytes, which is not its shape",
    ),
    "a shape past all memory": (
        lambda body: body["arrays"]["0.share"].__setitem__(1, [2**62, 2**62]),
        "which is not its shape",
    ),
    "a negative shape": (
        lambda body: body["arrays"]["0.share"].__setitem__(1, [-1, -1]),
        "which is not its shape",
    ),
}


@pytest.mark.parametrize(("change", "says"), DAMAGES.values(), ids=list(DAMAGES))
def test_what_does_not_fit_is_refused_under_a_good_seal_too(
    change: Callable[[dict[str, Any]], Any], says: str
) -> None:
    with pytest.raises(SnapshotError) as refusal:
        decode_snapshot(_body(change), None, SCHEMA)
    assert says in str(refusal.value)


def test_anything_else_under_a_good_seal_is_refused() -> None:
    for payload in (b"", b"\xc1", b"\x80", msgspec.msgpack.encode(ROSTER)):
        with pytest.raises(SnapshotError, match="a snapshot cannot be read"):
            decode_snapshot(seal(payload, None, "snapshot"), None, SCHEMA)


@keys
def test_a_roster_arrives_as_it_left(key: bytes | None) -> None:
    assert decode_roster(encode_roster(ROSTER, key), key) == ROSTER


def test_a_forged_roster_is_refused() -> None:
    with pytest.raises(SnapshotError, match="not signed"):
        decode_roster(encode_roster(ROSTER, None), b"secret")


def test_a_roster_without_its_champion_is_refused() -> None:
    orphan = msgspec.structs.replace(ROSTER, champion="forest-9")
    with pytest.raises(SnapshotError, match="champion forest-9 is none of its members"):
        decode_roster(encode_roster(orphan, None), None)


def test_a_roster_of_another_layout_is_refused() -> None:
    with pytest.raises(SnapshotError, match="layout 99"):
        decode_roster(encode_roster(msgspec.structs.replace(ROSTER, layout=99), None), None)


def test_a_snapshot_is_no_roster() -> None:
    with pytest.raises(SnapshotError, match="made for no roster"):
        decode_roster(encode_snapshot(INFO, taught("logistic"), None), None)


def test_versions_are_named_after_recipe_and_generation() -> None:
    assert model_version("logistic", 1) == "logistic-1"
