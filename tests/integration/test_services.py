"""The services themselves: that the real and the embedded ones do what the tests build on."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from stream.adapters.topics import TopicNames
from stream.settings import Settings
from tests.services.kafka_server import KafkaServer
from tests.services.redis_server import RedisServer
from tests.services.topic_reader import read_topic
from tests.services.waiting import eventually
from tests.services.worker import Worker

pytest_plugins = ["pytester"]
Deploy = Callable[..., Settings]


def test_what_confluent_produces_is_read_in_order(deploy: Deploy) -> None:
    settings = deploy(partitions=2)
    _produce(settings, 100)
    records = read_topic(settings.broker, TopicNames.of(settings).transactions, until=100)
    assert {record.partition for record in records} == {0, 1}
    for partition in (0, 1):
        values = [int(record.value or b"") for record in records if record.partition == partition]
        assert values == sorted(values)


def test_a_confluent_group_goes_on_where_it_committed(deploy: Deploy) -> None:
    settings = deploy(partitions=1)
    _produce(settings, 10)
    first = _consume_with_confluent(settings, 4)
    second = _consume_with_confluent(settings, 6)
    assert first + second == [str(number).encode() for number in range(10)]


def test_an_aiokafka_group_goes_on_where_it_committed(deploy: Deploy) -> None:
    settings = deploy(partitions=1)
    _produce(settings, 10)
    first = asyncio.run(_consume_with_aiokafka(settings, 4))
    second = asyncio.run(_consume_with_aiokafka(settings, 6))
    assert first + second == [str(number).encode() for number in range(10)]


def test_an_aiokafka_group_shares_its_partitions_when_a_member_joins_and_when_it_leaves(
    topics: Deploy,
) -> None:
    """On Apache Kafka alone: the embedded broker is no place for a group of two (stream.embedded.broker)."""
    settings = topics(partitions=4)

    async def shares() -> list[list[int]]:
        first, second = _aiokafka_consumer(settings), _aiokafka_consumer(settings)
        seen = []
        await first.start()
        try:
            seen.append([len(first.assignment())])
            await second.start()
            try:
                await _until(lambda: len(first.assignment()) == len(second.assignment()) == 2)
                seen.append([len(first.assignment()), len(second.assignment())])
            finally:
                await second.stop()
            await _until(lambda: len(first.assignment()) == 4)
            seen.append([len(first.assignment())])
        finally:
            await first.stop()
        return seen

    assert asyncio.run(shares()) == [[4], [2, 2], [4]]


def test_aiokafka_produces_idempotently(deploy: Deploy) -> None:
    settings = deploy(partitions=1)
    labels = TopicNames.of(settings).labels

    async def produce() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=settings.broker, enable_idempotence=True)
        await producer.start()
        await producer.send_and_wait(labels, b"value", key=b"key")
        await producer.stop()

    asyncio.run(produce())
    (record,) = read_topic(settings.broker, labels, until=1)
    assert (record.key, record.value) == (b"key", b"value")


def test_kafka_makes_no_topic_by_itself(kafka: str) -> None:
    with pytest.raises(KafkaException, match="UNKNOWN_TOPIC"):
        read_topic(kafka, "nobody-made-this")


def test_two_tests_share_no_topics_and_no_keys(topics: Deploy) -> None:
    one, other = topics(partitions=1), topics(partitions=1)
    assert one.topic_prefix != other.topic_prefix
    assert one.namespace != other.namespace


def test_kafka_that_was_stopped_starts_with_its_records(topics: Deploy, kafka_server: KafkaServer) -> None:
    settings = topics(partitions=1)
    _produce(settings, 3)
    kafka_server.stop()
    assert not kafka_server.answers()
    kafka_server.start()
    assert len(read_topic(settings.broker, TopicNames.of(settings).transactions, until=3)) == 3


@pytest.mark.parametrize("turn", [1, 2])
def test_redis_is_empty_at_the_start_of_each_test(redis_url: str, turn: int) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("turn", turn)


def test_redis_of_ones_own_can_be_limited_killed_and_started(
    redis_server: Callable[..., RedisServer],
) -> None:
    server = redis_server("--maxmemory", "8mb")
    with redis.Redis.from_url(server.url) as client:
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            [client.set(f"{megabyte}", bytes(1_000_000)) for megabyte in range(20)]
        assert client.dbsize() > 0
        server.process.kill()
        assert not server.answers()
        server.start()
        assert client.ping()


def test_reading_a_topic_says_what_was_there_when_time_is_up(embedded_broker: str) -> None:
    _produce(Settings(broker=embedded_broker, partitions=1), 2)
    with pytest.raises(AssertionError, match=r"transactions: only 2 records within 0.5 s; last: b'1'"):
        read_topic(embedded_broker, "transactions", until=3, timeout=0.5)


_STAND_IN = """\
#!{python}
import http.server, os, signal, sys

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503 if self.path == "/health/live" else 200)
        self.end_headers()
        for part, value in (("a", 2), ("b", 3)):
            self.wfile.write(b'fraud_x_total{{role="%b",part="%b"}} %d\\n' % (ROLE, part.encode(), value))

