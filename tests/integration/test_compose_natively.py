"""docker-compose.yml without Docker: what each service runs, run here, with its environment and mounts."""

import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest
import yaml

from tests.promql import ROOT
from tests.services.kafka_server import KafkaServer
from tests.services.postgres_server import PostgresServer, rows
from tests.services.process import Process, free_port
from tests.services.redis_server import RedisServer
from tests.services.waiting import eventually

SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
# What says where Kafka listens, who it is and where it writes is this machine's affair.
_OWN_TO_THE_PLACE = re.compile("NODE_ID|PROCESS_ROLES|CONTROLLER_.*|.*LISTENER.*|LOG_DIRS", flags=re.ASCII)
VIEWS = ("cases", "open_alerts", "frauds", "outcomes_by_day", "hits_by_day")


class Stack:
    """The services of docker-compose.yml on ports of this machine.

    Parameters
    ----------
    folder
        Empty; for data and logs.
    start
        Starts one of our commands with environment variables.
    """

    def __init__(self, folder: Path, start: Callable[..., Process]) -> None:
        self._folder = folder
        self._start = start
        self._ending = ExitStack()
        for name in ("kafka", "redis"):
            (folder / name).mkdir()
        kafka = SERVICES["kafka"]["environment"]
        options = {name.removeprefix("KAFKA_"): value for name, value in kafka.items()}
        self.kafka = KafkaServer(
            folder / "kafka",
            options={
                name.lower().replace("_", "."): value
                for name, value in options.items()
                if not _OWN_TO_THE_PLACE.fullmatch(name)
            },
        )
        self._ending.callback(self.kafka.discard)
        self.redis = RedisServer(folder / "redis", *SERVICES["redis"]["command"][1:])
        self._ending.callback(self.redis.stop)
        self.postgres = PostgresServer(*SERVICES["postgres"]["command"][1:])
        self._ending.callback(self.postgres.discard)
        self.case_store = self.postgres.new_database(SERVICES["postgres"]["environment"]["POSTGRES_DB"])
        with psycopg.connect(self.case_store) as connection:
            for volume in SERVICES["postgres"]["volumes"]:
                source, target, *_ = volume.split(":")
                if target.startswith("/docker-entrypoint-initdb.d/"):
                    connection.execute((ROOT / source).read_bytes())

    def close(self) -> None:
        """End every service."""
        self._ending.close()

    def ours(self, name: str, **places: str) -> Process:
        """Start one of our own services."""
        service = SERVICES[name]
        environment = {key: self._here(value) for key, value in service["environment"].items() if value}
        return self._start(environment | places, *service["command"])

    def _here(self, value: str) -> str:
        here = {
            "kafka:9092": self.kafka.bootstrap,
            "redis://redis:6379/0": self.redis.url,
            "postgresql://fraud@postgres/cases": self.case_store,
        }
        return here.get(value, value)


def start_another(name: str, folder: Path, program: list[str], *more: str) -> Process:
    """Start a service of somebody else's, with its own arguments and what is mounted, until it is healthy.

    Parameters
    ----------
    name
        Of the service.
    folder
        For its data and its log.
    program
        What its image runs.
    *more
        Arguments that only this machine needs; `{}` in them is its address.
    """
    address = f"127.0.0.1:{free_port()}"
    places = {
        target: str(ROOT / source) if source.startswith(".") else str(folder / source)
        for source, target, *_ in (volume.split(":") for volume in SERVICES[name]["volumes"])
    }
    arguments = [_from(places, argument) for argument in SERVICES[name]["command"]]
    local = [argument.format(address) for argument in more]
    process = Process([*program, *arguments, *local], folder / f"{name}.log")
    try:
        *_, url = SERVICES[name]["healthcheck"]["test"]
        path = re.sub("^http://localhost:[0-9]+", "", url)
        process.await_ready(lambda: answers(f"http://{address}{path}"))
    except BaseException:
        process.kill()
        raise
    return process


def _from(places: dict[str, str], argument: str) -> str:
    key, equals, value = argument.partition("=")
    for target, source in places.items():
        if value.startswith(target):
            return key + equals + source + value.removeprefix(target)
    return argument


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - http
            return bool(response.status == 200)
    except (urllib.error.HTTPError, OSError):
        return False


@pytest.fixture
def stack(tmp_path: Path, command: Callable[..., Process]) -> Iterator[Stack]:
    made = Stack(tmp_path, command)
    yield made
    made.close()


@pytest.mark.service("kafka")
@pytest.mark.service("redis")
@pytest.mark.service("postgres")
def test_our_services_run_as_they_are_written_down(stack: Stack) -> None:
    for name in ("topics-init", "cases-init"):
        done = stack.ours(name)
        assert done.wait(60) == 0, done.tail()
    # A container has an address of its own; here, each needs a port of its own.
    ports = {name: free_port() for name in ("scorer", "learner", "fitter", "desk", "cases")}
    running = {
        name: stack.ours(
            name,
            FRAUD_HTTP_PORT=str(port),
            FRAUD_DESK_PORT=str(port),
            FRAUD_CASES_METRICS_PORT=str(port),
            FRAUD_DESK_METRICS_PORT="0",
        )
        for name, port in ports.items()
    }
    for name, port in ports.items():
        url = f"http://127.0.0.1:{port}/health/ready"
        running[name].await_ready(lambda url=url: answers(url))  # type: ignore[misc]
    running["simulator"] = stack.ours("simulator")

    eventually(
        lambda: rows(stack.case_store, "SELECT count(*) FROM transactions")[0][0] > 0,
        describe=lambda: running["simulator"].tail() + running["cases"].tail(),
    )
    token = re.search(r"log in with (\S+)", running["desk"].tail())
    assert token is not None, running["desk"].tail()
    asked = urllib.request.Request(
        f"http://127.0.0.1:{ports['desk']}/api/alerts", headers={"Authorization": f"Bearer {token[1]}"}
    )
    with urllib.request.urlopen(asked, timeout=10) as response:  # noqa: S310 - http
        assert "alerts" in msgspec.json.decode(response.read())

    # As Grafana does.
    reader = stack.case_store.replace("fraud@", f"{SERVICES['grafana']['environment']['CASE_STORE_USER']}@")
    with psycopg.connect(reader) as connection:
        for view in VIEWS:
            connection.execute(psycopg.sql.SQL("SELECT * FROM {}").format(psycopg.sql.Identifier(view)))
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM labels")

    for process in running.values():
        process.ask_to_stop()
    for name, process in running.items():
        assert process.terminate() == 0, f"{name}: {process.tail()}"


@pytest.mark.service("prometheus")
@pytest.mark.service("alertmanager")
@pytest.mark.parametrize(
    ("name", "program", "more"),
    [
        ("prometheus", ["prometheus"], ["--web.listen-address={}"]),
        (
            "alertmanager",
            ["prometheus-alertmanager"],
            ["--web.listen-address={}", "--cluster.listen-address="],
        ),
        (
            "docs",
            [sys.executable, "-m", "mkdocs"],
            ["--dev-addr={}", f"--config-file={ROOT / 'mkdocs.yml'}"],
        ),
    ],
)
def test_the_services_of_others_run_with_our_files_as_they_are_mounted(
    tmp_path: Path, name: str, program: list[str], more: list[str]
) -> None:
    process = start_another(name, tmp_path, program, *more)
    assert process.returncode is None
    process.kill()
