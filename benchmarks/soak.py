"""A soak: the pipeline at half of what it can do, for long enough to see whether anything grows.

    python -m benchmarks.soak [--minutes 30] [--json S.json]

Starts Apache Kafka, Redis, a scorer and a learner, finds out how many transactions a second they can take,
each labelled, and then gives them half of that. Exit code 1 when the resident memory of a worker drifts by
more than 5 % after the warm-up, or Redis's `used_memory` is off the formula of docs/capacity.md by more than
15 %.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean
from typing import Any, Final, NamedTuple, Self

import redis

from benchmarks.capacity import TOLERATED, census, used_memory
from benchmarks.provenance import provenance, write
from benchmarks.site import resident_bytes
from producers.publisher import Publisher
from producers.simulator import Simulator
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.topics import create_topics
from stream.clock import DAY_MS
from stream.records import Label, encode
from stream.settings import Settings
from tests.services.kafka_server import KafkaServer
from tests.services.pipeline import Pipeline
from tests.services.redis_server import RedisServer
from tests.services.worker import Worker

FLAT: Final = 0.05
WARM_UP: Final = 0.3
"""Share of the time that is left out: caches fill, and trees grow until they are full."""
_LABEL_SECONDS: Final = 5.0
"""How long after its transaction a label is published: by then it is scored."""
_AHEAD: Final = 20_000
"""Most transactions on their way while the capacity is measured."""
_STEP_SECONDS: Final = 0.02
_SAMPLES: Final = 200
_SNAPSHOT_LABELS: Final = 1_000


class Sample(NamedTuple):
    """What was seen at one moment."""

    seconds: float
    resident: dict[str, int]
    """Bytes, by process."""
    used: int
    """Redis's `used_memory`."""
    scored: int
    learnt: int
    published: int


class Load:
    """Simulated transactions and, some seconds later, their labels, at a rate that can be changed.

    Parameters
    ----------
    pipeline
        To publish to.
    customers
        Of the simulated population, which has twice as many terminals.
    seed
        Of the simulation.
    """

    def __init__(self, pipeline: Pipeline, customers: int, seed: int) -> None:
        self._pipeline = pipeline
        self._simulated = iter(Simulator(seed=seed, customers=customers, terminals=2 * customers, days=None))
        self._owed: deque[tuple[float, Label]] = deque()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self.rate: float | None = None
        """Transactions a second; None: as many as the pipeline takes."""
        self.published = 0
        self.labelled = 0
        self.failure: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            with Publisher(KafkaAccess.of(self._pipeline.settings)) as publisher:
                self._publish(publisher)
        except BaseException as error:  # noqa: BLE001 - the main thread looks, and ends
            self.failure = error

    def _publish(self, publisher: Publisher) -> None:
        topics = self._pipeline.topics
        due = 0.0
        last = time.monotonic()
        while not self._stop.wait(_STEP_SECONDS):
            now = time.monotonic()
            if self.rate is None:
                unscored = self.published - self._pipeline.scored()
                due = _AHEAD - max(unscored, self.labelled - self._pipeline.learnt())
            else:
                due = min(due + (now - last) * self.rate, self.rate)
            last = now
            for _ in range(int(due)):
                transaction, is_fraud, _kind = next(self._simulated)
                key = transaction.customer_id
                publisher.publish(topics.transactions, key.encode(), encode(transaction))
                label = Label(
                    transaction_id=transaction.transaction_id,
                    is_fraud=is_fraud,
                    source="chargeback" if is_fraud else "settlement",
                    label_time=transaction.event_time + 7 * DAY_MS,
                )
                self._owed.append((now + _LABEL_SECONDS, label))
                self.published += 1
            due -= int(due)
            while self._owed and self._owed[0][0] <= now:
                _, label = self._owed.popleft()
                publisher.publish(topics.labels, label.transaction_id.encode(), encode(label))
                self.labelled += 1
            publisher.serve()


