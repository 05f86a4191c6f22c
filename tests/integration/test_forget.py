"""A customer who is forgotten is nowhere any more, and nobody else has lost anything."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.dataset as ds
import pytest
import redis
from click.testing import CliRunner

from consumers import forget as forgetting
from stream.cli import main
from stream.settings import Settings
from tests.services.pipeline import Pipeline
from tests.services.traffic import label, transactions
from tests.services.worker import Worker, environment_of

Deploy = Callable[..., Settings]
Start = Callable[..., Worker]
CUSTOMER = "a-customer-7"


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
def test_nothing_is_removed_without_a_yes(topics: Deploy) -> None:
    ended = CliRunner().invoke(main, ["forget", CUSTOMER], env=environment_of(topics()), input="n\n")
    assert ended.exit_code == 1
