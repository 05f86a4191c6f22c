"""The worker: the composition root, where settings become a Faust app with its roles.

`fraudstream worker` and `faust -A stream.worker worker` run the same app. What a role does is in
``stream.roles``; here it is wired to Kafka, Redis, the metrics and the health endpoints.
"""

from functools import cache
from typing import Any

import faust

from stream.adapters.topics import require_topics
from stream.settings import Settings, load_settings
from stream.worker.process import Process


@cache
def _process() -> Process:
    return Process(load_settings())


def run_worker(settings: Settings) -> None:
    """Run a worker until it is told to stop, and exit: with 0, or with 1 when something else ended it.

    Raises
    ------
    SettingsError, TopicError, InfrastructureError
        Nothing has started yet: a setting is wrong, a topic is missing, no broker answers.
    """
    process = Process(settings)
    # Before Faust, which by asking for topics would make them on a broker that makes what it is asked for.
    require_topics(settings)
    worker = faust.Worker(process.app, loglevel=settings.log_level, redirect_stdouts=False)
    worker.execute_from_commandline()


def __getattr__(name: str) -> Any:
    """Make `app` for `faust -A stream.worker worker` when it is asked for, from the environment."""
    if name == "app":
        return _process().app
    raise AttributeError(name)
