"""Models that were damaged or forged in Redis: refused with the reason, and the last good ones go on."""

import os
import pickle
import platform
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
import river

from stream.features.catalogue import SCHEMA
from stream.records import Score
from stream.registry import checkpoint
from stream.registry.seal import seal, unseal
from stream.registry.snapshot import MOST_BYTES, decode_roster
from stream.settings import Settings
from tests.services.pipeline import Pipeline, decode_score
from tests.services.traffic import labels, transactions
from tests.services.waiting import eventually
from tests.services.worker import Worker

Deploy = Callable[..., Settings]
Start = Callable[..., Worker]
Damage = Callable[[bytes], bytes]

KEY = "the key of this deployment"


def cut_short(sealed: bytes) -> bytes:
    return sealed[: len(sealed) // 2]


def forged(sealed: bytes) -> bytes:
    return seal(
        unseal(sealed, KEY.encode(), "snapshot", most_bytes=MOST_BYTES), b"somebody else's key", "snapshot"
    )


def altered(sealed: bytes) -> bytes:
    return sealed[:-1] + bytes([sealed[-1] ^ 1])


@pytest.mark.parametrize("damage", [cut_short, forged], ids=["cut short", "of another key"])
def test_damaged_snapshots_are_refused_and_scoring_goes_on_with_the_last_good_ones(
    topics: Deploy, worker: Start, damage: Damage
) -> None:
    settings = topics(partitions=1, signing_key=KEY, snapshot_labels=50, models_wait_seconds=60)
    before, after, last = (transactions(100, name) for name in "abc")
    with Pipeline(settings) as pipeline, redis.Redis.from_url(settings.redis) as client:
        learner, scorer = worker(settings, "learn", timeout=None), worker(settings, "score", timeout=None)
        pipeline.publish(before)
        pipeline.await_scored(100)
        learner.kill()

        prefix = f"{settings.namespace}:{{learner}}"
        for key in client.scan_iter(f"{prefix}:s:*"):
            client.set(key, damage(client.get(key)))  # type: ignore[arg-type]
        client.incr(f"{prefix}:n")  # scorers look again
        pipeline.publish(after)
        answers = pipeline.scores(before + after)
        assert {(one.model_version, one.snapshot) for one in map(_only, answers.values())} == {
            ("ensemble-1", 1)
        }
        assert "refused, still serving ensemble-1: the snapshot " in scorer.tail()
        assert scorer.is_ready()

        # One that starts now has no good ones, and waits; it goes on by itself when there are.
        scorer.kill()
        scorer = worker(settings, "score", timeout=None)
        pipeline.publish(last)
        eventually(lambda: "cannot be used, scoring waits for others" in scorer.tail(), describe=scorer.tail)
        assert not scorer.is_ready()
        assert "is not the one that the roster names" in scorer.why_not_ready()
        worker(settings, "learn", timeout=None)
        assert len(pipeline.scores(last)) == 300
        eventually(scorer.is_ready)


def test_an_old_roster_that_somebody_puts_back_lasts_a_moment_and_no_new_scorer_keeps_it(
    topics: Deploy, worker: Start
) -> None:
    settings = topics(partitions=1, signing_key=KEY, snapshot_labels=50, snapshot_gap_seconds=0)
    some, more = transactions(100), transactions(20, "b")
    prefix = f"{settings.namespace}:{{learner}}"
    with Pipeline(settings) as pipeline, redis.Redis.from_url(settings.redis) as client:
        learner, scorer = worker(settings, "learn", timeout=None), worker(settings, "score", timeout=None)
        pipeline.publish(some)
        pipeline.await_scored(100)
        # Genuine, and signed: the models before any label, all that belongs to them under its own keys.
        old = {key: client.get(key) for key in (f"{prefix}:r", *client.scan_iter(f"{prefix}:s:*"))}
        pipeline.publish(labels(some))
        pipeline.await_learnt(100)
        scorer.kill()
        for key, value in old.items():
            client.set(key, value)  # type: ignore[arg-type]

        read = partial(pipeline.read, pipeline.topics.model_events)
        eventually(lambda: b'"roster_restored"' in b"".join(one.value or b"" for one in read()))

        assert client.get(f"{prefix}:r") != old[f"{prefix}:r"]
        assert "another roster of models lay in Redis than was published" in learner.tail()
        worker(settings, "score")
        pipeline.publish(more)
        answers = pipeline.scores(more)
        assert {_only(answers[one.transaction_id]).snapshot for one in more} == {
            decode_roster(pipeline.store.roster() or b"", KEY.encode()).members[0].snapshot
        }


def test_a_corrupted_newest_checkpoint_is_refused_and_learning_goes_on_from_the_one_before(
    topics: Deploy, worker: Start
) -> None:
    settings = topics(partitions=1, signing_key=KEY, checkpoint_seconds=1)
    some = transactions(300)
    known = labels(some)
    with Pipeline(settings) as pipeline, redis.Redis.from_url(settings.redis) as client:
        learner, _ = worker(settings, "learn", timeout=None), worker(settings, "score", timeout=None)
        pipeline.publish(some)
        pipeline.await_scored(300)
        for part in (known[:100], known[100:200]):
            checkpoints = client.get(f"{settings.namespace}:{{learner}}:k:0")
            pipeline.publish(part)
            eventually(lambda old=checkpoints: client.get(f"{settings.namespace}:{{learner}}:k:0") != old)
        pipeline.await_learnt(200)
        learner.kill()
        newest = f"{settings.namespace}:{{learner}}:k:0"
        client.set(newest, altered(client.get(newest)))  # type: ignore[arg-type]

        learner = worker(settings, "learn", timeout=None)
        pipeline.publish(known[200:])
        pipeline.await_learnt(300)
        said = learner.tail()
        assert "checkpoint 0 (0 is the newest) refused, trying the one before: its signature does not" in said
        assert "continuing from a checkpoint at label offset " in said
        assert len(pipeline.verdicts()) == 300
        assert learner.metric("fraud_labels_total", outcome="corrected") == 0


def test_pickles_that_somebody_plants_in_redis_are_never_run(
    topics: Deploy, worker: Start, tmp_path: Path
) -> None:
    """Nothing is signed here, so that every seal of theirs is a good one."""
    settings = topics(
        partitions=1, champion="logistic", challengers=(), snapshot_labels=50, models_wait_seconds=60
    )
    canary = tmp_path / "canary"
    planted = pickle.dumps(Trap(str(canary)))
    header = {
        "layout": checkpoint.LAYOUT,
        "river": river.__version__,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "feature_schema": SCHEMA,
        "fraudstream": "0.1.0",
    }
    some, more = transactions(100, "a"), transactions(100, "b")
    prefix = f"{settings.namespace}:{{learner}}"
    with Pipeline(settings) as pipeline, redis.Redis.from_url(settings.redis) as client:
        learner, scorer = worker(settings, "learn", timeout=None), worker(settings, "score", timeout=None)
        pipeline.publish(some)
        pipeline.await_scored(100)
        learner.kill()
        for key in client.scan_iter(f"{prefix}:s:*"):
            client.set(key, seal(planted, None, "snapshot"))
        client.set(f"{prefix}:r", planted)
        for age in range(3):
            body = msgspec.msgpack.encode({"header": header, "pickled": planted})
            client.set(f"{prefix}:k:{age}", seal(body, None, "checkpoint"))
        client.incr(f"{prefix}:n")
        pipeline.publish(more)
        pipeline.await_scored(200)
        assert "refused, still serving logistic-1: " in scorer.tail()

        learner = worker(settings, "learn", timeout=None)
        pipeline.publish(labels(some))
        pipeline.await_learnt(100)
        assert learner.tail().count("the checkpoint holds what no checkpoint of ours holds") == 3
    assert not canary.exists()


class Trap:
    """Whoever unpickles it leaves a file behind."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self._path}",)


def _only(given: list[bytes]) -> Score:
    [answer] = given
    return decode_score(answer)
