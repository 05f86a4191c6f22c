"""`fraudstream demo`, for real: to its end, interrupted, and with a process that dies."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from tests.services.waiting import eventually

_COMMAND = Path(sys.executable).with_name("fraudstream")
_MARK = "DEMO_TEST_RUN"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")


@dataclass
class Running:
    """A demo under test: what it starts carries its mark in the environment."""

    folder: Path
    mark: str = field(default_factory=lambda: uuid4().hex)
    process: subprocess.Popen[bytes] | None = None

    @property
    def output(self) -> Path:
        return self.folder / "output"

    def start(self, *arguments: str, terminal: int | None = None) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("FRAUD_")}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [str(_COMMAND), "demo", *arguments],
                stdin=terminal if terminal is not None else subprocess.DEVNULL,
                stdout=output if terminal is None else terminal,
                stderr=subprocess.STDOUT,
                env={**environment, _MARK: self.mark, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
                start_new_session=True,
            )

    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def wait(self, timeout: float) -> int:
        assert self.process is not None
        return self.process.wait(timeout)

    def left(self) -> dict[int, str]:
        """Return the command line of every process of this demo that runs, by process id."""
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                if f"{_MARK}={self.mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue  # it has gone meanwhile, or is not ours
        return found

    def one_of(self, words: str) -> int:
        return next(pid for pid, command in self.left().items() if words in command)


@contextmanager
def _in(folder: Path) -> Iterator[Running]:
    demo = Running(folder)
    try:
        yield demo
    finally:
        for pid in demo.left():
            os.kill(pid, signal.SIGKILL)
        if demo.process is not None:
            demo.process.wait()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Return a demo that can be started; nothing of it is left after the test."""
    with _in(tmp_path) as demo:
        yield demo


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Return a demo that has run to its end, without a terminal, its summary in `S.json`."""
    folder = tmp_path_factory.mktemp("demo")
    with _in(folder) as demo:
        demo.start("--transactions=30000", f"--summary={folder / 'S.json'}")
        assert demo.wait(250) == 0, demo.said()
        yield demo


def test_it_runs_to_its_end_swaps_and_accounts_for_every_transaction(finished: Running) -> None:
    summary = json.loads((finished.folder / "S.json").read_text())
    assert summary["published"] == 30_000
    assert summary["published"] == summary["scored"] + summary["dead_lettered"]
    assert summary["labels_published"] == summary["labels_joined"] == summary["learned"] > 25_000
    assert set(summary["average_precision"]) >= {"ensemble-1", "logistic-1"}
    assert summary["champion_version"] in summary["average_precision"]
    assert summary["swaps"] == sum(event["kind"] == "swap" for event in summary["model_events"]) >= 1
    assert summary["latency_seconds"]["p50"] > 0
    assert summary["finished"] is True
    assert finished.left() == {}


def test_without_a_terminal_it_writes_plain_lines(finished: Running) -> None:
    first, *_ = lines = finished.said().splitlines()
    assert first.startswith("embedded broker (librdkafka's mock cluster, in memory) at 127.0.0.1:")
    assert "embedded Redis" in first
    assert "\x1b" not in finished.said()
    assert any(line.startswith("transactions") and "30,000 published" in line for line in lines)


def test_ctrl_c_drains_sums_up_and_leaves_no_process_behind(running: Running, tmp_path: Path) -> None:
    running.start("--transactions=300000", f"--summary={tmp_path / 'S.json'}")
    eventually(lambda: " done at " in running.said(), 60, running.said)
    assert running.process is not None
    assert len(running.left()) >= 6, "the demo, broker, guardian, Redis, scorer, learner and simulator run"

    os.killpg(running.process.pid, signal.SIGINT)

    assert running.wait(60) == 130, running.said()
    assert running.left() == {}
    summary = json.loads((tmp_path / "S.json").read_text())
    assert 0 < summary["published"] < 300_000
    assert summary["published"] == summary["scored"] + summary["dead_lettered"]
    assert summary["finished"] is False
    assert "Summary of what was done" in running.said()


def test_a_second_ctrl_c_stops_at_once_and_leaves_no_process_behind(running: Running) -> None:
    running.start("--transactions=300000")
    eventually(lambda: " done at " in running.said(), 60, running.said)
    assert running.process is not None

    os.killpg(running.process.pid, signal.SIGINT)
    eventually(lambda: "stopping:" in running.said(), describe=running.said)
    os.killpg(running.process.pid, signal.SIGINT)

    assert running.wait(60) == 130, running.said()
    assert running.left() == {}
    assert "stopped at once" in running.said()
    assert "Traceback" not in running.said()


def test_a_killed_demo_takes_everything_along(running: Running) -> None:
    running.start("--transactions=300000")
    eventually(lambda: " done at " in running.said(), 60, running.said)
    assert running.process is not None

    running.process.kill()

    eventually(lambda: running.left() == {}, describe=lambda: str(running.left()))


def test_a_worker_that_dies_ends_the_demo_which_says_so(running: Running) -> None:
    running.start("--transactions=300000")
    eventually(lambda: " done at " in running.said(), 60, running.said)

    os.kill(running.one_of("--role=learn"), signal.SIGKILL)

    assert running.wait(60) == 1, running.said()
    assert "fraudstream: the learner was ended by signal 9; the last it said:" in running.said()
    logs = Path(running.said().rpartition("all logs: ")[2].strip())
    assert {"learner.log", "scorer.log", "simulator.log"} <= {path.name for path in logs.iterdir()}
    assert running.left() == {}


def test_on_a_terminal_it_draws_the_live_view(running: Running) -> None:
    ours, theirs = pty.openpty()
    running.start("--transactions=1500", "--no-plain", terminal=theirs)
    os.close(theirs)
    drawn = bytearray()
    try:
        while chunk := os.read(ours, 65_536):
            drawn += chunk
    except OSError:
        pass  # how Linux reports the end of the other side
    finally:
        os.close(ours)

    assert running.wait(60) == 0
    text = drawn.decode()
    assert "Average precision of the models" in text
    assert "Last alerts" in text
    assert "1,500 published" in text


@pytest.mark.service("kafka")
@pytest.mark.service("redis")
def test_it_runs_on_real_services_apart_from_everything_else(
    running: Running, kafka: str, redis_url: str, tmp_path: Path
) -> None:
    running.start(
        "--transactions=2000", f"--broker={kafka}", f"--redis={redis_url}", f"--summary={tmp_path / 'S.json'}"
    )

    assert running.wait(250) == 0, running.said()

    first = running.said().splitlines()[0]
    assert first.startswith(f"Kafka at {kafka}, topics demo-")
    assert "keys demo-" in first
    summary = json.loads((tmp_path / "S.json").read_text())
    assert summary["published"] == 2_000 == summary["scored"] + summary["dead_lettered"]
    assert "stay on the broker until you delete them" in running.said()