def main() -> int:
    """Run the soak and print what became of it; 1 when something grew."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--capacity-seconds", type=float, default=30.0)
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        settings = _start_services(Path(directory), stack)
        pipeline = stack.enter_context(Pipeline(settings))
        workers = {role: Worker(settings, role, Path(directory) / f"{role}.log", None) for role in _ROLES}
        for worker in workers.values():
            stack.callback(worker.kill)
        load = stack.enter_context(Load(pipeline, args.customers, args.seed))
        for worker in workers.values():
            worker.await_ready(worker.is_ready)
        capacity = _capacity(load, pipeline, workers, args.capacity_seconds)
        print(
            f"capacity: {capacity:,.0f} transactions a second, each labelled; soaking at half of it",
            flush=True,
        )
        load.rate = capacity / 2
        samples = list(_soak(load, pipeline, workers, args.minutes * 60))
        stored = _stored(settings)
        load.rate = 0.0
        result = _judge(samples, stored, capacity / 2)
    write(args.json, {**provenance(seed=args.seed), "capacity": capacity, **result})
    return not result["passed"]


_ROLES: Final = ("score", "learn")


def _start_services(directory: Path, stack: ExitStack) -> Settings:
    for name in ("kafka", "redis"):
        (directory / name).mkdir()
    kafka = KafkaServer(directory / "kafka")
    stack.callback(kafka.discard)
    store = RedisServer(directory / "redis")
    stack.callback(store.process.kill)
    settings = Settings(
        broker=kafka.bootstrap, redis=store.url, partitions=2, snapshot_labels=_SNAPSHOT_LABELS
    )
    create_topics(settings)
    return settings


def _capacity(load: Load, pipeline: Pipeline, workers: dict[str, Worker], seconds: float) -> float:
    """Return how many transactions a second are scored, and labels learnt, when there is always more."""
    _pass(load, workers, seconds / 3)
    began, scored, learnt = time.monotonic(), pipeline.scored(), pipeline.learnt()
    _pass(load, workers, seconds * 2 / 3)
    taken = time.monotonic() - began
    capacity = min(pipeline.scored() - scored, pipeline.learnt() - learnt) / taken
    # What is left of it is worked off before anything is looked at.
    load.rate = capacity / 4
    while pipeline.scored() < load.published - capacity or pipeline.learnt() < load.labelled - capacity:
        _pass(load, workers, 0.5)
    return capacity


def _soak(load: Load, pipeline: Pipeline, workers: dict[str, Worker], seconds: float) -> Iterator[Sample]:
    began = time.monotonic()
    with redis.Redis.from_url(pipeline.settings.redis) as client:
        while True:
            taken = time.monotonic() - began
            resident = {role: resident_bytes(worker.pid) for role, worker in workers.items()}
            scored, learnt = pipeline.scored(), pipeline.learnt()
            yield Sample(taken, resident, used_memory(client), scored, learnt, load.published)
            if taken >= seconds:
                return
            _pass(load, workers, min(seconds / _SAMPLES, seconds - taken))


def _judge(samples: list[Sample], stored: dict[str, Any], rate: float) -> dict[str, Any]:
    last = samples[-1]
    warm = [sample for sample in samples if sample.seconds >= WARM_UP * last.seconds]
    tenth = max(1, len(warm) // 10)
    drift = {}
    print(f"{'process':8} {'MB':>7} {'drift':>7}")
    for role in _ROLES:
        first, end = (fmean(one.resident[role] for one in some) for some in (warm[:tenth], warm[-tenth:]))
        drift[role] = end / first - 1
        print(f"{role:8} {end / 1e6:7.1f} {drift[role]:+7.1%}")
    off = stored["predicted"] / stored["used"] - 1
    print(
        f"Redis: {stored['used'] / 1e6:,.1f} MB used, {stored['predicted'] / 1e6:,.1f} MB predicted:"
        f" off by {off:+.1%}"
    )
    behind = last.published - last.scored
    print(
        f"{last.scored:,d} scored, {last.learnt:,d} learnt; {behind:,d} transactions on their way at the end"
    )
    return {
        "rate": rate,
        "seconds": last.seconds,
        "drift": drift,
        "redis": {"off": off, **stored},
        "behind": behind,
        "samples": [sample._asdict() for sample in samples],
        "passed": all(abs(one) <= FLAT for one in drift.values()) and abs(off) <= TOLERATED,
    }


def _stored(settings: Settings) -> dict[str, Any]:
    """Count what lies in Redis, and what it should take; what one of each takes shows where they differ."""
    with redis.Redis.from_url(settings.redis) as client:
        stored, costs = census(client, settings.namespace)
        used = used_memory(client)
    return {"used": used, "predicted": stored.predicted(), **stored._asdict(), "bytes_each": costs}


def _pass(load: Load, workers: dict[str, Worker], seconds: float) -> None:
    """Let time pass, and give up when anything has ended meanwhile."""
    time.sleep(seconds)
    if load.failure is not None:
        raise load.failure
    for role, worker in workers.items():
        if worker.returncode is not None:
            sys.exit(f"the worker in the role {role} ended with {worker.returncode}:\n{worker.tail()}")


if __name__ == "__main__":
    sys.exit(main())
