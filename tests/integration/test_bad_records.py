"""Bad records through the real pipeline: whole into the dead letters, and back by the redrive."""

import json
from collections import Counter
from collections.abc import Callable

import pytest
from confluent_kafka import Consumer, TopicPartition

from stream.ports import Outgoing
from stream.records import Record, encode
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


# Reason, what its detail must name, key, value.
BAD_TRANSACTIONS = [
    ("malformed_json", "truncated", b"c", b'{"oops"'),
    ("malformed_json", "", b"c", b"\xff\xfe\x00"),
    ("malformed_json", "", b"c", _json(GOOD).replace(b"12.5", b"NaN")),
    ("empty", "no value", b"c", b""),
    ("empty", "no value", b"c", None),
    ("invalid_field", "`customer_id`", b"c", _without(GOOD, "customer_id")),
    ("invalid_field", "$.terminal_id", b"c", _json(GOOD, terminal_id=7)),
    ("invalid_field", "$.transaction_id", b"c", _json(GOOD, transaction_id="t" * 65)),
    ("invalid_field", "$.schema_version", b"c", _json(GOOD, schema_version=99)),
    ("invalid_field", "array", b"c", b"[1, 2]"),
    ("invalid_amount", "$.amount", b"c", _json(GOOD, amount=-1)),
    ("invalid_amount", "$.amount", b"c", _json(GOOD, amount="12.5")),
    ("invalid_time", "$.event_time", b"c", _json(GOOD, event_time=0)),
    ("invalid_time", "$.event_time", b"c", _json(GOOD, event_time=START_MS * 1000)),
    ("invalid_time", "$.event_time", b"c", _json(GOOD, event_time="yesterday")),
    ("oversized", "16384", b"c", _json(GOOD, note="x" * 900_000)),
    ("miskeyed", "customer_id", b"another", _json(GOOD, transaction_id="miskeyed")),
    ("miskeyed", "customer_id", None, _json(GOOD, transaction_id="without key")),
]
BAD_LABELS = [
    ("malformed_json", "truncated", b"t", b'{"oops"'),
    ("empty", "no value", b"t", b""),
    ("invalid_field", "$.source", b"t", _json(LABEL, source="a feeling")),
    ("invalid_field", "$.is_fraud", b"t", _json(LABEL, is_fraud="no")),
    ("invalid_time", "$.label_time", b"t", _json(LABEL, label_time=-1)),
    ("oversized", "16384", b"t", _json(LABEL, note="x" * 20_000)),
    ("unmatched_label", "no transaction missing", b"t", _json(LABEL, transaction_id="missing")),
]


@pytest.mark.service("redis")
def test_every_bad_record_ends_whole_in_the_dead_letters_and_comes_back_when_redriven(
    deploy: Deploy, worker: Start
) -> None:
    good = transactions(200)
    with Pipeline(deploy(partitions=2, label_grace_seconds=0)) as pipeline:
        names = pipeline.topics
        process = worker(pipeline.settings, "all")
        pipeline.publish(good[:100])
        pipeline.publish_raw(Outgoing(names.transactions, key, value) for _, _, key, value in BAD_TRANSACTIONS)
        pipeline.publish(good[100:])
        pipeline.await_scored(200 + len(BAD_TRANSACTIONS))
        pipeline.publish([label(good[0])])
        pipeline.publish_raw(Outgoing(names.labels, key, value) for _, _, key, value in BAD_LABELS)
        pipeline.publish([label(good[1])])
        pipeline.await_learnt(2 + len(BAD_LABELS))

        # The batch goes on: what stood beside a bad record is scored, and learnt.
        answers = pipeline.scores(good)
        assert answers.keys() == {one.transaction_id for one in good}
        assert pipeline.learner_keys("v").keys() == {good[0].transaction_id, good[1].transaction_id}

        letters = pipeline.dead_letters(len(BAD_TRANSACTIONS) + len(BAD_LABELS))
        published = {
            (record.topic, record.partition, record.offset): record
            for topic in (names.transactions, names.labels)
            for record in pipeline.read(topic)
        }
        expected = Counter()
        for topic, bad in ((names.transactions, BAD_TRANSACTIONS), (names.labels, BAD_LABELS)):
            for reason, about, key, value in bad:
                [letter] = [
                    one for one in letters if (one.topic, one.key, one.value or b"") == (topic, key, value or b"")
                ] if value else [one for one in letters if one.topic == topic and one.reason == "empty"][:1]
                assert letter.reason == reason
                assert about in letter.detail
                expected[topic.removeprefix(pipeline.settings.topic_prefix), reason] += 1
        assert len(letters) == expected.total()
        for letter in letters:
            origin = published[letter.topic, letter.partition, letter.offset]
            assert (letter.key, letter.value, letter.timestamp) == (origin.key, origin.value, origin.timestamp)

        def counted() -> bool:
            return all(
                process.metric("fraud_dead_letters_total", topic=topic, reason=reason) == count
                for (topic, reason), count in expected.items()
            )

        eventually(counted, 5, lambda: str(process.metrics()))
        assert process.metric("fraud_dead_letters_total") == expected.total()
        assert process.metric("fraud_transactions_total", outcome="dead_letter") == len(BAD_TRANSACTIONS)
        assert process.is_ready()

        # What was missing comes, and the redrive brings everything back.
        missing = good[0].__class__(**{**GOOD, "transaction_id": "missing"})
        pipeline.publish([missing])
        pipeline.scores([missing])
        redriven = fraudstream("redrive", "--rekey", settings=pipeline.settings)
        assert redriven.code == 0, redriven.err
        assert f"{len(letters)} redriven" in redriven.err

        pipeline.await_scored(201 + 2 * len(BAD_TRANSACTIONS))
        pipeline.await_learnt(2 + 2 * len(BAD_LABELS))
        answers = pipeline.scores([*good, missing])
        assert answers.keys() >= {"miskeyed", "without key"}
        assert "missing" in pipeline.learner_keys("v")
        came_back = _redriven(pipeline, names.transactions) | _redriven(pipeline, names.labels)
        places = [record.offset for record in pipeline.read(names.dead_letters, len(letters))]
        assert came_back.keys() >= {f"{names.dead_letters}/0/{offset}" for offset in places[: len(letters)]}
        for offset, letter in zip(places, letters, strict=False):
            record = came_back[f"{names.dead_letters}/0/{offset}"]
            assert (record.topic, record.value) == (letter.topic, letter.value)
            if letter.reason != "miskeyed":
                assert record.key == letter.key
        # All but the miskeyed and the unmatched are as bad as before.
        again = Counter(letter.reason for letter in pipeline.dead_letters(2 * len(letters) - 3)[len(letters) :])
        before = Counter(letter.reason for letter in letters)
        assert again == before - Counter({"miskeyed": 2, "unmatched_label": 1})
