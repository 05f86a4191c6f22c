"""Which real services this machine can run, and what is missing for the others."""

import os
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

from stream import kernel
from tests.services.kafka_server import JARS
from tests.services.postgres_server import programs

_REMEDY = "tests/services/install.sh installs it where it may"
_PROGRAMS = {
    "redis": ("redis-server",),
    "prometheus": ("prometheus", "promtool"),
    "alertmanager": ("prometheus-alertmanager", "amtool"),
    "kcat": ("kcat",),
    "kafka": ("java",),
    "chromium": ("chromium",),
    "postgres": (),
    "compose": (),
    "kernel": (),
}
_COMPOSE = Path(__file__).parents[2] / ".cache" / "compose-2.40.3" / "docker-compose"
OWN = {"kafka": "TEST_KAFKA", "redis": "TEST_REDIS"}
"""Environment variables that name a service of one's own, to be used instead of starting one."""


@cache
def compose() -> tuple[str, ...] | None:
    """Return how Docker Compose is called, by Docker or by itself; None when there is none."""
    docker = shutil.which("docker")
    if (
        docker
        and subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0
    ):
        return (docker, "compose")
    return (str(_COMPOSE),) if _COMPOSE.exists() else None


@cache
def lack(service: str) -> str | None:
    """Return what is missing for a service, as a sentence; None when it can be had.

    Raises
    ------
    ValueError
        No service has this name.
    """
    if service not in _PROGRAMS:
        raise ValueError(f"no service is called {service!r}; there are {', '.join(sorted(_PROGRAMS))}")
    if os.environ.get(OWN.get(service, "")):
        return None
    for program in _PROGRAMS[service]:
        if shutil.which(program) is None:
            return f"no {program} on the PATH; {_REMEDY}"
    there, sentence = _OTHERS.get(service, (lambda: True, ""))
    return None if there() else sentence


_OTHERS: dict[str, tuple[Callable[[], bool], str]] = {
    "postgres": (
        lambda: programs() is not None,
        f"neither initdb on the PATH nor Debian's postgresql; {_REMEDY}",
    ),
    "compose": (
        lambda: compose() is not None,
        f"neither Docker's compose plugin nor its program in .cache; {_REMEDY}",
    ),
    "kernel": (
        lambda: kernel.BUILT,
        "the kernel is not compiled; a C compiler or Python's headers are missing, or `make install`",
    ),
    "kafka": (JARS.is_dir, f"Kafka's jars are not in .cache; {_REMEDY}"),
}
"""What services need besides programs, and what to say where it is not there."""
