"""Verdicts on a real PostgreSQL: written down, published in their order, never lost and never in conflict."""

import threading
from collections.abc import Iterable, Iterator

import msgspec
import psycopg
import pytest
from click.testing import CliRunner, Result

from consumers.cases.connection import connect
from consumers.cases.store import CaseStore
from consumers.cases.verdicts import Recorded, Verdict, VerdictError, publish_due, record
from stream.cli import main
from stream.clock import DAY_MS, ManualClock, wall_clock
from stream.errors import InfrastructureError
from stream.ports import Outgoing
from stream.records import Label, encode
from stream.settings import Settings
from tests.consumers.made import T0, make_alert, make_score
from tests.services.case_traffic import batch
from tests.services.postgres_server import rows
from tests.services.topic_reader import read_topic
from tests.services.worker import environment_of

NOW = T0 + 90_000
STATE = "SELECT state, state_source, analyst, why FROM cases WHERE transaction_id = 't1'"


class Broker:
    """Stands for Kafka: takes labels into a list, or is away."""

    def __init__(self) -> None:
        self.labels: list[Label] = []
        self.keys: list[bytes | None] = []
        self.is_away = False

    def emit(self, records: Iterable[Outgoing]) -> None:
        if self.is_away:
            raise InfrastructureError("Kafka is away")
        for topic, key, value in records:
            assert topic == "labels"
            self.keys.append(key)
            self.labels.append(msgspec.json.decode(value, type=Label))


@pytest.fixture
def connection(case_store: str) -> Iterator[psycopg.Connection]:
    with CaseStore(case_store) as store:
        store.migrate()
        filed = batch(make_alert("t1"), make_score("t2", event_time=T0 + 60_000))
        # As if the topics were still to be read: these were on no broker.
        filed.positions.clear()
        store.file(filed)
    with connect(case_store) as made:
        yield made


def by(who: str, *, is_fraud: bool, why: str = "the customer was called", name: str = "t1") -> Verdict:
    return Verdict(name, is_fraud, who, why, "desk")


def test_a_verdict_closes_the_case_at_once_and_becomes_a_label(
    connection: psycopg.Connection, case_store: str
) -> None:
    broker = Broker()
    recorded = record(connection, by("ana", is_fraud=True), ManualClock(NOW))
    assert recorded == Recorded(is_new=True, before=None, before_source=None)
    assert rows(case_store, "SELECT count(*) FROM open_alerts") == [(0,)]
    assert rows(case_store, STATE) == [("fraud", "analyst", "ana", "the customer was called")]
    assert publish_due(connection, broker, "labels") == 1
    assert publish_due(connection, broker, "labels") == 0
    assert broker.keys == [b"t1"]
    assert broker.labels == [Label(transaction_id="t1", is_fraud=True, source="analyst", label_time=NOW)]
    [(who, via, decided_ms, published)] = rows(
        case_store,
        "SELECT who, via, (extract(epoch FROM decided_at) * 1000)::bigint, published_at IS NOT NULL"
        " FROM verdicts",
    )
    assert (who, via, decided_ms, published) == ("ana", "desk", NOW, True)


def test_the_same_said_again_changes_nothing_and_the_opposite_corrects(
    connection: psycopg.Connection, case_store: str
) -> None:
    broker, clock = Broker(), ManualClock(NOW)
    record(connection, by("ana", is_fraud=True), clock)
    assert not record(connection, by("bob", is_fraud=True), clock).is_new
    # In the same millisecond, too.
    assert record(connection, by("bob", is_fraud=False), clock) == Recorded(
        is_new=True, before="fraud", before_source="analyst"
    )
    publish_due(connection, broker, "labels")
    assert [(label.is_fraud, label.label_time) for label in broker.labels] == [(True, NOW), (False, NOW + 1)]
    assert rows(case_store, "SELECT who, before_is_fraud, before_source FROM verdicts ORDER BY id") == [
        ("ana", None, None),
        ("bob", True, "analyst"),
    ]
    assert rows(case_store, STATE)[0][:3] == ("legitimate", "analyst", "bob")


def test_a_chargeback_after_a_verdict_holds_until_an_analyst_contradicts_it(
    connection: psycopg.Connection, case_store: str
) -> None:
    clock = ManualClock(NOW)
    record(connection, by("ana", is_fraud=False), clock)
    ours = Label(transaction_id="t1", is_fraud=False, source="analyst", label_time=NOW)
    theirs = Label(transaction_id="t1", is_fraud=True, source="chargeback", label_time=NOW + 5)
    with CaseStore(case_store) as store:
        store.file(batch(ours, theirs, first_offset=10))
    assert rows(case_store, STATE)[0][:2] == ("fraud", "chargeback")
    assert record(connection, by("ana", is_fraud=False), clock) == Recorded(
        is_new=True, before="fraud", before_source="chargeback"
    )
    assert rows(case_store, STATE)[0][:2] == ("legitimate", "analyst")


def test_a_transaction_without_an_alert_can_be_judged_too(
    connection: psycopg.Connection, case_store: str
) -> None:
    record(connection, by("ana", is_fraud=True, name="t2"), ManualClock(NOW))
    assert rows(case_store, "SELECT is_fraud, source FROM outcome_of('t2')") == [(True, "analyst")]


def test_on_a_recorded_stream_a_verdict_counts_by_the_streams_own_clock(
    connection: psycopg.Connection,
) -> None:
    broker = Broker()
    record(connection, by("ana", is_fraud=True), ManualClock(T0 + 400 * DAY_MS))
    publish_due(connection, broker, "labels")
    assert [label.label_time for label in broker.labels] == [T0 + 60_000]


