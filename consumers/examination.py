"""What the doctor looks at for the analysts: their case store, and who may come in at the desk."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from stream.doctor.finding import Finding, State, good, warning, wrong
from stream.errors import FraudstreamError, SettingsError
from stream.settings import Settings

OLDEST_SERVER: Final = 13
_HERE: Final = frozenset({"", "localhost", "127.0.0.1", "::1"})
_WAITED_SECONDS: Final = 60
"""A verdict that has not been published for so long will not be by itself."""

Rights = Mapping[str, Sequence[str]]
"""Of each table, what one has to be allowed."""
DESK: Final[Rights] = {
    "migrations": ("SELECT",),
    "transactions": ("SELECT", "UPDATE"),
    "alerts": ("SELECT",),
    "labels": ("SELECT",),
    "verdicts": ("SELECT", "INSERT", "UPDATE"),
    "cases": ("SELECT",),
    "open_alerts": ("SELECT",),
    "frauds": ("SELECT",),
}
"""`desk` and `verdict`. A verdict locks its transaction, which PostgreSQL counts as an update."""
FILLER: Final[Rights] = {
    "migrations": ("SELECT", "INSERT"),
    "positions": ("SELECT", "INSERT", "UPDATE"),
    "transactions": ("SELECT", "INSERT", "DELETE"),
    "alerts": ("SELECT", "INSERT"),
    "labels": ("SELECT", "INSERT", "DELETE"),
    "verdicts": ("SELECT", "UPDATE"),
}
"""`cases`."""


def examine(settings: Settings, *, timeout_seconds: float) -> Iterator[Finding]:
    """Yield what is to be said of the case store and of the desk's users; nothing where neither is set."""
    users = list(_check_users(settings))
    if settings.case_store is None:
        if users:
            yield wrong(
                "case store",
                "FRAUD_DESK_USERS says who may log in at the desk, which has nothing to show: set"
                " FRAUD_CASE_STORE, too",
            )
        return
    yield from _check_case_store(settings, timeout_seconds)
    yield from users


def judge_encryption(host: str, mode: str, *, encrypted: bool) -> Finding | None:
    """Say what is wrong with the way to PostgreSQL; None when nothing is.

    Parameters
    ----------
    host
        Where it answers; a path is a socket of this machine.
    mode
        The DSN's `sslmode`.
    encrypted
        Whether the connection that was made is.

    Examples
    --------
    >>> judge_encryption("db", "prefer", encrypted=False).text
    'everybody on the way to db can read and change it; put sslmode=verify-full into FRAUD_CASE_STORE'
    """
    if host in _HERE or host.startswith("/"):
        return None
    if not encrypted:
        return warning(
            "case store",
            f"everybody on the way to {host} can read and change it; put sslmode=verify-full into"
            " FRAUD_CASE_STORE",
        )
    if mode != "verify-full":
        return warning(
            "case store",
            f"the way to {host} is encrypted, but with sslmode={mode} nobody makes sure that {host} is at its"
            " end; put sslmode=verify-full into FRAUD_CASE_STORE",
        )
    return None


def judge_rights(user: str, lacks: Mapping[str, Sequence[str]], *, may_create: bool) -> Finding:
    """Say for which of the commands an account may do enough.

    Parameters
    ----------
    user
        Its name.
    lacks
        By command, what it may not do: ``INSERT on verdicts``.
    may_create
        Whether it may bring the tables up to date.

    Examples
    --------
    >>> judge_rights("ana", {"desk": [], "cases": ["INSERT on alerts"]}, may_create=False).text
    'ana may do what desk needs; for cases it lacks INSERT on alerts, and CREATE on the schema'
    """
    lacking = {command: list(rights) for command, rights in lacks.items()}
    if not may_create:
        lacking["cases"] = [*lacking["cases"], "and CREATE on the schema"]
    content = [command for command, rights in lacking.items() if not rights]
    missing = "; ".join(
        f"for {command} it lacks {', '.join(rights)}" for command, rights in lacking.items() if rights
    )
    if not missing:
        return good("case store rights", f"{user} may do what {' and '.join(lacking)} need")
    if not content:
        return wrong("case store rights", f"{user} may do too little: {missing}; GRANT it")
    # Each command may have an account of its own.
    return good("case store rights", f"{user} may do what {' and '.join(content)} needs; {missing}")


