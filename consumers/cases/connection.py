"""The connection to PostgreSQL: how it is made, and how its troubles become sentences without secrets."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from stream.errors import InfrastructureError, SettingsError
from stream.settings import Settings

_CONNECT_SECONDS: Final = 10
CERTAIN: Final = {
    "connect_timeout": str(_CONNECT_SECONDS),
    "keepalives_idle": "30",
    "keepalives_interval": "10",
}
"""What every connection asks for where the DSN does not say otherwise: a server that vanished is noticed."""


class CaseStoreAwayError(InfrastructureError):
    """PostgreSQL is away or refuses; nothing of the transaction under way was written."""


def conninfo_of(settings: Settings, name: str) -> str:
    """Return what psycopg connects with.

    Parameters
    ----------
    settings
        Their `case_store` names the database.
    name
        What the server's lists of connections call this one.

    Raises
    ------
    SettingsError
        There is none, or it cannot be understood. The text holds nothing of it: it may hold a password.
    """
    if settings.case_store is None:
        raise SettingsError(
            "FRAUD_CASE_STORE is not set: name the PostgreSQL database of the cases, such as"
            " postgresql://fraud@localhost/cases?sslmode=verify-full"
        )
    try:
        given = conninfo_to_dict(settings.case_store.get_secret_value())
    except psycopg.Error:
        raise SettingsError(
            "FRAUD_CASE_STORE is not understood (it is not shown here, as it may hold a password): write"
            " postgresql://USER@HOST:PORT/DATABASE?sslmode=verify-full, special characters percent-encoded"
        ) from None
    return make_conninfo(**(CERTAIN | {"application_name": f"fraudstream {name}"} | _texts(given)))


def connect(conninfo: str) -> Connection[Any]:
    """Return a connection in which each statement is its own transaction unless one is begun.

    Raises
    ------
    CaseStoreAwayError
        The server does not answer, or does not let us in.
    """
    with away():
        return psycopg.connect(conninfo, autocommit=True)


@contextmanager
def away() -> Iterator[None]:
    """Raise :class:`CaseStoreAwayError` where psycopg says that the server is away, is full, or refuses."""
    try:
        yield
    except psycopg.errors.InsufficientPrivilege as error:
        words = " ".join(str(error).split())
        raise CaseStoreAwayError(
            f"the case store refuses: {words}; `fraudstream doctor` says which rights the account lacks"
        ) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        # The server's own words: address, user and reason, never a password.
        words = " ".join(str(error).split())
        raise CaseStoreAwayError(
            f"the case store does not answer: {words}; start PostgreSQL, or set FRAUD_CASE_STORE"
        ) from error


def _texts(given: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in given.items() if value is not None}
