import os
import pickle
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream.errors import SnapshotError
from stream.pipeline.learning import Learner, LearningPolicy
from stream.registry import checkpoint as module
from stream.registry.checkpoint import decode_checkpoint, encode_checkpoint
from stream.registry.seal import seal, unseal

KEY = b"secret"


def sealed_pickle(pickled: bytes) -> bytes:
    """Put bytes where a checkpoint has its pickle, under a good seal."""
    body = msgspec.msgpack.decode(unseal(encode_checkpoint(None, KEY, "abc"), KEY, most_bytes=10**9))
    body["pickled"] = pickled
    return seal(msgspec.msgpack.encode(body), KEY)


def test_a_learner_comes_back_with_its_models() -> None:
    learner = Learner(LearningPolicy(champion="logistic", challengers=("forest", "tree")))
    again = decode_checkpoint(encode_checkpoint(learner, KEY, "abc"), KEY, "abc")
    assert isinstance(again, Learner)
    assert list(again.field.contenders) == ["logistic-1", "forest-1", "tree-1"]


def test_a_damaged_or_forged_checkpoint_is_refused() -> None:
    sealed = encode_checkpoint({"a": 1}, KEY, "abc")
    with pytest.raises(SnapshotError, match="signature"):
        decode_checkpoint(sealed[:-1] + b"x", KEY, "abc")
    with pytest.raises(SnapshotError):
        decode_checkpoint(sealed[: len(sealed) // 2], KEY, "abc")
    with pytest.raises(SnapshotError, match="signature"):
        decode_checkpoint(encode_checkpoint({"a": 1}, b"other", "abc"), KEY, "abc")


class Canary:
    """Would make a file when unpickled."""

    def __init__(self, call: Any, *arguments: Any) -> None:
        self.reduced = (call, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    canary = tmp_path / "sang"
    for attack in (
        Canary(os.system, f"touch {canary}"),
        Canary(eval, f"open({str(canary)!r}, 'w')"),
        Canary(open, str(canary), "w"),
        Canary(getattr, "x", "upper"),
    ):
        with pytest.raises(SnapshotError, match="not allowed"):
            decode_checkpoint(sealed_pickle(pickle.dumps(attack)), KEY, "abc")
    # What one of our modules imported is not ours to hand out.
    through_us = b"cstream.registry.checkpoint\npickle.loads\n."
    with pytest.raises(SnapshotError, match="not allowed"):
        decode_checkpoint(sealed_pickle(through_us), KEY, "abc")
    with pytest.raises(SnapshotError, match="not allowed"):
        decode_checkpoint(sealed_pickle(b"cstream.registry.checkpoint\nio\n."), KEY, "abc")
    assert not canary.exists()


def test_a_checkpoint_of_another_river_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    sealed = encode_checkpoint({}, None, "abc")
    monkeypatch.setattr(module.river, "__version__", "9.9.9")
    with pytest.raises(SnapshotError, match=r"river .*here it is 9\.9\.9: learn from the labels again"):
        decode_checkpoint(sealed, None, "abc")


def test_a_checkpoint_for_other_features_is_refused() -> None:
    with pytest.raises(SnapshotError, match="feature_schema"):
        decode_checkpoint(encode_checkpoint({}, None, "abc"), None, "def")
