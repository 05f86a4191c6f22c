"""The services of a demo: a broker and a Redis, embedded unless real ones are named."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple

from stream.adapters.redis_connection import RedisConnection
from stream.adapters.topics import create_topics
from stream.embedded import EmbeddedBroker, EmbeddedRedis
from stream.settings import Settings
from stream.transport import TransportSettings

_REDIS_SECONDS: Final = 5.0
_KEPT_DAYS: Final = 1.0
"""A demo's keys in a real Redis need not outlast it by much."""


class Services(NamedTuple):
    """What the stream of a demo runs on."""

    settings: Settings
    """Those that every process of the demo gets."""
    broker: str
    """The broker, for people."""
    redis: str
    """Redis, for people: without a password."""
    remains: str | None
    """What the demo leaves behind, if anything."""


@contextmanager
def open_services(settings: Settings, name: str) -> Iterator[Services]:
    """Start what is not given, and make the topics.

    Parameters
    ----------
    settings
        A broker and a Redis that were set are used; a default one is replaced with an embedded one.
    name
        Of this run, fit for a namespace: its topics and keys mix with nobody else's.

    Raises
    ------
    InfrastructureError
        A service is away or cannot be started.
    TopicError
        The broker refused to make the topics.
    """
    prefix = f"{name}."
    own = settings.model_copy(
        update={
            "namespace": name,
            "topic_prefix": prefix,
            "pending_days": _KEPT_DAYS,
            "state_days": _KEPT_DAYS,
        }
    )
    given = settings.model_fields_set
    with ExitStack() as opened:
        if "broker" in given:
            broker = f"Kafka at {settings.broker}, topics {prefix}*"
            create_topics(own)
        else:
            embedded = opened.enter_context(EmbeddedBroker(own.partitions, prefix))
            own = own.model_copy(update={"broker": embedded.bootstrap} | _unsecured("kafka_"))
            broker = f"embedded broker (librdkafka's mock cluster, in memory) at {embedded.bootstrap}"
        if "redis" in given:
            redis = f"Redis at {_check_redis(settings)}, keys {name}:*"
        else:
            server = opened.enter_context(EmbeddedRedis())
            own = own.model_copy(update={"redis": server.url} | _unsecured("redis_"))
            redis = f"embedded Redis ({server.executable}, in memory)"
        yield Services(own, broker, redis, _remains(given, name))


def _unsecured(service: str) -> dict[str, object]:
    """Return the settings of a service that listens here, for us alone."""
    fields = TransportSettings.model_fields.items()
    return {name: field.default for name, field in fields if name.startswith(service)}


def _check_redis(settings: Settings) -> str:
    connection = RedisConnection.of(settings, timeout_seconds=_REDIS_SECONDS)
    try:
        with connection.doing("starting the demo") as client:
            client.ping()
        return connection.place
    finally:
        connection.close()


def _remains(given: set[str], name: str) -> str | None:
    remains = []
    if "broker" in given:
        remains.append(f"the topics {name}.* stay on the broker until you delete them")
    if "redis" in given:
        remains.append(f"the keys {name}:* in Redis expire within {_KEPT_DAYS:g} day")
    return "; ".join(remains) or None