ROLE = sys.argv[-1].encode()
print("prefix", os.environ["FRAUD_TOPIC_PREFIX"], "broker", os.environ.get("FRAUD_BROKER"), flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
http.server.HTTPServer(("127.0.0.1", int(os.environ["FRAUD_HTTP_PORT"])), Answer).serve_forever()
"""


@pytest.fixture
def _stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a stand-in in the place of the command `fraudstream`."""
    command = tmp_path / "fraudstream"
    command.write_text(_STAND_IN.format(python=sys.executable))
    command.chmod(0o755)
    monkeypatch.setattr("tests.services.worker._COMMAND", command)


@pytest.mark.usefixtures("_stand_in")
def test_a_worker_is_ready_tells_its_metrics_and_says_how_it_ended(worker: Callable[..., Worker]) -> None:
    started = worker(Settings(topic_prefix="p."), role="score")
    assert started.status("/health/live") == 503
    assert started.metrics() == {
        'fraud_x_total{role="score",part="a"}': 2,
        'fraud_x_total{role="score",part="b"}': 3,
    }
    assert started.metric("fraud_x_total", role="score") == 5
    assert started.metric("fraud_x_total", role="score", part="b") == 3
    assert started.metric("fraud_y_total") == 0
    # Of the settings only what was set is handed down.
    assert started.tail().startswith("prefix p. broker None")
    assert started.terminate() == 7
    assert started.status("/health/live") is None


@pytest.mark.usefixtures("_stand_in")
def test_a_worker_that_was_killed_is_gone_and_can_be_started_again(worker: Callable[..., Worker]) -> None:
    killed = worker(Settings(topic_prefix="p."), role="score")
    killed.kill()
    assert killed.returncode == -signal.SIGKILL
    assert killed.status("/health/ready") is None
    assert worker(Settings(topic_prefix="p."), role="score").is_ready()


def test_a_worker_that_does_not_start_says_why(worker: Callable[..., Worker]) -> None:
    with pytest.raises(AssertionError, match=r"ended with 2:(.|\n)*'nobody' is not one of"):
        worker(Settings(), role="nobody")


_SUITE = """
import pytest

@pytest.mark.service("kcat")
def test_needs_kcat():
    pass

@pytest.fixture
def kafka():
    raise AssertionError("not to be set up without its service")

def test_needs_kafka_by_its_fixture(kafka):
    pass

def test_needs_nothing():
    pass
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Return a suite whose services are missing: nothing is on its PATH."""
    pytester.makepyfile(_SUITE)
    pytester.makeini("[pytest]\nmarkers = service(name): needs a real service")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setenv("PATH", "/nowhere")
    for name in ("REQUIRE_SERVICES", "TEST_KAFKA"):
        monkeypatch.delenv(name, raising=False)
    return pytester


def test_a_test_is_skipped_with_the_reason_when_its_service_is_missing(suite: pytest.Pytester) -> None:
    result = suite.runpytest_subprocess("-p", "tests.services.plugin", "-rs")
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines(["services: none; missing: kafka (*", "SKIPPED*kcat: no kcat on the PATH*"])


def test_a_test_fails_with_the_reason_when_its_missing_service_is_required(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUIRE_SERVICES", "1")
    result = suite.runpytest_subprocess("-p", "tests.services.plugin")
    result.assert_outcomes(passed=1, errors=2)
    result.stdout.fnmatch_lines(["*kcat is required: no kcat on the PATH*"])


def test_the_summary_names_the_services_that_were_there(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kcat = tmp_path / "kcat"
    kcat.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    result = suite.runpytest_subprocess("-p", "tests.services.plugin", "-k", "kcat")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["services: kcat"])


def test_the_logs_of_a_failing_tests_processes_are_shown(suite: pytest.Pytester) -> None:
    suite.makepyfile(
        """
        from tests.services.plugin import LOGS

        def test_fails(request, tmp_path):
            log = tmp_path / "worker-score-1.log"
            log.write_text("what the worker said")
            request.node.stash[LOGS] = [log]
            assert False
        """
    )
    result = suite.runpytest_subprocess("-p", "tests.services.plugin", "-k", "fails")
    result.stdout.fnmatch_lines(["*Log of worker-score-1*", "what the worker said"])


def test_a_mark_with_a_service_nobody_knows_is_an_error(suite: pytest.Pytester) -> None:
    suite.makepyfile('import pytest\n@pytest.mark.service("kafak")\ndef test_typo(): pass')
    result = suite.runpytest_subprocess("-p", "tests.services.plugin")
    result.stdout.fnmatch_lines(["*no service is called 'kafak'*"])


def _produce(settings: Settings, number: int) -> None:
    producer = Producer({"bootstrap.servers": settings.broker, "enable.idempotence": True})
    topic = TopicNames.of(settings).transactions
    for value in range(number):
        producer.produce(topic, str(value), key=str(value), partition=value % settings.partitions)
    assert producer.flush(30) == 0


def _consume_with_confluent(settings: Settings, number: int) -> list[bytes]:
    topic = TopicNames.of(settings).transactions
    consumer = Consumer(
        {
            "bootstrap.servers": settings.broker,
            "group.id": settings.namespace,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            # The embedded broker lets the group's next member wait for this, less a second.
            "session.timeout.ms": 6_000,
        }
    )
    try:
        consumer.subscribe([topic])
        message = eventually(lambda: consumer.poll(1.0), describe="the first record", every=0)
        messages = [message, *consumer.consume(number - 1, 20)]
        consumer.commit(offsets=[TopicPartition(topic, 0, messages[-1].offset() + 1)], asynchronous=False)
    finally:
        consumer.close()
    return [message.value() for message in messages]


def _aiokafka_consumer(settings: Settings) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        TopicNames.of(settings).transactions,
        bootstrap_servers=settings.broker,
        group_id=settings.namespace,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=6_000,
        heartbeat_interval_ms=200,
    )


async def _consume_with_aiokafka(settings: Settings, number: int) -> list[bytes]:
    consumer = _aiokafka_consumer(settings)
    await consumer.start()
    try:
        messages = [await asyncio.wait_for(consumer.getone(), 20) for _ in range(number)]
        await consumer.commit()
    finally:
        await consumer.stop()
    return [message.value for message in messages]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        # aiokafka tells of a new assignment to a subclass only; asking is shorter.
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
