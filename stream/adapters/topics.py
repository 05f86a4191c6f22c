"""Topics: their names, the shape that the stream needs of each, and the making and checking of them.

``docs/topics.md`` says what lies on each and why it has that shape.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

from stream.adapters.kafka_access import KafkaAccess
from stream.clock import DAY_MS
from stream.errors import InfrastructureError, TopicError
from stream.settings import Settings

DEAD_LETTER_BYTES: Final = 4 * 1024 * 1024
"""Largest record of the dead letters: a dead letter holds a whole record, in base64, so a third longer."""
_PAUSE_SECONDS: Final = 0.1
_ENVELOPE_BYTES: Final = 4096
"""Room for what a dead letter says beside the record's key and value."""


@dataclass(frozen=True, slots=True)
class TopicNames:
    """What each topic is called on the broker.

    Parameters
    ----------
    prefix
        Put before every name, so that several streams share one broker.

    Examples
    --------
    >>> TopicNames("eu.").dead_letters
    'eu.dead-letters'
    >>> TopicNames().transactions
    'transactions'
    """

    prefix: str = ""

    @classmethod
    def of(cls, settings: Settings) -> "TopicNames":
        """Return the names that `settings` ask for."""
        return cls(settings.topic_prefix)

    @property
    def transactions(self) -> str:
        """Payments to be judged."""
        return f"{self.prefix}transactions"

    @property
    def labels(self) -> str:
        """What transactions turned out to be."""
        return f"{self.prefix}labels"

    @property
    def scores(self) -> str:
        """The answer to every transaction."""
        return f"{self.prefix}scores"

    @property
    def alerts(self) -> str:
        """The scores that want a person's attention, with reasons."""
        return f"{self.prefix}alerts"

    @property
    def dead_letters(self) -> str:
        """Records that could not be used, whole."""
        return f"{self.prefix}dead-letters"

    @property
    def model_events(self) -> str:
        """The audit log of the models."""
        return f"{self.prefix}model-events"


class TopicSpec(NamedTuple):
    """The shape that a topic should have."""

    name: str
    partitions: int
    replication: int
    config: dict[str, str]
    """Kafka's topic settings. The retention is a suggestion: `check_topics` never complains of it."""


def topic_specs(settings: Settings) -> list[TopicSpec]:
    """Return the shape of every topic that `settings` ask for.

    Examples
    --------
    >>> [(spec.name, spec.partitions) for spec in topic_specs(Settings(partitions=2))][:3]
    [('transactions', 2), ('labels', 1), ('scores', 2)]
    """
    names = TopicNames.of(settings)
    several = settings.partitions
    # Settlement and every join against `scores` look back over the whole verification latency.
    scores_days = settings.pending_days + 7
    return [
        _spec(settings, names.transactions, several, days=7),
        # One partition, so that Kafka elects one learner and training has one order.
        _spec(settings, names.labels, 1, days=90),
        _spec(settings, names.scores, several, days=scores_days),
        _spec(settings, names.alerts, several, days=30),
        _spec(settings, names.dead_letters, 1, days=30, max_bytes=DEAD_LETTER_BYTES),
        _spec(settings, names.model_events, 1, days=None),
    ]


def create_topics(settings: Settings, *, timeout_seconds: float = 10.0) -> list[str]:
    """Create the topics that do not exist yet; leave those that do alone.

    Parameters
    ----------
    settings
        Broker, names, partitions and replication.
    timeout_seconds
        How long the broker may take for each answer.

    Returns
    -------
    list of str
        The topics created, in the order of `topic_specs`.

    Raises
    ------
    InfrastructureError
        No broker answered.
    TopicError
        The broker refused: its reason, and the topic.
    """
    admin = _Admin(settings, timeout_seconds)
    existing = admin.partition_counts()
    missing = [spec for spec in topic_specs(settings) if spec.name not in existing]
    if not missing:
        return []
    requests = [
        NewTopic(spec.name, spec.partitions, replication_factor=spec.replication, config=spec.config)
        for spec in missing
    ]
    created = []
    answers = admin.client.create_topics(requests, operation_timeout=timeout_seconds)
    for name, answer in answers.items():
        try:
            answer.result()
        except KafkaException as error:
            reason = error.args[0]
            if reason.code() == KafkaError.TOPIC_ALREADY_EXISTS:  # somebody else was faster
                continue
            if reason.retriable() or reason.code() in _AWAY:
                raise admin.no_answer(reason) from error
            if reason.code() in _FORBIDDEN:
                raise admin.access.failure(f"the topic {name!r} was not created", reason, "") from error
            raise TopicError(f"the broker refused to create the topic {name!r}: {reason.str()}") from error
        created.append(name)
    # Its controller has made them. The broker that answers hears of that a moment later.
    deadline = time.monotonic() + timeout_seconds
    while not admin.partition_counts().keys() >= set(created) and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
    return created


def check_topics(settings: Settings, *, timeout_seconds: float = 10.0) -> list[str]:
    """Compare the broker's topics with the shape that the stream needs.

    Returns
    -------
    list of str
        One sentence for each problem, with its remedy; empty when all is well.

    Raises
    ------
    InfrastructureError
        No broker answered.
    """
    admin = _Admin(settings, timeout_seconds)
    counts = admin.partition_counts()
    present = [spec for spec in topic_specs(settings) if spec.name in counts]
    configs = admin.configs(spec.name for spec in present)
    problems = _missing_problems(settings, counts)
    for spec in present:
        problems += _shape_problems(spec, counts[spec.name], configs[spec.name], TopicNames.of(settings))
    return problems + _size_problems(configs, TopicNames.of(settings))


