"""A connection to one Redis: pooled, with time limits, and with one kind of error."""

import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar

import hiredis
import redis
from pydantic import SecretStr
from redis import exceptions
from redis.backoff import NoBackoff
from redis.client import Pipeline
from redis.commands.core import Script
from redis.retry import Retry

from stream.adapters.redis_wire import gathered
from stream.adapters.tls import client_context
from stream.errors import AccessError, InfrastructureError, SettingsError
from stream.transport import REDIS_URL, TransportSettings

T = TypeVar("T")
_Connection = Any
"""Of redis-py, whose own are hardly typed."""


class RedisConnection:
    """A pool of connections to one Redis; may be shared by threads.

    Parameters
    ----------
    url
        ``redis://``, ``rediss://`` (TLS) or ``unix://``, as redis-py reads it.
    timeout_seconds
        Longest wait for a connection, for a request to be sent and for each piece of its answer.
    access
        Who logs in, and what is trusted and shown where `url` is ``rediss://``.

    Raises
    ------
    SettingsError
        `url` is not one, or a file cannot be read.
    """

    def __init__(self, url: str, *, timeout_seconds: float, access: "RedisAccess | None" = None) -> None:
        self.place: Final = _without_secrets(url)
        """The URL without user, password and options: fit for a log."""
        self._timeout_seconds = timeout_seconds
        access = access or RedisAccess()
        try:
            self._client: redis.Redis = redis.Redis.from_url(
                url,
                **access.options(url),
                socket_timeout=timeout_seconds,
                socket_connect_timeout=timeout_seconds,
                **({} if url.startswith("unix:") else {"socket_keepalive": True}),
                # Whoever works waits and tries again, with readiness red; trying here would only hide that.
                # (Connections that died while they lay in the pool are replaced without an error.)
                retry=Retry(NoBackoff(), 0),
                command_packer=_Packer(),
                # RESP3 would add a handshake, and nothing that is used here.
                protocol=2,
            )
        except (ValueError, TypeError):
            # Its own text may quote a piece of the password: a '/' in one ends the host part.
            raise SettingsError(
                f"FRAUD_REDIS={self.place}: not a Redis URL; write redis://[USER:PASSWORD@]HOST:PORT/NUMBER,"
                " with reserved characters of the password percent-encoded"
            ) from None

    @classmethod
    def of(cls, settings: TransportSettings, *, timeout_seconds: float) -> "RedisConnection":
        """Return a connection to the Redis that `settings` name.

        Raises
        ------
        SettingsError
            It is none, or a file that they name cannot be read.
        """
        return cls(settings.redis, timeout_seconds=timeout_seconds, access=RedisAccess.of(settings))

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
            kind, complaint = self._complaint(error)
            raise kind(f"{what} failed: Redis at {self.place} {complaint}") from error

    def rehearse(self, what: str, calls: Iterable[tuple[str, ...]]) -> list[str]:
        """Return what of `calls` Redis would not allow our user, in its own words; nothing is done.

        They are put into a transaction, where Redis refuses at once what is not allowed; it is discarded.

        Raises
        ------
        InfrastructureError
            Redis is away, slow or refusing, or allows no transactions.
        """
        refused = []
        with self.doing(what) as client, client.client() as single:  # type: ignore[no-untyped-call]
            single.execute_command("MULTI")
            connection = single.connection
            assert connection is not None
            for call in calls:
                connection.send_command(*call)
                try:
                    connection.read_response()
                except exceptions.NoPermissionError as error:
                    refused.append(f"{call[0]} {call[1] if len(call) > 1 else ''}: {error}")
            single.execute_command("DISCARD")
        return refused

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

    def begin(
        self,
        what: str,
        commands: Sequence[Sequence[bytes]],
        finish: Callable[[list[Any]], T],
        script: Script | None = None,
    ) -> "Exchange[T]":
        """Send commands that are packed already, and return while Redis works on them.

        Parameters
        ----------
        what
            The errand, as the error will name it.
        commands
            As :func:`~stream.adapters.redis_wire.command` returns them. There is no transaction around them.
        finish
            Makes of the answers, one for each command, what was asked for.
        script
            That :meth:`script` returned and that the first command calls by its hash: should Redis have
            forgotten it, it is sent, and then all commands once more.

        Raises
        ------
        InfrastructureError
            Redis is away or slow.
        """
        pieces = gathered(chain.from_iterable(commands))
        pool = self._client.connection_pool
        with self.doing(what):
            connection: _Connection = pool.get_connection()
            exchange = Exchange(self, what, connection, pieces, len(commands), finish, script)
            try:
                connection.send_packed_command(pieces)
            except BaseException:
                exchange.abandon()
                raise
        return exchange

    def take_back(self, connection: _Connection, *, fit: bool) -> None:
        """Take the connection of an exchange back.

        Parameters
        ----------
        connection
            That it had.
        fit
            Whether everything that was asked there has been answered; else it is closed.
        """
        try:
            if not fit:
                connection.disconnect()
        finally:
            self._client.connection_pool.release(connection)

    def script(self, *names: str) -> Script:
        """Return a script from files of this package, one after the other. Nothing is sent yet."""
        parts = [files(__package__).joinpath(name).read_text("utf-8") for name in names]
        return self._client.register_script("\n".join(parts))

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def _complaint(self, error: Exception) -> tuple[type[InfrastructureError], str]:
        text = str(error)
        if isinstance(error, exceptions.TimeoutError):
            return InfrastructureError, (
                f"did not answer within {self._timeout_seconds:g} s; this is tried again,"
                " look at its load, its SLOWLOG and the network"
            )
        for meaning in _MEANINGS:
            if isinstance(error, meaning.kinds) or any(code in text for code in meaning.codes):
                return meaning.error, f"{meaning.sentence} ({text})"
        return InfrastructureError, f"refused ({text}); this is tried again, look at its log"


