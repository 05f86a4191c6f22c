"""The case store on a real PostgreSQL, filled from real brokers."""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from uuid import uuid4

import msgspec
import psycopg
import pytest
from click.testing import CliRunner, Result

from consumers.cases.connection import CaseStoreAwayError, conninfo_of
from consumers.cases.filing import Filing
from consumers.cases.migrations import migrations, require_schema
from consumers.cases.store import CaseStore, Swept
from consumers.metrics import FilingMetrics
from consumers.stopping import Stop
from stream.adapters.emitter import KafkaEmitter
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.topics import TopicNames, create_topics
from stream.cli import main
from stream.clock import DAY_MS, ManualClock, wall_clock
from stream.errors import InfrastructureError, SettingsError
from stream.ports import Outgoing
from stream.records import Alert, Label, Record, Score, encode
from stream.settings import Settings
from stream.tokens import Tokens
from tests.consumers.made import T0, make_alert, make_score
from tests.promql import ROOT
from tests.services.case_traffic import batch, made_label
from tests.services.postgres_server import PostgresServer, rows
from tests.services.process import Process, free_port
from tests.services.waiting import eventually
from tests.services.worker import environment_of

NOW_MS = T0 + DAY_MS
COUNT = "SELECT count(*) FROM transactions"


@pytest.fixture
def store(case_store: str) -> Iterator[CaseStore]:
    with CaseStore(conninfo_of(Settings(case_store=case_store), "tests")) as opened:
        opened.migrate()
        yield opened


def test_what_is_filed_twice_is_there_once(store: CaseStore, case_store: str) -> None:
    for _ in range(2):
        store.file(batch(make_score("t1"), make_alert("t2"), made_label("t2", is_fraud=True)))
    assert rows(case_store, COUNT) == [(2,)]
    assert rows(case_store, "SELECT transaction_id, is_fraud, log_offset FROM labels") == [("t2", True, 2)]
    [(reasons, shadow)] = rows(case_store, "SELECT reasons, shadow FROM alerts")
    assert reasons == json.loads(msgspec.json.encode(make_alert().reasons))
    assert shadow == {"forest-1": 0.25}
    assert store.positions(["scores", "alerts", "labels"]) == {
        ("scores", 0): 1,
        ("alerts", 0): 2,
        ("labels", 0): 3,
    }


def test_an_alert_is_open_until_a_label_says_what_it_was_and_the_last_label_holds(
    store: CaseStore, case_store: str
) -> None:
    states = "SELECT transaction_id, state, state_source FROM cases ORDER BY 1"
    store.file(batch(make_alert("t1"), make_alert("t2"), made_label("t3", is_fraud=True)))
    assert rows(case_store, states) == [("t1", "open", None), ("t2", "open", None)]
    assert rows(
        case_store, "SELECT transaction_id, reason_codes, reason_texts FROM open_alerts ORDER BY 1"
    ) == [
        ("t1", "count_1d", "12 transactions in 24 h"),
        ("t2", "count_1d", "12 transactions in 24 h"),
    ]
    # The label of t3 was read before its alert was.
    labels = [made_label("t1", is_fraud=True, source="analyst"), made_label("t2", is_fraud=False)]
    store.file(batch(make_alert("t3"), *labels, first_offset=10))
    store.file(batch(made_label("t1", is_fraud=False), first_offset=20))
    assert rows(case_store, states) == [
        ("t1", "legitimate", "chargeback"),
        ("t2", "legitimate", "chargeback"),
        ("t3", "fraud", "chargeback"),
    ]
    assert rows(case_store, "SELECT transaction_id FROM frauds") == [("t3",)]


def test_days_tell_what_was_caught_and_what_was_missed(store: CaseStore, case_store: str) -> None:
    store.file(
        batch(
            *(make_alert(f"a{n}", amount=100.0, terminal_id="bad") for n in range(4)),
            *(make_score(f"s{n}", amount=30.0) for n in range(2)),
            make_score("next", amount=7.0, event_time=T0 + DAY_MS),
            *(made_label(name, is_fraud=True) for name in ("a0", "a1", "s0", "next")),
            made_label("a2", is_fraud=False),
            made_label("s1", is_fraud=False),
        )
    )
    first, second = rows(
        case_store,
        "SELECT alerts, alerts_open, frauds_caught, false_alerts, frauds_missed, amount_alerted, amount_open,"
        " amount_caught, amount_missed, precision, recall FROM outcomes_by_day ORDER BY day",
    )
    assert first == (4, 1, 2, 1, 1, 400.0, 100.0, 200.0, 30.0, 2 / 3, 2 / 3)
    assert second == (0, 0, 0, 0, 1, 0.0, 0.0, 0.0, 7.0, None, 0.0)
    hits = "SELECT alerts, alerts_open, frauds, amount_of_frauds, amount_open FROM hits_by_day"
    assert rows(case_store, hits + " WHERE kind = 'terminal' AND id = 'bad'") == [(4, 1, 2, 200.0, 100.0)]
    assert rows(case_store, hits + " WHERE kind = 'customer' ORDER BY day") == [
        (4, 1, 3, 230.0, 100.0),
        (0, 0, 1, 7.0, 0.0),
    ]


