"""Any bytes, and valid ones with a few of them changed, into every decoder."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.decoders import TARGETS

decoders = pytest.mark.parametrize("name", TARGETS)
changes = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6)


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """Keep thousands of lines about records passed over out of the report."""
    log = logging.getLogger("consumers")
    level = log.level
    log.setLevel(logging.CRITICAL)
    yield
    log.setLevel(level)


@decoders
def test_valid_bytes_are_taken(name: str) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].feed(seed)


@decoders
@given(data=st.binary(max_size=600))
def test_any_bytes_raise_nothing_but_what_is_promised(name: str, data: bytes) -> None:
    TARGETS[name].feed(data)


@decoders
@given(data=st.data(), changed=changes, cut=st.floats(0, 1), more=st.binary(max_size=4))
def test_valid_bytes_that_were_damaged_raise_nothing_but_what_is_promised(
    name: str, data: st.DataObject, changed: list[tuple[float, int]], cut: float, more: bytes
) -> None:
    damaged = bytearray(data.draw(st.sampled_from(TARGETS[name].seeds)))
    for place, value in changed:
        damaged[int(place * len(damaged))] = value
    TARGETS[name].feed(bytes(damaged[: round(cut * len(damaged))]) + more)
    TARGETS[name].feed(bytes(damaged))


@decoders
@given(
    depth=st.integers(1, 5_000),
    opening=st.sampled_from([b"[", b'{"a":', b"\x91", b"\x81\xa1a", b"\xdc\x00\x01"]),
)
def test_deep_nesting_raises_nothing_but_what_is_promised(name: str, depth: int, opening: bytes) -> None:
    TARGETS[name].feed(opening * depth)
    for seed in TARGETS[name].seeds:
        TARGETS[name].feed(seed[:-1] + opening * depth)
