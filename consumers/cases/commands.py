"""The command `fraudstream cases`."""

from typing import Any

import click

from consumers.options import connected, group_of, until_idle_option
from consumers.stopping import Stop
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.topics import TopicNames
from stream.clock import wall_clock
from stream.errors import SettingsError
from stream.settings import load_settings


@click.command()
@connected
@until_idle_option
def cases(until_idle: float | None, **where: Any) -> None:
    """Fill the case store, a PostgreSQL database, from scores, alerts and labels.

    FRAUD_CASE_STORE names the database, whose tables are made and brought up to date here. Nothing is lost
    or counted twice, however often this is killed; of several that run, one works and the others stand by.
    What is older than FRAUD_CASE_DAYS is removed.
    """
    require_extra()
    from consumers.cases.connection import conninfo_of  # noqa: PLC0415 - needs the extra `desk`
    from consumers.cases.filing import Filing  # noqa: PLC0415
    from consumers.cases.store import CaseStore  # noqa: PLC0415
    from consumers.partition_log import PartitionLog  # noqa: PLC0415

    settings = load_settings(**where)
    names = TopicNames.of(settings)
    group = group_of(settings, "cases")
    access = KafkaAccess.of(settings)
    conninfo = conninfo_of(settings, "cases")
    with (
        Stop() as stop,
        PartitionLog(access, group, names.scores) as scores,
        PartitionLog(access, group, names.alerts) as alerts,
        PartitionLog(access, group, names.labels) as labels,
    ):
        filing = Filing(
            lambda: CaseStore(conninfo),
            *(scores, alerts, labels),
            clock=wall_clock,
            case_days=settings.case_days,
            history_days=settings.pending_days,
        )
        try:
            filing.run(stop, idle_seconds=until_idle)
        finally:
            click.echo(
                f"cases: {filing.filed} records filed, {filing.foreign} foreign ones passed over,"
                f" {filing.swept} transactions too old",
                err=True,
            )


def require_extra() -> None:
    """Make sure that what the extra `desk` brings is there.

    Raises
    ------
    SettingsError
        It is not, and how to have it.
    """
    try:
        import psycopg  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise SettingsError(
            "the case store needs psycopg and PostgreSQL's client library: pip install 'fraudstream[desk]'"
        ) from None
