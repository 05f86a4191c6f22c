"""Every way in which a Redis can fail becomes an InfrastructureError that says what to do."""

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from threading import Thread

import pytest

from stream.adapters.redis_store import RedisStore
from stream.errors import InfrastructureError, SettingsError
from stream.ports import Tenure, Token

SECRET = "hunter2"


class _StubbornRedis:
    """Answers each request with the same error, or with nothing at all."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        # Closing alone would not wake the thread that waits in accept.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _converse(self, connection: socket.socket) -> None:
        with connection:
            while received := connection.recv(1 << 20):
                if self._answer is not None:
                    # Pipelined requests come in one piece: an answer for each.
                    connection.sendall((b"-" + self._answer + b"\r\n") * _requests(received))


def _requests(received: bytes) -> int:
    return sum(line.startswith(b"*") for line in received.split(b"\r\n"))


@pytest.fixture
def stubborn() -> Iterator[Callable[[bytes | None], _StubbornRedis]]:
    started: list[_StubbornRedis] = []

    def start(answer: bytes | None) -> _StubbornRedis:
        started.append(_StubbornRedis(answer))
        return started[-1]

    yield start
    for server in started:
        server.close()


def _store(port: int, *, secret: str = "", timeout_seconds: float = 5.0) -> RedisStore:
    return RedisStore(
        f"redis://{f':{secret}@' if secret else ''}127.0.0.1:{port}/0",
        namespace="fraud",
        pending_ttl=timedelta(days=35),
        state_ttl=timedelta(days=60),
        timeout_seconds=timeout_seconds,
    )


CALLS: dict[str, Callable[[RedisStore], object]] = {
    "checking the feature store": lambda store: store.check(),
    "taking partition 3": lambda store: store.take_partition(3),
    "loading a batch of partition 3": lambda store: store.load(3, ["c"], ["x"], [], ["t"]),
    "committing partition 3 up to offset 7": lambda store: store.commit(
        Tenure(3, Token(1), -1), 7, {"c": b""}, {"t": b""}
    ),
    "finding lineups": lambda store: store.find_lineups([3]),
    "reading the roster": lambda store: store.roster(),
    "reading snapshot m1": lambda store: store.snapshot("m1"),
    "taking the learner's role": lambda store: store.take_learner(),
    "finding pending records in 4 partitions": lambda store: store.find_pending(["t"], 4),
    "finding verdicts": lambda store: store.find_verdicts(["t"]),
    "finding risk records": lambda store: store.find_risks([("customer", "c")]),
    "committing labels up to offset 9": lambda store: store.commit_labels(Token(1), 9, {}, {}),
    "publishing a roster": lambda store: store.publish(Token(1), b"", {"m1": b""}),
    "saving a checkpoint": lambda store: store.save_checkpoint(Token(1), b""),
    "reading a checkpoint": lambda store: list(store.checkpoints()),
    "reading the pipeline's progress": lambda store: store.transactions_done(4),
    "reading the learner's progress": lambda store: store.labels_done(),
}


@pytest.mark.parametrize("what", CALLS)
def test_every_call_says_what_failed_and_where(
    stubborn: Callable[[bytes | None], _StubbornRedis], what: str
) -> None:
    port = stubborn(b"ERR no").port
    with closing(_store(port)) as store, pytest.raises(InfrastructureError) as caught:
        CALLS[what](store)
    text = str(caught.value)
    assert text.startswith(f"{what} failed: Redis at redis://127.0.0.1:{port}/0 refused (")
    assert text.endswith("no); this is tried again, look at its log")


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        (b"OOM command not allowed when used memory > 'maxmemory'.", "is full; raise its maxmemory"),
        # What Redis 6 says of the same, met inside of a script.
        (
            b"ERR Error running script (call to f_0): @user_script:9: -OOM command not allowed when used",
            "is full; raise its maxmemory",
        ),
        (b"READONLY You can't write against a read only replica.", "point FRAUD_REDIS at the primary"),
        (
            b"ERR Error running script (call to f_0): @user_script:9: -READONLY You can't write against",
            "point FRAUD_REDIS at the primary",
        ),
        (b"LOADING Redis is loading the dataset in memory", "is still loading its data"),
        (b"NOAUTH Authentication required.", "check FRAUD_REDIS_USER and FRAUD_REDIS_PASSWORD"),
        (b"WRONGPASS invalid username-password pair or user is disabled.", "does not let us in"),
        (b"NOPERM this user has no permissions to run the 'set' command", "give it the right"),
        (b"CLUSTERDOWN The cluster is down", "is a node of a Redis Cluster"),
        (b"CROSSSLOT Keys in request don't hash to the same slot", "is a node of a Redis Cluster"),
        (b"MOVED 3999 127.0.0.1:6381", "is a node of a Redis Cluster"),
        (b"MISCONF Redis is configured to save RDB snapshots, but it is unable to", "refused (MISCONF"),
        (b"NOREPLICAS Not enough good replicas to write.", "refused (NOREPLICAS"),
        (b"BUSY Redis is busy running a script.", "refused (BUSY"),
        (b"WRONGTYPE Operation against a key holding the wrong kind of value", "refused (WRONGTYPE"),
        (b"MASTERDOWN Link with MASTER is down", "point FRAUD_REDIS at the primary"),
        (b"TRYAGAIN Multiple keys request during rehashing of slot", "refused ("),
        (b"ERR max number of clients reached", "raise its maxclients"),
    ],
)
def test_every_refusal_says_what_to_do(
    stubborn: Callable[[bytes | None], _StubbornRedis], answer: bytes, remedy: str
) -> None:
    with (
        closing(_store(stubborn(answer).port)) as store,
        pytest.raises(InfrastructureError) as caught,
    ):
        store.check()
    assert remedy in str(caught.value)


def test_a_script_that_redis_keeps_forgetting_is_an_error_and_no_endless_loop(
    stubborn: Callable[[bytes | None], _StubbornRedis],
) -> None:
    with (
        closing(_store(stubborn(b"NOSCRIPT No matching script.").port)) as store,
        pytest.raises(InfrastructureError, match=r"committing partition 0 .* refused \("),
    ):
        store.commit(Tenure(0, Token(1), -1), 7, {}, {})


def test_a_redis_that_never_answers_is_given_up_and_not_asked_twice(
    stubborn: Callable[[bytes | None], _StubbornRedis],
) -> None:
    server = stubborn(None)
    with (
        closing(_store(server.port, timeout_seconds=0.05)) as store,
        pytest.raises(InfrastructureError, match=r"did not answer within 0\.05 s; .* SLOWLOG"),
    ):
        store.roster()
    assert server.connections == 1


def test_a_redis_that_is_away_is_said_to_be_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        closing(_store(port)) as store,
        pytest.raises(
            InfrastructureError,
            match=rf"Redis at redis://127\.0\.0\.1:{port}/0 is away; start it, or correct FRAUD_REDIS",
        ),
    ):
        store.take_partition(0)


@pytest.mark.parametrize("answer", [b"WRONGPASS invalid username-password pair", b"ERR no", None])
def test_no_error_and_no_repr_shows_the_password(
    stubborn: Callable[[bytes | None], _StubbornRedis], answer: bytes | None
) -> None:
    with closing(_store(stubborn(answer).port, secret=SECRET, timeout_seconds=0.1)) as store:
        with pytest.raises(InfrastructureError) as caught:
            store.check()
        error: BaseException | None = caught.value
        while error is not None:
            assert SECRET not in f"{error} {error!r}"
            error = error.__cause__ or error.__context__
        assert SECRET not in repr(store)
        assert "redis://***@127.0.0.1" in repr(store)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "cache:6379",
        "http://cache:6379",
        f"{SECRET}@cache",
        f"redis://:{SECRET}/x@cache:6379",
        f"redis://:{SECRET}#x@cache:6379",
        f"redis://cache:{SECRET}",
        "redis://cache:99999999",
        f"redis://cache:6379/0?socket_timeout={SECRET}",
    ],
)
def test_what_is_no_redis_url_is_refused_at_once_without_showing_it(url: str) -> None:
    with pytest.raises(SettingsError, match="not a Redis URL; write redis://") as caught:
        RedisStore(url, namespace="fraud", pending_ttl=timedelta(days=1), state_ttl=timedelta(days=1))
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
