"""Columns of a recorded file, brought to the types of a transaction's fields however the file wrote them."""

from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.compute as pc

from stream.decoding import EARLIEST_EVENT_MS

TimeUnit = Literal["ms", "s"]

_TRUE: Final = pa.array(["1", "true", "t", "yes"])
_FALSE: Final = pa.array(["0", "false", "f", "no"])
_NUMBER: Final = r"^-?\d+(\.\d+)?$"
_ZONE: Final = r"(Z|[+-]\d\d:?\d\d)$"


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column without its encoding: dictionaries unfolded, all text of one type."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string()) if pa.types.is_large_string(column.type) else column


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return identifiers as text, a number as its digits.

    Examples
    --------
    >>> as_text(pa.chunked_array([[7.0, None]])).to_pylist()
    ['7', None]
    """
    if pa.types.is_floating(column.type):
        # Whole numbers that passed through a float on the way, as pandas makes of a column with gaps.
        column = column.cast(pa.int64())
    return column.cast(pa.string())


def as_number(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return amounts as float64."""
    if pa.types.is_decimal(column.type):
        # Arrow's own way misses the nearest float at times: 57.16 becomes 57.160000000000004.
        column = column.cast(pa.string())
    return column.cast(pa.float64())


def as_truth(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return booleans, from booleans, 0 and 1, or text such as ``true`` and ``No``; nothing stays nothing.

    Examples
    --------
    >>> as_truth(pa.chunked_array([["1", "False", None]])).to_pylist()
    [True, False, None]
    """
    if pa.types.is_boolean(column.type):
        return column
    if not pa.types.is_string(column.type):
        column = column.cast(pa.int64()).cast(pa.string())
    text = pc.utf8_lower(pc.utf8_trim_whitespace(column))
    is_true = pc.is_in(text, value_set=_TRUE)
    understood = pc.or_(pc.or_(is_true, pc.is_in(text, value_set=_FALSE)), text.is_null())
    if _any(pc.invert(understood)):
        strange = text.filter(pc.invert(understood))[0].as_py()
        raise pa.ArrowInvalid(f"{strange!r} is neither true nor false, 1 nor 0")
    return pc.if_else(text.is_null(), pa.scalar(None, pa.bool_()), is_true)


def as_milliseconds(column: pa.ChunkedArray, unit: TimeUnit) -> pa.ChunkedArray:
    """Return times as int64 milliseconds since 1970.

    Parameters
    ----------
    column
        Timestamps, dates, ISO 8601 text, or numbers, also written as text. Without a zone, a time is UTC.
    unit
        What numbers count.

    Raises
    ------
    pyarrow.ArrowInvalid
        Something is no time; or the numbers look like seconds while `unit` says milliseconds.

    Examples
    --------
    >>> as_milliseconds(pa.chunked_array([["2018-04-01T02:00:31+02:00"]]), "ms").to_pylist()
    [1522540831000]
    >>> as_milliseconds(pa.chunked_array([[1522540831.25]]), "s").to_pylist()
    [1522540831250]
    """
    if pa.types.is_string(column.type):
        if _any(pc.invert(pc.match_substring_regex(column, _NUMBER))):
            zone = "UTC" if _any(pc.match_substring_regex(column, _ZONE)) else None
            column = column.cast(pa.timestamp("ns", zone))
        else:
            column = column.cast(pa.float64() if _any(pc.match_substring(column, ".")) else pa.int64())
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("ms", column.type.tz), safe=False).cast(pa.int64())
    if pa.types.is_boolean(column.type):
        raise pa.ArrowInvalid("true and false are not times")
    if not pa.types.is_floating(column.type):
        column = column.cast(pa.int64())
    if unit == "s":
        column = pc.multiply_checked(column, pa.scalar(1000, column.type))
    if pa.types.is_floating(column.type):
        column = pc.round(column)
    times = column.cast(pa.int64())
    latest = pc.max(times).as_py()
    if unit == "ms" and latest is not None and 0 < latest < EARLIEST_EVENT_MS <= latest * 1000:
        raise pa.ArrowInvalid(f"{latest} milliseconds are in 1970; if it holds seconds, say --time-unit s")
    return times


def _any(mask: Any) -> bool:
    return bool(pc.any(mask).as_py())
