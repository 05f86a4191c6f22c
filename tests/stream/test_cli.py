import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from producers.simulator import Simulator
from stream.cli import main
from stream.settings import Settings


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments, catch_exceptions=False)


def recorded(path: Path, transactions: int = 3000) -> Path:
    rows = list(Simulator(customers=60, terminals=100, seed=5, transactions=transactions))
    table = pa.table(
        {
            "transaction_id": list(range(len(rows))),
            "event_time": pa.array([row.transaction.event_time for row in rows], pa.timestamp("ms", "UTC")),
            "customer_id": [row.transaction.customer_id for row in rows],
            "terminal_id": [row.transaction.terminal_id for row in rows],
            "TX_AMOUNT": [row.transaction.amount for row in rows],
            "is_fraud": [row.is_fraud for row in rows],
        }
    )
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize(
    "command",
    ["alerts", "archive", "backtest", "demo", "redrive", "replay", "settle", "simulate", "topics", "worker"],
)
def test_every_command_explains_itself(command: str) -> None:
    assert command in run("--help").output
    result = run(command, "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 5


def test_every_setting_is_listed() -> None:
    output = run("settings").output
    assert all(f"FRAUD_{name.upper()}=" in output for name in Settings.model_fields)


def test_a_wrong_setting_is_one_sentence_and_exit_code_2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_PARTITIONS", "0")
    result = run("worker")
    assert result.exit_code == 2
    assert result.stderr.startswith("fraudstream: FRAUD_PARTITIONS=0: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_broker_that_is_away_is_one_sentence_and_exit_code_2() -> None:
    result = run("topics", "check", "--broker", "127.0.0.1:1")
    assert result.exit_code == 2
    assert "127.0.0.1:1" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_backtest_writes_a_score_for_every_transaction(tmp_path: Path) -> None:
    file = recorded(tmp_path / "in.parquet")
    scores, summary = tmp_path / "out.parquet", tmp_path / "b.json"
    result = run(
        *("backtest", str(file), "--column", "amount=TX_AMOUNT", "--label-delay", "2d"),
        *("--scores", str(scores), "--summary", str(summary)),
    )
    assert result.exit_code == 0, result.output
    written = pq.read_table(scores)
    assert {"transaction_id", "event_time", "score", "model_version"} <= set(written.column_names)
    assert written["transaction_id"].to_pylist() == [str(n) for n in range(3000)]
    told = json.loads(summary.read_text())
    assert told["transactions"] == told["scored"] == 3000
    assert 0 < told["labels"] == told["labels_joined"] < 3000
    assert not list(tmp_path.glob("*.partial"))


def test_a_backtest_without_a_column_says_which_and_what_to_do(tmp_path: Path) -> None:
    file = recorded(tmp_path / "in.parquet", transactions=10)
    result = run("backtest", str(file))
    assert result.exit_code == 2
    assert "no column 'amount'" in result.stderr
    assert "--column amount=NAME" in result.stderr


def test_a_backtest_of_nothing_is_one_sentence(tmp_path: Path) -> None:
    result = run("backtest", str(tmp_path / "none.parquet"))
    assert result.exit_code == 2
    assert "there is no file" in result.stderr


def test_the_same_backtest_gives_the_same_scores(tmp_path: Path) -> None:
    file = recorded(tmp_path / "in.parquet")
    both = []
    for name in ("one.parquet", "two.parquet"):
        run("backtest", str(file), "--column", "amount=TX_AMOUNT", "--scores", str(tmp_path / name))
        both.append(pq.read_table(tmp_path / name))
    assert both[0].equals(both[1])
