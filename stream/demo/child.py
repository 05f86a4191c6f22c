"""A child: one `fraudstream ...` process that the demo runs."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

# A text, not an import: the command line is above the demo, and starts it.
_ENTRY: Final = (
    "from stream.demo.leash import wear; wear(); from stream.cli import main; main(prog_name='fraudstream')"
)
_LAST_BYTES: Final = 32_768
_CHATTER: Final = re.compile(r"\] \[(DEBUG|INFO)\] ")


class Child:
    """A running `fraudstream ARGUMENTS...`, which cannot outlive us.

    Parameters
    ----------
    name
        What people call it.
    arguments
        Of `fraudstream`.
    environment
        All of it.
    folder
        Its log goes there, as NAME.log.

    Notes
    -----
    It has a session of its own: Ctrl-C in our terminal reaches us alone, and we stop our children in order.
    """

    def __init__(
        self, name: str, arguments: tuple[str, ...], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own program, with arguments of our own
                # -P: a folder named `stream` where somebody happens to stand must not be taken for ours.
                [sys.executable, "-P", "-c", _ENTRY, *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """How it ended, negative for a signal; None while it runs."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Send SIGTERM, and return at once."""
        if self.exit_code is None:
            self._process.terminate()

    def wait(self, seconds: float) -> bool:
        """Wait for its end, at most so long; return whether it came."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, seconds: float) -> bool:
        """Ask it to stop, wait, and kill it when time is up; return whether it left by itself."""
        self.ask_to_stop()
        left = self.wait(seconds)
        if not left:
            self.kill()
        return left

    def kill(self) -> None:
        """End it and whatever it has started, now."""
        if self.exit_code is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def last_words(self, count: int = 15) -> list[str]:
        """Return the end of what it has said, without what a worker says while it stops in good order."""
        with self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LAST_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        return ([line for line in lines if not _CHATTER.search(line)] or lines)[-count:]
