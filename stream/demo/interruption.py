"""An interruption: Ctrl-C, SIGTERM or a closed terminal, as something to look at between two steps."""

import signal
from types import FrameType, TracebackType
from typing import Any, Final, Self

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """Within its context, the first signal only asks to stop; the second one raises.

    The second one raises KeyboardInterrupt wherever the program is, and later ones are ignored, so that
    whatever is cleaned up on the way out is cleaned up.

    Examples
    --------
    >>> with Interruption() as interruption:
    ...     signal.raise_signal(signal.SIGTERM)
    ...     interruption.exit_code
    143
    """

    def __init__(self) -> None:
        self._signal: int | None = None
        self.urgent = False
        """Whether a second one has come."""
        self._previous: dict[signal.Signals, Any] = {}

    def __bool__(self) -> bool:
        """Tell whether a signal has come."""
        return self._signal is not None

    @property
    def exit_code(self) -> int:
        """As shells report a program that a signal ended: 130 for Ctrl-C; 0 without any."""
        return 0 if self._signal is None else 128 + self._signal

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._signal is None:
            self._signal = number
            return
        self.urgent = True
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt
