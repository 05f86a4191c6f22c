"""Offsets: from where to where a partition's records lie on the broker."""

from typing import Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from stream.adapters.passing import waited_out

_NO_LEADER_YET: Final = frozenset(
    {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART}
)


def offset_range(consumer: Consumer, place: TopicPartition, timeout_seconds: float) -> tuple[int, int]:
    """Return the offset of a partition's first record and the one after its last.

    A partition that was just made, or whose broker has just come back, has no leader for a moment: that is
    waited out.

    Raises
    ------
    KafkaException
        The broker did not answer in time, or refused.
    """

    def asked() -> tuple[int, int]:
        first, end = consumer.get_watermark_offsets(place, timeout=timeout_seconds, cached=False)
        return first, end

    return waited_out(asked, _NO_LEADER_YET, timeout_seconds)
