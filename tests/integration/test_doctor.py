"""`fraudstream doctor` on real services: what it finds, and the exit code that scripts go by."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stream.adapters.topics import create_topics
from stream.registry.snapshot import Member, Roster, encode_roster
from stream.settings import Settings
from tests.services.pipeline import Pipeline
from tests.services.redis_server import RedisServer
from tests.services.worker import environment_of

KEY = "a-throw-away-key"


def doctor(settings: Settings) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FRAUD_")}
    done = subprocess.run(
        [Path(sys.executable).with_name("fraudstream"), "doctor"],
        env=environment | environment_of(settings) | {"COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


@pytest.mark.service("kafka")
def test_it_finds_what_is_missing_and_is_content_when_that_is_mended(
    kafka: str, redis_server: Callable[..., RedisServer]
) -> None:
    server = redis_server("--appendonly", "yes", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    settings = Settings(broker=kafka, redis=server.url, topic_prefix="doctor.", partitions=2, signing_key=KEY)
    code, said = doctor(settings)
    assert code == 1
    assert f"topic 'doctor.transactions' is missing at {kafka}; run `fraudstream topics create`" in said
    assert "maxmemory-policy allkeys-lru throws state away" in said
    assert "good     clock" in said

    create_topics(settings)
    well = redis_server("--appendonly", "yes")
    settings = settings.model_copy(update={"redis": well.url})
    settings.model_fields_set.add("redis")
    code, said = doctor(settings)
    assert code == 0, said
    assert "all there, with their partitions: doctor.transactions (2), doctor.labels (1)" in said
    assert "nothing under fraud: yet" in said
    assert said.endswith("\nnothing is wrong\n")

    with Pipeline(settings) as pipeline:
        token, _ = pipeline.store.take_learner()
        member = Member(version="ensemble-1", recipe="ensemble", snapshot=1, key="1", digest=bytes(32))
        roster = Roster(roster=1, champion=member.version, members=(member,))
        pipeline.store.publish(token, encode_roster(roster, KEY.encode()), {})
    assert "champion ensemble-1" in doctor(settings)[1]
    code, said = doctor(Settings(**settings.model_dump() | {"signing_key": "some-other-key-than-that"}))
    assert code == 1
    assert "is FRAUD_SIGNING_KEY the one that the learner has?" in said


def test_services_that_are_away_are_a_line_each() -> None:
    code, said = doctor(Settings(broker="127.0.0.1:1", redis="redis://127.0.0.1:1/0"))
    assert code == 1
    assert "no Kafka broker answered at 127.0.0.1:1" in said
    assert "Redis at redis://127.0.0.1:1/0 is away" in said
