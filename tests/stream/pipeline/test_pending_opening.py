"""Pending records that are read together are what they are one by one."""

from collections.abc import Callable

import msgspec
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import SnapshotError
from stream.features.catalogue import SCHEMA, WIDTH
from stream.pipeline.lineup import Lineup
from stream.pipeline.pending import Pending
from stream.pipeline.pending_opening import unpack_pendings
from stream.pipeline.pending_packing import pack_pending, unpack_pending
from tests.stream.pipeline.test_pending import PENDING, known, pendings

Opened = dict[str, Pending] | str


def attempt(
    read: Callable[[dict[str, bytes], dict[str, Lineup]], dict[str, Pending]],
    packed: dict[str, bytes],
    lineups: dict[str, Lineup],
) -> Opened:
    """Return the records, or the sentence that they are refused with."""
    try:
        return read(packed, lineups)
    except SnapshotError as error:
        return str(error)


def one_by_one(packed: dict[str, bytes], lineups: dict[str, Lineup]) -> dict[str, Pending]:
    return {name: unpack_pending(record, lineups) for name, record in packed.items()}


@given(st.lists(pendings(), min_size=1, max_size=4), st.integers(1, 24), st.data())
def test_any_records_are_read_as_one_by_one(some: list[Pending], count: int, data: st.DataObject) -> None:
    lineups = known(*some)
    packed = {}
    for number in range(count):
        one = some[number % len(some)]
        one = msgspec.structs.replace(one, terminal_id=data.draw(st.text(min_size=1, max_size=9)))
        packed[f"t{number}"] = pack_pending(one)
    assert unpack_pendings(packed, lineups) == one_by_one(packed, lineups)


@given(pendings(), st.integers(0, 11), st.data())
def test_whatever_is_damaged_is_refused_as_one_by_one(
    pending: Pending, place: int, data: st.DataObject
) -> None:
    record = bytearray(pack_pending(pending))
    packed = {f"t{number}": bytes(record) for number in range(12)}
    at = data.draw(st.integers(0, len(record) - 1))
    damaged = data.draw(
        st.sampled_from([record[:at], record[:at] + data.draw(st.binary(max_size=9)) + record[at + 1 :]])
    )
    packed[f"t{place}"] = bytes(damaged)
    lineups = known(pending)
    assert repr(attempt(unpack_pendings, packed, lineups)) == repr(attempt(one_by_one, packed, lineups))


def test_one_that_is_no_record_at_all_is_refused_among_many() -> None:
    packed = {f"t{number}": pack_pending(PENDING) for number in range(20)}
    lineups = known(PENDING)
    for damaged in (b"", b"\x02", bytes(100), packed["t0"][:30]):
        assert "pending record" in str(attempt(unpack_pendings, packed | {"t7": damaged}, lineups))
    assert attempt(unpack_pendings, packed, {}) == attempt(one_by_one, packed, {})


def test_amounts_and_hours_of_their_own_are_those_of_each() -> None:
    random = np.random.default_rng(1)
    packed, lineups, given_ones = {}, {}, {}
    for number in range(200):
        features = np.zeros(WIDTH, "<f4")
        amount, event_time = float(random.lognormal(3, 2)), 1_700_000_000_000 + int(random.integers(10**9))
        features[:2] = amount, event_time % 86_400_000 / 3_600_000
        features[2:] = random.choice([0.0, 3.0, 255.0, 256.0, 0.25], WIDTH - 2)
        one = msgspec.structs.replace(
            PENDING,
            feature_schema=SCHEMA,
            features=features.tobytes(),
            amount=amount,
            event_time=event_time,
            reasons=PENDING.reasons if number % 50 == 0 else (),
        )
        given_ones[f"t{number}"] = one
        packed[f"t{number}"] = pack_pending(one)
        lineups |= known(one)
    assert unpack_pendings(packed, lineups) == given_ones
