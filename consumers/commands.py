"""The commands `fraudstream alerts`, `archive`, `redrive` and `settle`."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from consumers.alerts import AlertDelivery, Sink
from consumers.archive import Archive
from consumers.console import ConsoleSink
from consumers.options import Duration, connected, group_of, until_idle_option
from consumers.partition_log import PartitionLog
from consumers.redrive import Filed, Redrive, count_by_reason
from consumers.settlement import Settlement
from consumers.stopping import Stop
from consumers.subscription import Subscription
from consumers.webhook import WebhookSink
from stream.adapters.emitter import KafkaEmitter
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.topics import TopicNames
from stream.clock import wall_clock
from stream.durations import in_milliseconds
from stream.records import DeadLetterReason
from stream.settings import load_settings


@click.command()
@connected
@click.option("--webhook", metavar="URL", help="Post each alert there as JSON, with FRAUD_WEBHOOK_TOKEN.")
@click.option("--quiet", is_flag=True, help="Do not print alerts.")
@until_idle_option
def alerts(webhook: str | None, quiet: bool, until_idle: float | None, **where: Any) -> None:
    """Show alerts as they come, and post them to a webhook.

    An alert is done with once it was shown and posted. One that the stream delivers again is recognised by
    its transaction id.
    """
    if quiet and webhook is None:
        raise click.UsageError("--quiet without --webhook leaves nothing to do")
    settings = load_settings(**where)
    sinks: list[Sink] = []
    if webhook is not None:  # first, so that what is shown has been posted
        token = settings.webhook_token
        sinks.append(WebhookSink(webhook, token=None if token is None else token.get_secret_value()))
    if not quiet:
        sinks.append(ConsoleSink(Console()))
    topics = [TopicNames.of(settings).alerts]
    access = KafkaAccess.of(settings)
    with Stop() as stop, Subscription(access, group_of(settings, "alerts"), topics) as subscription:
        delivery = AlertDelivery(subscription, sinks)
        try:
            delivery.run(stop, idle_seconds=until_idle)
        finally:
            click.echo(
                f"alerts: {delivery.delivered} delivered, {delivery.repeated} recognised as repeated,"
                f" {delivery.foreign} foreign records passed over",
                err=True,
            )


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@connected
@click.option(
    "--roll-records", default=50_000, show_default=True, help="Records after which files are written."
)
@click.option(
    "--roll-after", type=Duration(), default="60s", show_default=True, help="Time after which they are."
)
@until_idle_option
def archive(
    folder: Path, roll_records: int, roll_after: timedelta, until_idle: float | None, **where: Any
) -> None:
    """Write scores and labels into FOLDER as Parquet, by day.

    Every record ends in exactly one file, however often this is killed. Several may share a FOLDER.
    """
    settings = load_settings(**where)
    names = TopicNames.of(settings)
    access = KafkaAccess.of(settings)
    filing = Archive(
        folder,
        lambda **callbacks: Subscription(
            access, group_of(settings, "archive"), [names.scores, names.labels], **callbacks
        ),
        scores=names.scores,
        labels=names.labels,
        clock=wall_clock,
        tokens=settings.tokens,
        roll_records=roll_records,
        roll_ms=in_milliseconds(roll_after),
    )
    with Stop() as stop:
        filing.run(stop, idle_seconds=until_idle)
    click.echo(f"archive: {filing.filed} records filed, {filing.foreign} foreign ones passed over", err=True)


@click.command()
@connected
@click.option("--list", "list_only", is_flag=True, help="Count what lies there by reason, and do nothing.")
@click.option(
    "--reason",
    "reasons",
    multiple=True,
    type=click.Choice([reason.value for reason in DeadLetterReason]),
    help="Redrive these alone; may be repeated. All by default.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Redrive so many at most.")
@click.option("--rekey", is_flag=True, help="Key miskeyed transactions by their customer_id.")
@click.option("--dry-run", is_flag=True, help="Show what would be redriven, and publish nothing.")
def redrive(
    list_only: bool, reasons: tuple[str, ...], limit: int | None, rekey: bool, dry_run: bool, **where: Any
) -> None:
    """Publish dead letters back to the topics they came from, each once."""
    settings = load_settings(**where)
    names = TopicNames.of(settings)
    group = group_of(settings, "redrive")
    access = KafkaAccess.of(settings)
    if list_only:
        counts = count_by_reason(access, group, names.dead_letters)
        for reason, count in counts.most_common():
            click.echo(f"{count:>9} {reason.value}")
        if not counts:
            click.echo("no dead letters")
        return
    driving = Redrive(
        access,
        group,
        names.dead_letters,
        [names.transactions, names.labels],
        reasons=[DeadLetterReason(reason) for reason in reasons] or list(DeadLetterReason),
        rekey=rekey,
    )

    def show(filed: Filed) -> None:
        letter = filed.letter
        click.echo(
            f"{filed.address} from {letter.topic}/{letter.partition}/{letter.offset}: {letter.reason.value},"
            f" {letter.detail!r}"
        )

    with Stop() as stop:
        driving.run(stop, limit=limit, dry_run=dry_run, show=show)
    done = "would be redriven" if dry_run else "redriven"
    click.echo(
        f"redrive: {driving.redriven.total()} {done}, {driving.foreign} foreign ones passed over", err=True
    )
    if driving.masked:
        click.echo(
            f"redrive: {driving.masked} passed over whose card numbers are masked; set FRAUD_TOKEN_KEY, and"
            " have their senders publish them again",
            err=True,
        )


@click.command()
@connected
@click.option(
    "--after",
    type=Duration(),
    required=True,
    help="The verification latency, such as 30d: after it, silence means legitimate.",
)
@click.option("--until-idle", is_flag=True, help="Stop by itself once there is nothing more to read.")
def settle(after: timedelta, until_idle: bool, **where: Any) -> None:
    """Label transactions that nobody has called a fraud, for upstreams that send frauds alone."""
    settings = load_settings(**where)
    names = TopicNames.of(settings)
    group = group_of(settings, "settle")
    access = KafkaAccess.of(settings)
    emitter = KafkaEmitter(access, client_id="fraudstream-settle")
    try:
        with (
            Stop() as stop,
            PartitionLog(access, group, names.scores) as scores,
            PartitionLog(access, group, names.labels) as labels,
        ):
            settlement = Settlement(
                scores, labels, emitter, names.labels, in_milliseconds(after), settings.tokens
            )
            settlement.run(stop, until_idle=until_idle)
            click.echo(
                f"settle: {settlement.settled} settled, {settlement.waiting} waiting,"
                f" {settlement.foreign} foreign records passed over",
                err=True,
            )
    finally:
        emitter.close()
