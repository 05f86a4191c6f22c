"""A sparkline: a quantity over time in one line of text."""

from collections.abc import Sequence
from typing import Final

_BARS: Final = "▁▂▃▄▅▆▇█"
_ASCII_BARS: Final = "_.-~=+*#"


def sparkline(
    points: Sequence[tuple[float, float]], start: float, end: float, width: int, *, ascii_only: bool = False
) -> str:
    """Draw values between 0 and 1.

    Parameters
    ----------
    points
        Time and value, ascending in time.
    start, end
        What the line's width stands for, in the unit of the points' times.
    width
        Characters.
    ascii_only
        For terminals that have no blocks.

    Returns
    -------
    str
        At most `width` characters: of each stretch of time the last value, of stretches without one that of
        the stretch before, and nothing after the last point.

    Examples
    --------
    >>> sparkline([(2.0, 0.0), (5.0, 1.0), (6.0, 0.5)], 0.0, 10.0, 10)
    '  ▁▁▁█▅'
    """
    bars = _ASCII_BARS if ascii_only else _BARS
    line: list[str] = []
    for time, value in points:
        column = column_of(time, start, end, width)
        filler = line[-1] if line else " "
        line += [filler] * (column + 1 - len(line))
        line[column] = bars[min(len(bars) - 1, max(0, int(value * len(bars))))]
    return "".join(line)


def column_of(time: float, start: float, end: float, width: int) -> int:
    """Return the column that a moment falls into.

    Examples
    --------
    >>> column_of(5.0, 0.0, 10.0, 40)
    20
    """
    return min(width - 1, max(0, int((time - start) / max(end - start, 1e-9) * width)))
