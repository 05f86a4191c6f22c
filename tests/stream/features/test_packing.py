import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import SnapshotError
from stream.features.packing import Packing, put, take

pytestmark = pytest.mark.usefixtures("both_ways")

PAIR = np.dtype([("large", "<i8"), ("small", "<u2", 3), ("unused", "u1", 2)])
PACKING = Packing("pair", PAIR, layout=7)

contents = st.binary(min_size=16, max_size=16) | st.sampled_from([bytes(16), b"\xff" * 16, b"\0\1" * 8])


def test_a_row_is_read_as_the_page_says() -> None:
    page = (Path(__file__).parents[3] / "docs" / "redis-format.md").read_text()
    found = re.search(r"```python\n(.*?)```", page, re.DOTALL)
    assert found
    rows = np.frombuffer(bytes(range(16)) + b"\xff" * 8 + bytes(8), PAIR)
    for row, raw in zip(rows, PACKING.pack(rows), strict=True):
        names = {"np": np, "STATE": PAIR, "raw": raw}
        exec(found[1], names)  # noqa: S102 - it is ours
        assert names["row"] == row


def by_hand(raw: bytes) -> bytes:
    """Pack a pair as ``docs/redis-format.md`` has it."""
    ordered = raw[:8] + raw[8:14:2] + raw[9:14:2] + raw[14:]
    marks = mark(ordered)
    return b"\7" + mark(marks) + (marks + ordered).replace(b"\0", b"")


def mark(these: bytes) -> bytes:
    bits = "".join("1" if one else "0" for one in these)
    return bytes(int(bits[start : start + 8].ljust(8, "0"), 2) for start in range(0, len(bits), 8))


@given(st.lists(contents, max_size=12))
def test_what_was_packed_is_unpacked_to_the_bit(raw: list[bytes]) -> None:
    rows = np.frombuffer(b"".join(raw), PAIR)
    packed = PACKING.pack(rows)
    assert packed == [by_hand(one) for one in raw]
    assert PACKING.unpack(packed).tobytes() == rows.tobytes()
    assert [PACKING.unpack([one]).tobytes() for one in packed] == raw


@given(st.lists(st.binary(max_size=24), max_size=4))
def test_whatever_is_unpacked_is_refused_or_packs_to_the_same_bytes(packed: list[bytes]) -> None:
    try:
        rows = PACKING.unpack(packed)
    except SnapshotError:
        return
    assert PACKING.pack(rows) == packed


@pytest.mark.parametrize(
    ("packed", "detail"),
    [
        (b"", "too short"),
        (b"\x07", "too short"),
        (b"\x06\x00", "of another layout"),
        (b"\x07\x80", "not whole"),
        (b"\x07\x20\x80\x01", "not whole"),
        (b"\x07\x80\x80", "not whole"),
        (b"\x07\x80\x80\x01\x01", "not whole"),
        (b"\x07\x80\x00", "not as it is packed"),
        (b"\x07\x80\x80\x00", "not as it is packed"),
    ],
)
def test_what_is_damaged_is_refused_beside_what_is_not(packed: bytes, detail: str) -> None:
    with pytest.raises(SnapshotError, match=rf"a stored pair is damaged \({detail}\): delete its key"):
        PACKING.unpack([b"\x07\x00", packed])


def test_rows_are_taken_and_put_back_whole() -> None:
    rows = np.array([(n, (n, n, n), (0, 0)) for n in range(5)], PAIR)
    some = take(rows, [3, 1])
    assert some["large"].tolist() == [3, 1]
    some["small"] += 10
    assert rows["small"][3].tolist() == [3, 3, 3]
    put(rows, [3, 1], some)
    assert rows["small"][:, 0].tolist() == [0, 11, 2, 13, 4]
