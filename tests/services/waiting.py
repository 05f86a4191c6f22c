"""Waiting for a condition, with a deadline: what tests do instead of sleeping."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(
    condition: Callable[[], T],
    timeout: float = 60.0,
    describe: str | Callable[[], str] = "",
    every: float = 0.05,
) -> T:
    """Return the condition's first true value.

    Parameters
    ----------
    condition
        Asked again and again. What it raises is not caught: only a false value means "not yet".
    timeout
        Seconds after which to give up: far more than it takes, even beside other tests on a busy machine.
    describe
        What is waited for, in words; or a function that tells how things stand when time is up.
    every
        Seconds between two questions.

    Raises
    ------
    AssertionError
        Time was up: what was waited for, and the condition's last value.

    Examples
    --------
    >>> countdown = iter([0, 0, 7])
    >>> eventually(lambda: next(countdown), timeout=5, describe="the countdown's end", every=0)
    7
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            words = describe() if callable(describe) else describe
            raise AssertionError(
                f"not within {timeout:g} s: {words or 'the condition'} (last answer: {value!r})"
            )
        time.sleep(every)
