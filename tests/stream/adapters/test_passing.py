"""Refusals of Kafka that pass are waited out; others, and those that do not pass in time, are raised."""

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException

from stream.adapters.passing import waited_out

PASSING = frozenset({KafkaError.NOT_COORDINATOR})


def refused(*codes: int) -> Callable[[], str]:
    """Return a call that is refused with each of the codes, and answered then."""
    left = iter(codes)

    def call() -> str:
        for code in left:
            raise KafkaException(KafkaError(code))
        return "answer"

    return call


def test_a_refusal_that_passes_is_waited_out() -> None:
    call = refused(KafkaError.NOT_COORDINATOR, KafkaError.NOT_COORDINATOR)
    assert waited_out(call, PASSING, timeout_seconds=60) == "answer"


def test_another_refusal_is_raised_at_once() -> None:
    call = refused(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaException):
        waited_out(call, PASSING, timeout_seconds=60)
    assert call() == "answer"  # it was asked once


def test_a_refusal_that_does_not_pass_in_time_is_raised() -> None:
    with pytest.raises(KafkaException):
        waited_out(refused(KafkaError.NOT_COORDINATOR), PASSING, timeout_seconds=-1)
