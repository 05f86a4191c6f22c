"""What goes on the wire: the kernel's writing against msgspec's, byte for byte."""

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream import kernel
from stream.pipeline.lineup import lineup_of
from stream.pipeline.pending import PendingBatch, Reasons
from stream.records import encode

pytestmark = pytest.mark.service("kernel")

TEXTS = st.text(max_size=64) | st.sampled_from(
    [
        "",
        "c1",
        '"',
        "\\",
        'a"b\\c',
        "\n",
        "\x00",
        "\x1f ",
        "\x7f",
        "/",
        "é",
        "\u2028",
        "😀",
        'é"',
        "x" * 5_000,
    ]
)
LIMIT = 1_000_000
"""From here on whole numbers are not small."""
ODD = st.sampled_from(
    [
        *(0.0, -0.0, 1.0, -1.0, 9.0, 10.0, 17.0, 60.0, 999.0, 1000.0, LIMIT - 1.0, LIMIT - 0.5, 1.0 * LIMIT),
        *(0.1, 0.5, 2.0, 1e-4, 1e-5, 1e-6, 1e-7, 123456.789, 2.0**31, 2.0**32, 2.0**63, 2.0**64, -(2.0**63)),
        *(
            1e15,
            1e16,
            1e17,
            1e21,
            1e22,
            1e23,
            1e300,
            -2.2250738585072014e-308,
            5e-324,
            1.7976931348623157e308,
        ),
        *(math.nan, math.inf, -math.inf),
        *(math.nextafter(edge, towards) for edge in (1e-5, 1e15) for towards in (-math.inf, math.inf)),
    ]
)
NUMBERS = ODD | st.floats() | st.integers(-9, 2_000_000).map(float)
SINGLES = ODD.map(lambda value: float(np.array(value).clip(-3.4e38, 3.4e38).astype(np.float32)))
FEATURES = SINGLES | st.floats(width=32) | st.integers(-9, 2_000_000).map(float)
THRESHOLDS = st.sampled_from([2.0, 0.1, 0.1, -0.0, 0.0, math.nan]) | NUMBERS
TIMES = st.sampled_from([0, 9, 10, 2**48 - 1, 2**63 - 1, -1, -(2**63)]) | st.integers(0, 2**48 - 1)
MODELS = st.lists(TEXTS, min_size=1, max_size=4)
REASONS = st.lists(st.tuples(TEXTS, NUMBERS, NUMBERS, TEXTS), max_size=3).map(tuple)


@st.composite
def batches(draw: st.DrawFn) -> PendingBatch:
    count, width, models = draw(st.integers(0, 6)), draw(st.integers(0, 31)), draw(MODELS)

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return draw(st.lists(values, min_size=count, max_size=count))

    def matrix(values: st.SearchStrategy[float], columns: int, dtype: Any) -> Any:
        flat = draw(st.lists(values, min_size=count * columns, max_size=count * columns))
        return np.array(flat, dtype).reshape(count, columns)

    return PendingBatch(
        column(TEXTS),
        lineup_of(draw(TEXTS), tuple(models), width),
        matrix(FEATURES, width, np.float32),
        matrix(NUMBERS, len(models), np.float64),
        draw(st.integers(0, 2**32 - 1)),
        np.array(column(THRESHOLDS), np.float64),
        np.array(column(TIMES), np.int64),
        np.array(column(NUMBERS), np.float64),
        column(TEXTS),
        column(TEXTS),
        draw(TIMES),
        dict(enumerate(column(REASONS))),
    )


def batch(count: int, **changes: Any) -> PendingBatch:
    reasons: Reasons = (("amount", 42.0, 1.5, "high"),)
    return PendingBatch(
        [f"t{n}" for n in range(count)],
        lineup_of("abcde", ("logistic-1", "forest-1"), 3),
        np.full((count, 3), [0.0, 17.0, 0.1], np.float32),
        np.full((count, 2), [0.5, 0.25]),
        7,
        np.full(count, 0.9),
        np.arange(count) + 1_700_000_000_000,
        np.full(count, 42.5),
        [f"c{n}" for n in range(count)],
        [f"m{n}" for n in range(count)],
        1_700_000_000_100,
        {1: reasons},
    )._replace(**changes)


