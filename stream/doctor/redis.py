"""Redis as the stream needs it: a primary that keeps what it is given, and whose clock is ours."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from stream.adapters.redis_connection import RedisConnection
from stream.adapters.redis_store import RedisStore
from stream.adapters.rights import redis_rights, rehearsal
from stream.clock import Clock
from stream.doctor.finding import Finding, good, warning, wrong
from stream.doctor.kafka import parties_of
from stream.errors import AccessError, InfrastructureError, SnapshotError
from stream.registry.snapshot import decode_roster
from stream.settings import Settings

_LEAST_VERSION: Final = (6, 2)
_FULL: Final = 0.8
_CLOCK_WARNING_MS: Final = 1_000
_CLOCK_WRONG_MS: Final = 60_000


def check_redis(settings: Settings, clock: Clock, *, timeout_seconds: float) -> Iterator[Finding]:
    """Yield what is to be said of Redis, of its clock, of our rights, and of what we keep there."""
    connection = RedisConnection.of(settings, timeout_seconds=timeout_seconds)
    try:
        with connection.doing("looking at Redis") as client:
            before = clock()
            seconds, microseconds = client.time()
            between = (before + clock()) // 2
        yield from _check_server(connection)
    except InfrastructureError as error:
        yield wrong("Redis", str(error))
        return
    finally:
        connection.close()
    yield judge_clock(seconds * 1000 + microseconds // 1000 - between)
    yield from _check_keys(settings)


def judge_server(info: Mapping[str, Any], place: str) -> Iterator[Finding]:
    """Yield what the answer to `INFO` gives reason to say.

    Examples
    --------
    >>> info = {"redis_version": "7.4.2", "role": "master", "aof_enabled": 1, "maxmemory": 0}
    >>> [one.text for one in judge_server(info, "redis://cache")]
    ['version 7.4.2 answers at redis://cache', 'what it is given, on disk (appendonly yes)']
    """
    found = str(info.get("redis_version", "0"))
    if tuple(int(part) for part in found.split(".")[:2]) < _LEAST_VERSION:
        yield wrong("Redis", f"version {found} answers at {place}; 6.2 or newer is needed")
    else:
        yield good("Redis", f"version {found} answers at {place}")
    if info.get("role", "master") != "master":
        yield wrong("Redis", f"{place} is a replica and takes no writes; set FRAUD_REDIS to its primary")
    if info.get("cluster_enabled"):
        yield wrong("Redis", f"{place} is a cluster, which is not supported; name one primary or a proxy")
    yield from _judge_persistence(info)
    yield from _judge_memory(info)


def judge_clock(ahead_ms: int) -> Finding:
    """Say what a clock that is ahead of ours by so much means.

    Examples
    --------
    >>> judge_clock(-5_000).text
    "Redis's clock is 5.0 s behind ours: latencies and label times are off by as much; synchronise both (NTP)"
    """
    apart = f"{abs(ahead_ms) / 1000:.1f} s {'ahead of' if ahead_ms > 0 else 'behind'}"
    if abs(ahead_ms) < _CLOCK_WARNING_MS:
        return good("clock", "ours and Redis's agree within a second")
    say = wrong if abs(ahead_ms) >= _CLOCK_WRONG_MS else warning
    return say(
        "clock",
        f"Redis's clock is {apart} ours: latencies and label times are off by as much; synchronise both"
        " (NTP)",
    )


def _check_server(connection: RedisConnection) -> Iterator[Finding]:
    try:
        with connection.doing("asking Redis about itself") as client:
            info: Mapping[str, Any] = client.info()
    except AccessError:
        yield good("Redis", f"answers at {connection.place}")
        yield warning(
            "Redis keeps",
            "our user may not ask (INFO), so run this once as one who may: what lies here must be kept"
            " (appendonly yes) and not evicted (maxmemory-policy noeviction)",
        )
    else:
        yield from judge_server(info, connection.place)


def _judge_persistence(info: Mapping[str, Any]) -> Iterator[Finding]:
    if not info.get("aof_enabled"):
        yield warning(
            "Redis keeps",
            "no append-only file, so that a restart loses features and models; set appendonly yes"
            " (redis-cli CONFIG SET appendonly yes, and in its configuration)",
        )
    elif info.get("aof_last_write_status", "ok") != "ok":
        yield wrong("Redis keeps", "nothing: its last write to the append-only file failed; look at its disk")
    else:
        yield good("Redis keeps", "what it is given, on disk (appendonly yes)")


def _judge_memory(info: Mapping[str, Any]) -> Iterator[Finding]:
    limit, policy = int(info.get("maxmemory", 0)), str(info.get("maxmemory_policy", "noeviction"))
    if policy != "noeviction":
        say = wrong if limit else warning
        yield say(
            "Redis memory",
            f"maxmemory-policy {policy} throws state away when memory is short; set it to noeviction",
        )
    if limit:
        used = int(info.get("used_memory", 0)) / limit
        text = f"{used:.0%} of maxmemory {info.get('maxmemory_human', limit)} used"
        if used >= _FULL:
            yield warning("Redis memory", f"{text}: full, it refuses writes and all work waits; give it more")
        elif policy == "noeviction":
            yield good("Redis memory", f"{text}, and nothing is evicted")


def _check_keys(settings: Settings) -> Iterator[Finding]:
    store = RedisStore.of(settings)
    try:
        store.check()
        yield from _check_rights(settings, store)
        roster = store.roster()
        done = sum(offset + 1 for offset in store.transactions_done(settings.partitions).values())
        learnt = store.labels_done() + 1
    except AccessError as error:
        yield wrong("Redis rights", str(error))
        return
    except InfrastructureError as error:
        yield wrong("keys", str(error))
        return
    finally:
        store.close()
    if roster is None:
        yield good(
            "keys", f"nothing under {settings.namespace}: yet: the first learner will publish its models"
        )
        return
    try:
        champion = decode_roster(roster, settings.keyring()).champion
    except SnapshotError as error:
        yield wrong("keys", f"{error}; is FRAUD_SIGNING_KEY the one that the learner has?")
        return
    yield good(
        "keys",
        f"under {settings.namespace}: {done} transactions scored and {learnt} labels learnt;"
        f" champion {champion}",
    )


def _check_rights(settings: Settings, store: RedisStore) -> Iterator[Finding]:
    if settings.redis_password is None and settings.redis_certificate is None:
        return
    parties = parties_of(settings)
    rights = [found for party in parties if (found := redis_rights(party, settings)) is not None]
    remedy = f"give them, as `fraudstream rights redis {' '.join(parties)}` says"
    store.require_rights([call for one in rights for call in rehearsal(one)], remedy)
    yield good("Redis rights", f"all that the role {settings.role} needs")
