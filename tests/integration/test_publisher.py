"""The publisher on the embedded broker and on Apache Kafka."""

import socket
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
from confluent_kafka import KafkaError

from producers.publisher import Publisher
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.topics import TopicNames
from stream.embedded import EmbeddedBroker
from stream.embedded.broker import Request
from stream.errors import AccessError, InfrastructureError, TopicError
from stream.settings import Settings
from tests.services.topic_reader import read_topic
from tests.services.waiting import eventually

Deploy = Callable[..., Settings]


def nowhere() -> str:
    """Return HOST:PORT where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize("idempotent", [True, False])
def test_everything_published_arrives_once_in_order_with_its_key(deploy: Deploy, idempotent: bool) -> None:
    settings = deploy()
    topic = TopicNames.of(settings).transactions
    with Publisher(KafkaAccess.of(settings), queue_records=500, idempotent=idempotent) as publisher:
        for number in range(5_000):
            publisher.publish(topic, f"customer {number % 97}".encode(), str(number).encode())
    assert publisher.published == 5_000
    assert publisher.unacknowledged == 0
    records = read_topic(settings.broker, topic, until=5_000)
    by_key = defaultdict(list)
    for record in records:
        assert record.key is not None
        assert record.value is not None
        by_key[record.key].append((record.partition, int(record.value)))
    assert sorted(number for places in by_key.values() for _, number in places) == list(range(5_000))
    for places in by_key.values():
        assert len({partition for partition, _ in places}) == 1
        assert all(a < b for (_, a), (_, b) in pairwise(places))


def test_the_highest_acknowledged_offsets_are_those_on_the_broker(deploy: Deploy) -> None:
    settings = deploy(partitions=2)
    topic = TopicNames.of(settings).transactions
    publisher = Publisher(KafkaAccess.of(settings))
    assert publisher.acknowledged(topic) == {}
    for number in range(1_000):
        publisher.publish(topic, str(number).encode(), b"{}")
    publisher.flush()
    ends: dict[int, int] = {}
    for record in read_topic(settings.broker, topic, until=1_000):
        ends[record.partition] = max(record.offset, ends.get(record.partition, -1))
    assert publisher.acknowledged(topic) == ends
    assert sum(ends.values()) == 1_000 - len(ends)


def test_keys_land_where_kafkas_java_clients_put_them(deploy: Deploy) -> None:
    """By murmur2 as Java's DefaultPartitioner computes it: golden values of `Utils.murmur2`."""
    settings = deploy(partitions=16)
    topic = TopicNames.of(settings).transactions
    golden = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
    with Publisher(KafkaAccess.of(settings)) as publisher:
        for key in golden:
            publisher.publish(topic, key, b"{}")
    found = {record.key: record.partition for record in read_topic(settings.broker, topic, until=3)}
    assert found == {key: (hashed & 0x7FFFFFFF) % 16 for key, hashed in golden.items()}


def test_a_record_is_stamped_with_the_present_unless_told_otherwise(deploy: Deploy) -> None:
    settings = deploy()
    topic = TopicNames.of(settings).labels
    before = time.time_ns() // 1_000_000
    stamp = before - 3_600_000
    with Publisher(KafkaAccess.of(settings)) as publisher:
        publisher.publish(topic, b"k", b"now")
        publisher.publish(topic, b"k", b"then", stamp)
    now, then = read_topic(settings.broker, topic, until=2)
    assert before <= now.timestamp <= time.time_ns() // 1_000_000
    assert then.timestamp == stamp


def test_partitions_are_counted_and_a_missing_topic_is_said(deploy: Deploy) -> None:
    settings = deploy(partitions=3)
    publisher = Publisher(KafkaAccess.of(settings))
    assert publisher.partitions(TopicNames.of(settings).transactions) == 3
    assert publisher.partitions(TopicNames.of(settings).labels) == 1


def test_on_a_real_broker_a_missing_topic_is_said(kafka: str) -> None:
    with pytest.raises(TopicError, match=r"'no-such-topic' at .*; run `fraudstream topics create`"):
        Publisher(KafkaAccess(kafka)).partitions("no-such-topic")


def test_a_broker_that_is_away_is_said_with_the_topic_and_the_reason() -> None:
    broker = nowhere()
    publisher = Publisher(KafkaAccess(broker), timeout_seconds=0.5)
    publisher.publish("transactions", b"k", b"v")
    with pytest.raises(
        InfrastructureError,
        match=rf"a record for topic 'transactions' was not delivered to {broker} \(.*timed",
    ):
        publisher.flush()


