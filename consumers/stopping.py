"""Stopping in good order: Ctrl-C and SIGTERM as a question, asked between two pieces of work."""

import signal
import time
from types import FrameType, TracebackType
from typing import Any, Final, Self

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_SLICE_SECONDS: Final = 0.1


class Stop:
    """Whether to stop. Within its context the first Ctrl-C or SIGTERM asks; a second acts as it always does.

    Examples
    --------
    >>> with Stop() as stop:
    ...     before = stop.asked
    ...     signal.raise_signal(signal.SIGTERM)
    ...     before, stop.asked
    (False, True)
    """

    def __init__(self) -> None:
        # A plain flag: setting a threading.Event in a handler can deadlock with a wait that it interrupted.
        self.asked = False
        self._previous: dict[signal.Signals, Any] = {}

    def ask(self) -> None:
        """Ask to stop."""
        self.asked = True

    def wait(self, seconds: float) -> bool:
        """Wait for `seconds`, or until asked to stop; return whether that was so."""
        deadline = time.monotonic() + seconds
        while not self.asked and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE_SECONDS))
        return self.asked

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.ask()
        self._restore()

    def _restore(self) -> None:
        while self._previous:
            signal.signal(*self._previous.popitem())