def require_topics(settings: Settings, *, timeout_seconds: float = 10.0) -> None:
    """Make sure that the topics are there with the partitions asked for: what a worker checks at its start.

    Asks for metadata alone, which the embedded broker has too, and any client may read.

    Raises
    ------
    InfrastructureError
        No broker answered.
    TopicError
        A topic is missing or has another number of partitions: every problem, with its remedy.
    """
    counts = _Admin(settings, timeout_seconds).partition_counts()
    names = TopicNames.of(settings)
    problems = _missing_problems(settings, counts)
    for spec in topic_specs(settings):
        if spec.name in counts:
            problems += _shape_problems(spec, counts[spec.name], {}, names)
    if problems:
        raise TopicError("; ".join(problems))


_REMEDY: Final = "start it, or set FRAUD_BROKER"
_AWAY: Final = frozenset(
    {
        KafkaError._TRANSPORT,  # noqa: SLF001 - librdkafka's own errors are named so
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
    }
)
_FORBIDDEN: Final = frozenset(
    {KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED}
)


def _spec(
    settings: Settings, name: str, partitions: int, *, days: float | None, max_bytes: int | None = None
) -> TopicSpec:
    config = {
        # A compacted input would have gaps between its offsets, which read as lost records.
        "cleanup.policy": "delete",
        "retention.ms": "-1" if days is None else str(round(days * DAY_MS)),
    }
    if max_bytes is not None:
        config["max.message.bytes"] = str(max_bytes)
    return TopicSpec(name, partitions, settings.replication, config)


def _missing_problems(settings: Settings, counts: dict[str, int]) -> list[str]:
    remedy = "run `fraudstream topics create`"
    if settings.kafka_security != "plaintext":
        # What one may not describe does not show.
        remedy += ", or give our user the right to describe it"
    return [
        f"topic {spec.name!r} is missing at {settings.broker}; {remedy}"
        for spec in topic_specs(settings)
        if spec.name not in counts
    ]


def _shape_problems(spec: TopicSpec, partitions: int, config: dict[str, str], names: TopicNames) -> list[str]:
    problems = []
    if partitions != spec.partitions:
        remedy = "recreate it"
        if spec.name == names.labels:
            remedy += ": Kafka elects the one learner by it"
        elif spec.name in (names.transactions, names.scores, names.alerts):
            remedy += ", or set FRAUD_PARTITIONS to match"
        problems.append(
            f"topic {spec.name!r} has {partitions} partition(s) where {spec.partitions} should be; {remedy}"
        )
    if "compact" in config.get("cleanup.policy", ""):
        problems.append(
            f"topic {spec.name!r} is compacted, so records vanish unread;"
            " set its cleanup.policy to delete (kafka-configs --alter)"
        )
    return problems


def _size_problems(configs: dict[str, dict[str, str]], names: TopicNames) -> list[str]:
    """Find inputs whose largest record would not fit into a dead letter."""
    if names.dead_letters not in configs:
        return []
    room = int(configs[names.dead_letters].get("max.message.bytes", DEAD_LETTER_BYTES))
    problems = []
    for name in (names.transactions, names.labels):
        largest = int(configs.get(name, {}).get("max.message.bytes", 0))
        needed = (largest * 4 + 2) // 3 + _ENVELOPE_BYTES
        if needed > room:
            problems.append(
                f"topic {name!r} takes records of {largest} bytes, whose dead letters need {needed}, but"
                f" {names.dead_letters!r} takes {room}; raise its max.message.bytes (kafka-configs --alter)"
            )
    return problems


class _Admin:
    """What the broker says of topics, or why it does not."""

    def __init__(self, settings: Settings, timeout_seconds: float) -> None:
        self.access: Final = KafkaAccess.of(settings)
        # What goes wrong is raised; librdkafka's own log lines would only repeat it on stderr.
        self.client: Final = AdminClient(self.access.client() | {"log_level": 0})
        self._timeout_seconds = timeout_seconds

    def partition_counts(self) -> dict[str, int]:
        """Return how many partitions each topic has that we may know of."""
        metadata = self.access.metadata(self.client, timeout_seconds=self._timeout_seconds, remedy=_REMEDY)
        return {name: len(topic.partitions) for name, topic in metadata.topics.items() if topic.error is None}

    def configs(self, names: Iterable[str]) -> dict[str, dict[str, str]]:
        """Return the configuration of each topic."""
        resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
        if not resources:
            return {}
        configs = {}
        answers = self.client.describe_configs(resources, request_timeout=self._timeout_seconds)
        for resource, answer in answers.items():
            try:
                entries = answer.result()
            except KafkaException as error:
                raise self.no_answer(error.args[0]) from error
            configs[resource.name] = {name: entry.value for name, entry in entries.items()}
        return configs

    def no_answer(self, error: KafkaError) -> InfrastructureError:
        """Return the error that says why nothing was answered."""
        self.client.poll(0)  # what a broker said before it hung up may wait there to be told
        what = f"no Kafka broker answered at {self.access} within {self._timeout_seconds:g} s"
        return self.access.failure(what, error, _REMEDY)