def test_a_failed_delivery_is_said_by_the_next_call() -> None:
    publisher = Publisher(KafkaAccess(nowhere()), timeout_seconds=0.5)
    publisher.publish("transactions", b"k", b"v")
    eventually(lambda: _failure_of(publisher.serve), describe="the failure being said")


def test_a_full_queue_blocks_until_there_is_room() -> None:
    with EmbeddedBroker() as broker:
        publisher = Publisher(KafkaAccess(broker.bootstrap), queue_records=10)
        publisher.publish("transactions", b"k", b"v")
        publisher.flush()
        broker.delay(100)
        most = 0
        for _ in range(100):
            publisher.publish("transactions", b"k", b"v")
            most = max(most, publisher.unacknowledged)
        broker.delay(0)
        publisher.flush()
        assert publisher.published == 101
        assert most <= 10
        assert publisher.acknowledged("transactions").popitem()[1] == 100


def test_a_full_queue_in_front_of_a_broker_that_is_away_gives_up() -> None:
    publisher = Publisher(KafkaAccess(nowhere()), queue_records=10, timeout_seconds=0.5)
    publish = partial(publisher.publish, "transactions", b"k", b"v")
    assert any("was not delivered" in _failure_of(publish) for _ in range(100))


def test_refusals_are_retried_without_doubling_anything() -> None:
    with EmbeddedBroker() as broker, Publisher(KafkaAccess(broker.bootstrap), linger_ms=0) as publisher:
        publisher.publish("transactions", b"k", b"first")
        publisher.flush()
        broker.fail(
            Request.PRODUCE,
            KafkaError.NOT_LEADER_FOR_PARTITION,
            KafkaError.REQUEST_TIMED_OUT,
            KafkaError._TRANSPORT,
        )
        for number in range(200):
            publisher.publish("transactions", b"k", str(number).encode())
        publisher.flush()
        values = [record.value for record in read_topic(broker.bootstrap, "transactions", until=201)]
    assert values == [b"first", *(str(number).encode() for number in range(200))]


def test_a_publisher_that_is_not_idempotent_need_not_be_known_to_the_broker() -> None:
    with EmbeddedBroker() as broker:
        broker.fail(Request.INIT_PRODUCER_ID, *[KafkaError.CLUSTER_AUTHORIZATION_FAILED] * 100)
        publisher = Publisher(KafkaAccess(broker.bootstrap), timeout_seconds=5, idempotent=False)
        publisher.publish("transactions", b"k", b"v")
        publisher.flush()
        assert sum(offset + 1 for offset in publisher.acknowledged("transactions").values()) == 1


@pytest.mark.parametrize(("records", "queue"), [(1, 1_000), (10**7, 1_000), (10**7, 10**6)])
def test_a_publisher_that_brokers_refuse_for_good_says_why_whatever_waits(records: int, queue: int) -> None:
    def publish_all() -> None:
        for _ in range(records):
            publisher.publish("transactions", b"k", b"v")
        publisher.flush()

    with EmbeddedBroker() as broker:
        broker.fail(Request.INIT_PRODUCER_ID, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
        publisher = Publisher(KafkaAccess(broker.bootstrap), queue_records=queue)
        with pytest.raises(AccessError, match=r"^records were not delivered .* with the topic \(Failed to"):
            publish_all()


def test_a_record_too_large_for_the_broker_is_said() -> None:
    with EmbeddedBroker() as broker:
        publisher = Publisher(KafkaAccess(broker.bootstrap))
        with pytest.raises(InfrastructureError, match=r"'transactions' was not delivered .*too large"):
            publisher.publish("transactions", b"k", b"x" * 2_000_000)


def test_leaving_its_context_by_an_error_neither_waits_nor_hides_the_error() -> None:
    started = time.monotonic()
    publisher = Publisher(KafkaAccess(nowhere()))
    publisher.publish("transactions", b"k", b"v")
    with pytest.raises(KeyError, match="what went wrong"), publisher:
        raise KeyError("what went wrong")
    assert time.monotonic() - started < 10


def _failure_of(call: Callable[[], None]) -> str:
    try:
        call()
    except InfrastructureError as error:
        return str(error)
    return ""
