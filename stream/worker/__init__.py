"""The worker: the composition root, where settings become a Faust app with its roles.

`fraudstream worker` and `faust -A stream.worker worker` run the same app. What a role does is in
``stream.roles``; here it is wired to Kafka, Redis, the metrics and the health endpoints.
"""

import logging
import os
import sys
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Final

import faust

from stream import kernel
from stream.garbage import calm_collector
from stream.heap import keep_heap_small
from stream.settings import Settings, load_settings
from stream.worker.entrance import enter
from stream.worker.process import Process

_log = logging.getLogger(__name__)

STOP_SECONDS: Final = 9.0
"""How long stopping may take: orchestrators give ten seconds and more before they kill."""
SWITCH_SECONDS: Final = 0.001
"""How long a thread may go on while another waits to run. A small batch goes through three threads, each of
which may find another at work: with Python's own 5 ms it would wait longer than its work takes."""


@cache
def _process() -> Process:
    return Process(load_settings())


def run_worker(settings: Settings) -> None:
    """Run a worker until it is told to stop, and exit: with 0, or with 1 when something else ended it.

    Raises
    ------
    SettingsError, TopicError, InfrastructureError
        Nothing has started yet: a setting is wrong, a topic is missing, no broker answers, or somebody does
        not let us in.
    """
    keep_heap_small()
    sys.setswitchinterval(SWITCH_SECONDS)
    if settings.role in ("learn", "fit"):
        _step_back(settings.niceness)
    kernel.choose(settings.kernel)
    process = Process(settings)
    # Before Faust, which by asking for topics would make them on a broker that makes what it is asked for.
    enter(settings)
    calm_collector()
    worker = _Worker(process.app, loglevel=settings.log_level, redirect_stdouts=False)
    worker.execute_from_commandline()


def _step_back(niceness: int) -> None:
    os.nice(niceness)
    # Linux may group processes by session: niceness then counts within a group only, unless that has it.
    # Where it does not, or does not let us, the process's own must do.
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(niceness))


class _Worker(faust.Worker):  # type: ignore[misc]  # Faust has no types
    """A worker whose stop comes to an end: aiokafka tries for ever to commit to a broker that is away."""

    async def stop(self) -> None:
        deadline = threading.Timer(STOP_SECONDS, self._leave)
        deadline.daemon = True
        deadline.start()
        await super().stop()

    def _leave(self) -> None:
        _log.warning("not stopped within %g s: leaving; what was not committed comes again", STOP_SECONDS)
        os._exit(0 if self.crash_reason is None else 1)


def __getattr__(name: str) -> Any:
    """Make `app` for `faust -A stream.worker worker` when it is asked for, from the environment."""
    if name == "app":
        return _process().app
    raise AttributeError(name)
