"""Checkpoints: the learner's memory, and nobody else's programs."""

import builtins
import collections
import functools
import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import river
from river import datasets

from stream.errors import SnapshotError
from stream.models.online import OnlineModel
from stream.models.recipes import RECIPES
from stream.pipeline.learning import Learner, LearningPolicy
from stream.records import Label
from stream.registry import checkpoint
from stream.registry.checkpoint import MOST_BYTES, decode_checkpoint, encode_checkpoint
from stream.registry.seal import seal, unseal

NAMES = ("amount", "ratio")
SCHEMA = "abcd1234"


def teach(model: OnlineModel, start: int, end: int) -> None:
    for number in range(start, end):
        rng = np.random.default_rng(number)
        y = bool(rng.random() < 0.3)
        model.learn_one(str(number), {"amount": rng.lognormal(3 + y), "ratio": rng.normal(1 + y)}, y)


def again(state: object, key: bytes | None = None) -> Any:
    return decode_checkpoint(encode_checkpoint(state, key, SCHEMA), key, SCHEMA)


@pytest.mark.parametrize("name", RECIPES)
def test_a_model_goes_on_from_its_checkpoint_to_the_same_bits(name: str) -> None:
    straight = RECIPES[name].build(1, NAMES)
    teach(straight, 0, 1_500)
    unsigned, signed = again(straight), again(straight, b"secret")
    for model in (straight, unsigned, signed):
        teach(model, 1_500, 2_500)
    x = np.random.default_rng(2).lognormal(1, 1, (200, 2))
    for resumed in (unsigned, signed):
        assert resumed.compile().predict(x).tobytes() == straight.compile().predict(x).tobytes()
        assert (resumed.labels, resumed.learned) == (straight.labels, straight.learned)


def test_the_whole_learner_fits_into_a_checkpoint() -> None:
    learner = Learner(LearningPolicy(champion="logistic", challengers=("forest", "tree")))
    back = again(learner)
    assert list(back.field.contenders) == list(learner.field.contenders)
    assert back.policy == learner.policy


def test_plain_state_comes_back_as_it_was() -> None:
    state = {
        "array": np.arange(6.0).reshape(2, 3),
        "scalar": np.float64(0.1),
        "deque": collections.deque([1, 2], maxlen=5),
        "counts": collections.Counter("abc"),
        "set": {True, None},
        "bytes": bytearray(b"x"),
        "record": Label(transaction_id="t1", is_fraud=True, source="analyst", label_time=5),
        "nested": collections.defaultdict(functools.partial(collections.defaultdict, float)),
    }
    back = again(state)
    assert back.pop("array").tolist() == state.pop("array").tolist()  # type: ignore[attr-defined]
    assert {name: (type(value), value) for name, value in back.items() if name != "nested"} == {
        name: (type(value), value) for name, value in state.items() if name != "nested"
    }
    assert back["nested"]["a"]["b"] == 0.0


