"""The run that nobody disturbed: the same roles over the in-memory store, fed from the same topics."""

import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream.adapters.memory import InMemoryEmitter, InMemoryStore
from stream.adapters.offsets import offset_range
from stream.adapters.topics import TopicNames
from stream.clock import wall_clock
from stream.pipeline.learning import Learner
from stream.ports import RiskKey
from stream.records import DeadLetter, Record
from stream.roles.learner import LearnerPolicy, LearnerRole
from stream.roles.patience import Patience, Waits
from stream.roles.scorer import ScorerPolicy, ScorerRole
from stream.settings import Settings

_BATCH: Final = 500
_TIMEOUT_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.2


class Scored(NamedTuple):
    """What comes of the transactions."""

    features: dict[str, bytes]
    """What each was scored on."""
    customers: dict[str, bytes]
    """The state of each customer."""
    duplicates: int
    dead: set[tuple[str, int, int]]
    """Topic, partition and offset of each record that cannot be used."""


class Learnt(NamedTuple):
    """What comes of the labels."""

    learner: Learner
    verdicts: dict[str, bytes]
    risks: dict[RiskKey, bytes]
    accepted: int
    """Labels that found their transaction."""
    dead: set[tuple[str, int, int]]


def read_log(broker: str, topic: str) -> Iterator[Record]:
    """Yield every record that a topic holds now, those of each partition in order."""
    consumer = Consumer(
        {"bootstrap.servers": broker, "group.id": "chaos-reads-without-a-group", "enable.auto.commit": False}
    )
    try:
        partitions = consumer.list_topics(topic, timeout=_TIMEOUT_SECONDS).topics[topic].partitions
        places = [TopicPartition(topic, partition) for partition in partitions]
        remaining = 0
        for place in places:
            place.offset, end = offset_range(consumer, place, _TIMEOUT_SECONDS)
            remaining += end - place.offset
        consumer.assign(places)
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while remaining:
            messages = consumer.consume(_BATCH, _POLL_SECONDS)
            if messages:
                deadline = time.monotonic() + _TIMEOUT_SECONDS
            elif time.monotonic() > deadline:
                raise TimeoutError(f"{topic}: {remaining} records did not come in {_TIMEOUT_SECONDS:g} s")
            for message in messages:
                if message.error():
                    raise KafkaException(message.error())
                remaining -= 1
                yield Record(
                    topic,
                    message.partition(),
                    message.offset(),
                    message.timestamp()[1],
                    message.key(),
                    message.value(),
                )
    finally:
        consumer.close()


def score(settings: Settings, transactions: Iterable[Record]) -> Scored:
    """Score every transaction, each partition in order, before any label is learnt.

    Parameters
    ----------
    settings
        Those that the workers run with.
    transactions
        The whole topic.
    """
    store, topics, waits = InMemoryStore(), TopicNames.of(settings), _waits()
    # Somebody must have published models, though what they say changes no state.
    LearnerRole(store, InMemoryEmitter(), topics, wall_clock, LearnerPolicy.of(settings), None, waits).start()
    emitter = InMemoryEmitter()
    role = ScorerRole(store, emitter, topics, wall_clock, ScorerPolicy.of(settings), None, waits)
    for partition in range(settings.partitions):
        role.assign(partition)
    scored = Scored({}, {}, 0, set())
    customers: defaultdict[int, set[str]] = defaultdict(set)
    duplicates = 0
    for batch in _batches(transactions):
        report = role.handle(batch)
        emitter.emitted.clear()
        duplicates += report.duplicates
        scored.dead.update(map(_place, report.dead_letters))
        for name, pending in report.pendings.items():
            scored.features[name] = pending.features
            customers[report.partition].add(pending.customer_id)
    for partition, names in customers.items():
        states = store.load(partition, [*names], [], [], []).customers
        found = zip(names, states, strict=True)
        scored.customers.update((name, state) for name, state in found if state is not None)
    return scored._replace(duplicates=duplicates)


def learn(
    settings: Settings,
    labels: Iterable[Record],
    pending: Mapping[str, bytes],
    lineups: Mapping[str, bytes],
) -> Learnt:
    """Learn from every label in order, joined with what each transaction really was answered.

    Parameters
    ----------
    settings
        Those that the workers run with.
    labels
        The whole topic.
    pending
        The disturbed run's records. Which snapshot a transaction was scored with is a matter of when, and
        what a learner makes of its labels depends on those scores; here both learners are shown the same.
    lineups
        Those that the records name.
    """
    alone = settings.model_copy(update={"partitions": 1, "label_grace_seconds": 0})
    store = InMemoryStore()
    store.commit(store.take_partition(0), 0, {}, pending, lineups=lineups)
    emitter = InMemoryEmitter()
    role = LearnerRole(
        store, emitter, TopicNames.of(settings), wall_clock, LearnerPolicy.of(alone), None, _waits()
    )
    role.start()
    names: set[str] = set()
    keys: set[RiskKey] = set()
    accepted = 0
    dead: set[tuple[str, int, int]] = set()
    for batch in _batches(labels):
        report = role.handle(batch)
        emitter.emitted.clear()
        accepted += len(report.joined)
        dead.update(map(_place, report.dead_letters))
        for label, joined in report.joined:
            names.add(label.transaction_id)
            keys |= {("terminal", joined.terminal_id), ("customer", joined.customer_id)}
    return Learnt(
        role.learner, store.find_verdicts(sorted(names)), store.find_risks(sorted(keys)), accepted, dead
    )


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Cut a log into batches of one partition each."""
    waiting: defaultdict[int, list[Record]] = defaultdict(list)
    for record in records:
        waiting[record.partition].append(record)
        if len(waiting[record.partition]) >= _BATCH:
            yield waiting.pop(record.partition)
    yield from waiting.values()


def _place(letter: DeadLetter) -> tuple[str, int, int]:
    return letter.topic, letter.partition, letter.offset


def _waits() -> Waits:
    return Waits.alike(Patience(threading.Event(), lambda _: None))
