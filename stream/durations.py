"""A duration as people write it: ``7d``, ``12h``, ``30m``, ``10s``, ``500ms``."""

import re
from datetime import timedelta
from typing import Final

_UNITS: Final = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_PATTERN: Final = re.compile(r"(\d+(?:\.\d+)?)(d|h|ms|m|s)")
_MILLISECOND: Final = timedelta(milliseconds=1)


def parse_duration(text: str) -> timedelta:
    """Read a duration.

    Parameters
    ----------
    text
        A number, fractions allowed, and one of the units d, h, m, s, ms; or a plain 0.

    Returns
    -------
    timedelta
        Whole milliseconds, never negative.

    Raises
    ------
    ValueError
        One sentence that quotes `text` and shows what is understood.

    Examples
    --------
    >>> parse_duration("1.5h")
    datetime.timedelta(seconds=5400)
    >>> parse_duration("0")
    datetime.timedelta(0)
    >>> parse_duration("7 days")
    Traceback (most recent call last):
    ValueError: '7 days' is not a duration such as 7d, 12h, 30m, 10s or 500ms
    """
    stripped = text.strip()
    if stripped == "0":
        return timedelta()
    match = _PATTERN.fullmatch(stripped)
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 7d, 12h, 30m, 10s or 500ms")
    number, unit = match.groups()
    try:
        return round(float(number) * _UNITS[unit] / _MILLISECOND) * _MILLISECOND
    except OverflowError:
        raise ValueError(f"{text!r} is too long: the longest duration is 999999999d") from None


def format_duration(duration: timedelta) -> str:
    """Write a duration in the largest unit that leaves a whole number.

    Examples
    --------
    >>> format_duration(timedelta(days=7)), format_duration(timedelta(minutes=90))
    ('7d', '90m')
    """
    milliseconds = in_milliseconds(duration)
    if milliseconds == 0:
        return "0"
    for name, unit in _UNITS.items():
        count, rest = divmod(milliseconds, in_milliseconds(unit))
        if rest == 0:
            return f"{count}{name}"
    raise AssertionError("every number of milliseconds is a whole number of milliseconds")


def in_milliseconds(duration: timedelta) -> int:
    """Return a duration as whole milliseconds, rounded down.

    Examples
    --------
    >>> in_milliseconds(timedelta(seconds=1.5))
    1500
    """
    return duration // _MILLISECOND
