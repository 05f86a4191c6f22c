"""Workers that are told to stop: within seconds, with exit code 0, and with everything committed.

On Apache Kafka, ``test_failover.py`` stops a scorer under load.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stream.settings import Settings
from tests.services.pipeline import Pipeline
from tests.services.process import Process
from tests.services.traffic import labels, transactions
from tests.services.waiting import eventually
from tests.services.worker import Worker, environment_of

Start = Callable[..., Worker]

SECONDS = 10
"""That an orchestrator gives at the least before it kills."""


@pytest.mark.service("redis")
def test_after_an_orderly_stop_under_load_nothing_comes_again(
    embedded_broker: str, redis_url: str, worker: Start
) -> None:
    labelled, unlabelled = transactions(2_000, "a"), transactions(6_000, "b")
    known = labels(labelled)
    settings = Settings(
        broker=embedded_broker,
        redis=redis_url,
        batch_records=10,
        session_timeout_seconds=6,
        checkpoint_seconds=1e6,
    )
    with Pipeline(settings) as pipeline:
        scorer, learner = (worker(settings, role, timeout=None) for role in ("score", "learn"))
        pipeline.publish(labelled)
        pipeline.await_scored(2_000)
        pipeline.publish([*known, *unlabelled])
        eventually(lambda: pipeline.scored() > 3_000 and pipeline.learnt() > 100, every=0.01)

        scorer.ask_to_stop()
        learner.ask_to_stop()
        eventually(lambda: (scorer.returncode, learner.returncode) == (0, 0), SECONDS)
        scored, learnt = pipeline.scored(), pipeline.learnt()
        assert scored < 8_000, "stopped too late"
        committed = pipeline.committed(pipeline.topics.transactions, "score")
        assert sum(committed.values()) == scored

        scorer, learner = (worker(settings, role, timeout=None) for role in ("score", "learn"))
        pipeline.await_scored(8_000)
        pipeline.await_learnt(2_000)
        answers = pipeline.scores(labelled + unlabelled)
        assert len(answers) == 8_000
        assert {len(given) for given in answers.values()} == {1}
        eventually(learner.is_ready)
        assert f"continuing from a checkpoint at label offset {learnt - 1}\n" in learner.tail()
        assert learner.metric("fraud_labels_total", outcome="joined") == 2_000 - learnt
        assert len(pipeline.verdicts()) == 2_000


@pytest.mark.service("redis")
def test_fausts_own_command_starts_and_stops_the_same_worker(
    embedded_broker: str, redis_url: str, tmp_path: Path
) -> None:
    settings = Settings(broker=embedded_broker, redis=redis_url, role="all", http_port=0)
    some = transactions(10)
    command = [str(Path(sys.executable).with_name("faust")), "-A", "stream.worker", "worker"]
    environment = {**os.environ, **environment_of(settings), "PYTHONPATH": str(Path(__file__).parents[2])}
    process = Process(command, tmp_path / "faust.log", environment)
    try:
        with Pipeline(settings) as pipeline:
            pipeline.publish(some)
            assert pipeline.scores(some).keys() == {one.transaction_id for one in some}
        process.ask_to_stop()
        eventually(lambda: process.returncode == 0, SECONDS, process.tail)
    finally:
        process.kill()
