"""Kafka as the stream needs it: a broker that lets us in, topics in their shape, and the role's rights."""

from collections.abc import Iterator

from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.kafka_rights import require_rights
from stream.adapters.rights import kafka_rights
from stream.adapters.topics import check_topics, require_topics, topic_specs
from stream.doctor.finding import Finding, good, warning, wrong
from stream.errors import AccessError, InfrastructureError, TopicError
from stream.settings import Party, Settings


def parties_of(settings: Settings) -> tuple[Party, ...]:
    """Return what the worker is that runs with these settings, as far as rights go."""
    return ("score", "learn") if settings.role == "all" else (settings.role,)


def check_kafka(settings: Settings, *, timeout_seconds: float) -> Iterator[Finding]:
    """Yield what is to be said of the broker, of each topic, and of our rights."""
    try:
        topics = list(_check_topics(settings, timeout_seconds))
    except InfrastructureError as error:
        yield wrong("Kafka", str(error))
        return
    yield good("Kafka", f"answers at {settings.broker}")
    yield from topics
    yield from _check_rights(settings, timeout_seconds)


def _check_topics(settings: Settings, timeout_seconds: float) -> Iterator[Finding]:
    shapes = ", ".join(f"{spec.name} ({spec.partitions})" for spec in topic_specs(settings))
    try:
        problems = check_topics(settings, timeout_seconds=timeout_seconds)
    except AccessError:
        # A worker need not be allowed to read configurations; who is not let in at all fails here once more.
        try:
            require_topics(settings, timeout_seconds=timeout_seconds)
        except TopicError as error:
            yield wrong("topics", str(error))
            return
        yield warning(
            "topics",
            f"all there, with their partitions: {shapes}; our user may not read how they are configured, so"
            " run this once as one who may",
        )
        return
    for problem in problems:
        yield wrong("topics", problem)
    if not problems:
        yield good("topics", f"all there, with their partitions: {shapes}")


def _check_rights(settings: Settings, timeout_seconds: float) -> Iterator[Finding]:
    access, parties = KafkaAccess.of(settings), parties_of(settings)
    if not access.secured:
        return
    needed = [right for party in parties for right in kafka_rights(party, settings)]
    remedy = f"give them, as `fraudstream rights kafka {' '.join(parties)}` says"
    try:
        require_rights(access, needed, remedy, timeout_seconds=timeout_seconds)
    except InfrastructureError as error:
        yield wrong("Kafka rights", str(error))
    else:
        yield good("Kafka rights", f"all that the role {settings.role} needs")
