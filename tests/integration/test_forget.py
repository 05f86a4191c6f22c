"""A customer who is forgotten is nowhere any more, and nobody else has lost anything."""

import json
from collections.abc import Callable
from pathlib import Path

import psycopg
import pyarrow.dataset as ds
import pytest
import redis
from click.testing import CliRunner
from psycopg import sql

from consumers import forget as forgetting
from consumers.cases.store import CaseStore
from stream.cli import main
from stream.settings import Settings
from tests.consumers.made import make_alert, make_score
from tests.services.case_traffic import batch, made_label
from tests.services.pipeline import Pipeline
from tests.services.topic_reader import read_topic
from tests.services.traffic import label, transactions
from tests.services.worker import Worker, environment_of

Deploy = Callable[..., Settings]
Start = Callable[..., Worker]
CUSTOMER = "a-customer-7"
CARD = "5425233430109903"
TOKEN_KEY = "token-key-of-this-very-test"


def run(settings: Settings, *command: str, given: str | None = None) -> str:
    ended = CliRunner().invoke(main, command, env=environment_of(settings), input=given)
    assert ended.exit_code == 0, ended.output
    return str(ended.output)


@pytest.mark.service("redis")
def test_a_customer_is_forgotten_everywhere_and_the_others_are_not(
    topics: Deploy, worker: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "ROUND_SECONDS", 0.2)
    known = transactions(300)
    theirs = {one.transaction_id for one in known if one.customer_id == CUSTOMER}
    folder = tmp_path / "archive"
    with Pipeline(topics(partitions=2)) as pipeline:
        settings = pipeline.settings
        worker(settings, "all")
        pipeline.publish(known)
        pipeline.await_scored(len(known))
        pipeline.publish([label(one) for one in known])
        pipeline.await_learnt(len(known))
        run(settings, "archive", str(folder), "--until-idle", "1")
        customers, pendings, verdicts = pipeline.customers(), pipeline.pendings(), pipeline.verdicts()
        risks = pipeline.learner_keys("c")
        assert CUSTOMER in customers
        assert len(theirs) > 1

        said = run(settings, "forget", "-", "--yes", "--archive", str(folder), given=f"{CUSTOMER}\n")

        assert CUSTOMER not in said
        n = len(theirs)
        assert f"1 states, 1 risk records, {n} pending records, {n} verdicts; {n} archived scores" in said
        assert pipeline.customers().keys() == customers.keys() - {CUSTOMER}
        assert pipeline.pendings().keys() == pendings.keys() - theirs
        assert pipeline.verdicts().keys() == verdicts.keys() - theirs
        assert pipeline.learner_keys("c").keys() == risks.keys() - {CUSTOMER}
        scores, labels = (ds.dataset(folder / name).to_table() for name in ("scores", "labels"))
        assert scores.num_rows == labels.num_rows == len(known) - n
        assert not theirs & {*scores["transaction_id"].to_pylist(), *labels["transaction_id"].to_pylist()}
        with redis.Redis.from_url(settings.redis) as client:
            for key in client.scan_iter(count=1_000):
                whole = client.dump(key) or b""
                assert CUSTOMER.encode() not in key + (whole if b":k:" not in key else b"")

        records = [json.loads(one.value or b"") for one in pipeline.read(pipeline.topics.model_events)]
        (erased,) = [one for one in records if one["kind"] == "erased"]
        assert erased["evidence"]["pending"] == n
        assert CUSTOMER not in json.dumps(erased)

        # The scorer, which has them in memory, has forgotten them, too: the next is their first.
        again = next(one for one in known if one.customer_id == CUSTOMER)
        later = type(again)(
            transaction_id="later",
            event_time=known[-1].event_time,
            customer_id=CUSTOMER,
            terminal_id="m",
            amount=1.0,
        )
        pipeline.publish([later])
        pipeline.await_scored(len(known) + 1)
        shown = run(settings, "features", "show", "customer", CUSTOMER)
        assert "transactions seen    1" in shown


@pytest.mark.service("redis")
def test_the_case_store_forgets_all_that_was_said_of_a_customer_and_once_more_changes_nothing(
    embedded_broker: str, redis_url: str, case_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "ROUND_SECONDS", 0.0)
    settings = Settings(broker=embedded_broker, redis=redis_url, case_store=case_store, token_key=TOKEN_KEY)  # type: ignore[arg-type]
    token = settings.tokens.identifier(CARD)
    with CaseStore(case_store) as store:
        store.migrate()
        store.file(
            batch(
                make_alert("t1", customer_id=token),
                make_score("t2", customer_id=token),
                make_score("t3", customer_id=token),
                make_alert("o1", customer_id="another"),
                make_score("o2", customer_id="another"),
                *(made_label(name, is_fraud=True) for name in ("t1", "t2", "o1", "o2")),
                made_label("t1", is_fraud=False, source="analyst"),
            )
        )
    # A case with a history: called a fraud, corrected, and judged without an alert.
    for name, judged in (("t1", "fraud"), ("t1", "legitimate"), ("t3", "fraud"), ("o1", "legitimate")):
        run(settings, "verdict", name, judged, "--who", "ana", "--why", "called")
    there = {name: _rows_of(case_store, name) for name in ("transactions", "alerts", "labels", "verdicts")}
    assert {name: len(found) for name, found in there.items()} == {
        "transactions": 5,
        "alerts": 2,
        "labels": 5,
        "verdicts": 4,
    }

    # By the number as it was sent, which the case store has never seen.
    said = run(settings, "forget", "-", "--yes", given=f"{CARD}\n")

    assert "3 transactions of the case store" in said
    assert CARD not in said
    left = {name: _rows_of(case_store, name) for name in there}
    for name, found in there.items():
        assert left[name] == [row for row in found if "(o" in row or ",o" in row], name
    assert {name: len(found) for name, found in left.items()} == {
        "transactions": 2,
        "alerts": 1,
        "labels": 2,
        "verdicts": 1,
    }
    assert not [row for found in left.values() for row in found if token in row]
    for view in ("cases", "frauds", "hits_by_day"):
        assert not [row for row in _rows_of(case_store, view) if token in row or "(t" in row], view

    again = run(settings, "forget", "-", "--yes", given=f"{CARD}\n")

    assert "0 states, 0 risk records, 0 pending records, 0 verdicts" in again
    assert "0 transactions of the case store" in again
    assert {name: _rows_of(case_store, name) for name in there} == left
    # Both say what they cannot reach.
    for words in (
        "not reached: the topics transactions, labels, scores, alerts, dead-letters, until their retention",
        "archives (name each with --archive)",
    ):
        assert words in said
        assert words in again
    events = [json.loads(one.value or b"") for one in read_topic(embedded_broker, "model-events")]
    assert [one["evidence"]["cases"] for one in events if one["kind"] == "erased"] == [3, 0]
    assert token not in json.dumps(events)


def _rows_of(dsn: str, name: str) -> list[str]:
    """Return every row of a table or view as text, sorted."""
    with psycopg.connect(dsn) as connection:
        query = sql.SQL("SELECT t::text FROM {} t ORDER BY 1").format(sql.Identifier(name))
        return [row for (row,) in connection.execute(query)]


@pytest.mark.service("redis")
def test_nothing_is_removed_without_a_yes(topics: Deploy) -> None:
    ended = CliRunner().invoke(main, ["forget", CUSTOMER], env=environment_of(topics()), input="n\n")
    assert ended.exit_code == 1
