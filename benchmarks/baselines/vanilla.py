"""Vanilla Faust: an agent over one event at a time, as Faust's and River's documentation teach it.

    python -m benchmarks.baselines.vanilla worker --without-web --loglevel warn

``faust.Record`` decodes and validates, River scores, Redis has a hash for each customer: one pipelined
round trip to read, one to write. No concurrency in the agent: two events of one customer would overwrite
each other's aggregates.
"""

import json
import sys
import time
from typing import Any, Final

import faust
from prometheus_client import start_http_server
from redis import asyncio as redis

from benchmarks.baselines.aggregates import describe
from benchmarks.baselines.metrics import ALERTS, DEAD_LETTERS, SECONDS, TRANSACTIONS
from benchmarks.baselines.model import ALERT, VERSION, probability, trained_model
from benchmarks.baselines.place import Place

_PENDING_SECONDS: Final = 35 * 86_400
_STATE_SECONDS: Final = 60 * 86_400


class Transaction(faust.Record, serializer="json", validation=True):  # type: ignore[misc,call-arg]  # Faust has no types
    """What comes in."""

    transaction_id: str
    event_time: int
    customer_id: str
    terminal_id: str
    amount: float
    currency: str | None = None
    channel: str | None = None
    country: str | None = None
    merchant_category: str | None = None
    schema_version: int = 1


class Score(faust.Record, serializer="json"):  # type: ignore[misc,call-arg]  # Faust has no types
    """What goes out."""

    transaction_id: str
    event_time: int
    customer_id: str
    terminal_id: str
    amount: float
    score: float
    decision: str
    model_version: str
    scored_at: int


place = Place.of_environment()
model = trained_model()
app = faust.App(f"{place.name}-vanilla", broker=f"kafka://{place.broker}", store="memory://")
transactions = app.topic(place.transactions, value_type=Transaction)
scores = app.topic(place.scores, value_type=Score)
dead_letters = app.topic(place.dead_letters)
store = redis.Redis.from_url(place.redis, decode_responses=True)


@app.agent(transactions)  # type: ignore[untyped-decorator]  # Faust has no types
async def score(stream: Any) -> None:
    """Score each transaction."""
    async for transaction in stream:
        started = time.perf_counter()
        if not (transaction.transaction_id and transaction.customer_id and transaction.amount >= 0):
            DEAD_LETTERS.inc()
            await dead_letters.send(key=transaction.customer_id, value=transaction.asdict())
            continue
        async with store.pipeline(transaction=False) as pipe:
            pipe.hgetall(place.customer(transaction.customer_id))
            pipe.hgetall(place.terminal(transaction.terminal_id))
            customer, terminal = await pipe.execute()
        features, after = describe(transaction.amount, transaction.event_time, customer, terminal)
        answer = Score(
            transaction_id=transaction.transaction_id,
            event_time=transaction.event_time,
            customer_id=transaction.customer_id,
            terminal_id=transaction.terminal_id,
            amount=transaction.amount,
            score=(chance := probability(model, features)),
            decision="alert" if chance >= ALERT else "allow",
            model_version=VERSION,
            scored_at=round(time.time() * 1000),
        )
        async with store.pipeline(transaction=True) as pipe:
            key = place.customer(transaction.customer_id)
            pipe.hset(key, mapping=after)  # type: ignore[arg-type]  # its keys are invariant
            pipe.expire(key, _STATE_SECONDS)
            pipe.hincrby(place.terminal(transaction.terminal_id), "transactions", 1)
            pending = json.dumps(
                {"features": features, "score": chance, "event_time": transaction.event_time}
            )
            pipe.set(place.pending(transaction.transaction_id), pending, ex=_PENDING_SECONDS)
            await pipe.execute()
        await scores.send(key=transaction.customer_id, value=answer)
        if answer.decision == "alert":
            ALERTS.inc()
        TRANSACTIONS.inc()
        SECONDS.observe(time.perf_counter() - started)


@app.on_before_shutdown.connect  # type: ignore[untyped-decorator]  # Faust has no types
async def count(_app: Any, **_: Any) -> None:
    """Say what was done."""
    sys.stdout.write(f"answered {TRANSACTIONS._value.get():.0f}\n")  # noqa: SLF001 - the client has no public way


if __name__ == "__main__":
    start_http_server(place.metrics_port, "127.0.0.1")
    app.main()
