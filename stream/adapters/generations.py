"""Generations: records that are written in the same span of time lie together, and go together.

Removing a record by itself takes a time to live of its own, and a key, which together cost 150 bytes more.
Generations are numbered as they follow each other; of each is known until when it is kept.
"""

from collections.abc import Mapping
from typing import NamedTuple

SPANS = 4
"""A generation is written to for this part of the time that a record is kept."""


class Turn(NamedTuple):
    """What a writer does with the generations that it finds."""

    current: int
    """The number of the one that it writes to."""
    until_ms: int
    """How long that one is kept, by the writer's clock."""
    expired: tuple[int, ...]
    """Those whose time is over."""


def turn(known: Mapping[int, int], now_ms: int, ttl_ms: int) -> Turn:
    """Choose the generation to write to, and those to remove.

    Parameters
    ----------
    known
        Until when each generation is kept, by its number.
    now_ms
        The present.
    ttl_ms
        How long a record is kept at least; it is kept for at most a quarter more.

    Returns
    -------
    Turn
        The newest generation where what is written to it is kept long enough, and else the next one. Not the
        newest either where that would keep it much longer: `ttl_ms` was more before, or a clock was wrong.

    Notes
    -----
    What follows from time goes by `known` alone, never by numbers. A clock that goes back a little lets the
    newest generation take records for as much longer. Where the `ttl_ms` is changed, the next record begins a
    generation unless the newest happens to suit it, and those that are there end when they were to end.

    Examples
    --------
    >>> turn({}, now_ms=1_000, ttl_ms=400)
    Turn(current=1, until_ms=1500, expired=())
    >>> turn({1: 1_500}, now_ms=1_100, ttl_ms=400)
    Turn(current=1, until_ms=1500, expired=())
    >>> turn({1: 1_500}, now_ms=1_101, ttl_ms=400)
    Turn(current=2, until_ms=1601, expired=())
    >>> turn({1: 1_500, 2: 1_601}, now_ms=1_500, ttl_ms=400)
    Turn(current=3, until_ms=2000, expired=(1,))
    """
    span = span_ms(ttl_ms)
    newest = max(known, default=0)
    left = known.get(newest, now_ms) - now_ms
    if ttl_ms <= left <= ttl_ms + 2 * span:
        current, until = newest, known[newest]
    else:
        current, until = newest + 1, now_ms + ttl_ms + span
    return Turn(current, until, tuple(sorted(number for number, end in known.items() if end <= now_ms)))


def span_ms(ttl_ms: int) -> int:
    """Return for how long a generation is written to."""
    return max(1, ttl_ms // SPANS)
