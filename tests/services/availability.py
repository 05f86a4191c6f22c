"""Which real services this machine can run, and what is missing for the others."""

import os
import shutil
from functools import cache

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
}
OWN = {"kafka": "TEST_KAFKA", "redis": "TEST_REDIS"}
"""Environment variables that name a service of one's own, to be used instead of starting one."""


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
    if service == "postgres" and programs() is None:
        return f"neither initdb on the PATH nor Debian's postgresql; {_REMEDY}"
    if service == "kafka" and not JARS.is_dir():
        return f"Kafka's jars are not in .cache; {_REMEDY}"
    return None
