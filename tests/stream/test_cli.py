import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import click
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from producers.simulator import Simulator
from stream.cli import main
from stream.examples import EXAMPLES
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
    [
        "alerts",
        "archive",
        "backtest",
        "cases",
        "demo",
        "desk",
        "desk-user",
        "redrive",
        "replay",
        "settle",
        "simulate",
        "topics",
        "verdict",
        "worker",
    ],
)
def test_every_command_explains_itself(command: str) -> None:
    assert command in run("--help").output
    result = run(command, "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 5


def test_help_lists_every_command_once_and_whole() -> None:
    output = run("--help").output
    assert "..." not in output.replace("FRAUD_...", "").replace("[ARGS]...", "")
    names = main.list_commands(click.Context(main))
    for name in names:
        assert len(re.findall(rf"^  {name} ", output, re.MULTILINE)) == 1, name


@pytest.mark.parametrize("line", [line for lines in EXAMPLES.values() for line in lines])
def test_an_example_of_the_help_is_understood(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("payments.csv").touch()
    program, name, *arguments = shlex.split(line)
    command = main.get_command(click.Context(main), name)
    assert program == "fraudstream"
    assert command is not None
    command.make_context(name, arguments, parent=click.Context(main))
    assert line.split(" --", maxsplit=1)[0] in run(name, "--help").output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how_to_complete(shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert f"_FRAUDSTREAM_COMPLETE={shell}_complete" in result.output


def test_completion_offers_commands_and_their_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the script asks for at each press of the key, as zsh does."""
    monkeypatch.setenv("COMP_WORDS", "fraudstream work")
    monkeypatch.setenv("COMP_CWORD", "1")
    words = CliRunner(env={"_FRAUDSTREAM_COMPLETE": "bash_complete"})
    assert words.invoke(main, prog_name="fraudstream").output == "plain,worker\n"
    monkeypatch.setenv("COMP_WORDS", "fraudstream worker --ro")
    monkeypatch.setenv("COMP_CWORD", "2")
    assert words.invoke(main, prog_name="fraudstream").output == "plain,--role\n"


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


@dataclass(frozen=True)
class Backtested:
    """A backtest of 9,000 transactions, told of every 2,000, and what it has written."""

    folder: Path
    result: Result

    @property
    def report(self) -> Path:
        return self.folder / "r.html"

    @property
    def summary(self) -> Path:
        return self.folder / "b.json"


@pytest.fixture(scope="module")
def backtested(tmp_path_factory: pytest.TempPathFactory) -> Backtested:
    folder = tmp_path_factory.mktemp("backtest")
    file = recorded(folder / "in.parquet", transactions=9_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stream.backtest.command._PLAIN_EVERY", 2_000)
        result = run(
            *("backtest", str(file), "--column", "amount=TX_AMOUNT", "--label-delay", "2d"),
            *("--summary", str(folder / "b.json"), "--report", str(folder / "r.html")),
        )
    assert result.exit_code == 0, result.output
    return Backtested(folder, result)


def test_a_backtest_says_how_good_its_alerts_and_scores_were(backtested: Backtested) -> None:
    result, report = backtested.result, backtested.report
    told = json.loads(backtested.summary.read_text())
    assert 0 < told["expected_calibration_error"] < 0.1
    assert 0 < told["brier"] < 0.1
    assert 0 < told["alert_recall"] <= 1
    assert 0 < told["alert_precision"] <= 1
    assert 0 < told["alerts_per_day"] < told["alerts"]
    assert f"of the alerts {told['alert_precision']:.1%} were frauds" in result.stdout
    assert f"{told['alerts_per_day']:.1f} on a whole day" in result.stdout
    assert f"expected calibration error {told['expected_calibration_error']:.4f}" in result.stdout
    assert result.stdout.endswith(f"report: {report}\n")
    html = report.read_text()
    assert html.startswith("<!DOCTYPE html>")
    assert "<h1>Backtest of in.parquet</h1>" in html
    assert html.count("<svg") == 6
    assert f"<dd>{told['expected_calibration_error']:.4f}</dd>" in html
    assert f"<dd>{100 * told['alert_recall']:.1f} %</dd>" in html
    assert str(backtested.folder) not in html


def test_a_backtest_whose_truth_is_unknown_is_judged_on_nothing(tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text(
        "transaction_id,event_time,customer_id,terminal_id,amount,is_fraud\n"
        "t1,2025-01-01T00:00:00Z,c,m,9.5,\n"
    )
    report, summary = tmp_path / "r.html", tmp_path / "b.json"
    result = run("backtest", str(file), "--report", str(report), "--summary", str(summary))
    assert result.exit_code == 0, result.output
    told = json.loads(summary.read_text())
    judged = ("expected_calibration_error", "brier", "alert_precision", "alert_recall", "alerts_per_day")
    assert {told[name] for name in judged} == {None}
    assert "says of no transaction whether it was a fraud" in report.read_text()


def test_a_report_that_could_not_be_written_stops_before_the_backtest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = recorded(tmp_path / "in.parquet", transactions=10)
    result = run(
        "backtest", str(file), "--column", "amount=TX_AMOUNT", "--report", str(tmp_path / "no" / "r")
    )
    assert result.exit_code == 2
    assert "make it first" in result.stderr
    monkeypatch.setattr("stream.backtest.command.find_spec", lambda _name: None)
    result = run("backtest", str(file), "--column", "amount=TX_AMOUNT", "--report", str(tmp_path / "r.html"))
    assert result.exit_code == 2
    assert "pip install 'fraudstream[report]'" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_progress_without_a_terminal_is_whole_lines(backtested: Backtested) -> None:
    lines = backtested.result.stderr.splitlines()
    progress = [line for line in lines if "transactions" in line]
    assert len(progress) == 4
    pattern = r"2025-\d\d-\d\d  [2468],000 of 9,000 transactions, [\d,]+/s, \d+:\d\d:\d\d left"
    # The first is after too few steps to tell a rate.
    assert all(re.fullmatch(pattern, line) for line in progress[1:]), progress
    assert all(re.match(r"2025-\d\d-\d\d  ", line) for line in lines), lines


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
