"""The command `fraudstream forget`: everything about a customer is removed, and that it was is on record."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from consumers.archived_erasure import ErasedRows, erase_archived
from consumers.cases.commands import require_extra
from consumers.options import connected
from stream.adapters.emitter import KafkaEmitter
from stream.adapters.erasure import Erased, RedisErasure
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.topics import TopicNames
from stream.clock import wall_clock
from stream.errors import InfrastructureError
from stream.pipeline.lineup import unpack_lineup
from stream.pipeline.pending_packing import unpack_pending
from stream.ports import Outgoing
from stream.records import ModelEvent, encode
from stream.settings import Settings, load_settings

ROUND_SECONDS: Final = 2.0
"""Between two rounds: batches that were under way in the one before are done in the next."""
MOST_ROUNDS: Final = 10


@click.command()
@click.argument("customer")
@connected
@click.option("--redis", help="URL of Redis [FRAUD_REDIS].")
@click.option(
    "--archive",
    "archives",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    multiple=True,
    help="A folder that `fraudstream archive` fills; may be repeated.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def forget(customer: str, archives: tuple[Path, ...], yes: bool, **where: str | None) -> None:
    """Remove a CUSTOMER from Redis, archives and cases; `-` reads the identifier from standard input.

    What lies on topics goes when their retention is over; what was not reached is said at the end. That
    somebody was forgotten, and how much of them, is a record on model-events; who it was is in no record.
    """
    settings = load_settings(**where)
    if customer == "-":
        customer = click.get_text_stream("stdin").readline().strip()
    if not customer:
        raise click.UsageError("there is no identifier of a customer")
    if not yes:
        click.confirm("Remove all that is known of this customer, for good?", abort=True)
    # As they are called now, and as they were before there were tokens.
    names = {customer, settings.tokens.identifier(customer), settings.tokens.customer(customer)}
    erased, transactions = _from_redis(settings, names)
    rows = [erase_archived(folder, names, transactions) for folder in archives]
    archived = ErasedRows(sum(one.scores for one in rows), sum(one.labels for one in rows))
    cases = _from_cases(settings, names)
    _put_on_record(settings, erased, archived, cases)
    click.echo(
        f"forgotten: {erased.states} states, {erased.risks} risk records, {erased.pending} pending records,"
        f" {erased.verdicts} verdicts; {archived.scores} archived scores, {archived.labels} archived labels;"
        f" {'no case store' if cases is None else f'{cases} transactions of the case store'}",
        err=True,
    )
    click.echo(_not_reached(settings, any_archive=bool(archives), any_cases=cases is not None), err=True)


def _not_reached(settings: Settings, *, any_archive: bool, any_cases: bool) -> str:
    """Say where else somebody may still be found."""
    names = TopicNames.of(settings)
    topics = f"{names.transactions}, {names.labels}, {names.scores}, {names.alerts}, {names.dead_letters}"
    places = [f"the topics {topics}, until their retention is over"]
    if not any_archive:
        places.append("archives (name each with --archive)")
    if not any_cases:
        places.append("a case store (set FRAUD_CASE_STORE)")
    return (
        f"not reached: {'; '.join(places)}; backups, and what was given elsewhere. If `cases` or `archive`"
        " had not read all of the topics yet, run this again once they have"
    )


def _from_redis(settings: Settings, names: set[str]) -> tuple[Erased, set[str]]:
    erasure = RedisErasure(settings, _customer_of)
    total, transactions = Erased(), set[str]()
    try:
        erasure.announce()
        for number in range(MOST_ROUNDS):
            found = Erased()
            for name in names:
                erased, ids = erasure.erase(name)
                found, transactions = found + erased, transactions | ids
            total += found
            if number and not any(found):
                return total, transactions
            time.sleep(ROUND_SECONDS)
    finally:
        erasure.close()
    raise InfrastructureError(
        f"the customer came back in each of {MOST_ROUNDS} rounds, as their transactions go on: stop these at"
        " their source, and run the same command again"
    )


def _customer_of(packed: bytes, lineups: Mapping[str, bytes]) -> str:
    opened = {name: unpack_lineup(bytes.fromhex(name), lineup) for name, lineup in lineups.items()}
    return unpack_pending(packed, opened).customer_id


def _from_cases(settings: Settings, names: set[str]) -> int | None:
    if settings.case_store is None:
        return None
    require_extra()
    from consumers.cases.connection import conninfo_of  # noqa: PLC0415 - needs the extra `desk`
    from consumers.cases.store import CaseStore  # noqa: PLC0415

    store = CaseStore(conninfo_of(settings, "forget"))
    try:
        return sum(store.erase(name) for name in names)
    finally:
        store.close()


def _put_on_record(settings: Settings, erased: Erased, archived: ErasedRows, cases: int | None) -> None:
    now = wall_clock()
    evidence: dict[str, float | int | str] = {
        **erased._asdict(),
        "archived_scores": archived.scores,
        "archived_labels": archived.labels,
        "cases": cases or 0,
    }
    event = ModelEvent(
        kind="erased",
        model_version="none",
        detail="a customer was forgotten: everything about them was removed from Redis, archives and cases",
        evidence=evidence,
        label_offset=-1,
        event_time=now,
        recorded_at=now,
    )
    emitter = KafkaEmitter(KafkaAccess.of(settings), client_id="fraudstream-forget")
    try:
        emitter.emit([Outgoing(TopicNames.of(settings).model_events, b"none", encode(event))])
    finally:
        emitter.close()
