"""Backtest and pipeline, given one file with a drift in it: the same scores, the same swaps."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec
import pytest

from stream.embedded import EmbeddedBroker
from stream.records import ModelEvent, Record
from stream.settings import Settings
from tests.services.backtested import assert_backtest_agrees
from tests.services.command import fraudstream
from tests.services.drifting import drifting, write_recording
from tests.services.pipeline import Pipeline, decode_score
from tests.services.waiting import eventually
from tests.services.worker import Worker

Deploy = Callable[..., Settings]
Start = Callable[..., Worker]

HALF_A_DAY: Final = timedelta(hours=12)
# Snapshots are handed on by the clock, too: not in a backtest, which has none.
STEADY: Final = {
    "batch_records": 200,
    "snapshot_labels": 150,
    "snapshot_seconds": 1e6,
    "snapshot_gap_seconds": 0.0,
    "models_wait_seconds": 60.0,
}
# A champion that will be beaten, so that there is a swap to agree on.
BEATEN: Final = {"champion": "logistic", "challengers": ("forest",)}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "drifting.parquet"
    write_recording(drifting(), path)
    return path


@pytest.mark.service("redis")
def test_a_held_replay_is_scored_and_decided_as_a_backtest_of_the_same_file(
    redis_url: str, worker: Start, tmp_path: Path
) -> None:
    # Of what the embedded broker keeps in one partition.
    file = tmp_path / "short.parquet"
    write_recording(drifting(6_000, days=24, seed=2), file)
    # A backtest has one partition, and a budget has a threshold in each.
    with EmbeddedBroker(partitions=1) as broker:
        settings = Settings(
            broker=broker.bootstrap, redis=redis_url, partitions=1, alert_budget=30, **STEADY, **BEATEN
        )
        with Pipeline(settings) as pipeline:
            worker(settings, "all")
            _replay(settings, file)
            answers = pipeline.scores()
            summary = assert_backtest_agrees(settings, file, HALF_A_DAY, HALF_A_DAY, answers)
    assert summary.swaps, "nothing to agree on"
    thresholds = {decode_score(answer).threshold for [answer] in answers.values()}
    assert len(thresholds) > 100, "the threshold did not follow the stream"
    assert summary.alerts


@pytest.mark.service("redis")
def test_two_scorers_serve_the_new_champion_from_one_transaction_to_the_next(
    topics: Deploy, worker: Start, file: Path
) -> None:
    settings = topics(decision="threshold", **STEADY, **BEATEN)
    with Pipeline(settings) as pipeline:
        learner, *scorers = (worker(settings, role, timeout=None) for role in ("learn", "score", "score"))
        eventually(lambda: all(one.is_ready() for one in scorers), describe="two scorers")
        _replay(settings, file)

        summary = assert_backtest_agrees(settings, file, HALF_A_DAY, HALF_A_DAY, pipeline.scores())
        events = [
            msgspec.json.decode(record.value or b"", type=ModelEvent)
            for record in pipeline.read(pipeline.topics.model_events)
        ]
        assert [(event.kind, event.detail) for event in events] == [
            (event["kind"], event["detail"]) for event in summary.events
        ]
        swaps = [event for event in events if event.kind == "swap"]
        reign = [swaps[0].previous_version, *(swap.model_version for swap in swaps)]
        by_partition = _versions(pipeline.read(pipeline.topics.scores))
        assert len(by_partition) == 4
        for served in by_partition.values():
            changes = [new for old, new in pairwise([None, *served]) if new != old]
            assert len(changes) > 1
            # The last labels may have brought one that nobody was scored with any more.
            assert changes == reign[: len(changes)]

        assert learner.metric("fraud_swaps_total") == len(swaps)
        assert learner.metric("fraud_model_champion", model=reign[-1]) == 1
        assert [one.returncode for one in scorers] == [None, None]
        for one in scorers:
            assert one.metric("fraud_model_snapshot", model=reign[-1]) > 0


def _replay(settings: Settings, file: Path) -> None:
    replayed = fraudstream("replay", str(file), "--label-delay=12h", "--label-cadence=12h", settings=settings)
    assert replayed.code == 0, replayed.err


def _versions(scores: Iterable[Record]) -> dict[int, list[str]]:
    """Return the champion behind each score, by partition."""
    versions = defaultdict(list)
    for record in scores:
        versions[record.partition].append(decode_score(record.value or b"").model_version)
    return versions
