"""Reading a topic from its beginning to a condition: what tests look at outputs with."""

import time
from collections.abc import Callable

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream.adapters.offsets import offset_range
from stream.records import Record

_POLL_SECONDS = 0.2


def read_topic(
    bootstrap: str,
    topic: str,
    until: Callable[[list[Record]], bool] | int | None = None,
    timeout: float = 60.0,
) -> list[Record]:
    """Return the records of a topic, those of each partition in order.

    Parameters
    ----------
    bootstrap
        HOST:PORT of a broker.
    topic
        Its full name. It must exist.
    until
        How many records to wait for, or a condition on those read so far; None reads what is there now.
    timeout
        Seconds after which to give up.

    Raises
    ------
    AssertionError
        Time was up: how many records there were, and the last one's value.
    """
    deadline = time.monotonic() + timeout
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "tests-read-without-a-group",
            "enable.auto.commit": False,
            # The embedded broker answers a fetch that found nothing after this whole time.
            "fetch.wait.max.ms": 50,
            "allow.auto.create.topics": False,
        }
    )
    try:
        partitions = _partitions(consumer, topic)
        ranges = [offset_range(consumer, place, 10) for place in partitions]
        # From the oldest record there is: on the embedded broker that need not be 0.
        for place, (first, _) in zip(partitions, ranges, strict=True):
            place.offset = first
        consumer.assign(partitions)
        enough = _enough(until, sum(end - first for first, end in ranges))
        records: list[Record] = []
        while not enough(records):
            for message in consumer.consume(10_000, _POLL_SECONDS):
                if message.error():
                    raise KafkaException(message.error())
                records.append(
                    Record(
                        message.topic(),
                        message.partition(),
                        message.offset(),
                        message.timestamp()[1],
                        message.key(),
                        message.value(),
                    )
                )
            if time.monotonic() > deadline and not enough(records):
                last = records[-1].value if records else None
                raise AssertionError(
                    f"{topic}: only {len(records)} records within {timeout:g} s; last: {last!r}"
                )
        return records
    finally:
        consumer.close()


def _partitions(consumer: Consumer, topic: str) -> list[TopicPartition]:
    metadata = consumer.list_topics(topic, timeout=10).topics[topic]
    if metadata.error is not None:
        raise KafkaException(metadata.error)
    return [TopicPartition(topic, partition) for partition in metadata.partitions]


def _enough(
    until: Callable[[list[Record]], bool] | int | None, present: int
) -> Callable[[list[Record]], bool]:
    if callable(until):
        return until
    wanted = present if until is None else until
    return lambda records: len(records) >= wanted
