"""A swap as the scorers see it: between two batches, without a restart."""

from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from stream.records import ModelEvent
from stream.settings import Settings
from tests.services.command import fraudstream
from tests.services.drifting import drifting, write_recording
from tests.services.pipeline import Pipeline, decode_score
from tests.services.waiting import eventually
from tests.services.worker import Worker

Deploy = Callable[..., Settings]
Start = Callable[..., Worker]


@pytest.mark.service("redis")
def test_scorers_serve_the_new_champion_from_one_transaction_to_the_next(
    topics: Deploy, worker: Start, tmp_path: Path
) -> None:
    file = tmp_path / "recorded.parquet"
    write_recording(drifting(), file)
    settings = topics(partitions=4, batch_records=200, snapshot_labels=150)
    with Pipeline(settings) as pipeline:
        learner, *scorers = (worker(settings, role, timeout=None) for role in ("learn", "score", "score"))
        eventually(lambda: all(one.is_ready() for one in scorers), 40, "two scorers")
        replayed = fraudstream(
            "replay", str(file), "--label-delay=12h", "--label-cadence=12h", settings=settings
        )
        assert replayed.code == 0, replayed.err
        events = [
            msgspec.json.decode(record.value or b"", type=ModelEvent)
            for record in pipeline.read(pipeline.topics.model_events)
        ]
        swaps = [event for event in events if event.kind == "swap"]
        assert any(event.kind == "drift" for event in events)
        assert swaps
        # The last labels may have brought another one that nobody was scored with yet.
        reign = [swaps[0].previous_version, *(swap.model_version for swap in swaps)]

        versions = defaultdict(list)
        for record in pipeline.read(pipeline.topics.scores):
            versions[record.partition].append(decode_score(record.value or b"").model_version)
        assert len(versions) == 4
        for served in versions.values():
            changes = [served[0]] + [new for old, new in pairwise(served) if new != old]
            assert len(changes) > 1
            assert changes == reign[: len(changes)]

        assert learner.metric("fraud_swaps_total") == len(swaps)
        assert learner.metric("fraud_model_champion", model=reign[-1]) == 1
        assert [one.returncode for one in scorers] == [None, None]
        for one in scorers:
            assert one.metric("fraud_model_snapshot", model=reign[-1]) > 0
