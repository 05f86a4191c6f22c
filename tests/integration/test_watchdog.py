"""Workers that really stall: each ends itself with the reason, and the next one goes on where it stood."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from stream.settings import Settings
from tests.services.pipeline import Pipeline
from tests.services.process import Process
from tests.services.traffic import transactions
from tests.services.waiting import eventually
from tests.services.worker import Worker, environment_of

Deploy = Callable[..., Settings]
Start = Callable[..., Worker]

STALLED = {
    "fetcher": "CRITICAL stream.worker.guard: score has done nothing for ",
    "thread": "CRITICAL stream.worker.guard: score has been at work on one batch for ",
    "emitter": "CRITICAL stream.worker.guard: score has been at work on one batch for ",
    "loop": "CRITICAL stream.worker.guard: score has an event loop that has not turned for ",
}


@pytest.mark.service("redis")
def test_whatever_stalls_ends_the_process_with_the_reason_and_the_next_one_goes_on(
    topics: Deploy, worker: Start, tmp_path: Path
) -> None:
    first, second = transactions(100, "a"), transactions(1_000, "b")
    settings = {kind: topics(partitions=1, stall_seconds=4, batch_records=100) for kind in STALLED}
    _publish_models(worker, list(settings.values()))
    stalling = {kind: _stalling(kind, made, tmp_path / f"{kind}.log") for kind, made in settings.items()}
    try:
        for made in settings.values():
            with Pipeline(made) as pipeline:
                pipeline.publish(first)
                pipeline.await_scored(100)
                # It has done everything, and stood still for no longer than it may: now there is work again.
                pipeline.publish(second)
        for kind, process in stalling.items():
            eventually(lambda process=process: process.returncode is not None, describe=process.tail)
            assert process.returncode == 1, process.tail()
            assert STALLED[kind] in process.tail()
            assert "; ending, to be started again\n" in process.tail()
        for made in settings.values():
            worker(made, "score", timeout=None)
        for made in settings.values():
            with Pipeline(made) as pipeline:
                answers = pipeline.scores(first + second)
                assert len(answers) == 1_100
                assert all(len(set(given)) == 1 for given in answers.values())
    finally:
        for process in stalling.values():
            process.kill()


def _publish_models(worker: Start, deployments: list[Settings]) -> None:
    """Have one learner publish its models, and copy them for the others."""
    first, *others = deployments
    prefix = f"{first.namespace}:{{learner}}:"
    learner = worker(first, "learn", timeout=None)
    with redis.Redis.from_url(first.redis) as client:
        eventually(lambda: client.exists(f"{prefix}r"), describe="models")
        learner.kill()
        for key in client.scan_iter(f"{prefix}*"):
            rest = key.decode().removeprefix(first.namespace)
            for other in others:
                client.copy(key, other.namespace + rest)


def _stalling(kind: str, settings: Settings, log: Path) -> Process:
    environment = os.environ | environment_of(settings)
    environment |= {"FRAUD_ROLE": "score", "FRAUD_HTTP_PORT": "0"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    return Process([sys.executable, "-m", "tests.services.stalling_worker", kind], log, environment)
