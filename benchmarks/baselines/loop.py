"""A loop around confluent-kafka's consumer: at least once, in batches, until SIGTERM."""

import signal
import sys
import threading
from collections.abc import Callable
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from benchmarks.baselines.place import Place

_POLL_SECONDS: Final = 0.1
_QUEUE_RECORDS: Final = 100_000


def producer(broker: str) -> Producer:
    """Return a producer with the guarantees that fraudstream's has."""

    def fail(error: KafkaError, message: Message) -> None:
        raise KafkaException(error, message.topic())

    return Producer(
        {
            "bootstrap.servers": broker,
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 5,
            "queue.buffering.max.messages": _QUEUE_RECORDS,
            # Only failures are reported: a report for each record would cost as much as the record.
            "delivery.report.only.error": True,
            "on_delivery": fail,
        }
    )


def consume(place: Place, group: str, batch: int, handle: Callable[[list[Message]], None]) -> None:
    """Hand over batches until SIGTERM; commit the offsets of each once `handle` returns."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    consumer = Consumer(
        {
            "bootstrap.servers": place.broker,
            "group.id": f"{place.name}-{group}",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "allow.auto.create.topics": False,
        }
    )
    consumer.subscribe([place.transactions])
    answered = 0
    try:
        while not stop.is_set():
            messages = consumer.consume(batch, _POLL_SECONDS)
            for message in messages:
                if message.error():
                    raise KafkaException(message.error())
            if messages:
                handle(messages)
                answered += len(messages)
                consumer.commit(asynchronous=True)
    finally:
        consumer.close()
    sys.stdout.write(f"answered {answered}\n")
