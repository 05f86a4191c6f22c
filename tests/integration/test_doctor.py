"""`fraudstream doctor` on real services: what it finds, and the exit code that scripts go by."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from consumers.cases.connection import CaseStoreAwayError
from consumers.cases.migrations import require_schema
from consumers.cases.store import CaseStore
from consumers.cases.verdicts import Verdict, record
from consumers.desk.users import new_user
from consumers.examination import examine
from stream.adapters.topics import create_topics
from stream.clock import MINUTE_MS, wall_clock
from stream.doctor.finding import Finding, State
from stream.registry.snapshot import Member, Roster, encode_roster
from stream.settings import Settings
from tests.consumers.made import make_alert
from tests.services.case_traffic import batch
from tests.services.pipeline import Pipeline
from tests.services.redis_server import RedisServer
from tests.services.worker import environment_of

KEY = "a-throw-away-key"


def doctor(settings: Settings) -> tuple[int, str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FRAUD_")}
    done = subprocess.run(
        [Path(sys.executable).with_name("fraudstream"), "doctor"],
        env=environment | environment_of(settings) | {"COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    return done.returncode, done.stdout


@pytest.mark.service("kafka")
def test_it_finds_what_is_missing_and_is_content_when_that_is_mended(
    kafka: str, redis_server: Callable[..., RedisServer]
) -> None:
    server = redis_server("--appendonly", "yes", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")
    settings = Settings(broker=kafka, redis=server.url, topic_prefix="doctor.", partitions=2, signing_key=KEY)
    code, said = doctor(settings)
    assert code == 1
    assert f"topic 'doctor.transactions' is missing at {kafka}; run `fraudstream topics create`" in said
    assert "maxmemory-policy allkeys-lru throws state away" in said
    assert "good     clock" in said

    create_topics(settings)
    well = redis_server("--appendonly", "yes")
    settings = settings.model_copy(update={"redis": well.url})
    settings.model_fields_set.add("redis")
    code, said = doctor(settings)
    assert code == 0, said
    assert "all there, with their partitions: doctor.transactions (2), doctor.labels (1)" in said
    assert "nothing under fraud: yet" in said
    assert said.endswith("\nnothing is wrong\n")

    with Pipeline(settings) as pipeline:
        token, _ = pipeline.store.take_learner()
        member = Member(version="ensemble-1", recipe="ensemble", snapshot=1, key="1", digest=bytes(32))
        roster = Roster(roster=1, champion=member.version, members=(member,))
        pipeline.store.publish(token, encode_roster(roster, KEY.encode()), {})
    assert "champion ensemble-1" in doctor(settings)[1]
    code, said = doctor(Settings(**settings.model_dump() | {"signing_key": "some-other-key-than-that"}))
    assert code == 1
    assert "is FRAUD_SIGNING_KEY the one that the learner has?" in said


def test_services_that_are_away_are_a_line_each() -> None:
    code, said = doctor(Settings(broker="127.0.0.1:1", redis="redis://127.0.0.1:1/0"))
    assert code == 1
    assert "no Kafka broker answered at 127.0.0.1:1" in said
    assert "Redis at redis://127.0.0.1:1/0 is away" in said


def case_store_findings(dsn: str) -> list[Finding]:
    return list(examine(Settings(case_store=dsn), timeout_seconds=5))


def complaints(dsn: str) -> list[str]:
    return [finding.text for finding in case_store_findings(dsn) if finding.state is not State.GOOD]


@pytest.mark.service("postgres")
def test_a_case_store_is_looked_at_from_its_tables_to_its_outbox(case_store: str) -> None:
    [finding] = case_store_findings(case_store)
    assert finding.state is State.WRONG
    assert finding.text.endswith("run `fraudstream cases --init`, which brings it up to date")

    with CaseStore(case_store) as store:
        store.migrate()
        [unfilled] = complaints(case_store)
        assert unfilled.endswith("start `fraudstream cases`")
        assert store.lead()
        assert complaints(case_store) == []
        texts = [finding.text for finding in case_store_findings(case_store)]
        assert any(text.endswith("its tables up to date") for text in texts)
        assert "fraud may do what desk and cases need" in texts

        store.file(batch(make_alert("t1"), make_alert("t2")))
        record(store.connection, Verdict("t1", True, "ana", "called", "cli"), wall_clock)
        assert complaints(case_store) == []
        long_ago = wall_clock() - 5 * MINUTE_MS
        record(store.connection, Verdict("t2", True, "ana", "called", "cli"), lambda: long_ago)
        [waiting] = complaints(case_store)
        assert waiting.startswith("2 are written down and no labels yet, the oldest for 5 min")

        store.connection.execute("UPDATE migrations SET version = version + 1000")
        [later] = complaints(case_store)
        assert "update it" in later


@pytest.mark.service("postgres")
def test_rights_that_an_account_lacks_at_the_case_store_are_named(case_store: str) -> None:
    with CaseStore(case_store) as store:
        store.migrate()
        store.lead()
        store.connection.execute("CREATE ROLE clerk LOGIN")
        try:
            clerks = case_store.replace("fraud@", "clerk@")
            [nothing] = complaints(clerks)
            assert "clerk may do too little: for desk it lacks SELECT on migrations, " in nothing
            with psycopg.connect(clerks) as connection, pytest.raises(CaseStoreAwayError) as refused:
                require_schema(connection)
            assert "permission denied for table migrations; `fraudstream doctor` says" in str(refused.value)
            store.connection.execute(
                "GRANT SELECT ON ALL TABLES IN SCHEMA public TO clerk; GRANT INSERT, UPDATE (published_at)"
                " ON verdicts TO clerk; GRANT UPDATE (transaction_id) ON transactions TO clerk"
            )
            assert complaints(clerks) == []
            [rights] = [one for one in case_store_findings(clerks) if one.about == "case store rights"]
            assert "clerk may do what desk needs; for cases it lacks INSERT on migrations" in rights.text
            store.connection.execute("ALTER ROLE clerk SET default_transaction_read_only = on")
            [read_only] = complaints(clerks)
            assert "is read-only for clerk and takes no verdict" in read_only
        finally:
            store.connection.execute("DROP OWNED BY clerk; DROP ROLE clerk")


@pytest.mark.service("postgres")
def test_the_command_looks_at_the_case_store_and_the_desks_users(case_store: str) -> None:
    _, ana = new_user("ana", "analyst")
    away = Settings(
        broker="127.0.0.1:1", redis="redis://127.0.0.1:1/0", case_store=case_store, desk_users=ana
    )
    code, said = doctor(away)
    assert code == 1
    assert "good     desk           1 analyst may log in" in said
    assert "run `fraudstream cases --init`" in said
    assert case_store not in said
