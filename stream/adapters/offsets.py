"""Offsets: from where to where a partition's records lie on the broker."""

import time
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

_NO_LEADER_YET: Final = frozenset(
    {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART}
)
_PAUSE_SECONDS: Final = 0.1


def offset_range(consumer: Consumer, place: TopicPartition, timeout_seconds: float) -> tuple[int, int]:
    """Return the offset of a partition's first record and the one after its last.

    A partition that was just made, or whose broker has just come back, has no leader for a moment: that is
    waited out.

    Raises
    ------
    KafkaException
        The broker did not answer in time, or refused.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            first, end = consumer.get_watermark_offsets(place, timeout=timeout_seconds, cached=False)
        except KafkaException as error:
            if error.args[0].code() not in _NO_LEADER_YET or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
        else:
            return first, end
