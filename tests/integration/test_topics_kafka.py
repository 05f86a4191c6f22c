"""Making and checking topics on a real Kafka, and the start's check on the embedded broker."""

from uuid import uuid4

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from stream.adapters.topics import TopicNames, check_topics, create_topics, require_topics, topic_specs
from stream.errors import TopicError
from stream.settings import Settings
from tests.services.waiting import eventually


@pytest.fixture
def settings(kafka: str) -> Settings:
    return Settings(broker=kafka, topic_prefix=f"{uuid4().hex[:8]}.", partitions=3)


def alter(settings: Settings, topic: str, name: str, value: str) -> None:
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = AdminClient({"bootstrap.servers": settings.broker})
    for answer in admin.incremental_alter_configs([resource]).values():
        answer.result()

    def altered() -> bool:
        (answer,) = admin.describe_configs([ConfigResource(ResourceType.TOPIC, topic)]).values()
        try:
            return bool(answer.result()[name].value == value)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
            return False

    # The controller has agreed; the broker hears of it, and of the topic itself, a moment later.
    eventually(altered)


def test_created_topics_have_no_problems(settings: Settings) -> None:
    assert create_topics(settings) == [spec.name for spec in topic_specs(settings)]
    assert check_topics(settings) == []
    require_topics(settings)


def test_creating_again_leaves_topics_alone(settings: Settings) -> None:
    create_topics(settings)
    alter(settings, TopicNames.of(settings).labels, "retention.ms", "12345678")
    assert create_topics(settings) == []
    assert check_topics(settings) == []


def test_only_missing_topics_are_created(settings: Settings) -> None:
    names = TopicNames.of(settings)
    admin = AdminClient({"bootstrap.servers": settings.broker})
    admin.create_topics([NewTopic(names.scores, 3, replication_factor=1)])[names.scores].result()
    assert names.scores not in create_topics(settings)
    assert check_topics(settings) == []


def test_every_missing_topic_is_a_problem_with_its_remedy(settings: Settings) -> None:
    problems = check_topics(settings)
    assert len(problems) == 6
    assert all("is missing" in problem and "fraudstream topics create" in problem for problem in problems)
    with pytest.raises(TopicError, match=r"transactions' is missing"):
        require_topics(settings)


def test_another_number_of_partitions_is_a_problem(settings: Settings) -> None:
    create_topics(settings)
    more = settings.model_copy(update={"partitions": 5})
    problems = check_topics(more)
    assert len(problems) == 3
    assert all("has 3 partition(s) where 5 should be" in problem for problem in problems)
    assert all("FRAUD_PARTITIONS" in problem for problem in problems)
    with pytest.raises(TopicError, match="where 5 should be"):
        require_topics(more)


def test_labels_of_several_partitions_are_a_problem(settings: Settings) -> None:
    names = TopicNames.of(settings)
    admin = AdminClient({"bootstrap.servers": settings.broker})
    admin.create_topics([NewTopic(names.labels, 2, replication_factor=1)])[names.labels].result()
    create_topics(settings)
    (problem,) = check_topics(settings)
    assert "has 2 partition(s) where 1 should be" in problem
    assert "learner" in problem


def test_compaction_is_a_problem(settings: Settings) -> None:
    create_topics(settings)
    alter(settings, TopicNames.of(settings).transactions, "cleanup.policy", "compact")
    (problem,) = check_topics(settings)
    assert "is compacted" in problem
    assert "cleanup.policy" in problem


def test_dead_letters_too_small_for_the_inputs_are_a_problem(settings: Settings) -> None:
    create_topics(settings)
    alter(settings, TopicNames.of(settings).dead_letters, "max.message.bytes", "1000000")
    problems = check_topics(settings)
    assert len(problems) == 2
    assert all("raise its max.message.bytes" in problem for problem in problems)


def test_more_copies_than_there_are_brokers_are_refused_with_the_brokers_reason(settings: Settings) -> None:
    with pytest.raises(TopicError, match=r"refused to create the topic .*[Rr]eplication"):
        create_topics(settings.model_copy(update={"replication": 3}))


def test_the_embedded_broker_passes_the_check_at_a_workers_start(embedded_broker: str) -> None:
    require_topics(Settings(broker=embedded_broker))
    with pytest.raises(TopicError, match="'transactions' has 4 partition"):
        require_topics(Settings(broker=embedded_broker, partitions=2))
