"""A worker whose settings are wrong, or whose broker or Redis is away: at its start, and amid its work."""

import socket
from collections.abc import Callable

import pytest
import redis

from stream.embedded import EmbeddedBroker
from stream.settings import Settings
from tests.services.pipeline import Pipeline
from tests.services.redis_server import RedisServer
from tests.services.traffic import transactions
from tests.services.uninterrupted import Uninterrupted
from tests.services.waiting import eventually
from tests.services.worker import Worker

Start = Callable[..., Worker]
StartRedis = Callable[..., RedisServer]

NOBODY = "127.0.0.1:1"


def test_what_keeps_a_worker_from_starting_is_said_in_one_sentence(
    embedded_broker: str, redis_url: str, worker: Start
) -> None:
    right = {"broker": embedded_broker, "redis": redis_url}
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        wrong = {
            "fraudstream: there is no recipe 'nonesuch'; there are: ": {"champion": "nonesuch"},
            "fraudstream: topic 'other.transactions' is missing at ": {"topic_prefix": "other."},
            "fraudstream: topic 'transactions' has 4 partition(s) where 3 should be; ": {"partitions": 3},
            f"fraudstream: no Kafka broker answered at {NOBODY} within ": {"broker": NOBODY},
            f"CRITICAL stream.worker: FRAUD_HTTP_PORT={port}: another process listens": {"http_port": port},
        }
        # Beside each other: one of them gives the broker ten seconds.
        started = {
            words: worker(Settings(**right | settings), "all", timeout=None)
            for words, settings in wrong.items()
        }
        for words, process in started.items():
            eventually(lambda process=process: process.returncode is not None, describe=process.tail)
            assert process.returncode in (1, 2)
            assert words in process.tail()
            assert process.tail().count("\n") == 1, process.tail()


@pytest.mark.service("redis")
def test_a_worker_waits_for_a_redis_that_is_away_at_its_start(
    embedded_broker: str, redis_server: StartRedis, worker: Start
) -> None:
    server = redis_server()
    server.stop()
    with Pipeline(Settings(broker=embedded_broker, redis=server.url)) as pipeline:
        process = worker(pipeline.settings, "all", timeout=None)
        eventually(lambda: process.status("/health/ready") == 503, describe=process.tail)
        eventually(lambda: process.metric("fraud_waiting", service="redis") == 1, describe=process.tail)
        assert process.status("/health/live") == 200
        assert f"Redis at {server.url} is away" in process.why_not_ready()

        server.start()
        some = transactions(10)
        pipeline.publish(some)
        assert pipeline.scores(some).keys() == {one.transaction_id for one in some}
        eventually(process.is_ready)


@pytest.mark.service("redis")
def test_a_worker_whose_broker_goes_down_turns_red_and_recovers_and_stops_without_it(
    redis_url: str, worker: Start
) -> None:
    some = transactions(6_000)
    with EmbeddedBroker() as broker:
        settings = Settings(broker=broker.bootstrap, redis=redis_url, batch_records=10)
        with Pipeline(settings) as pipeline:
            process = worker(settings, "all")
            pipeline.publish(some)
            pipeline.await_scored(500)
            broker.go_down()
            assert pipeline.scored() < 6_000, "too late"
            eventually(lambda: not process.is_ready(), describe=process.tail)
            assert "is Kafka away?" in process.why_not_ready()
            assert process.status("/health/live") == 200
            broker.come_up()
            answers = pipeline.scores(some)
            assert all(len(set(given)) == 1 for given in answers.values())
            eventually(process.is_ready, describe=process.tail)

            broker.go_down()
            process.ask_to_stop()
            eventually(lambda: process.returncode == 0, describe=process.tail)


@pytest.mark.service("redis")
def test_a_worker_whose_redis_is_full_or_silent_turns_red_and_recovers_with_nothing_lost(
    embedded_broker: str, redis_server: StartRedis, worker: Start
) -> None:
    server = redis_server()
    full, silent, last = (transactions(500, name) for name in "abc")
    with (
        redis.Redis.from_url(server.url) as client,
        Pipeline(Settings(broker=embedded_broker, redis=server.url)) as pipeline,
    ):
        process = worker(pipeline.settings, "all")

        client.config_set("maxmemory", 1)
        pipeline.publish(full)
        eventually(lambda: not process.is_ready(), describe=process.tail)
        assert "is full" in process.why_not_ready()
        client.config_set("maxmemory", 0)
        eventually(process.is_ready, describe=process.tail)
        pipeline.scores(full)

        # Also with nothing to do.
        server.process.pause()
        eventually(lambda: not process.is_ready(), describe=process.tail)
        pipeline.publish(silent)
        assert "did not answer within 5 s" in process.why_not_ready()
        assert process.status("/health/live") == 200
        server.process.resume()
        eventually(process.is_ready, describe=process.tail)
        assert {len(given) for given in pipeline.scores(full + silent).values()} == {1}
        assert process.metric("fraud_infrastructure_errors_total", service="redis") >= 2

        server.process.pause()
        pipeline.publish(last)
        process.ask_to_stop()
        eventually(lambda: process.returncode == 0, describe=process.tail)
        server.process.resume()

        whole = Uninterrupted(pipeline.settings)
        whole.score(full + silent)
        assert pipeline.customers() == whole.customers()
