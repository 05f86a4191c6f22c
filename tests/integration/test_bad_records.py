"""Bad records through the real pipeline: whole into the dead letters, and back by the redrive."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import pytest
from confluent_kafka import Consumer, TopicPartition

from stream.ports import Outgoing
from stream.records import DeadLetterReason, Transaction
from stream.settings import Settings
from tests.services.command import fraudstream
from tests.services.pipeline import Pipeline
from tests.services.traffic import START_MS, label, transactions
from tests.services.waiting import eventually
from tests.services.worker import Worker

Deploy = Callable[..., Settings]
Start = Callable[..., Worker]

GOOD = {
    "transaction_id": "t",
    "event_time": START_MS,
    "customer_id": "c",
    "terminal_id": "m",
    "amount": 12.5,
}
LABEL = {"transaction_id": "t", "is_fraud": True, "source": "chargeback", "label_time": START_MS}


def _json(good: dict[str, object], **changes: object) -> bytes:
    return json.dumps({**good, **changes}).encode()


def _without(good: dict[str, object], field: str) -> bytes:
    return json.dumps({name: value for name, value in good.items() if name != field}).encode()


class Bad(NamedTuple):
    """A record that the pipeline is to refuse."""

    reason: str
    about: str
    """What the dead letter's detail must name."""
    key: bytes | None
    value: bytes | None


BAD_TRANSACTIONS = [
    Bad("malformed_json", "truncated", b"c", b'{"oops"'),
    Bad("malformed_json", "", b"c", b"\xff\xfe\x00"),
    Bad("malformed_json", "", b"c", _json(GOOD).replace(b"12.5", b"NaN")),
    Bad("empty", "no value", b"c", b""),
    Bad("empty", "no value", b"c", None),
    Bad("invalid_field", "`customer_id`", b"c", _without(GOOD, "customer_id")),
    Bad("invalid_field", "$.terminal_id", b"c", _json(GOOD, terminal_id=7)),
    Bad("invalid_field", "$.transaction_id", b"c", _json(GOOD, transaction_id="t" * 65)),
    Bad("invalid_field", "$.schema_version", b"c", _json(GOOD, schema_version=99)),
    Bad("invalid_field", "array", b"c", b"[1, 2]"),
    Bad("invalid_amount", "$.amount", b"c", _json(GOOD, amount=-1)),
    Bad("invalid_amount", "$.amount", b"c", _json(GOOD, amount="12.5")),
    Bad("invalid_time", "$.event_time", b"c", _json(GOOD, event_time=0)),
    Bad("invalid_time", "$.event_time", b"c", _json(GOOD, event_time=START_MS * 1000)),
    Bad("invalid_time", "$.event_time", b"c", _json(GOOD, event_time="yesterday")),
    Bad("oversized", "16384", b"c", _json(GOOD, note="x" * 900_000)),
    Bad("miskeyed", "customer_id", b"another", _json(GOOD, transaction_id="miskeyed")),
    Bad("miskeyed", "customer_id", None, _json(GOOD, transaction_id="without key")),
]
BAD_LABELS = [
    Bad("malformed_json", "truncated", b"t", b'{"oops"'),
    Bad("empty", "no value", b"t", b""),
    Bad("invalid_field", "$.source", b"t", _json(LABEL, source="a feeling")),
    Bad("invalid_field", "$.is_fraud", b"t", _json(LABEL, is_fraud="no")),
    Bad("invalid_time", "$.label_time", b"t", _json(LABEL, label_time=-1)),
    Bad("oversized", "16384", b"t", _json(LABEL, note="x" * 20_000)),
    Bad("unmatched_label", "no transaction missing", b"t", _json(LABEL, transaction_id="missing")),
]


def test_every_reason_is_among_them() -> None:
    elsewhere = {
        "contested_label",
        "card_number",
        "label_rate",
    }  # the second is not kept whole: see test_privacy
    assert {bad.reason for bad in BAD_TRANSACTIONS + BAD_LABELS} == set(DeadLetterReason) - elsewhere


