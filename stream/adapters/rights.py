"""Rights: what each worker's role, and each command, needs to be allowed at Kafka and Redis, and no more.

`fraudstream rights` prints them as rules, ``docs/security`` holds these for the default settings, and a
worker makes sure of its own before it starts.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, Literal, NamedTuple

from stream.adapters.topics import TopicNames
from stream.settings import Party, Settings

Operation = Literal["Read", "Write", "Describe", "Create", "DescribeConfigs"]


class KafkaRight(NamedTuple):
    """Operations on a topic or a consumer group."""

    kind: Literal["topic", "group"]
    name: str
    operations: tuple[Operation, ...]
    prefixed: bool = False
    """Whether `name` is only how names begin."""


class RedisRights(NamedTuple):
    """Which keys may be read and written, as Redis's own patterns, and by which commands."""

    written: tuple[str, ...]
    read: tuple[str, ...]

    @property
    def commands(self) -> tuple[str, ...]:
        """Everything that is called, directly or by a script."""
        return tuple(sorted({*_READS, *((*_WRITES, *_COUNTS) if self.written else ()), *_OTHERS}))


_READS: Final = ("exists", "get", "getrange", "hget", "hgetall", "hmget", "mget", "smembers")
_WRITES: Final = (
    "del",
    "hdel",
    "hscan",
    "hset",
    "hsetnx",
    "incr",
    "incrby",
    "persist",
    "pexpire",
    "pttl",
    "rename",
    "sadd",
    "set",
    "strlen",
    "touch",
    "unlink",
)
_COUNTS: Final = ("dbsize", "scan")
"""On no key: how many there are, and which, so that there are never too many."""
_OTHERS: Final = ("discard", "evalsha", "exec", "multi", "ping", "script|load", "select", "time")
_SAMPLES: Final = {
    "getrange": ("0", "1"),
    "hdel": ("f",),
    "hget": ("f",),
    "hmget": ("f",),
    "hscan": ("0",),
    "hset": ("f", "v"),
    "hsetnx": ("f", "v"),
    "incrby": ("1",),
    "pexpire": ("1000",),
    "sadd": ("m",),
    "set": ("v",),
}


def kafka_rights(party: Party, settings: Settings) -> list[KafkaRight]:
    """Return what a party needs at Kafka.

    Examples
    --------
    >>> [right.name for right in kafka_rights("archive", Settings())]
    ['scores', 'labels', 'fraud-archive']
    """
    names = TopicNames.of(settings)
    group = f"{settings.namespace}-{party}"
    every = (
        *(names.transactions, names.labels, names.scores),
        *(names.alerts, names.dead_letters, names.model_events),
    )
    # A worker makes sure that all topics are as they should be.
    looks = [KafkaRight("topic", name, ("Describe",)) for name in every]
    # It waits for scorers that read again what Redis has lost.
    scorers = KafkaRight("group", f"{settings.namespace}-score", ("Describe",))
    uses = KafkaRight("group", group, ("Read",))
    needed: dict[Party, list[KafkaRight]] = {
        "score": [
            *(*looks, _reads(names.transactions), _writes(names.scores), _writes(names.alerts)),
            *(_writes(names.dead_letters), _writes(names.model_events), uses),
        ],
        "learn": [
            *(*looks, _reads(names.labels), _writes(names.dead_letters), _writes(names.model_events)),
            *(uses, scorers),
        ],
        "fit": [*looks, _reads(names.labels), uses, scorers],
        "producer": [_writes(names.transactions), _writes(names.labels)],
        "alerts": [_reads(names.alerts), uses],
        "archive": [_reads(names.scores), _reads(names.labels), uses],
        # It publishes verdicts that could not be published when they were given.
        "cases": [
            *(_reads(names.scores), _reads(names.alerts), _reads(names.labels)),
            *(_writes(names.labels), uses),
        ],
        # `fraudstream verdict` too.
        "desk": [_writes(names.labels)],
        "settle": [_reads(names.scores), _reads(names.labels), _writes(names.labels), uses],
        # It keeps an offset for each reason of dead letters.
        "redrive": [
            *(_reads(names.dead_letters), _writes(names.transactions), _writes(names.labels)),
            uses._replace(prefixed=True),
        ],
        "models": [],
        "forget": [_writes(names.model_events)],
        "topics": [KafkaRight("topic", name, ("Create", "Describe", "DescribeConfigs")) for name in every],
    }
    return needed[party]