def _check_users(settings: Settings) -> Iterator[Finding]:
    from consumers.desk.users import Users  # noqa: PLC0415 - the desk is not everybody's

    given = "" if settings.desk_users is None else settings.desk_users.get_secret_value().strip()
    if not given:
        return
    try:
        roles = Counter(user.role for user in Users(given).everybody)
    except SettingsError as error:
        yield wrong("desk", str(error))
        return
    listed = ", ".join(f"{count} {role}{'s' * (count > 1)}" for role, count in sorted(roles.items()))
    if roles["analyst"]:
        yield good("desk", f"{listed} may log in")
    else:
        yield warning(
            "desk",
            f"{listed} may log in and look, and nobody may judge; make an analyst:"
            " `fraudstream desk-user NAME`",
        )


def _check_case_store(settings: Settings, timeout_seconds: float) -> Iterator[Finding]:
    try:
        from consumers.cases.commands import require_extra  # noqa: PLC0415

        require_extra()
        from psycopg.conninfo import conninfo_to_dict, make_conninfo  # noqa: PLC0415 - the extra `desk`

        from consumers.cases.connection import away, connect, conninfo_of  # noqa: PLC0415

        conninfo = conninfo_of(settings, "doctor")
        patient = make_conninfo(conninfo, connect_timeout=max(2, math.ceil(timeout_seconds)))
        with connect(patient) as connection, away():
            connection.execute(
                "SELECT set_config('statement_timeout', %s, false)", [str(round(timeout_seconds * 1000))]
            )
            mode = str(conninfo_to_dict(conninfo).get("sslmode") or "prefer")
            yield from _check_server(connection, mode)
    except FraudstreamError as error:
        yield wrong("case store", str(error))


def _check_server(connection: Any, mode: str) -> Iterator[Finding]:
    from consumers.cases.migrations import require_schema  # noqa: PLC0415 - needs the extra `desk`

    info = connection.info
    release = info.server_version // 10_000
    place = f"database {info.dbname} at {info.host}:{info.port}"
    if release < OLDEST_SERVER:
        yield wrong("case store", f"PostgreSQL {release} has {place}; {OLDEST_SERVER} or newer is needed")
        return
    [replica, read_only] = connection.execute(
        "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'"
    ).fetchone()
    if replica or read_only:
        why = "is a replica" if replica else f"is read-only for {info.user}"
        yield wrong("case store", f"{place} {why} and takes no verdict; set FRAUD_CASE_STORE to its primary")
        return
    unsafe = judge_encryption(info.host, mode, encrypted=bool(connection.pgconn.ssl_in_use))
    if unsafe is not None:
        yield unsafe
    # Without the right to look at them, nobody knows whether the tables are up to date.
    rights = _check_rights(connection) if _has_tables(connection) else None
    if rights is not None and rights.state is State.WRONG:
        yield rights
        return
    try:
        require_schema(connection)
    except SettingsError as error:
        yield wrong("case store", str(error))
        return
    yield good("case store", f"PostgreSQL {release} has {place}, its tables up to date")
    if rights is not None:
        yield rights
    yield from _check_life(connection)


def _has_tables(connection: Any) -> bool:
    [last] = connection.execute("SELECT to_regclass('hits_by_day') IS NOT NULL").fetchone()
    return bool(last)


def _check_rights(connection: Any) -> Finding:
    lacks = {
        command: [
            f"{privilege} on {table}"
            for table, privileges in rights.items()
            for privilege in privileges
            if not _may(connection, table, privilege)
        ]
        for command, rights in {"desk": DESK, "cases": FILLER}.items()
    }
    [may_create] = connection.execute("SELECT has_schema_privilege(current_schema(), 'CREATE')").fetchone()
    return judge_rights(connection.info.user, lacks, may_create=bool(may_create))


def _may(connection: Any, table: str, privilege: str) -> bool:
    # To update one column is enough; rows are deleted whole.
    ask = (
        "SELECT has_table_privilege(%s, %s)"
        if privilege == "DELETE"
        else "SELECT has_any_column_privilege(%s, %s)"
    )
    return bool(connection.execute(ask, [table, privilege]).fetchone()[0])


def _check_life(connection: Any) -> Iterator[Finding]:
    from consumers.cases.store import is_being_filled  # noqa: PLC0415 - needs the extra `desk`
    from consumers.cases.verdicts import Outbox, outbox_of  # noqa: PLC0415

    if not is_being_filled(connection):
        yield warning(
            "cases",
            "nothing fills the case store now, so that the desk shows no new alert: start"
            " `fraudstream cases`",
        )
    outbox: Outbox = outbox_of(connection)
    if outbox.oldest_seconds >= _WAITED_SECONDS:
        yield warning(
            "verdicts",
            f"{outbox.verdicts} are written down and no labels yet, the oldest for"
            f" {outbox.oldest_seconds / 60:.0f} min: `fraudstream cases` publishes them, once it runs and"
            " Kafka answers",
        )
