"""Packed arguments are what hiredis packs, whether the kernel makes them or its twin."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import hiredis
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stream.adapters.redis_wire import command, gathered, pairs, plain, prefixed

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
VALUES = st.binary(max_size=300)
EXAMPLES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


pytestmark = pytest.mark.usefixtures("both_ways")


def by_hiredis(*arguments: str | bytes) -> bytes:
    packed: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type]  # typed as a tuple of one
    return packed


@EXAMPLES
@given(
    head=st.lists(NAMES | VALUES, min_size=1, max_size=4),
    prefix=NAMES,
    names=st.lists(NAMES, max_size=6),
    by_name=st.dictionaries(NAMES, VALUES, max_size=6),
)
@example(head=[""], prefix="", names=[], by_name={})
@example(head=["EVALSHA"], prefix="é:", names=["\0\r\n", "日本", "😀"], by_name={"": b""})
def test_a_command_is_what_hiredis_packs(
    head: list[str | bytes], prefix: str, names: list[str], by_name: dict[str, bytes]
) -> None:
    flat = [one for pair in by_name.items() for one in pair]
    ours = command(plain(head), prefixed(prefix, names), plain(by_name.values()), pairs(by_name))
    theirs = by_hiredis(*head, *(prefix + name for name in names), *by_name.values(), *flat)
    assert b"".join(ours) == theirs


@pytest.mark.parametrize("size", [0, 1, 9, 10, 99, 100, 999, 1_000, 9_999, 10_000, 1_000_000])
def test_sizes_of_any_number_of_digits(size: int) -> None:
    value = b"x" * size
    assert b"".join(command(plain([value]))) == by_hiredis(value)
    assert b"".join(command(prefixed("ab", [value.decode()]))) == by_hiredis(b"ab" + value)
    assert b"".join(command(pairs({"n": value}))) == by_hiredis("n", value)


def test_as_many_as_the_largest_batch_has() -> None:
    values = {f"c{n}": b"s" * (n % 300) for n in range(20_000)}
    ours = command(plain(["X"]), prefixed("k:", values), plain(values.values()), pairs(values))
    flat = [one for pair in values.items() for one in pair]
    assert b"".join(ours) == by_hiredis("X", *(f"k:{name}" for name in values), *values.values(), *flat)


@given(sizes=st.lists(st.sampled_from([0, 1, 7, 100_000, 262_143, 262_144, 262_145, 500_000]), max_size=12))
@EXAMPLES
def test_gathering_changes_no_byte_and_copies_nothing_large(sizes: list[int]) -> None:
    pieces = [bytes([n]) * size for n, size in enumerate(sizes)]
    gathers = gathered(pieces)
    assert b"".join(gathers) == b"".join(pieces)
    assert all(gathers)
    large = [piece for piece in pieces if len(piece) > 262_144]
    assert all(any(piece is one for one in gathers) for piece in large)
    assert all(len(one) + len(two) > 262_144 for one, two in pairwise(gathers))


@pytest.mark.parametrize("wrong", [None, bytearray(b"x"), ["x"]])
def test_what_is_neither_text_nor_bytes_is_refused(wrong: Any) -> None:
    packers: list[Callable[[], object]] = [
        lambda: plain(["x", wrong]),
        lambda: prefixed("c:", ["x", wrong]),
        lambda: pairs({"t": wrong}),
        lambda: pairs({wrong if wrong is None else 0.5j: b"x"}),  # type: ignore[dict-item]
    ]
    for pack in packers:
        with pytest.raises(TypeError):
            pack()
