"""The commands `fraudstream cases` and `verdict`."""

from typing import Any

import click

from consumers.exposition import Exposition
from consumers.metrics import FilingMetrics
from consumers.options import connected, group_of, until_idle_option
from consumers.partition_log import PartitionLog
from consumers.stopping import Stop
from stream import __version__
from stream.adapters.emitter import KafkaEmitter
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.topics import TopicNames
from stream.clock import wall_clock
from stream.errors import InfrastructureError, SettingsError
from stream.settings import load_settings


@click.command()
@click.option("--init", is_flag=True, help="Bring the tables up to date, and do nothing else.")
@connected
@until_idle_option
def cases(init: bool, until_idle: float | None, **where: Any) -> None:
    """Fill the case store, a PostgreSQL database, from scores, alerts and labels.

    FRAUD_CASE_STORE names the database, whose tables are made and brought up to date here. Nothing is lost
    or counted twice, however often this is killed; of several that run, one works and the others stand by.
    What is older than FRAUD_CASE_DAYS is removed. Metrics and health: FRAUD_CASES_METRICS_PORT.
    """
    require_extra()
    from consumers.cases.connection import conninfo_of  # noqa: PLC0415 - needs the extra `desk`
    from consumers.cases.filing import Filing  # noqa: PLC0415
    from consumers.cases.store import CaseStore  # noqa: PLC0415
    from consumers.cases.verdicts import publish_due  # noqa: PLC0415

    settings = load_settings(**where)
    names = TopicNames.of(settings)
    group = group_of(settings, "cases")
    conninfo = conninfo_of(settings, "cases")
    if init:
        with CaseStore(conninfo) as store:
            steps = store.migrate()
        click.echo(f"cases: {steps} steps taken" if steps else "cases: the tables were up to date")
        return
    access = KafkaAccess.of(settings)
    metrics = FilingMetrics()
    metrics.build_info.labels(__version__, "cases").set(1)
    emitter = KafkaEmitter(access, client_id="fraudstream-cases")
    try:
        with (
            Stop() as stop,
            PartitionLog(access, group, names.scores) as scores,
            PartitionLog(access, group, names.alerts) as alerts,
            PartitionLog(access, group, names.labels) as labels,
        ):
            filing = Filing(
                lambda: CaseStore(conninfo),
                *(scores, alerts, labels),
                publish=lambda store: publish_due(store.connection, emitter, names.labels),
                clock=wall_clock,
                case_days=settings.case_days,
                history_days=settings.pending_days,
                tokens=settings.tokens,
                metrics=metrics,
            )
            exposition = Exposition(
                *(settings.http_host, settings.cases_metrics_port, metrics.registry),
                lambda: [filing.trouble] if filing.trouble else [],
                setting="FRAUD_CASES_METRICS_PORT",
            )
            try:
                with exposition:
                    filing.run(stop, idle_seconds=until_idle)
            finally:
                click.echo(
                    f"cases: {filing.filed} records filed, {filing.foreign} foreign ones passed over,"
                    f" {filing.swept} transactions too old",
                    err=True,
                )
    finally:
        emitter.close()


@click.command()
@click.argument("transaction")
@click.argument("judged", metavar="fraud|legitimate", type=click.Choice(["fraud", "legitimate"]))
@click.option("--who", required=True, help="Who decides: kept, with the time, for whoever asks later.")
@click.option("--why", required=True, help="What was seen, in a sentence: kept as well.")
@connected
def verdict(transaction: str, judged: str, who: str, why: str, **where: Any) -> None:
    """Say of a TRANSACTION what it was: an analyst's label.

    It is written into the case store (FRAUD_CASE_STORE) and goes to `labels`, where the learner finds it. The
    same said again changes nothing; the opposite corrects it.
    """
    require_extra()
    from consumers.cases.connection import connect, conninfo_of  # noqa: PLC0415 - needs the extra `desk`
    from consumers.cases.migrations import require_schema  # noqa: PLC0415
    from consumers.cases.verdicts import Verdict, publish_due, record  # noqa: PLC0415

    settings = load_settings(**where)
    emitter = KafkaEmitter(KafkaAccess.of(settings), client_id="fraudstream-verdict")
    try:
        with connect(conninfo_of(settings, "verdict")) as connection:
            require_schema(connection)
            said = Verdict(transaction, judged == "fraud", who, why, "cli").without_cards(settings.tokens)
            recorded = record(connection, said, wall_clock)
            if not recorded.is_new:
                click.echo(f"{said.transaction_id} was judged {judged} already; nothing was changed")
                return
            before = (
                f", which {recorded.before_source} had called {recorded.before}" if recorded.before else ""
            )
            click.echo(f"{said.transaction_id}{before}: {judged}, written down")
            try:
                publish_due(connection, emitter, TopicNames.of(settings).labels)
            except InfrastructureError as error:
                raise InfrastructureError(
                    f"{error}; the verdict is written down, and `fraudstream cases` publishes it when Kafka"
                    " answers"
                ) from error
    finally:
        emitter.close()


def require_extra() -> None:
    """Make sure that what the extra `desk` brings is there.

    Raises
    ------
    SettingsError
        It is not, and how to have it.
    """
    try:
        import jinja2  # noqa: F401, PLC0415 - an extra
        import psycopg  # noqa: F401, PLC0415
        import psycopg_pool  # noqa: F401, PLC0415
    except ImportError:
        raise SettingsError(
            "cases and desk need psycopg, psycopg-pool and Jinja2: pip install 'fraudstream[desk]'"
        ) from None
