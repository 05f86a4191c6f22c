"""What a worker logs: our own lines, and of the libraries' only what should worry somebody."""

import logging
from typing import Any, Final

from stream.adapters.record_batches import REFUSALS
from stream.discreet import Discreet
from stream.errors import FraudstreamError
from stream.settings import Settings

_LIBRARIES: Final = ("faust", "mode", "aiokafka", "asyncio")
_STARTING_AND_STOPPING: Final = ("stream.adapters.record_batches", "stream.worker.process")
"""Ours, but in these names mode logs every service's start and stop."""
_RECORDS_UNSAID: Final = {"aiokafka.conn": {"level": "INFO"}, "aiokafka.producer": {"level": "INFO"}}
"""Debugging, these log the bytes of every fetch, records and all."""
_SELDOM_SECONDS: Final = 10.0
_MOST_SAID: Final = 1_000


class OnceOnly(logging.Filter):
    """Drops the libraries' tracebacks of an error of ours: its one sentence is logged where it happens."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep everything else."""
        error = record.exc_info[1] if record.exc_info else None
        return not (isinstance(error, (FraudstreamError, *REFUSALS)) and record.name.startswith(_LIBRARIES))


class Seldom(logging.Filter):
    """Lets a library say the same again only after a while.

    Of a broker that is away, aiokafka tells 40 times a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep everything else."""
        if not record.name.startswith(_LIBRARIES):
            return True
        said = record.name, str(record.msg)
        if record.created - self._said.get(said, 0.0) < _SELDOM_SECONDS:
            return False
        if len(self._said) >= _MOST_SAID:
            self._said.clear()
        self._said[said] = record.created
        return True


def logging_config(settings: Settings) -> dict[str, Any]:
    """Return a configuration for `logging.config.dictConfig`: lines on standard error."""
    level = settings.log_level.upper()
    quiet = level if level == "DEBUG" else "WARNING"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"once": {"()": OnceOnly}, "seldom": {"()": Seldom}},
        "formatters": {
            "line": {"()": Discreet, "format": "%(asctime)s %(levelname)-8s %(name)s: %(message)s"},
        },
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "stream": "ext://sys.stderr",
                "formatter": "line",
                "filters": ["once", "seldom"] if level != "DEBUG" else ["once"],
            }
        },
        # Faust counts rebalances for a sensor that we do not have, and warns of each.
        "loggers": {"faust.app.base": {"level": "ERROR"}, **_RECORDS_UNSAID}
        | {name: {"level": quiet} for name in (*_LIBRARIES, *_STARTING_AND_STOPPING)},
        "root": {"level": level, "handlers": ["stderr"]},
    }
