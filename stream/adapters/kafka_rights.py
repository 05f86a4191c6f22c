"""Whether Kafka allows our user what it needs, found before anything has started."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, AdminClient

from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.passing import waited_out
from stream.adapters.rights import KafkaRight
from stream.errors import AccessError

_OPERATIONS: Final = {
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Describe": AclOperation.DESCRIBE,
    "Create": AclOperation.CREATE,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
}
_NONE_AT_ALL: Final = frozenset(
    {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.GROUP_AUTHORIZATION_FAILED}
)
_NOT_YET: Final = frozenset(
    {
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_COORDINATOR,
    }
)
_UNKNOWN: Final = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.GROUP_ID_NOT_FOUND})


def require_rights(
    access: KafkaAccess, rights: Iterable[KafkaRight], remedy: str, *, timeout_seconds: float = 10.0
) -> None:
    """Return if our user has every one of `rights`, those of prefixes left out.

    Parameters
    ----------
    access
        Who we are.
    rights
        What is needed. Topics that are not there are passed over.
    remedy
        What to do where some are missing, a clause.
    timeout_seconds
        How long the broker may take for each of two answers.

    Raises
    ------
    AccessError
        Some are missing: all of them, by name.
    InfrastructureError
        The broker did not answer.
    """
    client = AdminClient(access.client() | {"log_level": 0})
    whole = [right for right in rights if not right.prefixed]
    topics = sorted({right.name for right in whole if right.kind == "topic"})
    groups = sorted({right.name for right in whole if right.kind == "group"})
    asked = {"include_authorized_operations": True, "request_timeout": timeout_seconds}

    def allowed_of_ours() -> dict[tuple[str, str], frozenset[AclOperation] | None]:
        of_topics = client.describe_topics(TopicCollection(topics), **asked) if topics else {}
        of_groups = client.describe_consumer_groups(groups, **asked) if groups else {}
        found = {("topic", name): _allowed(future) for name, future in of_topics.items()}
        return found | {("group", name): _allowed(future) for name, future in of_groups.items()}

    try:
        # A broker's first group is looked after only a moment later.
        allowed = waited_out(allowed_of_ours, _NOT_YET, timeout_seconds)
    except KafkaException as error:
        client.poll(0)  # what a broker said before it hung up may wait there to be told
        what = f"asking Kafka at {access} for our rights failed"
        raise access.failure(what, error.args[0], "start anew") from error
    missing = [words for right in whole if (words := _missing(right, allowed))]
    if missing:
        user = f" {access.login.user!r}" if access.login is not None else ""
        raise AccessError(f"our user{user} lacks rights at Kafka at {access}: {', '.join(missing)}; {remedy}")


def _allowed(future: Any) -> frozenset[AclOperation] | None:
    """Return the operations that the broker allows; None where there is nothing to be allowed."""
    try:
        return frozenset(future.result().authorized_operations or ())
    except KafkaException as error:
        code = error.args[0].code()
        if code in _NONE_AT_ALL:
            return frozenset()
        if code in _UNKNOWN:
            return None
        raise


def _missing(right: KafkaRight, allowed: Mapping[tuple[str, str], frozenset[AclOperation] | None]) -> str:
    granted = allowed[right.kind, right.name]
    if granted is None:
        return ""
    lacking = [name for name in right.operations if _OPERATIONS[name] not in granted]
    return f"{' and '.join(lacking)} on the {right.kind} {right.name!r}" if lacking else ""
