"""The entrance: what must be so before a worker starts, or it ends with the reason."""

import logging

from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.kafka_rights import require_rights
from stream.adapters.redis_store import RedisStore
from stream.adapters.rights import kafka_rights, redis_rights, rehearsal
from stream.adapters.topics import require_topics
from stream.errors import AccessError, InfrastructureError, TopicError
from stream.settings import Party, Settings

_log = logging.getLogger(__name__)


def enter(settings: Settings) -> None:
    """Return if the topics are as they should be, and both Kafka and Redis let us in.

    A Redis that is away is no reason to end: the roles wait for it, and say so.

    Raises
    ------
    AccessError
        A login, a certificate or a right is wrong.
    InfrastructureError
        No broker answered.
    TopicError
        A topic is missing, or has another shape.
    """
    parties: tuple[Party, ...] = ("score", "learn") if settings.role == "all" else (settings.role,)
    try:
        require_topics(settings)
    except TopicError:
        # A topic that one may not look at seems to be missing.
        _require_kafka_rights(settings, parties)
        raise
    _require_kafka_rights(settings, parties)
    store = RedisStore.of(settings)
    try:
        store.check()
        if settings.redis_password is not None or settings.redis_certificate is not None:
            rights = [found for party in parties if (found := redis_rights(party, settings)) is not None]
            store.require_rights(
                [call for one in rights for call in rehearsal(one)], _remedy("redis", parties)
            )
    except AccessError:
        raise
    except InfrastructureError as error:
        _log.debug("%s", error)
    finally:
        store.close()


def _require_kafka_rights(settings: Settings, parties: tuple[Party, ...]) -> None:
    access = KafkaAccess.of(settings)
    if access.secured:
        rights = [right for party in parties for right in kafka_rights(party, settings)]
        require_rights(access, rights, _remedy("kafka", parties))


def _remedy(service: str, parties: tuple[Party, ...]) -> str:
    return f"give them, as `fraudstream rights {service} {' '.join(parties)}` says"
