"""The workers, and a supervisor that starts again whoever has ended, as a container's runtime would."""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple

from benchmarks.chaos.network import Link
from stream.settings import Settings
from tests.services.worker import Worker

Role = Literal["score", "learn"]

_STOP_SECONDS: Final = 20.0
_PARTITION: Final = re.compile(r'partition="(\d+)"')


class Exit(NamedTuple):
    """A worker that ended without having been told to."""

    at: float
    """Seconds since the run began."""
    name: str
    code: int
    last_words: str


@dataclass
class Member:
    """One worker, with links of its own to the broker and to Redis."""

    name: str
    role: Role
    settings: Settings
    log: Path
    broker: Link
    redis: Link
    worker: Worker
    frozen: bool = False
    dismissed: bool = False

    def holds(self) -> frozenset[int]:
        """Return the partitions of its input that it has; none of one that does not answer."""
        samples = self._samples()
        if not samples.get(f'fraud_assigned_partitions{{role="{self.role}"}}'):
            return frozenset()
        lags = [name for name in samples if name.startswith("fraud_consumer_lag_records")]
        return frozenset(int(found[1]) for name in lags if (found := _PARTITION.search(name)))

    def parked(self) -> int:
        """Return how many labels wait in it for their transactions."""
        return int(self._samples().get("fraud_parked_labels", 0))

    def label_offset(self) -> int:
        """Return how far a learner has read; -1 of one that does not answer."""
        return int(self._samples().get("fraud_label_offset", -1))

    def ready(self) -> bool:
        """Tell whether it says that it is ready."""
        return not self.frozen and self.worker.is_ready()

    def describe(self) -> str:
        """Say how it stands."""
        if self.frozen:
            return f"{self.name} is frozen"
        if self.worker.returncode is not None:
            return f"{self.name} has ended with {self.worker.returncode}"
        try:
            return f"{self.name} holds {sorted(self.holds())}: {self.worker.why_not_ready()}"
        except OSError as error:
            return f"{self.name} does not answer: {error}"

    def _samples(self) -> dict[str, float]:
        if self.frozen or self.worker.returncode is not None:
            return {}
        try:
            return self.worker.metrics()
        except OSError:
            return {}  # it has just been started, or is about to end


class Crew:
    """All workers of the run.

    Parameters
    ----------
    clock
        Seconds since the run began.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.members: list[Member] = []
        self.exits: list[Exit] = []
        self._killed: set[str] = set()

    def hire(
        self, name: str, role: Role, settings: Settings, directory: Path, broker: Link, redis: Link
    ) -> None:
        """Start a worker, and keep it running."""
        log = directory / f"{name}.log"
        log.touch()
        worker = Worker(settings, role, log, timeout=None)
        self.members.append(Member(name, role, settings, log, broker, redis, worker))

    def of(self, role: Role) -> list[Member]:
        """Return those of one role."""
        return [member for member in self.members if member.role == role]

    def holding(self, role: Role) -> dict[str, frozenset[int]]:
        """Return the partitions of each one of a role that has any, by name."""
        held = {member.name: member.holds() for member in self.of(role)}
        return {name: partitions for name, partitions in held.items() if partitions}

    def named(self, name: str) -> Member:
        """Return the one of this name."""
        return next(member for member in self.members if member.name == name)

    def kill(self, member: Member) -> None:
        """End one at once (SIGKILL)."""
        self._killed.add(member.name)
        member.worker.kill()

    def freeze(self, member: Member) -> None:
        """Stop one in its tracks (SIGSTOP)."""
        member.frozen = True
        member.worker.pause()

    def thaw(self, member: Member) -> None:
        """Let it go on."""
        member.worker.resume()
        member.frozen = False

    def supervise(self) -> None:
        """Start again whoever has ended."""
        for member in self.members:
            code = member.worker.returncode
            if code is None or member.dismissed:
                continue
            if member.name in self._killed:
                self._killed.discard(member.name)
            else:
                words = member.worker.tail(4_000).strip().splitlines()
                self.exits.append(Exit(self._clock(), member.name, code, words[-1] if words else ""))
            self.start(member)

    def start(self, member: Member) -> None:
        """Start one that has ended."""
        member.dismissed = False
        member.worker = Worker(member.settings, member.role, member.log, timeout=None)

    def dismiss(self, members: Iterable[Member]) -> dict[str, int]:
        """Stop some in order, and return how each ended."""
        gone = list(members)
        for member in gone:
            member.dismissed = True
            member.worker.ask_to_stop()
        return {member.name: member.worker.terminate(_STOP_SECONDS) for member in gone}

    def end(self) -> None:
        """End all at once."""
        for member in self.members:
            member.worker.kill()
