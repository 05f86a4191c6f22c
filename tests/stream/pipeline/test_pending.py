from typing import Any

import numpy as np
import pytest

from stream.errors import SnapshotError
from stream.pipeline.pending import LAYOUT, Pending, pack_pending, score_record, unpack_pending
from stream.records import Alert, Score

GOLDEN = bytes.fromhex(
    "9d01a56162636465c4080000803f00002040"
    "92aa6c6f6769737469632d31a8666f726573742d31"
    "92cb3fe8000000000000cb3fd0000000000000"
    "07cb3fe0000000000000cf0000018bcfe56800cb4045000000000000"
    "a26331a26d31cf0000018bcfe56864"
    "9194a6616d6f756e74cb4045000000000000cb3ff8000000000000a468696768"
)
PENDING = Pending(
    LAYOUT,
    "abcde",
    np.array([1.0, 2.5], dtype="<f4").tobytes(),
    ("logistic-1", "forest-1"),
    (0.75, 0.25),
    7,
    0.5,
    1_700_000_000_000,
    42.0,
    "c1",
    "m1",
    1_700_000_000_100,
    (("amount", 42.0, 1.5, "high"),),
)


def changed(**changes: Any) -> Pending:
    fields = {name: getattr(PENDING, name) for name in Pending.__struct_fields__}
    return Pending(**(fields | changes))


def test_the_stored_bytes_are_those_that_were_documented() -> None:
    assert pack_pending(PENDING) == GOLDEN
    assert unpack_pending(GOLDEN) == PENDING


def test_what_goes_out_says_everything_that_was_decided() -> None:
    alert = score_record("t1", PENDING)
    assert isinstance(alert, Alert)
    assert alert.decision == "alert"
    assert alert.features == (1.0, 2.5)
    assert (alert.score, alert.shadow) == (0.75, {"forest-1": 0.25})
    assert (alert.model_version, alert.snapshot) == ("logistic-1", 7)
    assert alert.reasons[0].text == "high"


def test_a_score_under_the_threshold_is_no_alert() -> None:
    record = score_record("t1", changed(scores=(0.49, 0.9)))
    assert type(record) is Score
    assert record.decision == "allow"


def test_another_layout_is_refused_with_what_to_do() -> None:
    newer = pack_pending(changed(layout=LAYOUT + 1))
    with pytest.raises(SnapshotError, match="layout 2, this version reads 1"):
        unpack_pending(newer)
    with pytest.raises(SnapshotError, match="damaged"):
        unpack_pending(b"\x93nonsense")