@pytest.mark.service("redis")
def test_every_bad_record_ends_whole_in_the_dead_letters_and_the_batch_goes_on(
    deploy: Deploy, worker: Start
) -> None:
    good = transactions(200)
    with Pipeline(deploy(partitions=2, label_grace_seconds=0)) as pipeline:
        names = pipeline.topics
        process = worker(pipeline.settings, "all")
        pipeline.publish(good[:100])
        _publish(pipeline, names.transactions, BAD_TRANSACTIONS)
        pipeline.publish(good[100:])
        pipeline.await_scored(200 + len(BAD_TRANSACTIONS))
        pipeline.publish([label(good[0])])
        _publish(pipeline, names.labels, BAD_LABELS)
        pipeline.publish([label(good[1])])
        pipeline.await_learnt(2 + len(BAD_LABELS))

        assert pipeline.scores(good).keys() == {one.transaction_id for one in good}
        assert pipeline.verdicts().keys() == {good[0].transaction_id, good[1].transaction_id}

        bad = [(names.transactions, *one) for one in BAD_TRANSACTIONS]
        bad += [(names.labels, *one) for one in BAD_LABELS]
        letters = pipeline.dead_letters(len(bad))
        assert Counter((one.topic, one.reason.value, one.key, one.value) for one in letters) == Counter(
            (topic, reason, key, value) for topic, reason, _, key, value in bad
        )
        for topic, reason, about, key, value in bad:
            alike = [one for one in letters if (one.topic, one.key, one.value) == (topic, key, value)]
            assert any(about in one.detail for one in alike), (reason, [one.detail for one in alike])
        published = {
            (record.topic, record.partition, record.offset): record
            for topic in (names.transactions, names.labels)
            for record in pipeline.read(topic)
        }
        for one in letters:
            origin = published[one.topic, one.partition, one.offset]
            assert (one.key, one.value, one.timestamp) == (origin.key, origin.value, origin.timestamp)

        expected = Counter(("transactions", one.reason) for one in BAD_TRANSACTIONS)
        expected += Counter(("labels", one.reason) for one in BAD_LABELS)
        eventually(lambda: process.metric("fraud_dead_letters_total") == len(bad))
        for (topic, reason), count in expected.items():
            assert process.metric("fraud_dead_letters_total", topic=topic, reason=reason) == count
        assert process.metric("fraud_transactions_total", outcome="dead_letter") == len(BAD_TRANSACTIONS)
        assert process.is_ready()


@pytest.mark.service("redis")
def test_what_is_redriven_comes_back_and_is_used_when_its_fault_is_mended(
    topics: Deploy, worker: Start
) -> None:
    bad = [one for one in BAD_TRANSACTIONS if one.reason in ("miskeyed", "malformed_json")]
    unmatched = [one for one in BAD_LABELS if one.reason == "unmatched_label"]
    missing = Transaction(**{**GOOD, "transaction_id": "missing"})
    with Pipeline(topics(partitions=2, label_grace_seconds=0)) as pipeline:
        names = pipeline.topics
        worker(pipeline.settings, "all")
        _publish(pipeline, names.transactions, bad)
        _publish(pipeline, names.labels, unmatched)
        count = len(bad) + len(unmatched)
        letters = pipeline.dead_letters(count)
        pipeline.publish([missing])
        pipeline.scores([missing])

        redriven = fraudstream("redrive", "--rekey", settings=pipeline.settings)

        assert redriven.code == 0, redriven.err
        assert f"redrive: {count} redriven" in redriven.err
        answered = {"missing", "miskeyed", "without key"}
        eventually(
            lambda: pipeline.scores().keys() == answered, describe=lambda: str(pipeline.scores().keys())
        )
        eventually(lambda: pipeline.verdicts().keys() == {"missing"}, describe="its label joined")
        # As bad as before, and filed anew.
        again = pipeline.dead_letters(count + 3)[count:]
        assert {one.reason.value for one in again} == {"malformed_json"}

        back = _with_headers(pipeline, names.transactions) | _with_headers(pipeline, names.labels)
        for offset, letter in enumerate(letters):
            topic, key, value = back[f"{names.dead_letters}/0/{offset}"]
            assert (topic, value) == (letter.topic, letter.value)
            assert key == (b"c" if letter.reason == "miskeyed" else letter.key)


def _publish(pipeline: Pipeline, topic: str, bad: Iterable[Bad]) -> None:
    pipeline.publish_raw(Outgoing(topic, one.key, one.value) for one in bad)


def _with_headers(pipeline: Pipeline, topic: str) -> dict[str, tuple[str, bytes | None, bytes | None]]:
    """Return topic, key and value of every record that was redriven, by what its header says."""
    consumer = Consumer({"bootstrap.servers": pipeline.settings.broker, "group.id": "tests-headers"})
    partitions = {record.partition for record in pipeline.read(topic)}
    places = [TopicPartition(topic, partition, 0) for partition in partitions]
    left = sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
    found = {}
    try:
        consumer.assign(places)
        while left > 0:
            messages = consumer.consume(left, 10)
            assert messages, "records that are there do not come"
            left -= len(messages)
            for message in messages:
                assert message.error() is None
                headers = dict(message.headers() or [])
                if "redriven-from" in headers:
                    found[headers["redriven-from"].decode()] = (topic, message.key(), message.value())
    finally:
        consumer.close()
    return found