def redis_rights(party: Party, settings: Settings) -> RedisRights | None:
    """Return what a party needs at Redis; None where it needs no Redis.

    Examples
    --------
    >>> redis_rights("fit", Settings()).written
    ('fraud:ready', 'fraud:{fitter}:*', 'fraud:{[0-9]*}:p:*')
    """
    space = settings.namespace
    ready, partitions, pending = f"{space}:ready", f"{space}:{{[0-9]*}}:*", f"{space}:{{[0-9]*}}:p:*"
    learner, fitter = f"{space}:{{learner}}:*", f"{space}:{{fitter}}:*"
    orders = f"{space}:{{models}}:*"
    needed: dict[Party, RedisRights] = {
        "score": RedisRights((ready, partitions), (learner,)),
        # They only read pending records, but by a script, which Redis lets nobody call on what is only read.
        "learn": RedisRights((ready, learner, pending), (partitions, fitter, orders)),
        "fit": RedisRights((ready, fitter, pending), (partitions, learner)),
        # Whoever steers the learner.
        "models": RedisRights((orders,), (learner,)),
        # A replay that is held back looks at how far the pipeline has come.
        "producer": RedisRights((), (partitions, learner)),
        # States, risk records, pending records and verdicts, and the word that somebody was erased.
        "forget": RedisRights(
            (f"{space}:{{[0-9]*}}:[cp]:*", f"{space}:{{learner}}:[cve]*"), (partitions, learner)
        ),
    }
    return needed.get(party)


def rehearsal(rights: RedisRights) -> list[tuple[str, ...]]:
    """Return a call of every command on a key of every pattern, to be asked for and not done.

    Examples
    --------
    >>> rehearsal(RedisRights((), ("a:{[0-9]*}:*",)))[3:5]
    [('exists', 'a:{0}:x'), ('get', 'a:{0}:x')]
    """
    calls: list[tuple[str, ...]] = [("time",), ("evalsha", "0" * 40, "0"), ("script", "load", "return 1")]
    if rights.written:
        calls += [("dbsize",), ("scan", "0")]
    return calls + [
        (command, key, *((key,) if command == "rename" else _SAMPLES.get(command, ())))
        for patterns, commands in ((rights.written, (*_READS, *_WRITES)), (rights.read, _READS))
        for key in map(_sample, patterns)
        for command in commands
    ]


def redis_rule(party: Party, settings: Settings, user: str, password: str) -> str | None:
    """Return the line of Redis's ACL file that gives a user what a party needs.

    Parameters
    ----------
    party, settings
        Who, and with which namespace.
    user
        Its name at Redis.
    password
        In Redis's words: ``>PASSWORD``, or ``#`` and its SHA-256.
    """
    rights = redis_rights(party, settings)
    if rights is None:
        return None
    keys = [f"~{pattern}" for pattern in rights.written] + [f"%R~{pattern}" for pattern in rights.read]
    return " ".join(
        [
            "user",
            user,
            "on",
            password,
            "resetchannels",
            *keys,
            "-@all",
            *(f"+{name}" for name in rights.commands),
        ]
    )


def kafka_rules(party: Party, settings: Settings, user: str) -> list[str]:
    """Return what ``kafka-acls.sh --add`` is to be told, so that a user may do what a party needs."""
    return [
        f"--allow-principal 'User:{user}' --{right.kind} '{right.name}'"
        f"{' --resource-pattern-type prefixed' if right.prefixed else ''}"
        f"{''.join(f' --operation {name}' for name in right.operations)}"
        for right in kafka_rights(party, settings)
    ]


def redis_acl(settings: Settings, parties: Iterable[Party]) -> Iterator[str]:
    """Yield the lines of Redis's ACL file, with a user for each party, called like it."""
    # Who does not log in could else do everything.
    yield "user default off"
    for party in parties:
        rule = redis_rule(party, settings, party, ">PASSWORD")
        if rule is not None:
            yield rule


def kafka_acls(settings: Settings, parties: Iterable[Party]) -> Iterator[str]:
    """Yield the commands that give Kafka's users their rights, with a user for each party, called like it."""
    yield "# ADMIN is kafka-acls.sh --bootstrap-server HOST:PORT --command-config FILE"
    for party in parties:
        for rule in kafka_rules(party, settings, party):
            yield f"$ADMIN --add {rule}"


def _reads(topic: str) -> KafkaRight:
    return KafkaRight("topic", topic, ("Read",))


def _writes(topic: str) -> KafkaRight:
    return KafkaRight("topic", topic, ("Write",))


def _sample(pattern: str) -> str:
    return re.sub(r"\[(\w)[^]]*\]", r"\1", pattern.replace("[0-9]*", "0")).replace("*", "x")
