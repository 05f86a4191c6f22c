"""The emitter against the embedded broker, which can be told to fail."""

import time
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError

from stream.adapters.emitter import QUEUE_BYTES, KafkaEmitter
from stream.adapters.kafka_access import KafkaAccess
from stream.embedded import EmbeddedBroker
from stream.embedded.broker import Request
from stream.errors import AccessError, InfrastructureError
from stream.ports import Burst, Outgoing
from tests.services.topic_reader import read_topic


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def emitter(broker: EmbeddedBroker) -> Iterator[KafkaEmitter]:
    emitter = KafkaEmitter(KafkaAccess(broker.bootstrap), timeout_seconds=2)
    yield emitter
    emitter.close()


def test_what_emit_returned_from_lies_on_the_topics(broker: EmbeddedBroker, emitter: KafkaEmitter) -> None:
    records = [Outgoing("scores", b"c%d" % n, b"%d" % n) for n in range(1_000)]
    emitter.emit([*records, Outgoing("dead-letters", None, b"unkeyed")])
    scores = read_topic(broker.bootstrap, "scores")
    assert sorted(record.value or b"" for record in scores) == sorted(record.value for record in records)
    (letter,) = read_topic(broker.bootstrap, "dead-letters")
    assert (letter.key, letter.value) == (None, b"unkeyed")


def test_what_was_sent_has_arrived_when_it_settles(broker: EmbeddedBroker, emitter: KafkaEmitter) -> None:
    emitter.settle()  # nothing was sent yet
    emitter.send([Burst("scores", [b"c%d" % n for n in range(12_000)], [b"%d" % n for n in range(12_000)])])
    emitter.settle()
    scores = read_topic(broker.bootstrap, "scores")
    assert sorted(int(record.value or b"") for record in scores) == [*range(12_000)]


def test_what_did_not_arrive_is_said_when_it_settles_and_then_no_more(
    broker: EmbeddedBroker, emitter: KafkaEmitter
) -> None:
    emitter.send([Burst("dead-letters", [None], [b"x" * 5_000_000]), Burst("scores", [b"c"], [b"1"])])
    with pytest.raises(InfrastructureError, match=r"'dead-letters'.*too large"):
        emitter.settle()
    emitter.send([Burst("scores", [b"c"], [b"2"])])
    emitter.settle()
    assert [record.value for record in read_topic(broker.bootstrap, "scores")] == [b"1", b"2"]


