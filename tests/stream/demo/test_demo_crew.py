"""The demo's processes: their environment, their last words, and that none outlives the demo."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stream.demo.child import Child
from stream.demo.crew import Crew, DemoError, environment_of
from stream.settings import Settings, load_settings

LEASHED = "from stream.demo.leash import wear; wear(); print('on', flush=True); import signal; signal.pause()"


def test_children_read_the_settings_that_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(
        broker="kafka:9092",
        partitions=3,
        challengers=("forest", "logistic"),
        alert_threshold=0.25,
        signing_key="a-throw-away-signing-key",  # type: ignore[arg-type]  # pydantic makes a SecretStr of it
    )
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)

    assert load_settings() == settings


def test_a_leashed_process_leaves_when_its_leash_is_let_go() -> None:
    child = subprocess.Popen([sys.executable, "-c", LEASHED], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        assert child.stdout.readline() == b"on\n"
        assert child.poll() is None
        child.stdin.close()
        assert child.wait(timeout=10) == -signal.SIGTERM


def test_a_child_is_a_command_of_fraudstream(tmp_path: Path) -> None:
    child = Child("settings", ("settings",), {**os.environ, "FRAUD_SEED": "41"}, tmp_path)

    assert child.wait(30)
    assert child.exit_code == 0
    assert "FRAUD_SEED=41" in child.log.read_text()
    child.kill()


def test_last_words_leave_out_what_is_said_on_an_orderly_stop(tmp_path: Path) -> None:
    child = Child("settings", ("settings",), os.environ, tmp_path)
    child.wait(30)
    child.kill()
    stopping = "[2025-01-01 00:00:00,000] [17] [INFO] [^--Agent]: Stopping..."
    child.log.write_text(f"ValueError: why\n{stopping}\n{stopping}\n")
    assert child.last_words() == ["ValueError: why"]

    child.log.write_text(f"{stopping}\n{stopping}\n")
    assert child.last_words() == [stopping, stopping]


def test_a_worker_that_cannot_start_is_named_with_its_last_words() -> None:
    # A recipe that nobody knows ends the learner, a broker that is not there the scorer: either may be first.
    settings = Settings(champion="astrology", broker="127.0.0.1:1", redis="redis://127.0.0.1:1/0")
    with (
        pytest.raises(DemoError) as raised,
        Crew(settings, os.environ, urgent=lambda: True) as crew,
    ):
        crew.start_workers(give_up=lambda: False)

    sentence, *words = str(raised.value).splitlines()
    assert re.fullmatch("the (learner|scorer) ended with exit code 2; the last it said:", sentence)
    assert any("astrology" in line or "127.0.0.1:1" in line for line in words)
    logs = Path(words[-1].removeprefix("all logs: "))
    assert {path.name for path in logs.iterdir()} == {"learner.log", "scorer.log"}
