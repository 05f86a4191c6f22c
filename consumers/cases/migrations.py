"""Migrations: the case store's schema, brought up to date one numbered file after the other."""

from importlib.resources import files
from typing import Any, Final, NamedTuple

from psycopg import Connection

from consumers.cases.connection import away
from stream.errors import SettingsError

_LOCK: Final = 0x66726175640001
"""Key of the advisory lock that keeps two processes from migrating at once."""


class Migration(NamedTuple):
    """One step of the schema."""

    version: int
    name: str
    statements: str


def migrations() -> list[Migration]:
    """Return every step, the oldest first.

    Examples
    --------
    >>> [(step.version, step.name) for step in migrations()][0]
    (1, 'cases')
    """
    found = []
    for file in files("consumers.cases").joinpath("schema").iterdir():
        if file.name.endswith(".sql"):
            number, name = file.name.removesuffix(".sql").split("_", 1)
            found.append(Migration(int(number), name, file.read_text()))
    return sorted(found)


def migrate(connection: Connection[Any]) -> int:
    """Bring the schema up to date, all or nothing.

    Returns
    -------
    int
        How many steps were taken: 0 when it was up to date.

    Raises
    ------
    SettingsError
        The database was made by a later version of this code.
    """
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        connection.execute(
            "CREATE TABLE IF NOT EXISTS migrations"
            " (version integer PRIMARY KEY, name text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        steps = migrations()[_version(connection) :]
        for step in steps:
            # As bytes: psycopg takes no text for a statement that is not written in the code.
            connection.execute(step.statements.encode())
            connection.execute(
                "INSERT INTO migrations (version, name) VALUES (%s, %s)", [step.version, step.name]
            )
    return len(steps)


def require_schema(connection: Connection[Any]) -> None:
    """Make sure that the schema is this code's.

    Raises
    ------
    SettingsError
        It is missing, older or later; what to do.
    CaseStoreAwayError
        The server does not answer, or does not let us look.
    """
    with away(), connection.transaction():
        present = connection.execute("SELECT to_regclass('migrations') IS NOT NULL").fetchone()
        assert present is not None
        version = _version(connection) if present[0] else 0
    if version < len(migrations()):
        raise SettingsError(
            f"FRAUD_CASE_STORE: the database is at version {version} of the case store's schema and"
            f" {len(migrations())} is needed; run `fraudstream cases --init`, which brings it up to date"
        )


def _version(connection: Connection[Any]) -> int:
    row = connection.execute("SELECT coalesce(max(version), 0) FROM migrations").fetchone()
    assert row is not None
    version = int(row[0])
    if version > len(migrations()):
        raise SettingsError(
            f"FRAUD_CASE_STORE: the database is at version {version} of the case store's schema, which this"
            f" fraudstream, knowing {len(migrations())}, has not heard of; update it"
        )
    return version
