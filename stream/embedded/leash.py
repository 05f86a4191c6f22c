"""A leash: the pipe that keeps a child process from outliving its parent.

The child's standard input is a pipe that the parent alone can write to. When the parent lets go, exits or is
killed, whatever the signal, the child reads end of file and leaves. That needs no cooperation of a dying
parent, unlike `atexit`, and works wherever there are pipes, unlike `PR_SET_PDEATHSIG`.

Down the pipe go requests, up the child's standard output come an announcement and one answer to each
request; all are JSON objects, one a line.
"""

import json
import os
import select
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from stream.errors import InfrastructureError

_GLANCE_SECONDS = 1.0
_FAREWELL_SECONDS = 10.0
_LOG_TAIL_BYTES = 2_000


class Leashed:
    """A running `python -m stream.embedded ARGUMENTS...`, from its parent's side.

    Parameters
    ----------
    *arguments
        Which service, and its options.
    patience_seconds
        How long it may take to announce itself, and to answer.

    Raises
    ------
    InfrastructureError
        It did not start; the text ends with what it said.
    """

    def __init__(self, *arguments: str, patience_seconds: float = 30.0) -> None:
        self._name = f"the embedded {arguments[0]}"
        self._patience_seconds = patience_seconds
        self._unread = b""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._process = subprocess.Popen(  # noqa: S603 - our own module, with arguments of our own
            [sys.executable, "-P", "-m", "stream.embedded", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
            # Ctrl-C goes to a terminal's whole process group; the services must outlast the drain it starts.
            start_new_session=True,
        )
        try:
            self.announcement = self._read()
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and return the answer.

        Raises
        ------
        InfrastructureError
            The child has gone, does not answer, or refuses.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
        except BrokenPipeError:
            raise InfrastructureError(f"{self._name} has gone{self._last_words()}") from None
        return self._read()

    def close(self) -> None:
        """Let go: the child leaves and takes its own children and files along. May be repeated."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_FAREWELL_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        deadline = time.monotonic() + self._patience_seconds
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._unread:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise InfrastructureError(
                        f"{self._name} said nothing for {self._patience_seconds:g} s{self._last_words()}"
                    )
                chunk = os.read(self._process.stdout.fileno(), 65_536)
                if not chunk:
                    raise InfrastructureError(f"{self._name} has gone{self._last_words()}")
                self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise InfrastructureError(said["error"])
        return said

    def _last_words(self) -> str:
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - _LOG_TAIL_BYTES))
        words = self._log.read().decode(errors="replace").strip()
        return f": {words}" if words else ", without a word"


def follow(
    announcement: dict[str, Any],
    answer: Callable[[dict[str, Any]], None],
    alive: Callable[[], bool] = lambda: True,
) -> None:
    """Announce, then carry requests out until the leash is let go: the child's side.

    Parameters
    ----------
    announcement
        What the parent is told first.
    answer
        Carries a request out. A ValueError or KeyError of it goes back to the parent as its error.
    alive
        Asked about once a second; we leave when it says no.
    """
    # A parent that forked without exec may have left a copy of the pipe's other end with a child of its own:
    # then its death brings no end of file, but another parent.
    parent = os.getppid()
    say(announcement)
    unread = b""
    while os.getppid() == parent and alive():
        if not select.select([0], [], [], _GLANCE_SECONDS)[0]:
            continue
        chunk = os.read(0, 65_536)
        if not chunk:
            return
        *lines, unread = (unread + chunk).split(b"\n")
        for line in lines:
            try:
                answer(json.loads(line))
            except (KeyError, ValueError) as error:
                say({"error": f"request {line.decode(errors='replace')}: {error!r}"})
            else:
                say({"done": True})


def say(message: dict[str, Any]) -> None:
    """Write one line to the parent."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def leave_on_signals() -> None:
    """Turn SIGTERM, SIGINT and SIGHUP into an orderly exit, in which no second signal interferes."""

    def leave(_signal: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise SystemExit(0)

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for number in numbers:
        signal.signal(number, leave)