def plainly(some: PendingBatch) -> list[bytes]:
    with kernel.using(False):
        return some.encoded()


def compiled(some: PendingBatch) -> list[bytes]:
    with kernel.using(True):
        return some.encoded()


@given(batches())
@example(batch(0))
@example(batch(3, thresholds=np.array([0.9, 0.1, 0.9])))
@example(batch(2, lineup=lineup_of("abcde", ("b", "a"), 3)).take([]))
def test_the_kernel_writes_what_msgspec_writes(some: PendingBatch) -> None:
    expected = [encode(answer) for answer in some.answers()]
    assert compiled(some) == plainly(some) == expected


def numbers(count: int, seed: int) -> NDArray[np.float64]:
    """Return numbers of all lengths that are written without an exponent, and of some that are not."""
    random = np.random.default_rng(seed)
    sizes = 10.0 ** random.uniform(-6, 17, count)
    powers = np.ldexp(1.0, np.arange(count) % 100 - 40)
    cents = np.round(random.random(count) * 10.0 ** random.integers(0, 13, count), 2)
    decimals = random.integers(1, 10**9, count) / 10.0 ** random.integers(0, 13, count)
    away = random.choice([-np.inf, np.inf], count)
    # Among these are such that two decimals of one length are as near.
    eighths = random.integers(2**49, 10**15, count) + random.integers(0, 8, count) / 8
    plain = [sizes, sizes.astype(np.float32), powers, cents, decimals, eighths, np.arange(count) * 1.0]
    nearly = [np.nextafter(some, away) for some in (powers, cents, decimals)]
    return np.concatenate([*plain, *nearly]) * random.choice([-1.0, 1.0], 10 * count)


@pytest.mark.parametrize("seed", range(3))
def test_numbers_of_all_kinds_are_written_as_msgspec_writes_them(seed: int) -> None:
    some = numbers(5_000, seed).reshape(-1, 5)
    lineup = lineup_of("abcde", ("a", "b", "c", "d"), 3)
    values = batch(
        len(some),
        lineup=lineup,
        scores=some[:, :4],
        amounts=some[:, 4],
        thresholds=np.full(len(some), np.inf),
    )
    assert compiled(values) == plainly(values)


def test_what_is_written_is_as_documented() -> None:
    (value,) = compiled(batch(1))
    assert value == (
        b'{"transaction_id":"t0","event_time":1700000000000,"customer_id":"c0","terminal_id":"m0","amount":42.5,'
        b'"score":0.5,"decision":"allow","threshold":0.9,"model_version":"logistic-1","snapshot":7,'
        b'"feature_schema":"abcde","features":[0.0,17.0,0.10000000149011612],"shadow":{"forest-1":0.25},'
        b'"scored_at":1700000000100,"schema_version":1}'
    )


def test_alerts_stand_in_their_places_with_their_reasons() -> None:
    values = compiled(batch(3, thresholds=np.array([0.9, 0.1, 0.9])))
    assert [msgspec.json.decode(one)["transaction_id"] for one in values] == ["t0", "t1", "t2"]
    assert [b"reasons" in one for one in values] == [False, True, False]


def test_columns_may_lie_in_memory_as_they_like() -> None:
    some = batch(4)
    strided = some._replace(
        features=np.asfortranarray(some.features),
        scores=np.asfortranarray(some.scores.astype(np.float32)),
        thresholds=np.broadcast_to(np.float64(0.9), 4),
        event_times=np.repeat(some.event_times, 2)[::2],
        names=tuple(some.names),
    )
    for column in (strided.features, strided.scores, strided.event_times):
        column.flags.writeable = False
    assert compiled(strided) == plainly(some)


@pytest.mark.parametrize("column", ["names", "customers", "terminals", "features", "event_times", "amounts"])
def test_columns_that_do_not_fit_each_other_are_refused(column: str) -> None:
    some = batch(3)
    with pytest.raises(ValueError, match="as long as each other"):
        compiled(some._replace(**{column: getattr(some, column)[:2]}))


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(TypeError):
        compiled(batch(3, customers=["c0", None, "c2"]))
    with pytest.raises(UnicodeEncodeError):
        compiled(batch(3, customers=["c0", "\ud800", "c2"]))