def test_what_postgresql_cannot_hold_is_passed_over_and_counted_and_the_rest_is_kept(
    store: CaseStore, case_store: str
) -> None:
    torn = msgspec.structs.replace(make_alert("t2").reasons[0], text="a NUL\0inside")
    refused = store.file(
        batch(
            make_score("t0"),
            make_score("nul\0"),
            make_score("t1", event_time=10**17),
            make_score("t5", scored_at=10**25),
            make_alert("t2", reasons=(torn,)),
            make_alert("t3"),
            made_label("nul\0", is_fraud=True),
            made_label("t3", is_fraud=True),
        )
    )
    assert refused == 5
    assert rows(case_store, "SELECT transaction_id FROM transactions ORDER BY 1") == [("t0",), ("t3",)]
    assert rows(case_store, "SELECT transaction_id FROM frauds") == [("t3",)]
    assert store.positions(["labels"]) == {("labels", 0): 8}


def test_nothing_is_kept_for_too_long(store: CaseStore, case_store: str) -> None:
    def scored(days_ago: float) -> int:
        return NOW_MS - round(days_ago * DAY_MS)

    store.file(
        batch(
            make_alert("old-alert", scored_at=scored(91)),
            make_alert("alert", scored_at=scored(89)),
            make_score("old", scored_at=scored(41)),
            make_score("old-missed", scored_at=scored(41)),
            make_score("new", scored_at=scored(39)),
            *(made_label(name, is_fraud=True) for name in ("old-alert", "alert", "old-missed", "unknown")),
            *(made_label(name, is_fraud=False) for name in ("old", "new")),
        )
    )
    assert store.sweep(NOW_MS, case_days=90, history_days=40) == Swept(transactions=2, labels=0)
    left = "SELECT transaction_id FROM transactions ORDER BY 1"
    assert rows(case_store, left) == [("alert",), ("new",), ("old-missed",)]
    labels = "SELECT transaction_id FROM labels ORDER BY 1"
    assert rows(case_store, labels) == [("alert",), ("new",), ("old-missed",), ("unknown",)]
    assert store.sweep(NOW_MS + 365 * DAY_MS, case_days=90, history_days=400).transactions == 3
    with psycopg.connect(case_store) as connection:
        connection.execute("UPDATE labels SET stored_at = 'epoch'")
    assert store.sweep(NOW_MS, case_days=90, history_days=40) == Swept(transactions=0, labels=1)
    assert rows(case_store, labels) == []


def test_a_customer_can_be_erased(store: CaseStore, case_store: str) -> None:
    theirs = [make_alert("t1", customer_id="c1"), make_score("t2", customer_id="c1")]
    labels = [made_label(name, is_fraud=True) for name in ("t1", "t3")]
    store.file(batch(*theirs, make_alert("t3", customer_id="c2"), *labels))
    with psycopg.connect(case_store) as connection:
        connection.execute(
            "INSERT INTO verdicts (transaction_id, is_fraud, who, why, via, decided_at, label_time)"
            " VALUES ('t1', true, 'ana', 'called', 'desk', now(), now())"
        )
    assert store.erase("c1") == 2
    assert store.erase("c1") == 0
    assert rows(case_store, "SELECT transaction_id FROM transactions") == [("t3",)]
    assert rows(case_store, "SELECT transaction_id FROM labels") == [("t3",)]
    assert rows(case_store, "SELECT count(*) FROM verdicts") == [(0,)]


def test_a_verdict_is_never_rewritten(store: CaseStore, case_store: str) -> None:
    store.file(batch(make_alert("t1")))
    with psycopg.connect(case_store, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO verdicts (transaction_id, is_fraud, who, why, via, decided_at, label_time)"
            " VALUES ('t1', true, 'ana', 'called', 'desk', now(), now())"
        )
        with pytest.raises(psycopg.errors.RaiseException, match="written once"):
            connection.execute("UPDATE verdicts SET who = 'bob'")
        connection.execute("UPDATE verdicts SET published_at = now()")


