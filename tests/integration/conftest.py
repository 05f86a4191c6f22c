"""Real services, embedded services and workers, as fixtures.

========================  ==================================================================================
`redis_url`               a Redis of the whole run, empty for each test
`redis_server`            factory: a Redis of one's own, to kill, pause or limit
`postgres`                a PostgreSQL of the whole run, to stop and start
`case_store`              DSN of an empty database on it
`kafka`                   HOST:PORT of an Apache Kafka of the whole run
`kafka_server`            that broker itself, to be stopped and started
`embedded_broker`         HOST:PORT of a fresh embedded broker with our topics
`site`                    Kafka and Redis with TLS, logins and the documented rights, the module's own
`topics`                  factory: settings with topics of their own on Apache Kafka
`deploy`                  the same, and the test runs twice: on the embedded broker and on Apache Kafka
`worker`                  factory: a running `fraudstream worker`
`command`                 factory: any running `fraudstream` command
========================  ==================================================================================
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import pytest
import redis

from stream.adapters.topics import create_topics
from stream.embedded import EmbeddedBroker
from stream.settings import Settings
from tests.services.availability import OWN
from tests.services.kafka_server import KafkaServer
from tests.services.plugin import LOGS
from tests.services.postgres_server import PostgresServer
from tests.services.process import Process
from tests.services.redis_server import RedisServer
from tests.services.secured_site import Site, secured_services
from tests.services.worker import Worker, environment_of

Deploy = Callable[..., Settings]
S = TypeVar("S", KafkaServer, PostgresServer)


@pytest.fixture(scope="session")
def _shared_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    own = os.environ.get(OWN["redis"])
    if own:
        yield own
        return
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server.url
    server.stop()


@pytest.fixture
def redis_url(_shared_redis: str) -> str:
    """Return the URL of a real Redis whose database is empty."""
    with redis.Redis.from_url(_shared_redis) as client:
        client.flushdb()
    return _shared_redis


@pytest.fixture
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RedisServer]]:
    """Return a factory of Redis servers that a test may kill, pause or limit: its options are theirs."""
    with ExitStack() as servers:

        def start(*options: str) -> RedisServer:
            server = RedisServer(tmp_path_factory.mktemp("redis"), *options)
            # The test may have started it again: look at the end for the process it then has.
            servers.callback(lambda: server.process.kill())  # noqa: PLW0108
            return server

        yield start


def _once(make: Callable[[], S]) -> Iterator[Callable[[], S]]:
    """Start a server when it is first asked for; a test that stopped it need not have started it again."""
    servers: list[S] = []

    def running() -> S:
        if not servers:
            servers.append(make())
        elif servers[0].process.returncode is not None:
            servers[0].start()
        return servers[0]

    yield running
    for server in servers:
        server.discard()


@pytest.fixture(scope="session")
def _shared_postgres() -> Iterator[Callable[[], PostgresServer]]:
    yield from _once(PostgresServer)


@pytest.fixture
def postgres(_shared_postgres: Callable[[], PostgresServer]) -> PostgresServer:
    """Return the run's PostgreSQL."""
    return _shared_postgres()


@pytest.fixture
def case_store(postgres: PostgresServer) -> str:
    """Return the DSN of an empty database."""
    return postgres.new_database()


@pytest.fixture(scope="session")
def _shared_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], KafkaServer]]:
    yield from _once(lambda: KafkaServer(tmp_path_factory.mktemp("kafka")))


@pytest.fixture
def kafka_server(_shared_kafka: Callable[[], KafkaServer]) -> KafkaServer:
    """Return the run's Apache Kafka, which a test may stop, kill, pause and start."""
    if os.environ.get(OWN["kafka"]):
        pytest.skip(f"{OWN['kafka']} names a broker that is not ours to stop")
    return _shared_kafka()


@pytest.fixture
def kafka(_shared_kafka: Callable[[], KafkaServer]) -> str:
    """Return HOST:PORT of a real Apache Kafka; topics are not made by themselves."""
    return os.environ.get(OWN["kafka"]) or _shared_kafka().bootstrap


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a Kafka and a Redis of the module's own, with TLS, logins and rights."""
    with secured_services(tmp_path_factory.mktemp("secured")) as made:
        yield made


@pytest.fixture
def embedded_broker() -> Iterator[str]:
    """Return HOST:PORT of a fresh embedded broker with our topics of 4 partitions."""
    with EmbeddedBroker() as broker:
        yield broker.bootstrap


@pytest.fixture
def topics(kafka: str, redis_url: str) -> Deploy:
    """Return a factory of settings with topics, Redis keys and consumer groups that no other test has.

    Its keyword arguments are settings: `topics(partitions=2)`.
    """

    def make(**settings: Any) -> Settings:
        made = _unique(broker=kafka, redis=redis_url, **settings)
        create_topics(made)
        return made

    return make


@pytest.fixture(
    params=["embedded", pytest.param("kafka", marks=[pytest.mark.service("kafka")])],
)
def deploy(request: pytest.FixtureRequest, redis_url: str) -> Iterator[Deploy]:
    """Return a factory as `topics` is one; the test runs on the embedded broker and on Apache Kafka."""
    if request.param == "kafka":
        yield request.getfixturevalue("topics")
        return
    with ExitStack() as brokers:

        def make(**settings: Any) -> Settings:
            made = _unique(broker="127.0.0.1:0", redis=redis_url, **settings)
            broker = brokers.enter_context(EmbeddedBroker(made.partitions, made.topic_prefix))
            return made.model_copy(update={"broker": broker.bootstrap})

        yield make


@pytest.fixture
def worker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Return a factory: `worker(settings, role="score")` is a worker that is ready.

    What it says is shown when the test fails; it is killed with the test.
    """
    logs = request.node.stash.setdefault(LOGS, [])
    workers: list[Worker] = []
    numbers = count(1)

    def start(settings: Settings, role: str = "all", timeout: float | None = 90.0) -> Worker:
        log = tmp_path / f"worker-{role}-{next(numbers)}.log"
        log.touch()
        logs.append(log)
        started = Worker(settings, role, log, timeout)
        workers.append(started)
        return started

    yield start
    # An orderly stop would take over a second of each test, and is tested by itself.
    for started in workers:
        started.kill()


@pytest.fixture
def command(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Return a factory: `command(settings, "cases")` is a running `fraudstream cases`.

    In place of settings it takes environment variables, too. What a command says is shown when the test
    fails; it is killed with the test.
    """
    logs = request.node.stash.setdefault(LOGS, [])
    started: list[Process] = []

    def start(settings: Settings | Mapping[str, str], *arguments: str) -> Process:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("FRAUD_")}
        given = environment_of(settings) if isinstance(settings, Settings) else settings
        log = tmp_path / f"{arguments[0]}-{len(started)}.log"
        logs.append(log)
        program = [sys.executable, "-c", "from stream.cli import main; main()", *arguments]
        started.append(Process(program, log, ours | dict(given)))
        return started[-1]

    yield start
    for process in started:
        process.kill()


def _unique(**settings: Any) -> Settings:
    name = uuid4().hex[:12]
    return Settings(**{"namespace": f"test-{name}", "topic_prefix": f"{name}."} | settings)
