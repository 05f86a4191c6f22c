"""A site: Apache Kafka and Redis of a benchmark's own, with deployments and baselines on them."""

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Self, TypeVar, cast

import redis
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from benchmarks.baselines.place import Place
from benchmarks.capacity import used_memory
from producers.publisher import Publisher
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.offsets import offset_range
from stream.adapters.topics import TopicNames, create_topics, topic_specs
from stream.settings import Settings
from tests.services.kafka_server import JARS, KafkaServer
from tests.services.process import Process, free_port
from tests.services.redis_server import RedisServer
from tests.services.worker import Worker

_JAVA: Final = ("java", "-Xmx1g")
_QUEUE_RECORDS: Final = 100_000
_SECONDS: Final = 10.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")

Keyed = tuple[bytes, bytes]
"""A record's key and value."""


class Site:
    """Apache Kafka and Redis on this machine, for as long as the context lasts.

    Parameters
    ----------
    java
        How to start the broker's Java.
    options
        More of the broker's configuration.
    """

    def __init__(self, java: tuple[str, ...] = _JAVA, options: Mapping[str, str] | None = None) -> None:
        self._java = java
        self._options = options
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for name in ("kafka", "redis"):
                (self.directory / name).mkdir()
            self.kafka = KafkaServer(self.directory / "kafka", self._java, options=self._options)
            stack.callback(self.kafka.discard)
            self.redis = RedisServer(self.directory / "redis")
            stack.callback(self.redis.process.kill)
            # It may see the broker end, and has nothing to say about it.
            self._admin = AdminClient({"bootstrap.servers": self.kafka.bootstrap, "log_level": 0})
            self.client = stack.enter_context(redis.Redis.from_url(self.redis.url))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # What stands on it.

    def deployment(self, name: str, **settings: Any) -> Settings:
        """Return settings of a pipeline with topics, keys and groups of its own; its topics are there."""
        made = Settings(
            **{
                "broker": self.kafka.bootstrap,
                "redis": self.redis.url,
                "namespace": name,
                "topic_prefix": f"{name}.",
                "partitions": 1,
                **settings,
            }
        )
        create_topics(made)
        # Then the broker says when a score could first be read, whoever sent it.
        self.alter(TopicNames.of(made).scores, {"message.timestamp.type": "LogAppendTime"})
        return made

    def place(self, name: str) -> Place:
        """Return where a baseline may work; its topics are there."""
        place = Place(self.kafka.bootstrap, self.redis.url, name, free_port())
        topics = [NewTopic(topic, 1, 1) for topic in (place.transactions, place.scores, place.dead_letters)]
        for future in self._admin.create_topics(topics).values():
            future.result(_SECONDS)
        self.alter(place.scores, {"message.timestamp.type": "LogAppendTime"})
        return place

    @contextmanager
    def baseline(self, place: Place, module: str, *arguments: str) -> Iterator[Process]:
        """Run a baseline until the context ends, and see that it ends as it should."""
        command = [sys.executable, "-m", f"benchmarks.baselines.{module}", *arguments]
        log = self.directory / f"{place.name}.log"
        with _running(Process(command, log, {**os.environ, **place.environment})) as process:
            yield process

    @contextmanager
    def worker(self, settings: Settings, role: str, number: int = 1) -> Iterator[Worker]:
        """Run a worker until the context ends, and see that it ends as it should."""
        log = self.directory / f"{settings.namespace}-{role}-{number}.log"
        with _running(Worker(settings, role, log)) as worker:
            yield worker

    # Records.

    def publish(self, topic: str, records: Iterable[Keyed]) -> None:
        """Put records on a topic, and return once the broker has them."""
        with Publisher(KafkaAccess(self.kafka.bootstrap), queue_records=_QUEUE_RECORDS) as publisher:
            for key, value in records:
                publisher.publish(topic, key, value)

    def alter(self, topic: str, config: Mapping[str, str]) -> None:
        """Set options of a topic."""
        entries = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in config.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
        for future in self._admin.incremental_alter_configs([resource]).values():
            future.result(_SECONDS)

    def clear(self, topics: Sequence[str]) -> None:
        """Empty Redis, and delete topics: the next to be measured finds the same ground."""
        self.client.flushall()
        for future in self._admin.delete_topics(list(topics)).values():
            future.result(_SECONDS)

    def used_memory(self) -> int:
        """Return what Redis has allocated, in bytes."""
        return used_memory(self.client)

    def versions(self) -> dict[str, str]:
        """Return what the services are."""
        server = cast("Mapping[str, str]", self.client.info("server"))
        return {"kafka": JARS.parent.name.removeprefix("kafka-"), "redis-server": server["redis_version"]}

    def processes(self) -> dict[str, Process]:
        """Return the services."""
        return {"redis": self.redis.process, "kafka": self.kafka.process}


P = TypeVar("P", bound=Process)


@contextmanager
def _running(process: P) -> Iterator[P]:
    """End a process with the context; raise where it does not end as it should."""
    try:
        yield process
        code = process.terminate()
        if code != 0:
            raise RuntimeError(f"{' '.join(process.command)} ended with {code}:\n{process.tail()}")
    finally:
        process.kill()


class Growth:
    """How many records have come to a topic since this was made; a context, to let go of the connection."""

    def __init__(self, broker: str, topic: str) -> None:
        self._consumer = Consumer(
            # What goes wrong is raised; librdkafka's own lines would repeat it on stderr.
            {"bootstrap.servers": broker, "group.id": "benchmarks-look-only", "log_level": 2}
        )
        partitions = self._consumer.list_topics(topic, timeout=_SECONDS).topics[topic].partitions
        self._places = [TopicPartition(topic, partition) for partition in partitions]
        self._begin = self._ends()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    def __call__(self) -> int:
        """Ask the broker."""
        return self._ends() - self._begin

    def _ends(self) -> int:
        return sum(offset_range(self._consumer, place, _SECONDS)[1] for place in self._places)


def topics_of(settings: Settings) -> list[str]:
    """Return the topics of a deployment."""
    return [spec.name for spec in topic_specs(settings)]


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has taken so far, its own and the kernel's for it."""
    return _ticks(Path(f"/proc/{pid}/stat"))[1] / _TICKS


def thread_seconds(pid: int) -> dict[str, float]:
    """Return the processor time that a worker's threads have taken so far, by what they are for."""
    taken = {"event loop": 0.0, "role": 0.0, "Kafka client": 0.0}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            name, ticks = _ticks(task / "stat")
        except FileNotFoundError:
            continue  # it has ended since it was listed
        # Faust's loop runs in the first thread; librdkafka names its own; the rest is Python's, for the role.
        kind = (
            "event loop" if task.name == str(pid) else "Kafka client" if name.startswith("rdk:") else "role"
        )
        taken[kind] += ticks / _TICKS
    return taken


def _ticks(stat: Path) -> tuple[str, int]:
    """Return the name of a process or thread, and its user and system time."""
    # The name, in brackets, may hold anything; user and system time are the fields 14 and 15.
    before, _, after = stat.read_text().rpartition(")")
    fields = after.split()
    return before.partition("(")[2], int(fields[11]) + int(fields[12])


def resident_bytes(pid: int) -> int:
    """Return a process's resident memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)