def test_two_that_start_at_once_make_the_schema_once_and_one_of_them_leads(case_store: str) -> None:
    with CaseStore(case_store) as one, CaseStore(case_store) as other:
        one.migrate()
        other.migrate()
        assert one.lead()
        assert not other.lead()
        one.close()
        eventually(other.lead, describe="the other takes over")
    assert rows(case_store, "SELECT version FROM migrations ORDER BY 1") == [
        (step.version,) for step in migrations()
    ]


def test_a_schema_that_is_missing_or_later_is_one_sentence(case_store: str) -> None:
    with psycopg.connect(case_store) as connection, pytest.raises(SettingsError, match="fraudstream cases"):
        require_schema(connection)
    with CaseStore(case_store) as store:
        store.migrate()
    with psycopg.connect(case_store) as connection:
        require_schema(connection)
        connection.execute("INSERT INTO migrations (version, name) VALUES (999, 'of the future')")
    with CaseStore(case_store) as store, pytest.raises(SettingsError, match="999"):
        store.migrate()


def run_cases(settings: Settings, *arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner(env=environment_of(settings)).invoke(main, ["cases", *arguments])


class Stage:
    """A broker with our topics, and a case store that the command fills from them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        assert settings.case_store is not None
        self.case_store = settings.case_store.get_secret_value()
        self.names = TopicNames.of(settings)

    def publish(self, *contents: Score | Alert | Label | bytes, topic: str | None = None) -> None:
        emitter = KafkaEmitter(KafkaAccess.of(self.settings))
        topics = {Alert: self.names.alerts, Score: self.names.scores, Label: self.names.labels}
        emitter.emit(
            Outgoing(topic or self.names.alerts, b"c1", content)
            if isinstance(content, bytes)
            else Outgoing(topics[type(content)], content.transaction_id.encode(), encode(content))
            for content in contents
        )
        emitter.close()

    def run(self, *, idle_seconds: float = 1.0) -> Result:
        return run_cases(self.settings, "--until-idle", str(idle_seconds))

    def start(self, start: Callable[..., Process]) -> Process:
        return start(self.settings, "cases")

    def count(self) -> int:
        return int(rows(self.case_store, COUNT)[0][0])


@pytest.fixture
def stage(embedded_broker: str, case_store: str) -> Stage:
    return Stage(_settings(embedded_broker, case_store))


@pytest.fixture
def kafka_stage(kafka: str, case_store: str) -> Stage:
    stage = Stage(_settings(kafka, case_store, topic_prefix=f"{uuid4().hex[:8]}."))
    create_topics(stage.settings)
    return stage


def _settings(broker: str, case_store: str, **more: str) -> Settings:
    # What these tests file was scored long ago.
    days = {"case_days": 3650.0, "pending_days": 400.0}
    return Settings(broker=broker, case_store=case_store, **days, **more)  # type: ignore[arg-type]


def test_a_filler_that_is_killed_again_and_again_files_everything_once(
    kafka_stage: Stage, command: Callable[..., Process]
) -> None:
    """The effect and the offset are one transaction: wherever it dies, both are there or neither is."""
    stage, now = kafka_stage, wall_clock()
    for part in range(3):
        scores = (make_score(f"t{part}-{n}", amount=float(n), scored_at=now) for n in range(3_000))
        stage.publish(*scores, *(make_alert(f"a{part}-{n}", scored_at=now) for n in range(20)))
        stage.publish(*(made_label(f"a{part}-{n}", is_fraud=n % 2 == 0) for n in range(20)))
        filler = stage.start(command)
        filler.await_ready(partial(_has_begun, stage, part * 3_020))
        filler.kill()
    ended = stage.run()
    assert ended.exit_code == 0, ended.output
    assert stage.count() == 3 * 3_020
    assert rows(stage.case_store, "SELECT sum(amount) FROM transactions WHERE transaction_id LIKE 't%%'") == [
        (3 * sum(range(3_000)),)
    ]
    assert rows(stage.case_store, "SELECT count(*), count(*) FILTER (WHERE state = 'fraud') FROM cases") == [
        (60, 30)
    ]
    again = stage.run(idle_seconds=0.5)
    assert "cases: 0 records filed" in again.stderr


def told(port: int, path: str) -> str:
    """Return what a filler tells of itself."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as refusal:
        return refusal.read().decode()


def _has_begun(stage: Stage, before: int) -> bool:
    present = rows(stage.case_store, "SELECT to_regclass('transactions') IS NOT NULL")
    return bool(present[0][0]) and stage.count() > before


def test_a_database_that_goes_away_is_waited_for(
    stage: Stage, postgres: PostgresServer, command: Callable[..., Process]
) -> None:
    port = free_port()
    stage.settings = stage.settings.model_copy(update={"cases_metrics_port": port})
    filler = stage.start(command)
    stage.publish(make_alert("t1"))
    eventually(lambda: _has_begun(stage, 0), describe=filler.tail)
    assert told(port, "/health/ready") == '{"ready":true,"reasons":[]}'
    postgres.kill()
    stage.publish(make_alert("t2"), b"foreign")
    eventually(lambda: "the case store does not answer" in filler.tail(), describe=filler.tail)
    assert "the case store does not answer" in told(port, "/health/ready")
    assert "\nfraud_case_store_up 0.0\n" in told(port, "/metrics")
    assert "\nfraud_cases_leading 0.0\n" in told(port, "/metrics")
    postgres.start()
    eventually(lambda: stage.count() == 2, describe=filler.tail)
    eventually(lambda: "\nfraud_case_store_up 1.0\n" in told(port, "/metrics"), describe=filler.tail)
    assert told(port, "/health/ready") == '{"ready":true,"reasons":[]}'
    assert filler.terminate() == 0, filler.tail()
    assert "cases: 2 records filed, 1 foreign ones passed over" in filler.tail()


def test_a_second_filler_stands_by_and_takes_over(stage: Stage, command: Callable[..., Process]) -> None:
    first = stage.start(command)
    stage.publish(make_alert("t1"))
    eventually(lambda: _has_begun(stage, 0), describe=first.tail)
    second = stage.start(command)
    first.kill()
    stage.publish(make_alert("t2"))
    eventually(lambda: stage.count() == 2, describe=second.tail)
    assert second.terminate() == 0, second.tail()
    assert "cases: 1 records filed" in second.tail()


class Topic:
    """Stands for a topic of one partition whose broker takes no offsets."""

    partitions = (0,)

    def __init__(self, topic: str, *contents: Score | Alert | Label) -> None:
        self.topic = topic
        self.positions: dict[int, int] = {}
        self._records = [
            Record(topic, 0, offset, T0, b"key", encode(content)) for offset, content in enumerate(contents)
        ]

    def ends(self) -> dict[int, int]:
        return {0: len(self._records)}

    known_ends = ends

    def start(self, positions: dict[int, int]) -> None:
        self.positions = dict(positions)

    def poll(self, size: int, wait_seconds: float) -> list[Record]:
        del wait_seconds
        records = self._records[self.positions[0] :][: min(size, 2)]
        self.positions[0] += len(records)
        return records

    def commit(self, offsets: dict[int, int]) -> None:
        if offsets:
            raise InfrastructureError("no offsets today")


def test_a_broker_that_takes_no_offsets_does_not_stop_the_filing(
    case_store: str, caplog: pytest.LogCaptureFixture
) -> None:
    topics = (Topic("scores"), Topic("alerts", *(make_alert(f"t{n}") for n in range(5))), Topic("labels"))
    filing = Filing(
        lambda: CaseStore(case_store),
        *topics,  # type: ignore[arg-type]
        publish=lambda _store: 0,
        clock=ManualClock(NOW_MS),
        case_days=90,
        history_days=90,
    )
    filing.run(Stop(), idle_seconds=0)
    assert filing.filed == 5
    assert rows(case_store, COUNT) == [(5,)]
    assert "no offsets today" in caplog.text


def test_a_filler_counts_what_it_files_what_it_passes_over_and_what_waits(case_store: str) -> None:
    metrics = FilingMetrics()
    number = metrics.registry.get_sample_value
    topics = (
        Topic("scores", make_score("a NUL: \0")),
        Topic("alerts", *(make_alert(f"t{n}") for n in range(5))),
        Topic("labels", make_score("no label")),
    )
    waits: list[float | None] = []

    def publish(_store: CaseStore) -> int:
        waits.append(number("fraud_cases_lag_records", {"topic": "alerts"}))
        return 3

    filing = Filing(
        lambda: CaseStore(case_store),
        *topics,  # type: ignore[arg-type]
        publish=publish,
        clock=ManualClock(NOW_MS),
        case_days=90,
        history_days=90,
        metrics=metrics,
    )
    filing.run(Stop(), idle_seconds=0)
    outcomes = {
        outcome: number("fraud_cases_records_total", {"outcome": outcome})
        for outcome in ("filed", "foreign", "refused")
    }
    assert outcomes == {"filed": 5, "foreign": 1, "refused": 1}
    assert number("fraud_cases_alert_seconds_count") == 5
    # The topic gives two at a time, and verdicts are published between batches, the first time at once.
    assert waits == [3]
    assert number("fraud_cases_lag_records", {"topic": "alerts"}) == 0
    assert number("fraud_cases_behind_seconds", {"topic": "alerts"}) == 0
    assert number("fraud_cases_verdicts_published_total") == 3
    assert (number("fraud_case_store_up"), number("fraud_cases_leading")) == (1, 1)


def test_a_label_is_called_as_the_stream_calls_its_transaction(case_store: str) -> None:
    card = "5425233430109903"
    tokens = Tokens("cards", b"a key of some length")
    label = Label(transaction_id=card, is_fraud=True, source="chargeback", label_time=T0)
    alert = make_alert(tokens.identifier(card))
    filing = Filing(
        lambda: CaseStore(case_store),
        *(Topic("scores"), Topic("alerts", alert), Topic("labels", label)),  # type: ignore[arg-type]
        publish=lambda _store: 0,
        clock=ManualClock(NOW_MS),
        case_days=90,
        history_days=90,
        tokens=tokens,
    )
    filing.run(Stop(), idle_seconds=0)
    named = rows(case_store, "SELECT transaction_id FROM labels")
    assert named == rows(case_store, "SELECT transaction_id FROM transactions")
    assert named == [(tokens.identifier(card),)]


def test_topics_that_were_made_anew_are_not_mixed_with_the_old(stage: Stage) -> None:
    stage.publish(make_alert("t1"))
    assert stage.run().exit_code == 0
    with psycopg.connect(stage.case_store) as connection:
        connection.execute("UPDATE positions SET next_offset = 500")
    ended = stage.run()
    assert ended.exit_code == 2
    assert "it was made anew" in ended.stderr


def test_the_tables_can_be_made_without_a_broker(case_store: str) -> None:
    settings = Settings(broker="127.0.0.1:1", case_store=case_store)  # type: ignore[arg-type]
    assert run_cases(settings, "--init").output == f"cases: {len(migrations())} steps taken\n"
    assert run_cases(settings, "--init").output == "cases: the tables were up to date\n"


@pytest.mark.parametrize(
    ("case_store", "says"),
    [
        (None, "FRAUD_CASE_STORE is not set"),
        ("postgresql://u:hushhush@127.0.0.1:1/x?nonsense=1", "FRAUD_CASE_STORE is not understood"),
        ("hushhush", "FRAUD_CASE_STORE is not understood"),
        ("postgresql://u:hushhush@127.0.0.1:1/x", "start PostgreSQL, or set FRAUD_CASE_STORE"),
    ],
)
def test_a_database_that_cannot_be_had_is_one_sentence_without_its_password(
    embedded_broker: str, case_store: str | None, says: str
) -> None:
    where = {} if case_store is None else {"case_store": case_store}
    settings = Settings(broker=embedded_broker, **where)  # type: ignore[arg-type]
    ended = run_cases(settings)
    assert ended.exit_code == 2
    assert says in ended.stderr
    assert "hush" not in ended.output


def test_an_unknown_host_is_away(case_store: str) -> None:
    with pytest.raises(CaseStoreAwayError, match="does not answer"):
        CaseStore(case_store.rsplit("/", 1)[0].replace("127.0.0.1", "nowhere.invalid") + "/x")


def test_the_rights_that_the_documentation_gives_a_reader_are_enough(case_store: str) -> None:
    page = (ROOT / "docs" / "case-store.md").read_text()
    [statements] = re.findall(r"^```\n(CREATE ROLE .*?)```", page, re.MULTILINE | re.DOTALL)
    with CaseStore(case_store) as store:
        store.migrate()
        store.connection.execute(statements)
        try:
            with psycopg.connect(case_store.replace("fraud@", "grafana@")) as reader:
                for view in ("cases", "open_alerts", "frauds", "outcomes_by_day", "hits_by_day"):
                    reader.execute(psycopg.sql.SQL("SELECT * FROM {}").format(psycopg.sql.Identifier(view)))
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    reader.execute("DELETE FROM labels")
        finally:
            store.connection.execute("DROP OWNED BY grafana; DROP ROLE grafana")
