"""The command `fraudstream`, run to its end."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from stream.settings import Settings
from tests.services.worker import environment_of

_COMMAND = Path(sys.executable).with_name("fraudstream")


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def fraudstream(*arguments: str, settings: Settings | None = None, timeout: float = 60) -> Ended:
    """Run the command to its end.

    Parameters
    ----------
    *arguments
        The subcommand first.
    settings
        Handed down as environment variables.
    timeout
        Seconds after which it is killed and the test fails.
    """
    ours = {name: value for name, value in os.environ.items() if not name.startswith("FRAUD_")}
    ended = subprocess.run(
        [_COMMAND, *arguments],
        env=ours | (environment_of(settings) if settings is not None else {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)
