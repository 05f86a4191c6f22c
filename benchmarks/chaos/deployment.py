"""What is put under faults: a broker, a Redis, scorers and learners, and the load."""

import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self

from benchmarks.chaos.crew import Crew
from benchmarks.chaos.network import Network
from benchmarks.chaos.traffic import Load
from stream.adapters.redis_store import RedisStore
from stream.adapters.topics import TopicNames, create_topics
from stream.errors import InfrastructureError
from stream.settings import Settings
from tests.services.kafka_server import KafkaServer
from tests.services.process import free_port
from tests.services.redis_server import RedisServer

LEARNERS: Final = 2
"""One learns, one stands by."""
_PARTITIONS: Final = 6
_REDIS_SECONDS: Final = 0.5
_KEEPS: Final = ("--appendonly", "yes", "--appendfsync", "everysec")


class StuckError(Exception):
    """Something that should have happened has not: what, and how everything stands."""


class Deployment:
    """A running pipeline of several processes under load.

    Parameters
    ----------
    directory
        For logs and data.
    scorers
        How many.
    rate
        Transactions a second.
    seed
        Of the load.
    say
        Told what happens.
    """

    def __init__(
        self, directory: Path, *, scorers: int, rate: float, seed: int, say: Callable[[str], None]
    ) -> None:
        self.say = say
        self.began = time.monotonic()
        self._stack = ExitStack()
        with ExitStack() as stack:
            self._start(stack, directory, scorers, rate, seed)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack, directory: Path, scorers: int, rate: float, seed: int) -> None:
        network = stack.enter_context(Network())
        names = [f"scorer-{number + 1}" for number in range(scorers)]
        names += [f"learner-{number + 1}" for number in range(LEARNERS)]
        ports = {name: free_port() for name in names}
        to_broker = {name: network.link(port) for name, port in ports.items()}
        self.say("starting Kafka and Redis")
        (directory / "kafka").mkdir()
        self.kafka = KafkaServer(
            directory / "kafka", proxied={port: to_broker[name].port for name, port in ports.items()}
        )
        stack.callback(lambda: self.kafka.discard())  # noqa: PLW0108 - its process may be another by then
        (directory / "redis").mkdir()
        self.redis = RedisServer(directory / "redis", *_KEEPS)
        stack.callback(lambda: self.redis.process.kill())  # noqa: PLW0108
        self.settings = self._settings(self.kafka.bootstrap, self.redis.url)
        create_topics(self.settings)
        self.topics = TopicNames.of(self.settings)
        self.store = RedisStore(
            self.settings.redis,
            namespace=self.settings.namespace,
            pending_ttl=timedelta(days=1),
            state_ttl=timedelta(days=1),
            timeout_seconds=_REDIS_SECONDS,
        )
        stack.callback(self.store.close)
        self.crew = Crew(self.elapsed)
        stack.callback(self.crew.end)
        self.say(f"starting {scorers} scorers and {LEARNERS} learners")
        for name in names:
            to_redis = network.link(self.redis.port)
            settings = self._settings(
                f"127.0.0.1:{to_broker[name].port}", f"redis://127.0.0.1:{to_redis.port}/0"
            )
            role: Any = "score" if name.startswith("scorer") else "learn"
            self.crew.hire(name, role, settings, directory, to_broker[name], to_redis)
        self.load = Load(self.kafka.bootstrap, self.topics, self.store, self.settings.partitions, rate, seed)
        stack.callback(self.load.finish)

    def _settings(self, broker: str, redis: str) -> Settings:
        return Settings(
            broker=broker,
            redis=redis,
            namespace="chaos",
            partitions=_PARTITIONS,
            batch_records=50,
            session_timeout_seconds=6,
            checkpoint_seconds=5,
            snapshot_labels=500,
            label_grace_seconds=10,
            # The undisturbed run scores with other snapshots; a budget would make its state depend on scores.
            decision="threshold",
        )

    def elapsed(self) -> float:
        """Return the seconds since the run began."""
        return time.monotonic() - self.began

    def done(self) -> dict[tuple[str, int], int] | None:
        """Return the watermark of each partition of both inputs; None while Redis does not answer."""
        try:
            done = self.store.transactions_done(self.settings.partitions)
            labels = self.store.labels_done()
        except InfrastructureError:
            return None
        marks = {(self.topics.transactions, partition): offset for partition, offset in done.items()}
        return marks | {(self.topics.labels, 0): labels}

    def all_places(self) -> frozenset[tuple[str, int]]:
        """Return every partition of both inputs."""
        return self.scored_places(range(self.settings.partitions)) | {(self.topics.labels, 0)}

    def scored_places(self, partitions: Iterable[int]) -> frozenset[tuple[str, int]]:
        """Return partitions of `transactions`."""
        return frozenset((self.topics.transactions, partition) for partition in partitions)

    def whole(self) -> bool:
        """Tell whether all workers are ready where they should be, and hold every partition among them."""
        scorers = self.crew.holding("score")
        if sorted(part for held in scorers.values() for part in held) != list(
            range(self.settings.partitions)
        ):
            return False
        if len(self.crew.holding("learn")) != 1:
            return False
        return all(member.ready() for member in self.crew.members)

    def describe(self) -> str:
        """Say how everything stands."""
        lines = [member.describe() for member in self.crew.members]
        return "\n".join([*lines, f"published: {self.load.ends()}", f"done with: {self.done()}"])
