"""What Kafka says of a topic and of how far a consumer group has come with it."""

from collections.abc import Callable
from contextlib import closing

import pytest
from confluent_kafka import Consumer, TopicPartition

from stream.adapters.input_log import KafkaInputLog
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.topics import TopicNames
from stream.errors import InfrastructureError
from stream.settings import Settings

Deploy = Callable[..., Settings]


def test_a_group_has_acknowledged_what_it_has_committed_partition_by_partition(deploy: Deploy) -> None:
    settings = deploy(partitions=2)
    topic, group = TopicNames.of(settings).transactions, f"{settings.namespace}-score"
    with closing(KafkaInputLog(KafkaAccess.of(settings), group, topic)) as log:
        assert [log.acknowledged(partition) for partition in range(2)] == [0, 0]
        member = Consumer({"bootstrap.servers": settings.broker, "group.id": group})
        with closing(member):
            member.commit(offsets=[TopicPartition(topic, 1, 7)], asynchronous=False)
        assert [log.acknowledged(partition) for partition in range(2)] == [0, 7]
        assert [log.begins(partition) for partition in range(2)] == [0, 0]


def test_a_broker_that_is_away_is_work_to_be_tried_again() -> None:
    with closing(
        KafkaInputLog(KafkaAccess("127.0.0.1:1"), "fraud-score", "transactions", timeout_seconds=0.2)
    ) as log:
        for question in (log.acknowledged, log.begins):
            with pytest.raises(
                InfrastructureError, match=r"^asking for the offsets of transactions/3 failed \("
            ):
                question(3)
