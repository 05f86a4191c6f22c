"""The consumers' commands on real brokers."""

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import msgspec
import pyarrow.dataset as ds
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Consumer, KafkaError, TopicPartition

from consumers import commands
from stream.adapters.emitter import KafkaEmitter
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.topics import TopicNames, create_topics
from stream.decoding import dead_letter, decode_transactions
from stream.embedded import EmbeddedBroker
from stream.embedded.broker import Request
from stream.errors import AccessError, TopicError
from stream.ports import Outgoing
from stream.records import DeadLetter, DeadLetterReason, Label, Record, Transaction, encode
from stream.settings import Settings
from tests.consumers.made import T0, make_alert, make_score
from tests.services.process import Process
from tests.services.topic_reader import read_topic
from tests.services.waiting import eventually


class Stage:
    """A broker with our topics, on which commands are run."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.names = TopicNames.of(settings)
        self.options = [
            *("--broker", settings.broker),
            *("--topic-prefix", settings.topic_prefix),
            *("--namespace", settings.namespace),
        ]

    def publish(self, topic: str, values: list[msgspec.Struct | bytes], key: bytes = b"c1") -> None:
        emitter = KafkaEmitter(KafkaAccess.of(self.settings))
        contents = [value if isinstance(value, bytes) else encode(value) for value in values]
        emitter.emit(Outgoing(topic, key, content) for content in contents)
        emitter.close()

    def run(self, command: str, *arguments: str) -> Result:
        result = CliRunner().invoke(getattr(commands, command), [*self.options, *arguments])
        assert result.exception is None, result.output
        return result

    def start(self, log: Path, command: str, *arguments: str) -> Process:
        program = ["-c", "from stream.cli import main; main()", command]
        return Process([sys.executable, *program, *self.options, *arguments], log)

    def read(self, topic: str) -> list[Record]:
        return read_topic(self.settings.broker, topic)

    def headers(self, topic: str) -> list[list[tuple[str, bytes]]]:
        consumer = Consumer({"bootstrap.servers": self.settings.broker, "group.id": "tests-headers"})
        try:
            consumer.assign([TopicPartition(topic, n, 0) for n in range(self.settings.partitions)])
            found: list[list[tuple[str, bytes]]] = []
            wanted = len(self.read(topic))

            def all_read() -> bool:
                found.extend(message.headers() or [] for message in consumer.consume(100, 0.1))
                return len(found) >= wanted

            eventually(all_read)
            return found
        finally:
            consumer.close()


def on_kafka(broker: str) -> Stage:
    namespace = f"test-{uuid4().hex[:8]}"
    settings = Settings(broker=broker, namespace=namespace, topic_prefix=f"{namespace}.")
    create_topics(settings)
    return Stage(settings)


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.service("kafka"))])
def stage(request: pytest.FixtureRequest) -> Stage:
    if request.param == "kafka":
        return on_kafka(request.getfixturevalue("kafka"))
    broker = request.getfixturevalue("embedded_broker")
    return Stage(Settings(broker=broker, namespace=f"test-{uuid4().hex[:8]}"))


def test_alerts_are_shown_once_over_several_runs(stage: Stage) -> None:
    stage.publish(stage.names.alerts, [make_alert(f"t{n}") for n in range(5)])
    stage.publish(stage.names.alerts, [make_alert("t0"), b"foreign"])
    first = stage.run("alerts", "--until-idle", "1.5")
    assert len(first.stdout.splitlines()) == 5
    assert "12 transactions in 24 h" in first.stdout
    assert "5 delivered, 1 recognised as repeated, 1 foreign" in first.stderr

    stage.publish(stage.names.alerts, [make_alert("t5")])
    second = stage.run("alerts", "--until-idle", "1.5")
    assert [line for line in second.stdout.splitlines() if "[t5," in line] == second.stdout.splitlines()


def test_alerts_end_in_order_when_told_to(stage: Stage, tmp_path: Path) -> None:
    stage.publish(stage.names.alerts, [make_alert(f"t{n}") for n in range(5)])
    shown = stage.start(tmp_path / "alerts.log", "alerts")
    eventually(lambda: shown.tail().count("customer c1") == 5, describe=shown.tail)
    assert shown.terminate() == 0
    assert "5 delivered" in shown.tail()
    assert stage.run("alerts", "--until-idle", "1").stdout == ""


def test_an_archive_that_was_killed_holds_every_record_once(stage: Stage, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    scores = [make_score(f"t{n}", event_time=T0 + n * 40_000) for n in range(6_000)]
    labels = [
        Label(transaction_id=f"t{n}", is_fraud=n % 50 == 0, source="chargeback", label_time=T0)
        for n in range(500)
    ]
    stage.publish(stage.names.scores, scores[:3_000])
    stage.publish(stage.names.labels, labels)
    victim = stage.start(tmp_path / "a.log", "archive", str(folder), "--roll-records", "200")
    eventually(lambda: any((folder / "scores").glob("date=*/[!.]*")), describe=victim.tail)
    victim.kill()
    stage.publish(stage.names.scores, scores[3_000:])

    # A killed member's partitions wait for its session to end.
    heir = stage.start(tmp_path / "b.log", "archive", str(folder), "--roll-after", "1s")
    eventually(lambda: (_ids(folder, "scores").total(), _ids(folder, "labels").total()) >= (6_000, 500), 60)
    assert heir.terminate() == 0, heir.tail()
    assert _ids(folder, "scores") == {f"t{n}": 1 for n in range(6_000)}
    assert _ids(folder, "labels") == {f"t{n}": 1 for n in range(500)}
    assert {path.name for path in (folder / "scores").iterdir()} >= {"date=2018-04-01", "date=2018-04-02"}


def _ids(folder: Path, series: str) -> Counter[str]:
    if not any((folder / series).glob("date=*/[!.]*")):
        return Counter()
    dataset = ds.dataset(folder / series, format="parquet", partitioning="hive")
    if not dataset.files:  # the only one was a leftover, and went meanwhile
        return Counter()
    try:
        return Counter(dataset.to_table(["transaction_id"])["transaction_id"].to_pylist())
    except FileNotFoundError:  # a leftover was just removed
        return Counter()


@pytest.fixture
def refused(stage: Stage) -> Callable[[], list[DeadLetter]]:
    """Return a function that publishes dead letters: two miskeyed transactions, one broken, one label."""

    def publish() -> list[DeadLetter]:
        transactions = [
            Transaction(
                transaction_id=f"t{n}", event_time=T0, customer_id="right", terminal_id="m", amount=1.0
            )
            for n in range(2)
        ]
        places = [
            Record(stage.names.transactions, 0, n, T0, b"wrong", encode(transaction))
            for n, transaction in enumerate(transactions)
        ]
        broken = Record(stage.names.transactions, 1, 7, T0, b"c9", b'{"oops"')
        label = Record(stage.names.labels, 0, 3, T0, None, b"{}")
        letters = [
            *(dead_letter(place, DeadLetterReason.MISKEYED, "wrong key", T0) for place in places),
            dead_letter(broken, DeadLetterReason.MALFORMED_JSON, "truncated", T0),
            dead_letter(label, DeadLetterReason.INVALID_FIELD, "missing", T0),
        ]
        stage.publish(stage.names.dead_letters, list(letters))
        return letters

    return publish


def test_dead_letters_are_counted_by_reason(stage: Stage, refused: Callable[[], object]) -> None:
    assert stage.run("redrive", "--list").stdout == "no dead letters\n"
    refused()
    stage.publish(stage.names.dead_letters, [b"foreign"])
    listed = stage.run("redrive", "--list").stdout.split()
    assert dict(zip(listed[1::2], listed[::2], strict=True)) == {
        "miskeyed": "2",
        "malformed_json": "1",
        "invalid_field": "1",
    }


def test_originals_go_back_where_they_came_from_once(stage: Stage, refused: Callable[[], object]) -> None:
    refused()
    assert "4 redriven" in stage.run("redrive").stderr
    back = stage.read(stage.names.transactions)
    assert {(record.key, record.value) for record in back} >= {(b"c9", b'{"oops"')}
    assert sum(record.key == b"wrong" for record in back) == 2
    (label,) = stage.read(stage.names.labels)
    assert (label.key, label.value) == (None, b"{}")
    assert sorted(header for headers in stage.headers(stage.names.transactions) for header in headers) == [
        ("redriven-from", f"{stage.names.dead_letters}/0/{offset}".encode()) for offset in (0, 1, 2)
    ]
    assert "0 redriven" in stage.run("redrive").stderr


def test_a_rekeyed_transaction_is_accepted(stage: Stage, refused: Callable[[], object]) -> None:
    refused()
    assert "2 redriven" in stage.run("redrive", "--reason", "miskeyed", "--rekey").stderr
    decoded = decode_transactions(stage.read(stage.names.transactions), T0)
    assert [transaction.transaction_id for transaction in decoded.records] == ["t0", "t1"]
    assert decoded.dead_letters == []


def test_redriving_one_reason_leaves_the_others_for_later(
    stage: Stage, refused: Callable[[], object]
) -> None:
    refused()
    assert "1 redriven" in stage.run("redrive", "--reason", "invalid_field").stderr
    assert "2 redriven" in stage.run("redrive", "--reason", "miskeyed").stderr
    assert "1 redriven" in stage.run("redrive").stderr
    assert len(stage.read(stage.names.transactions)) == 3


def test_a_dry_run_shows_and_does_nothing(stage: Stage, refused: Callable[[], object]) -> None:
    refused()
    shown = stage.run("redrive", "--dry-run")
    assert "4 would be redriven" in shown.stderr
    assert (
        f"{stage.names.dead_letters}/0/2 from {stage.names.transactions}/1/7: malformed_json" in shown.stdout
    )
    assert stage.read(stage.names.transactions) == []
    assert "4 redriven" in stage.run("redrive").stderr


def test_a_limit_is_kept_and_the_rest_follows(stage: Stage, refused: Callable[[], object]) -> None:
    refused()
    assert "3 redriven" in stage.run("redrive", "--limit", "3").stderr
    assert "1 redriven" in stage.run("redrive").stderr
    assert len(stage.read(stage.names.transactions)) + len(stage.read(stage.names.labels)) == 4


def test_a_redrive_that_brokers_refuse_for_good_is_one_sentence_and_done_by_the_next() -> None:
    with EmbeddedBroker() as broker:
        stage = Stage(Settings(broker=broker.bootstrap))
        place = Record(stage.names.transactions, 0, 0, T0, b"c1", b"{")
        letters = [dead_letter(place, DeadLetterReason.MALFORMED_JSON, "truncated", T0)] * 20
        stage.publish(stage.names.dead_letters, list(letters))
        broker.fail(Request.INIT_PRODUCER_ID, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
        refused = CliRunner().invoke(commands.redrive, stage.options)
        assert isinstance(refused.exception, AccessError)
        assert str(refused.exception).startswith("originals were not delivered to 127.0.0.1:")
        assert "20 redriven" in stage.run("redrive").stderr


def test_a_dead_letter_of_another_topic_is_passed_over(stage: Stage) -> None:
    place = Record(stage.names.scores, 0, 0, T0, None, b"forged")
    stage.publish(stage.names.dead_letters, [dead_letter(place, DeadLetterReason.EMPTY, "", T0)])
    assert "0 redriven, 1 foreign" in stage.run("redrive").stderr
    assert stage.read(stage.names.scores) == []


def test_silence_is_settled_once_over_several_runs(stage: Stage) -> None:
    day = 86_400_000
    stage.publish(stage.names.scores, [make_score(f"t{n}", event_time=T0 + n * day) for n in range(40)])
    fraud = Label(transaction_id="t3", is_fraud=True, source="chargeback", label_time=T0)
    stage.publish(stage.names.labels, [fraud])
    for _ in range(2):
        stage.run("settle", "--after", "30d", "--until-idle")
    stage.publish(stage.names.scores, [make_score("t40", event_time=T0 + 40 * day)])
    assert "1 settled, 30 waiting" in stage.run("settle", "--after", "30d", "--until-idle").stderr

    labels = [json.loads(record.value or b"") for record in stage.read(stage.names.labels)]
    settled = [label["transaction_id"] for label in labels if label["source"] == "settlement"]
    assert settled == [f"t{n}" for n in range(11) if n != 3]
    assert all(not label["is_fraud"] for label in labels[1:])


def test_a_missing_topic_is_one_sentence(kafka: str) -> None:
    stage = on_kafka(kafka)
    for command, arguments in (("redrive", []), ("settle", ["--after", "1d"]), ("alerts", [])):
        options = [*stage.options, "--topic-prefix", "nowhere.", *arguments]
        result = CliRunner().invoke(getattr(commands, command), options)
        assert isinstance(result.exception, TopicError)
        assert "nowhere." in str(result.exception)
        assert "fraudstream topics create" in str(result.exception)
