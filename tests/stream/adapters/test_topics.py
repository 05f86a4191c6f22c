"""Names and shapes of topics: what needs no broker."""

import time

import pytest

from stream.adapters import topics as module
from stream.adapters.topics import (
    DEAD_LETTER_BYTES,
    TopicNames,
    check_topics,
    create_topics,
    require_topics,
    topic_specs,
)
from stream.clock import DAY_MS
from stream.decoding import MAX_RECORD_BYTES
from stream.errors import InfrastructureError
from stream.settings import Settings


def test_every_name_carries_the_prefix() -> None:
    names = TopicNames.of(Settings(topic_prefix="eu."))
    assert names == TopicNames("eu.")
    assert {spec.name for spec in topic_specs(Settings(topic_prefix="eu."))} == {
        *("eu.transactions", "eu.labels", "eu.scores", "eu.alerts", "eu.dead-letters", "eu.model-events")
    }


def test_only_what_is_keyed_by_customer_has_several_partitions() -> None:
    specs = {spec.name: spec for spec in topic_specs(Settings(partitions=8, replication=3))}
    assert {name for name, spec in specs.items() if spec.partitions == 8} == {
        *("transactions", "scores", "alerts")
    }
    assert {spec.partitions for spec in specs.values()} == {1, 8}
    assert {spec.replication for spec in specs.values()} == {3}


def test_no_topic_is_compacted() -> None:
    assert {spec.config["cleanup.policy"] for spec in topic_specs(Settings())} == {"delete"}


def test_scores_outlive_the_verification_latency() -> None:
    specs = {spec.name: spec for spec in topic_specs(Settings(pending_days=120))}
    assert int(specs["scores"].config["retention.ms"]) > 120 * DAY_MS
    assert specs["model-events"].config["retention.ms"] == "-1"


def test_a_dead_letter_of_the_largest_record_fits() -> None:
    specs = {spec.name: spec for spec in topic_specs(Settings())}
    assert specs["dead-letters"].config["max.message.bytes"] == str(DEAD_LETTER_BYTES)
    assert MAX_RECORD_BYTES * 4 / 3 < DEAD_LETTER_BYTES


def test_a_labels_topic_of_several_partitions_is_said_to_break_the_election_of_the_learner() -> None:
    spec = next(spec for spec in topic_specs(Settings()) if spec.name == "labels")
    (problem,) = module._shape_problems(spec, 3, {}, TopicNames())
    assert problem.startswith("topic 'labels' has 3 partition(s) where 1 should be; recreate it")
    assert "learner" in problem


def test_an_input_whose_largest_record_has_no_room_in_a_dead_letter_is_a_problem() -> None:
    limits = {
        "transactions": {"max.message.bytes": "3000000"},
        "labels": {"max.message.bytes": "4000000"},
        "dead-letters": {"max.message.bytes": str(DEAD_LETTER_BYTES)},
    }
    problems = module._size_problems(limits, TopicNames())
    assert [problem.split("'")[1] for problem in problems] == ["labels"]


@pytest.mark.parametrize("ask", [create_topics, check_topics, require_topics])
def test_a_broker_that_does_not_answer_is_one_sentence_within_the_time_given(ask: object) -> None:
    started = time.monotonic()
    with pytest.raises(InfrastructureError) as caught:
        ask(Settings(broker="127.0.0.1:1"), timeout_seconds=0.5)  # type: ignore[operator]
    assert time.monotonic() - started < 5
    assert "127.0.0.1:1 within 0.5 s" in str(caught.value)
    assert "FRAUD_BROKER" in str(caught.value)
    assert "\n" not in str(caught.value)
