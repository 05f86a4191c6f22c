"""A real service's process: started quietly on a free port, ended by its id."""

import ctypes
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.services.waiting import eventually

_PR_SET_PDEATHSIG = 1
# Below the ports that the kernel gives to outgoing connections, so that nobody takes one between our look at
# it and the service's.
_PORTS = range(20_000, 32_000)
_given: set[int] = set()
_libc = ctypes.CDLL(None)


class Process:
    """A service that runs until told otherwise; on Linux it cannot outlive the thread that started it.

    Parameters
    ----------
    command
        Program and arguments.
    log
        File that takes both of its outputs, appended to.
    environment
        The whole environment; None hands ours down.
    user
        The account that runs it; None is ours. Its log is opened by us.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        self.command = list(command)
        self.log = log
        self._asked = False
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if environment is None else dict(environment),
                start_new_session=True,
                user=user,
                # Only the prctl call runs between fork and exec.
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs."""
        return self._popen.poll()

    def await_ready(self, ready: Callable[[], object], timeout: float = 90.0) -> None:
        """Wait until `ready` says so; say what the service said when it ends or takes longer."""

        def ready_or_gone() -> bool:
            assert self.returncode is None, f"{self.command[0]} ended with {self.returncode}:\n{self.tail()}"
            return bool(ready())

        eventually(ready_or_gone, timeout, lambda: f"{self.command[0]} ready\n{self.tail()}")

    def ask_to_stop(self) -> None:
        """Send SIGTERM, once, and return."""
        # As it ends, a process takes off its handlers: a second signal might kill it.
        if not self._asked:
            self._asked = True
            self._popen.terminate()

    def terminate(self, timeout: float = 60.0) -> int:
        """Ask it to stop (SIGTERM), wait for it, and return how it ended; kill it when time is up."""
        if self._popen.poll() is None:
            self.ask_to_stop()
            try:
                self._popen.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        return self._popen.wait()

    def wait(self, timeout: float) -> int:
        """Wait until it ends by itself, and return how."""
        return self._popen.wait(timeout)

    def kill(self) -> None:
        """End it at once (SIGKILL) and wait until it is gone."""
        self._popen.kill()
        self._popen.wait()

    def interrupt(self) -> None:
        """Send SIGINT, and return."""
        self._popen.send_signal(signal.SIGINT)

    def pause(self) -> None:
        """Stop it in its tracks (SIGSTOP): connections stay open, nothing answers."""
        self._popen.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._popen.send_signal(signal.SIGCONT)

    def tail(self, size: int = 20_000) -> str:
        """Return the end of what it has said."""
        return self.log.read_bytes()[-size:].decode(errors="replace")


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on, and that this process was not given before."""
    # A benchmark or another run of the tests may look at the same time: no seed.
    for port in random.SystemRandom().sample(_PORTS, 100):
        if port in _given:
            continue  # whoever has it may not listen yet
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise RuntimeError(f"no free port among {_PORTS}")


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
