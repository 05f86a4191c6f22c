"""The commands: what is wrong is said in a sentence before anything is published."""

import json
import socket
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from producers.display import Display
from producers.replay import ReplaySummary
from stream.cli import main


@pytest.fixture
def nowhere() -> str:
    """HOST:PORT where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "recorded.parquet"
    content: dict[str, Any] = {
        "transaction_id": [1],
        "event_time": [1_700_000_000_000],
        "customer_id": [1],
        "terminal_id": [1],
        "TX_AMOUNT": [1.0],
        "is_fraud": [False],
    }
    pq.write_table(pa.table(content), path)
    return path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def sentence(result: Result) -> str:
    """Return what was said, which is one sentence and no traceback."""
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    return result.stderr.strip().splitlines()[-1]


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    assert f"there is no file {tmp_path}/none.csv" in sentence(run("replay", tmp_path / "none.csv"))


def test_a_missing_column_is_said_with_the_remedy(file: Path) -> None:
    assert "name the right one with --column amount=NAME" in sentence(run("replay", file))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--label-delay", "7 days"], "'7 days' is not a duration such as 7d"),
        (["--column", "amount"], "'amount' is not FIELD=NAME"),
        (["--column", "price=TX_AMOUNT"], "is not FIELD=NAME, the field being one of transaction_id"),
        (["--speed", "0"], "0.0 is not in the range x>0"),
        (["--broker", "somewhere"], "FRAUD_BROKER=somewhere: value error, 'somewhere' is not HOST:PORT"),
    ],
)
def test_a_wrong_option_is_said(file: Path, arguments: list[str], said: str) -> None:
    assert said in sentence(run("replay", file, "--column", "amount=TX_AMOUNT", *arguments))


def test_a_store_or_broker_that_is_away_is_said(file: Path, nowhere: str) -> None:
    arguments = ["--column", "amount=TX_AMOUNT", "--broker", nowhere, "--redis", f"redis://{nowhere}/0"]
    assert f"no Kafka broker answered at {nowhere}" in sentence(run("replay", file, *arguments))
    assert f"no Kafka broker answered at {nowhere}" in sentence(run("replay", file, "--no-hold", *arguments))


def test_a_simulation_that_ends_in_the_future_is_refused() -> None:
    said = sentence(run("simulate", "--start", "2999-01-01"))
    assert "90 day(s) from 2999-01-01 ends in the future" in said
    assert "choose an earlier --start" in said


def test_help_names_every_option_of_both_commands() -> None:
    for command in ("replay", "simulate"):
        text = run(command, "--help").output
        for option in (
            "--broker",
            "--redis",
            "--speed",
            "--label-delay",
            "--label-cadence",
            "--stall-seconds",
        ):
            assert option in text


def summary(**changed: Any) -> ReplaySummary:
    values: dict[str, Any] = {
        "published": 10,
        "bad_records": 1,
        "labels_published": 4,
        "fraud_labels": 2,
        "first_event_time": 1_700_000_000_000,
        "last_event_time": 1_700_000_100_000,
        "seconds": 2.0,
        "finished": False,
        "stopped": False,
    }
    return ReplaySummary(**values | changed)


def test_the_summary_file_is_kept_up_to_date_once_a_second(tmp_path: Path) -> None:
    now = [0.0]
    path = tmp_path / "summary.json"
    with Display(100, path, monotonic=lambda: now[0]) as display:
        display.update(summary())
        assert json.loads(path.read_text())["published"] == 10
        now[0] = 0.5
        display.update(summary(published=20))
        assert json.loads(path.read_text())["published"] == 10
        now[0] = 1.5
        display.update(summary(published=30))
        assert json.loads(path.read_text())["published"] == 30
    display.conclude(summary(published=100, finished=True))
    assert json.loads(path.read_text()) == {
        "published": 100,
        "bad_records": 1,
        "labels_published": 4,
        "fraud_labels": 2,
        "first_event_time": "2023-11-14T22:13:20.000+00:00",
        "last_event_time": "2023-11-14T22:15:00.000+00:00",
        "seconds": 2.0,
        "finished": True,
        "stopped": False,
        "transactions_per_second": 50.0,
    }
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_terminal_progress_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    with Display(100, monotonic=lambda: now[0]) as display:
        for second in range(25):
            now[0] = float(second)
            display.update(summary(published=second))
    display.conclude(summary(stopped=True))
    captured = capsys.readouterr()
    assert captured.err == "2023-11-14: 10 of 100 transactions\n2023-11-14: 20 of 100 transactions\n"
    assert captured.out == (
        "published 10 transactions and 4 labels in 2.0 s (5 transactions a second), 1 of them bad records;"
        " stopped early\n"
    )
