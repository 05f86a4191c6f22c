"""Refusals of Kafka that pass by themselves, as when a broker has just come up: they are waited out."""

import time
from collections.abc import Callable, Container
from typing import Final, TypeVar

from confluent_kafka import KafkaException

_PAUSE_SECONDS: Final = 0.1
T = TypeVar("T")


def waited_out(call: Callable[[], T], passing: Container[int], timeout_seconds: float) -> T:
    """Return what `call` returns, calling again while it is refused for a reason that passes.

    Parameters
    ----------
    call
        Asks Kafka for something.
    passing
        Codes of :class:`confluent_kafka.KafkaError` that are waited out.
    timeout_seconds
        For how long; the last call may take its own time beyond.

    Raises
    ------
    KafkaException
        It was refused for another reason, or time was up.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        try:
            return call()
        except KafkaException as error:
            if error.args[0].code() not in passing or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_SECONDS)
