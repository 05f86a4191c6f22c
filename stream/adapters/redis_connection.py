"""A connection to one Redis: pooled, with time limits, and with one kind of error."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Final, NamedTuple

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.commands.core import Script
from redis.retry import Retry

from stream.errors import InfrastructureError, SettingsError


class RedisConnection:
    """A pool of connections to one Redis; may be shared by threads.

    Parameters
    ----------
    url
        ``redis://``, ``rediss://`` (TLS) or ``unix://``, as redis-py reads it.
    timeout_seconds
        Longest wait for a connection, for a request to be sent and for each piece of its answer.

    Raises
    ------
    SettingsError
        `url` is not one.
    """

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self.place: Final = _without_secrets(url)
        """The URL without user, password and options: fit for a log."""
        self._timeout_seconds = timeout_seconds
        try:
            self._client: redis.Redis = redis.Redis.from_url(
                url,
                socket_timeout=timeout_seconds,
                socket_connect_timeout=timeout_seconds,
                **({} if url.startswith("unix:") else {"socket_keepalive": True}),
                # Whoever works waits and tries again, with readiness red; trying here would only hide that.
                # (Connections that died while they lay in the pool are replaced without an error.)
                retry=Retry(NoBackoff(), 0),
                # RESP3 would add a handshake, and nothing that is used here.
                protocol=2,
            )
        except (ValueError, TypeError):
            # Its own text may quote a piece of the password: a '/' in one ends the host part.
            raise SettingsError(
                f"FRAUD_REDIS={self.place}: not a Redis URL; write redis://[USER:PASSWORD@]HOST:PORT/NUMBER,"
                " with reserved characters of the password percent-encoded"
            ) from None

    @contextmanager
    def doing(self, what: str) -> Iterator[redis.Redis]:
        """Lend the client for one errand.

        Parameters
        ----------
        what
            The errand, as the error will name it: "committing partition 3".

        Raises
        ------
        InfrastructureError
            Redis is away, slow, full or refusing.
        """
        try:
            yield self._client
        except (exceptions.RedisError, OSError) as error:
            raise InfrastructureError(
                f"{what} failed: Redis at {self.place} {self._complaint(error)}"
            ) from error

    def run(self, script: Script, what: str, keys: Sequence[str], args: Sequence[bytes | int | str]) -> Any:
        """Run a script that :meth:`script` returned; one that Redis has forgotten is sent again.

        Raises
        ------
        InfrastructureError
            Redis is away, slow, full or refusing.
        """
        with self.doing(what):
            return script(keys=keys, args=args)

    def read(self, what: str, script: Script, queue: Callable[[Pipeline], object]) -> list[Any]:
        """Read much in one round trip, without a transaction around it.

        Parameters
        ----------
        what
            The errand, as the error will name it.
        script
            That :meth:`script` returned and that `queue` may call by its hash, as long as it only reads: one
            that Redis has forgotten is sent again, and then everything is asked for once more.
        queue
            Puts the commands into a pipeline.

        Raises
        ------
        InfrastructureError
            Redis is away, slow, full or refusing.
        """
        with self.doing(what) as client:
            for _ in range(_TRIES):
                with client.pipeline(transaction=False) as pipe:
                    queue(pipe)
                    try:
                        return pipe.execute()
                    except exceptions.NoScriptError as error:
                        forgotten = error
                client.script_load(script.script)
            raise forgotten

    def script(self, *names: str) -> Script:
        """Return a script from files of this package, one after the other. Nothing is sent yet."""
        parts = [files(__package__).joinpath(name).read_text("utf-8") for name in names]
        return self._client.register_script("\n".join(parts))

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def _complaint(self, error: Exception) -> str:
        text = str(error)
        if isinstance(error, exceptions.TimeoutError):
            return (
                f"did not answer within {self._timeout_seconds:g} s; this is tried again,"
                " look at its load, its SLOWLOG and the network"
            )
        for meaning in _MEANINGS:
            if isinstance(error, meaning.kinds) or any(code in text for code in meaning.codes):
                return f"{meaning.sentence} ({text})"
        return f"refused ({text}); this is tried again, look at its log"


_TRIES: Final = 3
"""At a script that is forgotten as often as it is sent."""


class _Meaning(NamedTuple):
    kinds: tuple[type[Exception], ...]
    codes: tuple[str, ...]
    """Looked for in the text too: older clients have fewer classes, and Redis 6 wraps what a script met."""
    sentence: str
    """What Redis is or does, and what to do about it."""


_MEANINGS: Final = (
    _Meaning(
        (exceptions.OutOfMemoryError,),
        ("OOM command not allowed",),
        "is full; raise its maxmemory, or lower FRAUD_PENDING_DAYS or FRAUD_STATE_DAYS for what comes",
    ),
    _Meaning(
        (exceptions.ReadOnlyError, exceptions.MasterDownError),
        ("READONLY", "MASTERDOWN"),
        "is a read-only replica; point FRAUD_REDIS at the primary, or wait for the fail-over to end",
    ),
    _Meaning(
        (exceptions.BusyLoadingError,),
        (),
        "is still loading its data; this is tried again until it has",
    ),
    _Meaning(
        (
            exceptions.AuthenticationError,
            exceptions.AuthorizationError,
            exceptions.NoPermissionError,
            exceptions.AuthenticationWrongNumberOfArgsError,
        ),
        (),
        "does not let us in; check user and password in FRAUD_REDIS, and what its ACL allows",
    ),
    _Meaning(
        (exceptions.AskError, exceptions.ClusterError, exceptions.ClusterCrossSlotError),
        ("MOVED ", "CLUSTERDOWN", "CROSSSLOT"),
        "is a node of a Redis Cluster; point FRAUD_REDIS at a single primary or at a cluster proxy",
    ),
    _Meaning(
        (),
        ("max number of clients",),
        "has no connection left for us; raise its maxclients, or find who holds them",
    ),
    _Meaning(
        (exceptions.ConnectionError, OSError),
        (),
        "is away; start it, or correct FRAUD_REDIS; this is tried again until it is there",
    ),
)

_URL: Final = re.compile(
    r"(?P<scheme>rediss?|unix)://(?P<user>[^@/?#]*@)?(?P<place>(\[[0-9a-fA-F:.]+\]|[\w.-]*)(:\d+)?(/[^@?#]*)?)"
    r"(\?[^@]*)?"
)


def _without_secrets(url: str) -> str:
    """Return a URL without user, password and options.

    Examples
    --------
    >>> _without_secrets("redis://worker:secret@cache:6379/2?client_name=x")
    'redis://***@cache:6379/2'
    >>> _without_secrets("unix:///run/redis.sock?password=secret")
    'unix:///run/redis.sock'

    Where a password's reserved characters were not encoded, nobody can say where it ends:

    >>> _without_secrets("redis://:sec/ret@cache:6379")
    '***'
    """
    match = _URL.fullmatch(url)
    if match is None:
        return "***"
    return f"{match['scheme']}://{'***@' if match['user'] else ''}{match['place']}"
