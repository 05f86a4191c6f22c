import struct
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream import kernel
from stream.clock import DAY_MS, HOUR_MS
from stream.errors import SnapshotError
from stream.features.catalogue import CATALOGUE, SCHEMA
from stream.pipeline.lineup import LAYOUT as LINEUP_LAYOUT
from stream.pipeline.lineup import Lineup, lineup_name
from stream.pipeline.pending import LAYOUT, Pending, PendingBatch, score_record
from stream.pipeline.pending_packing import (
    named_lineup,
    pack_batch,
    pack_pending,
    pack_pendings,
    unpack_pending,
)
from stream.records import Alert, Score

GOLDEN = bytes.fromhex(
    "02"
    "e1f4fe934b06"
    "0068e5cf8b01"
    "6468e5cf8b01"
    "07000000"
    "0000000000004540"
    "000000000000e03f"
    "0200"
    "0200"
    "0000403f"
    "0000803e"
    "0e"
    "01"
    "00002040"
    "6331"
    "6d31"
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

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
TIMES = st.integers(0, 2**48 - 1)
IDS = st.text(min_size=1, max_size=64)
MODELS = st.lists(st.sampled_from(["ensemble-1", "ensemble-2", "lightgbm-1"]), min_size=1, unique=True)
REASONS = st.lists(st.tuples(IDS, FLOATS, FLOATS, st.text(max_size=9)).map(tuple), max_size=2).map(tuple)
NUMBERS = st.floats(-1e12, 1e12)


@st.composite
def pendings(draw: st.DrawFn) -> Pending:
    """Return a pending record: of our features, often as they usually are, or of those of somebody else."""
    amount, event_time = draw(NUMBERS), draw(TIMES)
    if ours := draw(st.booleans()):
        own = {"amount": amount, "hour_of_day": event_time % DAY_MS / HOUR_MS}
        usual = [own[feature.name] if feature.default is None else feature.default for feature in CATALOGUE]
        features = [
            draw(st.sampled_from([value, value, value, 0.0, -0.0, 1.0, 7.0, 255.0, 256.0, 0.1]))
            for value in usual
        ]
    else:
        features = draw(st.lists(FLOATS, max_size=9))
    models = tuple(draw(MODELS))
    return Pending(
        LAYOUT,
        SCHEMA if ours else "abcde",
        np.array(features, dtype="<f4").tobytes(),
        models,
        tuple(draw(FLOATS) for _ in models),
        draw(st.integers(0, 2**32 - 1)),
        draw(NUMBERS),
        event_time,
        amount,
        draw(IDS),
        draw(IDS),
        draw(TIMES),
        draw(REASONS),
    )


def changed(**changes: Any) -> Pending:
    return msgspec.structs.replace(PENDING, **changes)


def known(*some: Pending) -> dict[str, Lineup]:
    return {lineup_name(one.lineup).hex(): one.lineup for one in some}


def test_the_stored_bytes_are_those_that_were_documented() -> None:
    assert pack_pending(PENDING) == GOLDEN
    assert unpack_pending(GOLDEN, known(PENDING)) == PENDING


@st.composite
def alike(draw: st.DrawFn) -> dict[str, Pending]:
    """Return records as one batch makes them: of the same models and features, scored at the same time."""
    some = draw(st.dictionaries(IDS, pendings(), min_size=1, max_size=6))
    first = next(iter(some.values()))
    return {
        name: msgspec.structs.replace(
            one,
            feature_schema=first.feature_schema,
            features=one.features if len(one.features) == len(first.features) else first.features,
            models=first.models,
            scores=(one.scores * len(first.scores))[: len(first.scores)],
            snapshot=first.snapshot,
            scored_at=first.scored_at,
        )
        for name, one in some.items()
    }


@given(alike(), st.data())
def test_columns_say_what_the_records_say_one_by_one(some: dict[str, Pending], data: st.DataObject) -> None:
    batch = PendingBatch.of(some)
    assert batch.pendings() == some
    assert batch.answers() == [score_record(name, one) for name, one in some.items()]
    places = data.draw(st.lists(st.integers(0, len(some) - 1), unique=True))
    names = [list(some)[place] for place in places]
    assert batch.take(places).pendings() == {name: some[name] for name in names}


def test_no_record_names_no_lineup() -> None:
    assert pack_pendings(PendingBatch.of({"t1": PENDING}).take([])) == ({}, {})


@given(alike())
def test_what_is_packed_in_a_batch_is_read_to_the_bit_and_as_if_packed_alone(
    some: dict[str, Pending],
) -> None:
    packed = pack_pendings(PendingBatch.of(some))
    lineups = known(*some.values())
    assert packed.lineups.keys() == lineups.keys()
    assert packed.records.keys() == some.keys()
    for name, pending in some.items():
        record = packed.records[name]
        assert record == pack_pending(pending) == _plainly(pending)
        assert named_lineup(record) in packed.lineups
        assert unpack_pending(record, lineups) == pending


@st.composite
def batches(draw: st.DrawFn) -> PendingBatch:
    """Return columns of any width: features as usual, as the record's own or near it, whole, broken, none."""
    count, width, models = draw(st.integers(0, 5)), draw(st.integers(1, 40)), draw(st.integers(1, 4))
    amounts = np.array(draw(st.lists(NUMBERS, min_size=count, max_size=count)), np.float64)
    times = np.array(draw(st.lists(TIMES, min_size=count, max_size=count)), np.int64)
    usual = draw(st.lists(st.sampled_from([0.0, -0.0, 1.0, 0.5, 300.0]), min_size=width, max_size=width))
    own = np.column_stack([amounts, times % DAY_MS / HOUR_MS]).astype("<f4")
    for place in range(min(2, width)):
        usual[place] = draw(st.sampled_from([usual[place], np.nan, -np.nan]))
    values = st.one_of(
        st.sampled_from([None, None, 0.0, -0.0, 1.0, 255.0, 256.0, -1.0, 0.5, np.inf, np.nan]),
        st.integers(0, 256).map(float),
        st.floats(width=32),
    )
    features = np.empty((count, width), "<f4")
    for row, place in np.ndindex(count, width):
        value = draw(values)
        as_usual = own[row, place] if place < 2 and np.isnan(usual[place]) else usual[place]
        features[row, place] = as_usual if value is None else value
    names = st.lists(st.text(max_size=64), min_size=count, max_size=count)
    scores = draw(st.lists(FLOATS, min_size=count * models, max_size=count * models))
    return PendingBatch(
        [f"t{n}" for n in range(count)],
        Lineup(LINEUP_LAYOUT, "abcde", ("m-1",) * models, np.array(usual, "<f4").tobytes()),
        features,
        np.array(scores, np.float64).reshape(count, models),
        draw(st.integers(0, 2**32 - 1)),
        np.array(draw(st.lists(NUMBERS, min_size=count, max_size=count)), np.float64),
        times,
        amounts,
        draw(names),
        draw(names),
        draw(TIMES),
        {place: draw(REASONS) for place in range(0, count, 2)},
    )


@pytest.mark.service("kernel")
@given(batches())
def test_what_is_compiled_packs_the_same_bytes(batch: PendingBatch) -> None:
    packed = []
    for on in (False, True):
        with kernel.using(on):
            packed.append(pack_batch(batch))
    assert packed[0] == packed[1]


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.service("kernel"))])
@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"customers": ["\ud800"]}, UnicodeEncodeError),
        ({"terminals": ["x" * 65_536]}, OverflowError),
        ({"snapshot": 2**32}, OverflowError),
        ({"terminals": []}, ValueError),
        ({"amounts": np.zeros(2)}, ValueError),
        ({"scores": np.zeros((1, 3))}, ValueError),
        ({"features": np.zeros((1, 3), "<f4")}, ValueError),
    ],
    ids=["customer", "terminal", "snapshot", "terminals", "amounts", "scores", "features"],
)
def test_a_batch_that_no_record_could_say_is_not_packed(
    changes: dict[str, Any], error: type[Exception], *, compiled: bool
) -> None:
    batch = PendingBatch.of({"t1": PENDING})
    with kernel.using(compiled), pytest.raises(error):
        pack_batch(batch._replace(**changes))


