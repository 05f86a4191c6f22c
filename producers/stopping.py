"""Stopping in good order: Ctrl-C and SIGTERM as a question that whoever publishes asks now and then."""

import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, Self

Stop = Callable[[], bool]
"""Whether to stop."""

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class StopRequested(Exception):  # noqa: N818 - not an error
    """Somebody asked to stop. Unwinds to the replay, which ends with its summary."""


def never() -> bool:
    """Return that nobody asked to stop."""
    return False


class StopSignal:
    """Within its context, the first Ctrl-C or SIGTERM only asks; a second one acts as it always does.

    Examples
    --------
    >>> with StopSignal() as stop:
    ...     before = stop()
    ...     signal.raise_signal(signal.SIGTERM)
    ...     before, stop()
    (False, True)
    """

    def __init__(self) -> None:
        # A plain flag: setting a threading.Event in a handler can deadlock with a wait that it interrupted.
        self._asked = False
        self._previous: dict[signal.Signals, Any] = {}

    def __call__(self) -> bool:
        """Return whether a signal has come."""
        return self._asked

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._ask) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self._asked = True
        self._restore()

    def _restore(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())