def test_nothing_overtakes_on_its_topic_what_could_not_be_sent(
    broker: EmbeddedBroker, emitter: KafkaEmitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.adapters.emitter._TOGETHER", 2)
    values = [b"1", b"x" * 5_000_000, b"2", b"3"]
    bursts = [
        Burst("scores", [b"c"] * 4, values),
        Burst("alerts", [b"c"], [b"1"]),
        Burst("scores", [b"c"], [b"4"]),
    ]
    emitter.send(bursts)
    with pytest.raises(InfrastructureError, match=r"'scores'.*too large"):
        emitter.settle()
    sent = [
        [record.value for record in read_topic(broker.bootstrap, topic)] for topic in ("scores", "alerts")
    ]
    assert sent == [[b"1"], [b"1"]]


def test_a_burst_that_the_queue_does_not_hold_is_delivered_in_order(
    broker: EmbeddedBroker, emitter: KafkaEmitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.adapters.emitter._TOGETHER", 300)
    emitter._config["queue.buffering.max.messages"] = 50
    values = [b"%d" % n for n in range(1_000)]
    emitter.send([Burst("scores", [b"c"] * 600, values[:600]), Burst("scores", [b"c"] * 400, values[600:])])
    emitter.settle()
    assert [record.value for record in read_topic(broker.bootstrap, "scores")] == values


def test_records_of_one_key_keep_their_order(broker: EmbeddedBroker, emitter: KafkaEmitter) -> None:
    emitter.emit(Outgoing("scores", b"c", b"%d" % n) for n in range(100))
    scores = read_topic(broker.bootstrap, "scores")
    assert [record.value for record in scores] == [b"%d" % n for n in range(100)]
    assert len({record.partition for record in scores}) == 1


def test_keys_are_placed_as_kafkas_own_clients_place_them(
    broker: EmbeddedBroker, emitter: KafkaEmitter
) -> None:
    # Kafka's Utils.murmur2 of "21" is -973932308; its places are murmur2 & 0x7fffffff, modulo 4.
    emitter.emit([Outgoing("scores", b"21", b"")])
    (record,) = read_topic(broker.bootstrap, "scores")
    assert record.partition == (-973_932_308 & 0x7FFF_FFFF) % 4


def test_emitting_nothing_asks_nothing_of_the_broker() -> None:
    emitter = KafkaEmitter(KafkaAccess("127.0.0.1:1"), timeout_seconds=0.1)
    emitter.emit([])
    emitter.close()


def test_a_broker_that_comes_back_in_time_is_not_a_failure(
    broker: EmbeddedBroker, emitter: KafkaEmitter
) -> None:
    broker.fail(Request.PRODUCE, *[KafkaError.NOT_LEADER_FOR_PARTITION] * 3)
    emitter.emit([Outgoing("scores", b"c", b"1")])
    assert [record.value for record in read_topic(broker.bootstrap, "scores")] == [b"1"]


def test_a_broker_that_is_away_is_an_error_that_names_topic_and_reason(
    broker: EmbeddedBroker, emitter: KafkaEmitter
) -> None:
    emitter.emit([Outgoing("scores", b"c", b"1")])
    broker.go_down()
    started = time.monotonic()
    with pytest.raises(InfrastructureError, match=r"'scores'.*timed out"):
        emitter.emit([Outgoing("scores", b"c", b"2")])
    assert time.monotonic() - started < 10


def test_emitting_again_after_an_outage_succeeds(broker: EmbeddedBroker, emitter: KafkaEmitter) -> None:
    broker.go_down()
    with pytest.raises(InfrastructureError):
        emitter.emit([Outgoing("scores", b"c", b"1")])
    broker.come_up()
    emitter.emit([Outgoing("scores", b"c", b"1")])
    assert b"1" in {record.value for record in read_topic(broker.bootstrap, "scores")}


def test_a_record_that_no_broker_takes_is_an_error_and_the_others_are_delivered(
    broker: EmbeddedBroker, emitter: KafkaEmitter
) -> None:
    with pytest.raises(InfrastructureError, match=r"'dead-letters'.*too large"):
        emitter.emit([Outgoing("scores", b"c", b"1"), Outgoing("dead-letters", None, b"x" * 5_000_000)])
    assert [record.value for record in read_topic(broker.bootstrap, "scores")] == [b"1"]


@pytest.mark.parametrize("queue", [10, 1_000])
def test_a_producer_that_brokers_refuse_for_good_is_said_and_made_anew(
    broker: EmbeddedBroker, emitter: KafkaEmitter, queue: int
) -> None:
    emitter._config["queue.buffering.max.messages"] = queue
    records = [Outgoing("scores", b"c", b"%d" % n) for n in range(100)]
    broker.fail(Request.INIT_PRODUCER_ID, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
    with pytest.raises(AccessError, match=r"^records were not delivered .* with the topic \(Failed to"):
        emitter.emit(records)
    emitter.emit(records)
    scores = read_topic(broker.bootstrap, "scores")
    assert [record.value for record in scores] == [record.value for record in records]


def test_more_records_than_the_queue_holds_are_all_delivered(
    broker: EmbeddedBroker, emitter: KafkaEmitter
) -> None:
    emitter._config["queue.buffering.max.messages"] = 50
    emitter.emit(Outgoing("scores", b"c", b"%d" % n) for n in range(1_000))
    scores = read_topic(broker.bootstrap, "scores")
    assert [record.value for record in scores] == [b"%d" % n for n in range(1_000)]


def test_a_closed_emitter_may_be_closed_again_and_used_again(broker: EmbeddedBroker) -> None:
    emitter = KafkaEmitter(KafkaAccess(broker.bootstrap))
    emitter.emit([Outgoing("scores", b"c", b"1")])
    emitter.close()
    emitter.close()
    emitter.emit([Outgoing("scores", b"c", b"2")])
    emitter.close()
    assert len(read_topic(broker.bootstrap, "scores")) == 2


def test_more_bytes_than_may_wait_for_the_broker_are_sent_all_the_same(broker: EmbeddedBroker) -> None:
    value = bytes(1024 * 1024)
    count = QUEUE_BYTES // len(value) + 20
    emitter = KafkaEmitter(KafkaAccess(broker.bootstrap))
    emitter.emit(Outgoing("dead-letters", b"key", value) for _ in range(count))
    emitter.close()
    (last, *_) = reversed(read_topic(broker.bootstrap, "dead-letters"))
    assert last.offset == count - 1