def _plainly(pending: Pending) -> bytes:
    """Pack a record as docs/redis-format.md describes it."""
    lineup, kinds, small, whole = pending.lineup, 0, b"", b""
    usual = np.frombuffer(lineup.usual, "<f4").copy()
    own = np.array([pending.amount, pending.event_time % DAY_MS / HOUR_MS], "<f4")[: len(usual)]
    usual[:2] = np.where(np.isnan(usual[:2]), own, usual[:2])
    for place, (value, bits, as_usual) in enumerate(
        zip(pending.vector, pending.vector.view("<u4"), usual.view("<u4"), strict=True)
    ):
        kind = 0 if bits == as_usual else 1 if bits == 0 else 2 if value in range(1, 256) else 3
        kinds |= kind << 2 * place
        small += bytes([int(value)]) if kind == 2 else b""
        whole += struct.pack("<f", value) if kind == 3 else b""
    customer, terminal = pending.customer_id.encode(), pending.terminal_id.encode()
    return b"".join(
        [
            bytes([LAYOUT]),
            lineup_name(lineup),
            pending.event_time.to_bytes(6, "little"),
            pending.scored_at.to_bytes(6, "little"),
            struct.pack("<Idd", pending.snapshot, pending.amount, pending.threshold),
            struct.pack("<HH", len(customer), len(terminal)),
            struct.pack(f"<{len(pending.scores)}f", *pending.scores),
            kinds.to_bytes((lineup.width + 3) // 4, "little"),
            *(small, whole, customer, terminal),
            msgspec.msgpack.encode(pending.reasons) if pending.reasons else b"",
        ]
    )


def test_an_everyday_record_takes_little() -> None:
    """What was counted on the Handbook's data: seven features as small numbers, eight as floats."""
    usual = [0.0 if feature.default is None else feature.default for feature in CATALOGUE]
    features = np.array([0.3] * 8 + [7.0] * 7 + usual[15:], "<f4")
    pending = changed(
        feature_schema=SCHEMA,
        features=features.tobytes(),
        models=("ensemble-1", "logistic-1", "lightgbm-1"),
        scores=(0.5, 0.25, 0.125),
        customer_id="C123456",
        terminal_id="T123456",
        threshold=0.9,
        reasons=(),
    )
    assert len(pack_pending(pending)) <= 124


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


def test_a_record_with_an_empty_list_of_reasons_is_refused() -> None:
    with pytest.raises(SnapshotError, match="damaged"):
        unpack_pending(GOLDEN[:-32] + b"\x90", known(PENDING))


def test_another_layout_is_refused_with_what_to_do() -> None:
    for first, layout in ((b"\x03", 3), (b"\x9d", 157)):
        with pytest.raises(SnapshotError, match=f"layout {layout}, this version reads 2: let the older"):
            unpack_pending(first + GOLDEN[1:], known(PENDING))


def test_a_record_of_a_lineup_that_is_not_known_is_refused() -> None:
    with pytest.raises(SnapshotError, match="lineup e1f4fe934b06, of which nothing is stored"):
        unpack_pending(GOLDEN, {})


@pytest.mark.parametrize("length", range(len(GOLDEN) - 32))
def test_a_record_that_ends_too_early_is_refused(length: int) -> None:
    with pytest.raises(SnapshotError, match="damaged"):
        unpack_pending(GOLDEN[:length], known(PENDING))


@pytest.mark.parametrize(
    ("place", "damage"),
    [
        (23, struct.pack("<d", float("nan"))),
        (31, struct.pack("<d", float("inf"))),
        (43, struct.pack("<f", float("nan"))),
        (51, b"\x1e"),  # a third feature, of two
        (53, struct.pack("<f", float("-inf"))),
        (57, b"\xff"),
        (-32, b"\x81"),
        (-32, b"\x90" + GOLDEN[-31:]),
        (-22, struct.pack(">d", float("nan"))),
    ],
    ids=["amount", "threshold", "score", "kind", "feature", "customer", "reasons", "rest", "value"],
)
def test_a_damaged_record_is_refused(place: int, damage: bytes) -> None:
    place %= len(GOLDEN)
    with pytest.raises(SnapshotError, match="damaged"):
        unpack_pending(GOLDEN[:place] + damage + GOLDEN[place + len(damage) :], known(PENDING))
