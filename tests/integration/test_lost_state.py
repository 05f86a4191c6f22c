"""A Redis that is emptied or goes back in time: noticed by workers, said, and made good as is asked for."""

from collections import Counter
from collections.abc import Callable

import pytest
import redis

from stream.settings import LostState, Settings
from tests.services.pipeline import Pipeline, decode_score
from tests.services.redis_server import RedisServer
from tests.services.traffic import labels, transactions
from tests.services.uninterrupted import Uninterrupted
from tests.services.waiting import eventually
from tests.services.worker import Worker

Deploy = Callable[..., Settings]
Start = Callable[..., Worker]
StartRedis = Callable[..., RedisServer]

FAST = {
    "partitions": 2,
    "batch_records": 50,
    "session_timeout_seconds": 6,
    "checkpoint_seconds": 1,
    # The run that it is compared with has one partition: by budget, it would alert on others.
    "decision": "threshold",
    "alert_threshold": 0.004,
    # A label that does not wait for its transaction is given up at once.
    "label_grace_seconds": 0,
}
ROLES = ("score", "learn")


@pytest.mark.service("redis")
def test_an_emptied_redis_ends_idle_workers_and_keeps_them_from_starting_again(
    topics: Deploy, redis_server: StartRedis, worker: Start
) -> None:
    server = redis_server()
    some = transactions(300)
    with Pipeline(_on(server, topics(**FAST))) as pipeline:
        running = {role: worker(pipeline.settings, role, timeout=None) for role in ROLES}
        pipeline.publish(some)
        pipeline.await_scored(300)
        pipeline.publish(labels(some))
        pipeline.await_learnt(300)
        _await_acknowledged(pipeline, scored=300, learnt=300)
        _flush(server)
        _await_ended(running)
        assert "score stops: Redis has lost state of partition" in running["score"].tail()
        assert "learn stops: Redis has lost state of the learner's role" in running["learn"].tail()

        again = {role: worker(pipeline.settings, role, timeout=None) for role in ROLES}
        _await_ended(again)
        for role, process in again.items():
            assert (
                f"{role} stops: {pipeline.topics.transactions.removesuffix('transactions')}" in process.tail()
            )
            assert "FRAUD_LOST_STATE=rebuild to read" in process.tail()


@pytest.mark.service("redis")
def test_a_redis_that_is_rebuilt_holds_what_it_would_hold_and_nothing_is_answered_again(
    topics: Deploy, redis_server: StartRedis, worker: Start
) -> None:
    server = redis_server()
    old, new = transactions(3_000, "a"), transactions(300, "b")
    known = labels(old[:1_500])
    with Pipeline(_on(server, topics(**FAST))) as pipeline:
        running = {role: worker(pipeline.settings, role, timeout=None) for role in ROLES}
        pipeline.publish(old)
        pipeline.await_scored(3_000)
        pipeline.publish(known[:1_000])
        pipeline.await_learnt(1_000)
        _await_acknowledged(pipeline, scored=3_000, learnt=1_000)
        alerted = _alerts(pipeline)
        _flush(server)
        _await_ended(running)
        pipeline.publish([*new, *known[1_000:]])

        rebuild = _choose(pipeline.settings, "rebuild")
        learner = worker(rebuild, "learn", timeout=None)
        eventually(lambda: learner.status("/health/ready") == 503, describe=learner.tail)
        eventually(lambda: "scorers are still reading" in learner.why_not_ready(), describe=learner.tail)
        assert learner.metric("fraud_waiting", service="scorers") == 1
        # One by one, so that it is killed with its first partition half rebuilt.
        killed = worker(rebuild.model_copy(update={"batch_records": 1}), "score", timeout=None)
        eventually(lambda: pipeline.scored() >= 200, describe=killed.tail, every=0.01)
        killed.kill()
        assert pipeline.scored() < 3_000, "killed too late"
        assert pipeline.learnt() == 0
        scorer = worker(rebuild, "score", timeout=None)
        pipeline.await_scored(3_300)
        pipeline.await_learnt(1_500)

        whole = Uninterrupted(pipeline.settings)
        whole.score(old)
        whole.learn(known)
        whole.score(new)
        assert {len(given) for given in pipeline.scores(old + new).values()} == {1}
        alerts = _alerts(pipeline)
        assert set(alerts.values()) == {1}
        assert {name for name in alerts if name.startswith("a")} == alerted.keys() != set()
        assert pipeline.customers() == whole.customers()
        assert pipeline.verdicts() == whole.verdicts()
        assert pipeline.learner_keys("t") == whole.risks("terminal")
        assert pipeline.learner_keys("c") == whole.risks("customer")
        assert not pipeline.dead_letters()
        assert "rebuilding it from the 1000 that the topic still has" in learner.tail()
        assert learner.metric("fraud_state_lost_timestamp_seconds", role="learn", remedy="rebuild") > 0
        assert "or they are not rebuilt yet: reading again from offset" in scorer.tail()
        assert scorer.metric("fraud_transactions_total", outcome="rebuilt") > 0
        assert scorer.metric("fraud_transactions_total", outcome="scored") == 300