class Exchange(Generic[T]):
    """Commands that Redis is working on; it has a connection to itself until their answers are read.

    A connection on which an answer was not read is closed: whoever had it next would take it for its own.
    """

    def __init__(
        self,
        redis: RedisConnection,
        what: str,
        connection: _Connection,
        pieces: list[bytes],
        answers: int,
        finish: Callable[[list[Any]], T],
        script: Script | None,
    ) -> None:
        self._redis = redis
        self._what = what
        self._connection: _Connection | None = connection
        self._pieces = pieces
        self._answers = answers
        self._finish = finish
        self._script = script

    def result(self) -> T:
        """Wait for the answers, and return what was asked for. Only once.

        Raises
        ------
        InfrastructureError
            Redis is away, slow, full or refusing.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            raise RuntimeError(f"{self._what}: its answers were read before, or given up")
        fit = False
        try:
            with self._redis.doing(self._what):
                answers, refused = self._read(connection)
                if isinstance(refused, exceptions.NoScriptError) and self._script is not None:
                    connection.send_command("SCRIPT LOAD", self._script.script)
                    _, refused = self._read(connection, 1)
                    if refused is None:
                        connection.send_packed_command(self._pieces)
                        answers, refused = self._read(connection)
                fit = True
                if refused is not None:
                    raise refused
        finally:
            self._redis.take_back(connection, fit=fit)
        return self._finish(answers)

    def abandon(self) -> None:
        """Give the answers up, if they have not been read. What was asked may be done or not."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._redis.take_back(connection, fit=False)

    def __del__(self) -> None:
        with suppress(Exception):
            self.abandon()

    def _read(
        self, connection: _Connection, count: int | None = None
    ) -> tuple[list[Any], exceptions.ResponseError | None]:
        """Read all answers, whatever they are; return them, and the first that is a refusal."""
        answers: list[Any] = []
        refused = None
        for _ in range(self._answers if count is None else count):
            try:
                answers.append(connection.read_response())
            except exceptions.ResponseError as error:
                answers.append(error)
                refused = refused or error
        return answers, refused


class _Packer:
    """Packs commands as redis-py does where hiredis is there, but without a look at each argument before.

    That look turns a `bytearray` into bytes. We send none, and hiredis raises TypeError at one.
    """

    def pack(self, *args: bytes | str | float) -> list[bytes]:
        command = str(args[0]).split()  # redis-py has some of two words
        return [hiredis.pack_command((*command, *args[1:]))]  # type: ignore[arg-type]  # typed as a tuple of one


class RedisAccess(NamedTuple):
    """Who logs in at Redis, and what is trusted and shown where the connection is encrypted."""

    user: str | None = None
    password: SecretStr | None = None
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    @classmethod
    def of(cls, settings: TransportSettings) -> "RedisAccess":
        """Return the access that `settings` ask for."""
        return cls(
            settings.redis_user,
            settings.redis_password,
            settings.redis_ca,
            settings.redis_certificate,
            settings.redis_key,
        )

    def options(self, url: str) -> dict[str, Any]:
        """Return redis-py's options for a connection to `url`.

        Raises
        ------
        SettingsError
            A file cannot be read, or is not what it should be.
        """
        options: dict[str, Any] = {}
        if self.password is not None:
            options = {"username": self.user, "password": self.password.get_secret_value()}
        if url.startswith("rediss:"):
            # Made only to find now what is wrong with the files: redis-py makes its own for each connection.
            client_context("REDIS", self.ca, self.certificate, self.key)
            files = {"ssl_ca_certs": self.ca, "ssl_certfile": self.certificate, "ssl_keyfile": self.key}
            options |= {name: str(path) for name, path in files.items() if path is not None}
            # Said, since not every version of redis-py does so by itself.
            options |= {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
            options |= {"ssl_min_version": ssl.TLSVersion.TLSv1_2}
        return options


_TRIES: Final = 3
"""At a script that is forgotten as often as it is sent."""


class _Meaning(NamedTuple):
    kinds: tuple[type[Exception], ...]
    codes: tuple[str, ...]
    """Looked for in the text too: older clients have fewer classes, and Redis 6 wraps what a script met."""
    sentence: str
    """What Redis is or does, and what to do about it."""
    error: type[InfrastructureError] = InfrastructureError


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
        "is still loading its data; workers try again until it has",
    ),
    _Meaning(
        (exceptions.NoPermissionError,),
        ("NOPERM",),
        "does not allow our user this; give it the right, see docs/security.md",
        AccessError,
    ),
    _Meaning(
        (
            exceptions.AuthenticationError,
            exceptions.AuthorizationError,
            exceptions.AuthenticationWrongNumberOfArgsError,
        ),
        ("NOAUTH",),
        "does not let us in; check FRAUD_REDIS_USER and FRAUD_REDIS_PASSWORD",
        AccessError,
    ),
    _Meaning(
        (ssl.SSLError,),
        ("SSL: ", "certificate verify failed"),
        "does not come to terms with us on TLS; check FRAUD_REDIS_CA, and whether its certificate names"
        " this host",
        AccessError,
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
        "is away; start it, or correct FRAUD_REDIS; workers try again until it is there",
    ),
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
    match = REDIS_URL.fullmatch(url)
    if match is None:
        return "***"
    return f"{match['scheme']}://{'***@' if match['login'] else ''}{match['place']}"
