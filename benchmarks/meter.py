"""A meter: what is done, and what is used up for it, in the steady part of a drain."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from statistics import median
from typing import Final, NamedTuple

from benchmarks.site import cpu_seconds, thread_seconds
from tests.services.process import Process
from tests.services.worker import Worker

WARM_UP: Final = 0.1
"""Share of a backlog that is left out at its beginning: caches fill, code is compiled."""
_STEP: Final = 0.02
"""Between two looks, as a share of the time that it has taken so far."""
_SHORTEST_SECONDS: Final = 0.01
_LONGEST_SECONDS: Final = 0.25
_STALLED_SECONDS: Final = 120.0
_THREADS: Final = ("event loop", "role", "Kafka client")
_STAGES: Final = ("decode", "load", "compute", "commit", "send", "emit")


class Reading(NamedTuple):
    """What the meter shows at one moment."""

    seconds: float
    done: int
    used: dict[str, float]
    """Seconds of processor time by process and by thread, and of time by stage."""


class Usage(NamedTuple):
    """What one record takes."""

    rate: float
    """Records a second."""
    cpu: dict[str, float]
    """Microseconds of processor time by process."""
    stages: dict[str, float]
    """Microseconds by stage; empty for a process that does not tell."""
    threads: dict[str, float]
    """Microseconds of processor time of the workers' threads, by their purpose; empty without a worker."""


def drain(
    done: Callable[[], int],
    count: int,
    measured: Mapping[str, Process],
    beside: Mapping[str, Process],
    role: str = "score",
) -> Usage:
    """Wait until so many records are done, and return what one took.

    Parameters
    ----------
    done
        Tells how many are done.
    count
        How many there are.
    measured
        What does it, by name: one process, or several of a kind.
    beside
        What else works for it: Kafka, Redis.
    role
        Whose stages to read, of workers.

    Raises
    ------
    RuntimeError
        As :func:`reach` does; or so few are done in so short a time that nothing can be said.
    """
    processes = {**measured, **beside}
    first = read(done, max(1, round(count * WARM_UP)), processes, role)
    # Before the end, which would be noticed some time after it.
    last = read(done, round(count * (1 - WARM_UP)), processes, role)
    reach(done, count, processes)
    return between(first, last, processes)


def read(
    done: Callable[[], int], count: int, processes: Mapping[str, Process], role: str = "score"
) -> Reading:
    """Read the meter once so many are done.

    Raises
    ------
    RuntimeError
        As :func:`reach` does.
    """
    moment, reached = reach(done, count, processes)
    used = {name: cpu_seconds(process.pid) for name, process in processes.items()}
    for process in processes.values():
        if isinstance(process, Worker):
            for kind, seconds in thread_seconds(process.pid).items():
                used[kind] = used.get(kind, 0.0) + seconds
            for stage in _STAGES:
                seconds = process.metric("fraud_batch_seconds_sum", role=role, stage=stage)
                if seconds:
                    used[stage] = used.get(stage, 0.0) + seconds
    return Reading(moment, reached, used)


def between(first: Reading, last: Reading, processes: Collection[str]) -> Usage:
    """Return what one record took between two readings.

    Raises
    ------
    RuntimeError
        Nothing was done between them.
    """
    if last.done == first.done:
        raise RuntimeError(f"{last.done} records are done before anything can be measured: take more")
    each = 1e6 / (last.done - first.done)
    used = {name: (last.used[name] - first.used.get(name, 0.0)) * each for name in last.used}
    return Usage(
        (last.done - first.done) / (last.seconds - first.seconds),
        {name: used[name] for name in processes},
        {name: used[name] for name in _STAGES if name in used},
        {name: used[name] for name in _THREADS if name in used},
    )


def middle(several: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each figure."""
    return {name: median(one[name] for one in several) for name in several[0]}


def print_budget(stages: Mapping[str, float], rate: float, beside: Collection[str]) -> None:
    """Print where the time of a record goes.

    Parameters
    ----------
    stages
        Microseconds by stage.
    rate
        Records a second.
    beside
        The stages that go on while the next batch is worked on: they do not add to the time.
    """
    wall = 1e6 / rate
    working = {name: spent for name, spent in stages.items() if name not in beside}
    print(f"\n{'where the time goes':30} {'µs each':>8}")
    for name, spent in working.items():
        print(f"{name:30} {spent:8.1f}")
    print(f"{'drawing, waiting':30} {wall - sum(working.values()):8.1f}")
    print(f"{'together':30} {wall:8.1f}")
    for name in stages.keys() - working.keys():
        print(f"{name + ', beside the next batch':30} {stages[name]:8.1f}")
    print()


def print_threads(threads: Mapping[str, float]) -> None:
    """Print the processor time that a worker's threads take for a record."""
    print("µs of CPU by thread: " + ", ".join(f"{name} {spent:.1f}" for name, spent in threads.items()))


def reach(done: Callable[[], int], count: int, processes: Mapping[str, Process]) -> tuple[float, int]:
    """Wait until so many are done; return when they were, in monotonic seconds, and how many then were.

    Raises
    ------
    RuntimeError
        A process has ended, or nothing is done for two minutes.
    """
    seen, began = 0, time.monotonic()
    since = began
    while True:
        now_done, now = done(), time.monotonic()
        if now_done >= count:
            return now, now_done
        if now_done > seen:
            began = began if seen else now
            seen, since = now_done, now
        for name, process in processes.items():
            if process.returncode is not None:
                raise RuntimeError(f"{name} ended with {process.returncode}:\n{process.tail()}")
        if now - since > _STALLED_SECONDS:
            logs = "\n".join(process.tail(2_000) for process in processes.values())
            raise RuntimeError(f"{now_done} of {count} are done, and no more in {now - since:.0f} s:\n{logs}")
        # To ask costs the broker, too: seldom of what takes long.
        time.sleep(min(max(_STEP * (now - began), _SHORTEST_SECONDS), _LONGEST_SECONDS))
