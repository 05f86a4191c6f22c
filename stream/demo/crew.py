"""The crew: the learner, the scorer and the simulator of a demo, from their start to their end."""

import contextlib
import json
import shutil
import socket
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from pydantic import SecretStr

from stream.demo.child import Child
from stream.demo.plan import Plan
from stream.demo.scrape import Endpoint
from stream.errors import FraudstreamError
from stream.settings import Role, Settings

READY_SECONDS: Final = 90.0
_STOP_SECONDS: Final = 15.0
"""For an orderly stop: the batch in hand, a last checkpoint, and leaving the consumer group."""
_FAREWELL_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.1


class DemoError(FraudstreamError):
    """The demo cannot go on, or did not come out as it must: which process, and what it said."""


class Crew:
    """The demo's processes. Whatever ends its context, none of them outlives it.

    Parameters
    ----------
    settings
        What every one of them gets, as its environment.
    environment
        The rest of their environment.
    urgent
        Asked when the context ends early: whether there is no time for an orderly stop.
    """

    def __init__(
        self, settings: Settings, environment: Mapping[str, str], urgent: Callable[[], bool]
    ) -> None:
        self._environment = {
            name: value for name, value in environment.items() if not name.startswith("FRAUD_")
        } | environment_of(settings)
        self._urgent = urgent
        self._batch = settings.batch == "on"
        self._folder = Path(tempfile.mkdtemp(prefix="fraudstream-demo-"))
        self._children: list[Child] = []
        self._simulation = self._folder / "simulation.json"
        self.scorer: Endpoint
        self.learner: Endpoint

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.ExitStack() as ending:
            for child in self._children:
                ending.callback(self._end, child)
        if not isinstance(error, DemoError):
            shutil.rmtree(self._folder, ignore_errors=True)

    def start_workers(self, give_up: Callable[[], bool]) -> None:
        """Start a learner and a scorer, and return once all are ready, or when `give_up` says so.

        And a fitter, where the settings ask for the batch challenger.

        Raises
        ------
        DemoError
            One ended, or is not ready in time.
        """
        learner, self.learner = self._start_worker("learner", "learn")
        scorer, self.scorer = self._start_worker("scorer", "score")
        workers = [(learner, self.learner), (scorer, self.scorer)]
        if self._batch:
            workers.append(self._start_worker("fitter", "fit"))
        for child, endpoint in workers:
            waited = 0.0
            while not give_up() and (reason := endpoint.why_not_ready()) is not None:
                self.check()
                if waited >= READY_SECONDS:
                    raise self._failure(child, f"is not ready after {READY_SECONDS:g} s: {reason}")
                child.wait(_LOOK_SECONDS)
                waited += _LOOK_SECONDS

    def start_simulator(self, plan: Plan) -> Child:
        """Start publishing."""
        return self._start("simulator", plan.arguments(str(self._simulation)))

    def simulation(self) -> dict[str, Any]:
        """Return the simulator's own summary; empty when it has written none."""
        try:
            summary: dict[str, Any] = json.loads(self._simulation.read_text())
        except FileNotFoundError:
            return {}
        return summary

    def check(self) -> None:
        """Return if nobody has died.

        Raises
        ------
        DemoError
            Somebody has: who, and the last that it said.
        """
        for child in self._children:
            code = child.exit_code
            if code is None or (code == 0 and child.name == "simulator"):
                continue
            how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise self._failure(child, how)

    def stop(self) -> list[str]:
        """Stop everybody, from the source down; name those that had to be killed."""
        for child in reversed(self._children):
            child.ask_to_stop()
        return [child.name for child in reversed(self._children) if not child.stop(_STOP_SECONDS)]

    def _start_worker(self, name: str, role: Role) -> tuple[Child, Endpoint]:
        port = _free_port()
        child = self._start(name, ("worker", f"--role={role}", f"--http-port={port}"))
        return child, Endpoint(port)

    def _start(self, name: str, arguments: tuple[str, ...]) -> Child:
        child = Child(name, arguments, self._environment, self._folder)
        self._children.append(child)
        return child

    def _end(self, child: Child) -> None:
        if not self._urgent():
            child.stop(_FAREWELL_SECONDS)
        child.kill()

    def _failure(self, child: Child, what: str) -> DemoError:
        lines = "\n".join(f"    {line}" for line in child.last_words()) or "    (nothing)"
        return DemoError(f"the {child.name} {what}; the last it said:\n{lines}\nall logs: {self._folder}")


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment variables that make these settings.

    Examples
    --------
    >>> made = environment_of(Settings(partitions=2, challengers=("forest", "tree")))
    >>> made["FRAUD_PARTITIONS"], made["FRAUD_CHALLENGERS"], "FRAUD_SIGNING_KEY" in made
    ('2', 'forest,tree', False)
    """
    values = {name: getattr(settings, name) for name in Settings.model_fields}
    return {f"FRAUD_{name.upper()}": _text(value) for name, value in values.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
