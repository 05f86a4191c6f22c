"""A real PostgreSQL for tests: a cluster of its own on a free port, with nothing kept."""

import os
import pwd
import shutil
import subprocess
import tempfile
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, LiteralString
from uuid import uuid4

import psycopg
from psycopg import sql

from tests.services.certificates import Authority
from tests.services.process import Process, free_port

_DEBIAN = Path("/usr/lib/postgresql")
_ACCOUNTS = ("postgres", "nobody")
_STOP_SECONDS = 30.0


@cache
def programs() -> Path | None:
    """Return the folder with `initdb` and `postgres`; None when there is none.

    Debian keeps them off the PATH, the newest version in the folder with the largest number.
    """
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    versions = [path for path in _DEBIAN.glob("*/bin") if (path / "initdb").exists()]
    return max(versions, key=lambda path: int(path.parent.name), default=None)


class PostgresServer:
    """A running server. PostgreSQL refuses to run as root: there, Debian's account `postgres` runs it.

    Parameters
    ----------
    *options
        More of postgres's options, such as `"-c", "jit=off"`.
    authority, password
        Have it take encrypted connections alone, with a certificate of this authority, and this password;
        without them it lets everybody in.
    """

    def __init__(
        self, *options: str, authority: Authority | None = None, password: str | None = None
    ) -> None:
        self._options = options
        self._authority = authority
        self._password = password
        folder = programs()
        assert folder is not None
        self._bin = folder
        # Not under pytest's own folder, which no other account may enter.
        self._directory = Path(tempfile.mkdtemp(prefix="fraudstream-postgres-"))
        self._account = None
        if os.geteuid() == 0:
            self._account = next(name for name in _ACCOUNTS if _exists(name))
            shutil.chown(self._directory, self._account)
        self._numbers = count(1)
        made = subprocess.run(
            [
                *(folder / "initdb", "--pgdata", self._directory / "data", "--username", "fraud"),
                *(
                    "--auth",
                    "trust" if password is None else "scram-sha-256",
                    "--encoding",
                    "UTF8",
                    "--locale",
                    "C",
                    "--no-sync",
                ),
                *(("--pwfile", self._own("password", password)) if password is not None else ()),
            ],
            user=self._account,
            cwd=self._directory,
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        self.port = free_port()
        if authority is not None:
            certificate, key, _ = authority.issue("127.0.0.1")
            shown, kept = (self._own(one.name, one.read_text()) for one in (certificate, key))
            self._options += ("-c", "ssl=on", "-c", f"ssl_cert_file={shown}", "-c", f"ssl_key_file={kept}")
            self._own("data/pg_hba.conf", "hostssl all all 127.0.0.1/32 scram-sha-256\n")
        self.start()

    def start(self) -> None:
        """Start it, again perhaps: at the same address, with the data it had."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            # It need not outlive the machine.
            "fsync": "off",
            "full_page_writes": "off",
            "shared_buffers": "32MB",
            "max_connections": 40,
        }
        self.process = Process(
            [
                *(str(self._bin / "postgres"), "-D", str(self._directory / "data")),
                *(word for name, value in options.items() for word in ("-c", f"{name}={value}")),
                *self._options,
            ],
            self._directory / "postgres.log",
            user=self._account,
        )
        self.process.await_ready(self.answers)

    def dsn(self, database: str = "postgres") -> str:
        """Return what a client connects with."""
        login = "fraud" if self._password is None else f"fraud:{self._password}"
        tls = f"?sslmode=verify-full&sslrootcert={self._authority.certificate}" if self._authority else ""
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}{tls}"

    def new_database(self, name: str | None = None) -> str:
        """Make an empty database, and return its DSN."""
        name = name or f"cases_{next(self._numbers)}_{uuid4().hex[:6]}"
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.dsn(name)

    def _own(self, name: str, text: str) -> Path:
        """Write a file that the server's account, and nobody else, may read."""
        path = self._directory / name
        path.touch(mode=0o600)
        path.write_text(text)
        if self._account is not None:
            shutil.chown(path, self._account)
        return path

    def answers(self) -> bool:
        """Tell whether it lets a client in."""
        try:
            psycopg.connect(self.dsn(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()

    def discard(self) -> None:
        """End it, and remove its data."""
        # SIGTERM would have it wait until every client has gone.
        self.process.interrupt()
        self.process.wait(_STOP_SECONDS)
        shutil.rmtree(self._directory, ignore_errors=True)


def rows(dsn: str, query: LiteralString, *arguments: object) -> list[tuple[Any, ...]]:
    """Return what a query finds."""
    with psycopg.connect(dsn) as connection:
        return connection.execute(query, arguments).fetchall()


def _exists(account: str) -> bool:
    try:
        pwd.getpwnam(account)
    except KeyError:
        return False
    return True
