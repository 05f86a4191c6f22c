"""Rights that are taken away while workers run: they wait, or end, and say in a sentence which it was."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis
from confluent_kafka.admin import AclBindingFilter, AclOperation, AdminClient

from tests.services.pipeline import Pipeline
from tests.services.secured_site import RULES, Site, kafka_bindings
from tests.services.traffic import transactions
from tests.services.waiting import eventually
from tests.services.worker import Worker

pytestmark = [pytest.mark.service("kafka"), pytest.mark.service("redis")]

Start = Callable[..., Worker]


@contextmanager
def without_at_kafka(site: Site, user: str, name: str, operation: AclOperation) -> Iterator[None]:
    """Take a right at Kafka away from a user, and give it back."""
    [lost] = [
        one
        for one in kafka_bindings((RULES / "kafka-acls.sh").read_text())
        if (one.principal, one.name, one.operation) == (f"User:{user}", name, operation)
    ]
    admin = AdminClient({"bootstrap.servers": site.kafka.bootstrap})
    exactly = AclBindingFilter(
        *(lost.restype, lost.name, lost.resource_pattern_type, lost.principal),
        *(lost.host, lost.operation, lost.permission_type),
    )
    [answer] = admin.delete_acls([exactly]).values()
    assert len(answer.result(30)) == 1
    try:
        yield
    finally:
        [given] = admin.create_acls([lost]).values()
        given.result(30)


@contextmanager
def without_at_redis(site: Site, user: str, command: str) -> Iterator[None]:
    """Take the right to a command at Redis away from a user, and give it back."""
    with redis.Redis.from_url(site.redis.url) as admin:
        admin.execute_command("ACL", "SETUSER", user, f"-{command}")
        try:
            yield
        finally:
            admin.execute_command("ACL", "SETUSER", user, f"+{command}")


def waits(process: Worker, *words: str) -> bool:
    """Whether a worker says that it is not ready, and all of these words of why."""
    said = process.why_not_ready()
    return all(word in said for word in words)


def test_a_scorer_waits_for_rights_that_it_lost_says_which_and_leaves_nothing_out(
    site: Site, worker: Start
) -> None:
    some = transactions(50)
    with Pipeline(site.settings("producer")) as producer, Pipeline(site.open()) as pipeline:
        worker(site.settings("learn"), "learn", timeout=None)
        scorer = worker(site.settings("score"), "score")

        with without_at_kafka(site, "score", "scores", AclOperation.WRITE):
            producer.publish(some[:10])
            eventually(
                lambda: waits(scorer, "our user 'score' lacks the right to do so with the topic", "'scores'"),
                describe=scorer.why_not_ready,
            )
        assert {len(given) for given in pipeline.scores(some[:10]).values()} == {1}
        eventually(scorer.is_ready, describe=scorer.why_not_ready)

        with without_at_redis(site, "score", "evalsha"):
            producer.publish(some[10:20])
            eventually(
                lambda: waits(scorer, "does not allow our user this; give it the right", "evalsha"),
                describe=scorer.why_not_ready,
            )
        assert {len(given) for given in pipeline.scores(some[:20]).values()} == {1}
        eventually(scorer.is_ready, describe=scorer.why_not_ready)
        said = scorer.tail()
        assert "Traceback" not in said
        assert (said.count("lacks the right"), said.count("does not allow")) == (1, 1), said


@pytest.mark.parametrize("lost", ["transactions", "fraud-score"])
def test_a_scorer_that_may_read_no_longer_ends_with_one_sentence_and_the_next_goes_on(
    site: Site, worker: Start, lost: str
) -> None:
    some = transactions(20, lost)
    with Pipeline(site.settings("producer")) as producer, Pipeline(site.open()) as pipeline:
        worker(site.settings("learn"), "learn", timeout=None)
        scorer = worker(site.settings("score"), "score")
        producer.publish(some[:10])
        pipeline.scores(some[:10])
        with without_at_kafka(site, "score", lost, AclOperation.READ):
            producer.publish(some[10:])
            eventually(lambda: scorer.returncode is not None, describe=scorer.tail)
            said = scorer.tail()
            assert scorer.returncode == 1
            assert "Traceback" not in said
            assert said.count("score stops: ") == 1
            assert "our user 'score' lacks the right to do so with the" in said
            # What a supervisor starts in its place says which right.
            heir = worker(site.settings("score"), "score", timeout=None)
            eventually(lambda: heir.returncode is not None, describe=heir.tail)
            assert heir.returncode == 2
            assert f"'{lost}'; give" in heir.tail()
        worker(site.settings("score"), "score")
        # What was not committed is answered again, with the same answer.
        answers = pipeline.scores(some)
        assert {len(set(answers[one.transaction_id])) for one in some} == {1}
