"""A real Redis for tests: `redis-server` on a free port, with nothing on disk."""

from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.services.process import Process, free_port


class RedisServer:
    """A running `redis-server`.

    Parameters
    ----------
    directory
        Empty; its log goes there.
    *options
        More of redis-server's options, such as `"--maxmemory", "2mb"`.
    """

    def __init__(self, directory: Path, *options: str) -> None:
        self._directory = directory
        self._dump = directory / "dump.rdb"
        self._options = options
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Start it, again perhaps: at the same address, empty."""
        self.process = Process(
            [
                *("redis-server", "--bind", "127.0.0.1", "--port", str(self.port)),
                *("--save", "", "--appendonly", "no", "--dir", str(self._directory)),
                *self._options,
            ],
            self._directory / "redis.log",
        )
        self.process.await_ready(self.answers)

    def back_up(self) -> bytes:
        """Return everything it holds, as the file that it would start from."""
        with redis.Redis.from_url(self.url) as client:
            client.save()
        return self._dump.read_bytes()

    def restore(self, backup: bytes) -> None:
        """Start it, once it has ended, with what :meth:`back_up` returned."""
        self._dump.write_bytes(backup)
        self.start()

    def answers(self) -> bool:
        """Tell whether it answers a PING."""
        with redis.Redis.from_url(self.url, socket_timeout=1, retry=Retry(NoBackoff(), 0)) as client:
            try:
                return bool(client.ping())
            except (redis.ConnectionError, redis.TimeoutError):
                return False

    def stop(self) -> None:
        """Stop it in order."""
        self.process.terminate()
