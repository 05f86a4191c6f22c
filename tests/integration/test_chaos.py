"""The short form of ``make chaos``: one fault of each quick kind."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

KINDS = (
    "kill-scorer",
    "kill-learner",
    "kill-redis",
    "pause-redis",
    "cut-broker",
    "cut-redis",
    "duplicate",
    "disorder",
    "poison",
)


@pytest.mark.service("kafka")
@pytest.mark.service("redis")
@pytest.mark.timeout(600)
def test_nothing_is_lost_or_counted_twice_whatever_is_killed_or_cut(tmp_path: Path) -> None:
    out = tmp_path / "chaos.json"
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.chaos", "--kinds", ",".join(KINDS), "--seed", "1"),
            *("--faults", str(len(KINDS)), "--scorers", "2", "--rate", "100", "--json", str(out)),
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr

    result = json.loads(out.read_text())
    assert {kind: one["injected"] for kind, one in result["faults"].items()} == dict.fromkeys(KINDS, 1)
    assert result["transactions"] > 1_000
    assert result["labels"] > 500
    assert result["poison"] > 0
    assert result["model_digest_equal"]
    counts = ("missing_scores", "duplicate_effects", "labels_lost", "labels_learned_twice")
    assert [result[name] for name in counts] == [0, 0, 0, 0]
