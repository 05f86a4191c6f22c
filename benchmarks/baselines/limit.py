"""The limit: consume, decode, produce, and no work at all; what one Python process can move on this machine.

    python -m benchmarks.baselines.limit

Each transaction is decoded by the same strict decoder as fraudstream's, and its own bytes are the answer.
"""

from typing import Final

import msgspec
from confluent_kafka import Message

from benchmarks.baselines.loop import consume, producer
from benchmarks.baselines.place import Place
from stream.records import Transaction

_BATCH: Final = 5_000


class Echo:
    """Sends transactions back."""

    def __init__(self, place: Place) -> None:
        self._topic = place.scores
        self._producer = producer(place.broker)
        self._decode = msgspec.json.Decoder(Transaction).decode

    def handle(self, messages: list[Message]) -> None:
        """Decode and send a batch; return once the broker has it."""
        produce, decode, topic = self._producer.produce, self._decode, self._topic
        for message in messages:
            value = message.value()
            decode(value)
            produce(topic, value, message.key())
        self._producer.flush()


if __name__ == "__main__":
    here = Place.of_environment()
    consume(here, "limit", _BATCH, Echo(here).handle)
