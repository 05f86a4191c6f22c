"""Apache Kafka with TLS and SCRAM, Redis with TLS and users: the pipeline runs, and nobody else gets in."""

import json
import threading
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from click.testing import CliRunner, Result
from pydantic import SecretStr

from producers.publisher import Publisher
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.topics import TopicNames
from stream.cli import main
from stream.errors import AccessError
from stream.ports import Outgoing
from stream.settings import Party, Settings
from stream.worker.entrance import enter
from tests.services.pipeline import Pipeline
from tests.services.secured_site import PASSWORDS, REDIS_PASSWORD, Site
from tests.services.traffic import labels, transactions
from tests.services.waiting import eventually
from tests.services.worker import Worker, environment_of

pytestmark = [pytest.mark.service("kafka"), pytest.mark.service("redis")]

Start = Callable[..., Worker]

QUICKLY_FITTED = {"batch_min_frauds": 10, "batch_negative_rate": 0.9, "batch_every_days": 0.05}
"""In days of label time: after 72 of these labels."""


def test_the_pipeline_and_its_tools_run_with_the_rights_that_are_documented_and_say_no_secret(
    site: Site, worker: Start, tmp_path: Path
) -> None:
    some = transactions(200)
    with Pipeline(site.settings("producer")) as producer, Pipeline(site.open()) as pipeline:
        scorer, learner = (worker(site.settings(role), role, timeout=None) for role in ("score", "learn"))
        fitter = worker(site.settings("fit", **QUICKLY_FITTED), "fit", timeout=None)
        producer.publish(some)
        assert {len(given) for given in pipeline.scores(some).values()} == {1}
        producer.publish_raw([Outgoing(producer.topics.transactions, b"c", b"{")])
        producer.publish(labels(some))
        pipeline.await_learnt(200)
        pipeline.await_scored(201)
        assert scorer.is_ready()
        assert learner.is_ready()
        # The fitter, too, does its whole work with its own rights, and the learner takes what it offers.
        eventually(lambda: fitter.metric("fraud_fits_total") >= 1, describe=fitter.tail)
        eventually(lambda: learner.metric("fraud_offers_total", decision="admitted") == 1)
        assert fitter.is_ready()
        said = scorer.tail() + learner.tail() + fitter.tail()
    for party, *command in (
        ("topics", "topics", "check"),
        ("archive", "archive", str(tmp_path / "archive"), "--until-idle", "1"),
        ("redrive", "redrive", "--dry-run"),
        ("redrive", "redrive"),
        ("settle", "settle", "--after", "30d", "--until-idle"),
        ("alerts", "alerts", "--until-idle", "1"),
        ("producer", "simulate", "--transactions", "20", "--customers", "5", "--in-flight", "50"),
        ("score", "features", "show", "customer", some[0].customer_id),
        ("score", "settings"),
    ):
        ended = fraudstream(site.settings(party), *command)
        assert ended.exit_code == 0, (command, ended.output)
        said += ended.output
    assert "archive: 400 records filed" in said
    assert "redrive: 1 redriven" in said
    for secret in (*PASSWORDS.values(), REDIS_PASSWORD):
        assert secret not in said


@pytest.mark.parametrize("party", ["score", "learn", "fit"])
def test_a_worker_with_the_rights_of_another_is_told_which_it_lacks(site: Site, party: Party) -> None:
    another: Party = "fit" if party == "learn" else "learn"
    with pytest.raises(
        AccessError, match=rf"our user '{another}' lacks rights at Kafka .*: \w+ on the "
    ) as one:
        enter(site.settings(another, role=party))
    assert str(one.value).endswith(f"; give them, as `fraudstream rights kafka {party}` says")
    with pytest.raises(
        AccessError, match=r"our user lacks rights at Redis .* kinds of calls, the first being"
    ) as two:
        enter(site.settings(party, role=party, redis_user=another))
    assert str(two.value).endswith(f"; give them, as `fraudstream rights redis {party}` says")


def test_who_is_not_let_in_or_lacks_a_right_is_told_so_in_one_sentence(site: Site) -> None:
    settings = site.settings("score", role="score")
    stranger = {"kafka_user": "stranger", "kafka_password": SecretStr(PASSWORDS["stranger"])}
    redis_stranger = {"redis_user": "stranger", "redis_password": SecretStr(REDIS_PASSWORD)}
    wrong: dict[str, dict[str, Any]] = {
        "does not let the user 'score' in ": {"kafka_password": SecretStr("wrong-at-kafka")},
        "no TLS connection to Kafka at ": {"kafka_ca": site.another.certificate},
        "our user 'stranger' lacks rights at Kafka at ": stranger,
        "does not let us in; check FRAUD_REDIS_USER and FRAUD_REDIS_PASSWORD (": {
            "redis_password": SecretStr("wrong-at-redis")
        },
        "check FRAUD_REDIS_CA": {"redis_ca": site.another.certificate},
        "does not allow our user this; give it the right": redis_stranger,
    }
    for words, changed in wrong.items():
        with pytest.raises(AccessError) as caught:
            enter(settings.model_copy(update=changed))
        said = str(caught.value)
        assert words in said
        assert "wrong-at" not in said
        assert "\n" not in said


