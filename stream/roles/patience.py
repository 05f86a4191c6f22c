"""Patience: what a role does while Redis or Kafka is away."""

import threading
from collections.abc import Callable
from typing import NamedTuple, ParamSpec, TypeVar

from stream.errors import InfrastructureError, StoppedError

P = ParamSpec("P")
T = TypeVar("T")


class Patience:
    """Calls a service again and again, with growing pauses, until it answers or the process is told to stop.

    Parameters
    ----------
    stop
        Set when the process is to stop.
    report
        Told of each failure, and with None when the call has gone through after failures: for readiness,
        metrics and the log.
    first_pause, longest_pause
        Seconds. The pause doubles from one to the other.
    """

    def __init__(
        self,
        stop: threading.Event,
        report: Callable[[InfrastructureError | None], None],
        *,
        first_pause: float = 0.05,
        longest_pause: float = 5.0,
    ) -> None:
        self._stop = stop
        self._report = report
        self._first_pause = first_pause
        self._longest_pause = longest_pause

    def __call__(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what `call` returns.

        Raises
        ------
        StoppedError
            The process is to stop and the service has not answered yet.
        """
        pause = self._first_pause
        failed = False
        while True:
            try:
                result = call(*args, **kwargs)
            except InfrastructureError as error:
                failed = True
                self._report(error)
                if self._stop.wait(pause):
                    raise StoppedError(f"stopped while waiting: {error}") from error
                pause = min(2 * pause, self._longest_pause)
            else:
                if failed:
                    self._report(None)
                return result


class Waits(NamedTuple):
    """A role's patience with each of those it waits for, apart, so that each can be named."""

    redis: Patience
    kafka: Patience
    learner: Patience
    """For the first models: Redis answers, but nobody has published yet."""
    scorers: Patience
    """For scorers that read again what Redis has lost."""

    @classmethod
    def alike(cls, patience: Patience) -> "Waits":
        """Wait for all of them in the same way."""
        return cls(patience, patience, patience, patience)
