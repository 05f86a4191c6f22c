"""Kafka as the stream needs it: a broker that answers, and topics in their shape."""

from collections.abc import Iterator

from stream.adapters.topics import check_topics, topic_specs
from stream.doctor.finding import Finding, good, wrong
from stream.errors import InfrastructureError
from stream.settings import Settings


def check_kafka(settings: Settings, *, timeout_seconds: float) -> Iterator[Finding]:
    """Yield what is to be said of the broker and of each topic."""
    try:
        problems = check_topics(settings, timeout_seconds=timeout_seconds)
    except InfrastructureError as error:
        yield wrong("Kafka", str(error))
        return
    yield good("Kafka", f"answers at {settings.broker}")
    for problem in problems:
        yield wrong("topics", problem)
    if not problems:
        shapes = ", ".join(f"{spec.name} ({spec.partitions})" for spec in topic_specs(settings))
        yield good("topics", f"all there, with their partitions: {shapes}")