def test_a_worker_that_is_not_let_in_ends_with_that_sentence_alone(site: Site, worker: Start) -> None:
    settings = site.settings("score", redis_password=SecretStr("wrong-at-redis"))
    process = worker(settings, "score", timeout=None)
    eventually(lambda: process.returncode is not None, describe=process.tail)
    said = process.tail()
    assert said.startswith("fraudstream: checking the feature store failed: Redis at rediss://"), said
    assert (process.returncode, said.count("\n")) == (2, 1), said


def test_the_doctor_looks_with_the_rights_of_a_worker_and_finds_those_that_it_lacks(site: Site) -> None:
    well = fraudstream(site.settings("score", role="score"), "doctor")
    assert well.exit_code == 0, well.output
    for words in ("Kafka rights   all that the role score needs", "Redis rights   all that the role score"):
        assert words in well.output
    assert "may not ask (INFO)" in " ".join(well.output.split())
    lacking = fraudstream(site.settings("score", role="learn"), "doctor")
    assert lacking.exit_code == 1
    said = " ".join(lacking.output.split())
    assert "give them, as `fraudstream rights kafka learn` says" in said
    assert "give them, as `fraudstream rights redis learn` says" in said
    locked_out = fraudstream(site.settings("score", kafka_password=SecretStr("wrong-at-kafka")), "doctor")
    assert locked_out.exit_code == 1
    assert "does not let the user 'score' in" in " ".join(locked_out.output.split())


@pytest.mark.parametrize(
    "command", [("alerts", "--until-idle", "60"), ("redrive", "--list"), ("simulate",), ("topics", "check")]
)
def test_a_tool_that_is_not_let_in_ends_with_that_sentence(site: Site, command: tuple[str, ...]) -> None:
    ended = fraudstream(site.settings("alerts", kafka_password=SecretStr("wrong-at-kafka")), *command)
    assert ended.exit_code == 2, ended.output
    assert ended.output.count("does not let the user 'alerts' in (") == 1, ended.output
    assert "wrong-at-kafka" not in ended.output


def test_who_may_write_to_no_topic_at_all_is_told_so_when_writing(site: Site) -> None:
    settings = site.settings("archive")
    publisher = Publisher(KafkaAccess.of(settings))
    publisher.publish(TopicNames.of(settings).scores, b"k", b"v")
    with pytest.raises(AccessError, match=r"our user 'archive' lacks the right to do so with the topic \("):
        publisher.flush()


def test_tokens_of_an_authorisation_server_let_in_as_well_and_a_refusal_is_said(
    site: Site, worker: Start, token_endpoint: str
) -> None:
    given = {"kafka_sasl": "OAUTHBEARER", "kafka_token_url": token_endpoint, "kafka_token_scope": "kafka"}
    settings = site.settings("score", role="score", **given)
    enter(settings)
    process = worker(settings, "score", timeout=None)
    eventually(lambda: "score has partitions [0] of transactions" in process.tail(), describe=process.tail)
    assert PASSWORDS["score"] not in process.tail()
    with pytest.raises(AccessError, match="does not let the user 'score' in") as caught:
        enter(settings.model_copy(update={"kafka_password": SecretStr("wrong-at-kafka")}))
    assert "wrong-at-kafka" not in str(caught.value)


@pytest.fixture
def token_endpoint() -> Iterator[str]:
    """Return the URL of an authorisation server that knows the users by their passwords at Kafka."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            user, _, secret = (
                b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode().partition(":")
            )
            granted = PASSWORDS.get(user) == secret and form["scope"] == ["kafka"]
            now = int(time.time())
            claims = {"sub": user, "iat": now, "exp": now + 300, "scope": "kafka"}
            token = ".".join([_base64({"alg": "none"}), _base64(claims), ""])
            body = {"access_token": token, "expires_in": 300, "token_type": "Bearer"} if granted else {}
            self.send_response(200 if granted else 401)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/token"
        server.shutdown()


def _base64(part: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def fraudstream(settings: Settings, *command: str) -> Result:
    """Run a command in this process, as starting one for each takes longer than what it does."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment_of(settings).items():
            patch.setenv(name, value)
        return CliRunner().invoke(main, command, catch_exceptions=False)