class Calls:
    """Pickles as the call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


def _attacks(canary: str) -> dict[str, object]:
    shell = f"touch {canary}"
    return {
        "os.system": Calls(os.system, shell),
        "builtins.eval": Calls(builtins.eval, f"open({canary!r}, 'w')"),
        "builtins.exec": Calls(builtins.exec, f"open({canary!r}, 'w')"),
        "builtins.open": Calls(builtins.open, canary, "w"),
        "builtins.getattr": Calls(builtins.getattr, "", "join"),
        "subprocess.Popen": Calls(subprocess.Popen, ["touch", canary]),
        "hidden in a partial": functools.partial(os.system, shell),
        "hidden in a list": [1, {"a": (Calls(os.system, shell),)}],
        "a river that downloads": datasets.CreditCard(),
    }


@pytest.mark.parametrize("attack", _attacks(""))
def test_a_pickle_that_calls_anything_else_is_refused_and_not_executed(attack: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    sealed = encode_checkpoint(_attacks(str(canary))[attack], None, SCHEMA)
    with pytest.raises(SnapshotError, match=r"holds what no checkpoint of ours holds: .* is not allowed"):
        decode_checkpoint(sealed, None, SCHEMA)
    assert not canary.exists()


def test_the_canary_would_sing(tmp_path: Path) -> None:
    """Without the guard the attack above works: else it would prove nothing."""
    canary = tmp_path / "canary"
    pickle.loads(pickle.dumps(_attacks(str(canary))["os.system"]))  # noqa: S301 (it is the point)
    assert canary.exists()


def _global(module: str, name: str) -> bytes:
    """Return a pickle that only names something: also what no real object would be pickled as."""

    def text(value: str) -> bytes:
        return b"\x8c" + bytes([len(value)]) + value.encode()

    return b"\x80\x05" + text(module) + text(name) + b"\x93."


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("river.utils.math", "math"),
        ("river.stats.var", "copy.deepcopy"),
        ("river.stats.var", "np"),
        ("river.datasets.base", "RemoteDataset"),
        ("river.utils.norm", "normalize_values_in_dict"),
        ("river.metrics.confusion", "functools"),
        ("stream.registry.checkpoint", "pickle.loads"),
        ("stream.registry.checkpoint", "decode_checkpoint"),
        ("stream.registry.checkpoint", "Struct"),
        ("stream.adapters.redis_store", "RedisStore"),
        ("stream.models.trees", "deque"),
        ("streamer.evil", "Class"),
        ("river", "datasets"),
        ("stream.embedded.leash", "Leashed"),
        ("stream.demo.child", "Child"),
        ("builtins", "type"),
        ("builtins", "map"),
        ("functools", "reduce"),
        ("numpy", "load"),
        ("numpy", "fromfile"),
        ("collections", "namedtuple"),
        ("posix", "system"),
        ("__main__", "anything"),
    ],
)
def test_only_classes_that_a_learner_is_made_of_can_be_named(module: str, name: str) -> None:
    with pytest.raises(SnapshotError, match=r"not allowed|not a class of that module"):
        decode_checkpoint(_sealed({}, pickled=_global(module, name)), None, SCHEMA)


def test_a_forbidden_module_is_not_even_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "booby_trap.py").write_text(f"open({str(canary)!r}, 'w')\nclass Trap: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SnapshotError, match=r"booby_trap\.Trap is not allowed"):
        decode_checkpoint(_sealed({}, pickled=_global("booby_trap", "Trap")), None, SCHEMA)
    assert not canary.exists()


def _sealed(header: dict[str, Any], pickled: bytes | None = None, key: bytes | None = None) -> bytes:
    """Return a checkpoint of our own with another header or another pickle, under a good seal."""
    body = msgspec.msgpack.decode(
        unseal(encode_checkpoint({"a": 1}, None, SCHEMA), None, "checkpoint", most_bytes=MOST_BYTES)
    )
    body["header"] |= header
    if pickled is not None:
        body["pickled"] = pickled
    return seal(msgspec.msgpack.encode(body), key, "checkpoint")


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ({"river": "0.21.0"}, f"with river 0.21.0, here it is {river.__version__}: rebuild from the labels"),
        ({"python": "3.9"}, "with python 3.9, here it is"),
        ({"layout": 99}, "with layout 99, here it is"),
        ({"feature_schema": "ffff"}, "with feature_schema ffff, here it is abcd1234"),
    ],
)
def test_another_version_is_refused_with_what_to_do(header: dict[str, Any], says: str) -> None:
    with pytest.raises(SnapshotError) as refusal:
        decode_checkpoint(_sealed(header, pickled=_global("os", "system")), None, SCHEMA)
    assert says in str(refusal.value), "the versions are looked at before the pickle"


def test_a_release_of_ours_that_keeps_the_layout_reads_older_checkpoints() -> None:
    assert decode_checkpoint(_sealed({"fraudstream": "0.0.9"}), None, SCHEMA) == {"a": 1}


def test_the_seal_is_looked_at_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        pytest.fail("the pickle was looked at")

    monkeypatch.setattr(checkpoint, "_Unpickler", never)
    good = encode_checkpoint({"a": 1}, b"secret", SCHEMA)
    for sealed, key in ((good, b"other"), (good, None), (good[:-1], b"secret"), (_sealed({}), b"secret")):
        with pytest.raises(SnapshotError):
            decode_checkpoint(sealed, key, SCHEMA)


def test_a_damaged_pickle_is_one_clear_error() -> None:
    whole = pickle.dumps([{"a": np.arange(3)}, OnlineModel], protocol=5)
    for end in range(len(whole)):
        with pytest.raises(SnapshotError):
            decode_checkpoint(_sealed({}, pickled=whole[:end]), None, SCHEMA)
    with pytest.raises(SnapshotError, match="the checkpoint cannot be read"):
        decode_checkpoint(seal(b"\x80", None, "checkpoint"), None, SCHEMA)