def test_while_kafka_is_away_verdicts_wait_and_leave_in_their_order(connection: psycopg.Connection) -> None:
    broker, clock = Broker(), ManualClock(NOW)
    broker.is_away = True
    for number in range(3):
        record(connection, by("ana", is_fraud=number % 2 == 0), clock)
        with pytest.raises(InfrastructureError, match="Kafka is away"):
            publish_due(connection, broker, "labels")
        clock.advance(10)
    broker.is_away = False
    assert publish_due(connection, broker, "labels") == 3
    assert [label.is_fraud for label in broker.labels] == [True, False, True]


def test_what_was_published_but_not_marked_goes_out_again_as_the_same_label(
    connection: psycopg.Connection, case_store: str
) -> None:
    class Dying(Broker):
        def emit(self, records: Iterable[Outgoing]) -> None:
            super().emit(records)
            raise KeyboardInterrupt

    record(connection, by("ana", is_fraud=True), ManualClock(NOW))
    dying, heir = Dying(), Broker()
    with pytest.raises(KeyboardInterrupt):
        publish_due(connection, dying, "labels")
    with connect(case_store) as other:
        assert publish_due(other, heir, "labels") == 1
    assert heir.labels == dying.labels


@pytest.mark.usefixtures("connection")
def test_analysts_who_contradict_each_other_at_once_end_in_the_order_of_the_audit(case_store: str) -> None:
    broker, lock = Broker(), threading.Lock()

    class Shared:
        def emit(self, records: Iterable[Outgoing]) -> None:
            with lock:
                broker.emit(records)

    def judge(who: str, *, is_fraud: bool) -> None:
        with connect(case_store) as own:
            for number in range(10):
                record(own, by(who, is_fraud=is_fraud ^ bool(number % 2)), ManualClock(NOW + number))
                publish_due(own, Shared(), "labels")

    analysts = [
        threading.Thread(target=judge, args=[who], kwargs={"is_fraud": who == "ana"})
        for who in ("ana", "bob", "eve")
    ]
    for analyst in analysts:
        analyst.start()
    for analyst in analysts:
        analyst.join()
    said = rows(case_store, "SELECT is_fraud, label_time FROM verdicts ORDER BY id")
    assert [label.is_fraud for label in broker.labels] == [is_fraud for is_fraud, _ in said]
    times = [label.label_time for label in broker.labels]
    assert times == sorted(set(times))


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        (by("ana", is_fraud=True, name="nowhere"), "'nowhere' is not in the case store"),
        (by(" ", is_fraud=True), "must say who decided"),
        (by("ana", is_fraud=True, why="\n"), "must say why"),
        (by("ana", is_fraud=True, why="x" * 1_001), "why in 1000 characters at most"),
        (by("ana", is_fraud=True, why="a\0b"), "without a NUL character"),
        (by("ana", is_fraud=True, name="a\0b"), "without a NUL character"),
    ],
)
def test_a_verdict_that_cannot_be_taken_is_one_sentence(
    connection: psycopg.Connection, case_store: str, verdict: Verdict, says: str
) -> None:
    with pytest.raises(VerdictError, match=says):
        record(connection, verdict, ManualClock(NOW))
    assert rows(case_store, "SELECT count(*) FROM verdicts") == [(0,)]


def judged(settings: Settings, *arguments: str) -> Result:
    return CliRunner(env=environment_of(settings)).invoke(
        main, ["verdict", *arguments, "--who", "ana", "--why", "called the customer"]
    )


@pytest.mark.usefixtures("connection")
def test_the_command_publishes_and_says_what_it_did(case_store: str, embedded_broker: str) -> None:
    settings = Settings(broker=embedded_broker, case_store=case_store)  # type: ignore[arg-type]
    before_ms = wall_clock()
    with CaseStore(case_store) as store:
        store.file(batch(make_alert("now", event_time=before_ms, scored_at=before_ms)))
    assert judged(settings, "now", "fraud").output == "now: fraud, written down\n"
    assert judged(settings, "now", "fraud").output == "now was judged fraud already; nothing was changed\n"
    corrected = judged(settings, "now", "legitimate")
    assert corrected.output == "now, which analyst had called fraud: legitimate, written down\n"
    first, second = read_topic(embedded_broker, "labels")
    assert first.key == second.key == b"now"
    label = msgspec.json.decode(first.value or b"", type=Label)
    assert (label.is_fraud, label.source) == (True, "analyst")
    assert before_ms <= label.label_time <= wall_clock()
    assert encode(label) == first.value
    unknown = judged(settings, "nobody", "fraud")
    assert unknown.exit_code == 2
    assert "'nobody' is not in the case store" in unknown.stderr


def test_what_could_not_be_published_is_published_by_the_filler(
    connection: psycopg.Connection, case_store: str, embedded_broker: str
) -> None:
    record(connection, by("ana", is_fraud=True), ManualClock(NOW))
    settings = Settings(broker=embedded_broker, case_store=case_store, case_days=3650, pending_days=400)  # type: ignore[arg-type]
    filled = CliRunner(env=environment_of(settings)).invoke(main, ["cases", "--until-idle", "1"])
    assert filled.exit_code == 0, filled.output
    [label] = read_topic(embedded_broker, "labels")
    assert label.key == b"t1"
    # It has come round as well.
    assert rows(case_store, "SELECT is_fraud, source FROM labels") == [(True, "analyst")]
