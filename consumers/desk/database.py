"""The desk's way to the case store: a few connections, each asked in a thread beside the event loop."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from psycopg import Connection
from psycopg_pool import ConnectionPool

from consumers.cases.connection import away, connect
from consumers.cases.migrations import require_schema

T = TypeVar("T")

_CONNECTIONS: Final = 4
_WAIT_SECONDS: Final = 5.0


class Database:
    """Runs functions on a connection.

    Parameters
    ----------
    conninfo
        As :func:`consumers.cases.connection.conninfo_of` returns it.
    """

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        self._pool = ConnectionPool(
            conninfo,
            min_size=1,
            max_size=_CONNECTIONS,
            timeout=_WAIT_SECONDS,
            kwargs={"autocommit": True},
            configure=_configure,
            # A server that was restarted has ended its connections: no page should be the first to notice.
            check=ConnectionPool.check_connection,
            open=False,
        )

    async def open(self) -> None:
        """Connect.

        Raises
        ------
        CaseStoreAwayError
            The server does not answer.
        SettingsError
            Its schema is missing or another version's.
        """
        await asyncio.to_thread(self._examine)
        self._pool.open()

    async def ask(self, question: Callable[[Connection[Any]], T]) -> T:
        """Return what `question` answers, given a connection.

        Raises
        ------
        CaseStoreAwayError
            The server does not answer, or takes too long.
        """
        return await asyncio.to_thread(self._ask, question)

    async def close(self) -> None:
        """Close every connection."""
        await asyncio.to_thread(self._pool.close)

    def _ask(self, question: Callable[[Connection[Any]], T]) -> T:
        with away(), self._pool.connection() as connection:
            return question(connection)

    def _examine(self) -> None:
        # By a connection of its own: the pool would try again and again, and not say why.
        with connect(self._conninfo) as connection, away():
            require_schema(connection)


def _configure(connection: Connection[Any]) -> None:
    connection.execute("SET statement_timeout = '10s'")
    # Compiling a statement takes longer than any of ours does.
    connection.execute("SET jit = off")