@pytest.mark.service("redis")
def test_after_an_emptied_redis_workers_go_on_cold_where_that_is_asked_for(
    topics: Deploy, redis_server: StartRedis, worker: Start
) -> None:
    server = redis_server()
    old, new, last = transactions(500, "a"), transactions(500, "b"), transactions(100, "c")
    with Pipeline(_on(server, topics(**FAST))) as pipeline:
        process = worker(pipeline.settings, "all")
        pipeline.publish(old)
        pipeline.await_scored(500)
        pipeline.publish(labels(old))
        pipeline.await_learnt(500)
        _await_acknowledged(pipeline, scored=500, learnt=500)
        # In the middle of its work, as well.
        _flush(server)
        pipeline.publish(new)
        eventually(lambda: process.returncode == 1, describe=process.tail)
        assert "Redis has lost" in process.tail()

        cold = worker(_choose(pipeline.settings, "cold"), "all", timeout=None)
        pipeline.await_scored(1_000)
        pipeline.publish(labels(new))
        pipeline.await_learnt(1_000)
        assert cold.tail().count("going on from offset") == 3, "two partitions, and the labels"
        assert {len(given) for given in pipeline.scores(old + new).values()} == {1}
        whole = Uninterrupted(pipeline.settings)
        whole.score(new)
        whole.learn(labels(new))
        assert pipeline.customers() == whole.customers()
        assert pipeline.learner_keys("t") == whole.risks("terminal")
        assert cold.metric("fraud_labels_total", outcome="joined") == 500
        _await_acknowledged(pipeline, scored=1_000, learnt=1_000)
        cold.kill()

        # Said once: what was given up is not missing any more.
        after = worker(pipeline.settings, "all", timeout=None)
        pipeline.publish(last)
        pipeline.await_scored(1_100)
        assert "Redis has lost" not in after.tail()


@pytest.mark.service("redis")
def test_what_a_redis_that_went_back_in_time_lost_is_read_again(
    topics: Deploy, redis_server: StartRedis, worker: Start
) -> None:
    server = redis_server()
    early, late, last = (transactions(1_000, name) for name in "abc")
    known = labels(early)
    with Pipeline(_on(server, topics(**FAST))) as pipeline:
        running = {role: worker(pipeline.settings, role, timeout=None) for role in ROLES}
        pipeline.publish(early)
        pipeline.await_scored(1_000)
        pipeline.publish(known[:400])
        pipeline.await_learnt(400)
        newest = eventually(lambda: pipeline.learner_keys("k").get("0"), describe="a checkpoint")
        backup = server.back_up()
        pipeline.publish([*late, *known[400:800]])
        pipeline.await_scored(2_000)
        pipeline.await_learnt(800)
        _await_acknowledged(pipeline, scored=2_000, learnt=800)
        eventually(
            lambda: pipeline.learner_keys("k")["0"] != newest, describe="a checkpoint after the backup"
        )
        server.process.kill()
        server.restore(backup)

        _await_ended(running)
        for process in running.values():
            assert "Redis has lost state of" in process.tail()
            assert "had been stored" in process.tail() or "only an older one" in process.tail()
        scorer, learner = (worker(pipeline.settings, role, timeout=None) for role in ROLES)
        pipeline.publish([*last, *known[800:]])
        pipeline.await_scored(3_000)
        pipeline.await_learnt(1_000)

        assert {len(given) for given in pipeline.scores(early + late + last).values()} == {1}
        whole = Uninterrupted(pipeline.settings)
        whole.score(early)
        whole.learn(known)
        whole.score(late + last)
        assert pipeline.customers() == whole.customers()
        assert pipeline.verdicts() == whole.verdicts()
        assert pipeline.learner_keys("t") == whole.risks("terminal")
        assert not pipeline.dead_letters()
        assert scorer.metric("fraud_state_lost_timestamp_seconds", role="score", remedy="reread") > 0
        assert scorer.metric("fraud_transactions_total", outcome="rebuilt") == 1_000
        assert "Redis has lost the effects of" in learner.tail()


def _on(server: RedisServer, settings: Settings) -> Settings:
    return settings.model_copy(update={"redis": server.url})


def _choose(settings: Settings, lost_state: LostState) -> Settings:
    chosen = settings.model_dump(include=settings.model_fields_set) | {"lost_state": lost_state}
    return Settings(**chosen)


def _await_acknowledged(pipeline: Pipeline, *, scored: int, learnt: int) -> None:
    def acknowledged(topic: str, role: str) -> int:
        return sum(pipeline.committed(topic, role).values())

    eventually(lambda: acknowledged(pipeline.topics.transactions, "score") == scored)
    eventually(lambda: acknowledged(pipeline.topics.labels, "learn") == learnt)


def _await_ended(running: dict[str, Worker]) -> None:
    """Wait until each has ended by itself, with one sentence."""
    for role, process in running.items():
        eventually(lambda process=process: process.returncode is not None, describe=process.tail)
        assert process.returncode == 1
        assert process.tail().count(f"{role} stops: ") == 1


def _flush(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.flushall()


def _alerts(pipeline: Pipeline) -> Counter[str]:
    """Count the alerts on the topic, by transaction."""
    return Counter(
        decode_score(record.value or b"").transaction_id for record in pipeline.read(pipeline.topics.alerts)
    )
