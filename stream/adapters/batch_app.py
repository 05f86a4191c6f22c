"""The app: a Faust app that reads record batches, and what its user says to it.

Whoever works on a topic draws what has come, and says when a batch is done::

    app = record_batch_app("scorers", access=access)
    batch_topic(app, "transactions")

    for batch in draw(app, 0.1):  # in a thread of its own
        if not overtaken(app, batch):
            ...  # effects
            loop.call_soon_threadsafe(acknowledge, app, batch)

What is never acknowledged comes again: the next time the partition is assigned.
"""

import tempfile
from collections.abc import Awaitable, Callable
from typing import Any, Final

import faust
from faust.auth import OAuthCredentials
from yarl import URL

from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.kafka_token import ClientCredentials
from stream.adapters.record_batches import (
    RecordBatch,
    RecordBatchConsumer,
    RecordBatchTransport,
    RefusalHandler,
    StartOffset,
)

_REQUEST_SECONDS: Final = 90.0
"""Faust's own default."""

AssignmentHandler = Callable[[set[tuple[str, int]]], Awaitable[None]]
"""Given every assigned topic and partition."""


def record_batch_app(
    app_id: str,
    *,
    access: KafkaAccess,
    batch_records: int = 500,
    session_timeout_seconds: float = 10.0,
    commit_interval_seconds: float = 1.0,
    start_offset: StartOffset | None = None,
    on_refusal: RefusalHandler | None = None,
) -> faust.App:
    """Make a Faust app that reads record batches.

    Parameters
    ----------
    app_id
        Its consumer group.
    access
        How to reach Kafka.
    batch_records
        Most records that are drawn at a time.
    session_timeout_seconds
        How long the partitions of a killed worker wait before another takes them.
    commit_interval_seconds
        How often acknowledged offsets are committed: how much comes again after a kill.
    start_offset
        Where to read an assigned partition from, asked at the end of each rebalance; by default from the
        committed offset, or from the earliest record when there is none.
    on_refusal
        Told, once, when the broker allows us no longer to read or to be in the group.
    """
    servers = [URL(f"kafka://{server.strip()}") for server in access.servers.split(",")]
    app = faust.App(
        app_id,
        broker=servers,
        broker_credentials=_credentials(access),
        broker_max_poll_records=batch_records,
        broker_session_timeout=session_timeout_seconds,
        # Faust starts with no longer session than a request may take.
        broker_request_timeout=max(_REQUEST_SECONDS, session_timeout_seconds),
        broker_heartbeat_interval=session_timeout_seconds / 3,
        broker_commit_interval=commit_interval_seconds,
        consumer_auto_offset_reset="earliest",
        # Before it is told to pause it asks for the first records of an assignment: as few as may be.
        consumer_max_fetch_size=1,
        # Waiting for streams to empty hangs at shutdown; what was not acknowledged comes again.
        stream_wait_empty=False,
        # Topics are made by `fraudstream topics create`, with the settings that they need.
        topic_allow_declare=False,
        topic_disable_leader=True,
        # There are no tables, but Faust makes a directory for them and would make it where we stand.
        store="memory://",
        datadir=tempfile.gettempdir(),
        # Metrics and health are served by an adapter of ours.
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    app.transport = RecordBatchTransport(
        servers, app, access, start_offset=start_offset, on_refusal=on_refusal
    )
    return app


def _credentials(access: KafkaAccess) -> Any:
    """Say who we are in Faust's words, which hands it on to aiokafka; None: we do not."""
    if access.login is not None and access.login.token_url is not None:
        user, secret = access.login.user, access.login.password
        tokens = ClientCredentials(access.login.token_url, user, secret, access.login.token_scope)
        return OAuthCredentials(oauth_cb=tokens, ssl_context=access.ssl_context)
    if access.login is not None:
        return faust.SASLCredentials(
            mechanism=access.login.mechanism,
            username=access.login.user,
            password=access.login.password.get_secret_value(),
            ssl_context=access.ssl_context,
        )
    return faust.SSLCredentials(access.ssl_context) if access.ssl_context is not None else None


def batch_topic(app: faust.App, name: str) -> None:
    """Let `app`, made by :func:`record_batch_app`, read a topic in record batches."""
    app.topics.add(app.topic(name, acks=False, internal=False))


def on_assignment(app: faust.App, handler: AssignmentHandler) -> None:
    """Await `handler` with every assigned partition at the end of each rebalance, before their records flow.

    It is the place to take partitions over: `start_offset` is asked after it, and as Faust's heartbeats go on
    meanwhile it may take as long as it must. (In a handler of the signal `on_partitions_assigned` neither
    holds: records may flow before it is done, and no heartbeat is sent until it is.) After a long wait the
    partitions may have moved on: another call with the new ones follows at once.
    """

    async def complete(sender: faust.App, **_: Any) -> None:
        await handler({(tp.topic, tp.partition) for tp in sender.consumer.assignment()})

    app.on_rebalance_complete.connect(complete, weak=False)


def overtaken(app: faust.App, batch: RecordBatch) -> bool:
    """Tell whether a rebalance has begun since the batch was drawn.

    It is then not to be begun with: its partition may be another worker's, and where it is still ours the
    batch comes again. May be called in any thread.
    """
    consumer: RecordBatchConsumer = app.consumer
    return consumer.overtaken(batch)


def acknowledge(app: faust.App, batch: RecordBatch) -> bool:
    """Mark a record batch as done; see :meth:`RecordBatchConsumer.acknowledge`."""
    consumer: RecordBatchConsumer = app.consumer
    return consumer.acknowledge(batch)


def draw(app: faust.App, seconds: float) -> list[RecordBatch]:
    """Return what has come, a batch for each partition; see :meth:`RecordBatchConsumer.draw`."""
    consumer: RecordBatchConsumer = app.consumer
    return consumer.draw(seconds)


def rejoin(app: faust.App) -> None:
    """Join the group anew; see :meth:`RecordBatchConsumer.rejoin`."""
    app.consumer.rejoin()


def consumer_lag(app: faust.App) -> dict[tuple[str, int], int]:
    """Return how many records lie unacknowledged in each assigned partition, by topic and partition."""
    lags: dict[tuple[str, int], int] = app.consumer.consumer_lag()
    return lags


def reached(app: faust.App) -> dict[tuple[str, int], int | None]:
    """Return how far each assigned partition has come; see :meth:`RecordBatchConsumer.reached`."""
    offsets: dict[tuple[str, int], int | None] = app.consumer.reached()
    return offsets
