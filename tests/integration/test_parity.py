"""Backtest and pipeline, given one file: every score is the same, to the last bit."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from stream.adapters.recorded import RecordedFile
from stream.backtest.run import Backtest
from stream.pipeline.pending import Pending
from stream.settings import Settings
from tests.services.command import fraudstream
from tests.services.drifting import drifting, write_recording
from tests.services.pipeline import Pipeline, decode_score
from tests.services.worker import Worker

Deploy = Callable[..., Settings]
Start = Callable[..., Worker]


@pytest.mark.service("redis")
def test_a_held_replay_is_scored_as_a_backtest_of_the_same_file(
    deploy: Deploy, worker: Start, tmp_path: Path
) -> None:
    file = tmp_path / "recorded.parquet"
    recording = drifting()
    write_recording(recording, file)
    # Snapshots are handed on by the clock, too: not in a backtest, which has none.
    settings = deploy(partitions=2, batch_records=200, snapshot_labels=150, snapshot_seconds=1e6)
    with Pipeline(settings) as pipeline:
        worker(settings, "score", timeout=None)
        worker(settings, "learn", timeout=None)
        replayed = fraudstream(
            "replay", str(file), "--label-delay=12h", "--label-cadence=12h", settings=settings
        )
        assert replayed.code == 0, replayed.err
        answers = pipeline.scores([one.transaction for one in recording])

    served: dict[str, Pending] = {}
    backtest = Backtest(settings)
    summary = backtest.run(
        RecordedFile(file), timedelta(hours=12), timedelta(hours=12), on_scored=served.update
    )

    assert summary.swaps >= 1, "nothing to agree on"
    assert {len(given) for given in answers.values()} == {1}
    assert answers.keys() == served.keys()
    for name, pending in served.items():
        score = decode_score(answers[name][0])
        assert score.features == tuple(pending.vector.tolist())
        assert (score.model_version, *score.shadow) == pending.models
        assert score.snapshot == pending.snapshot
        assert (score.score, *score.shadow.values()) == pending.scores
        assert score.decision == pending.decision
