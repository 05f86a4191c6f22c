"""A bare confluent-kafka loop with River: no framework, batches from the broker, work per event.

python -m benchmarks.baselines.bare
"""

import json
import time
from collections.abc import Mapping
from typing import Any, Final

import redis
from confluent_kafka import Message, Producer
from prometheus_client import start_http_server

from benchmarks.baselines.aggregates import describe
from benchmarks.baselines.loop import consume, producer
from benchmarks.baselines.metrics import ALERTS, DEAD_LETTERS, SECONDS, TRANSACTIONS
from benchmarks.baselines.model import ALERT, VERSION, probability, trained_model
from benchmarks.baselines.place import Place

_PENDING_SECONDS: Final = 35 * 86_400
_STATE_SECONDS: Final = 60 * 86_400
_TEXTS: Final = ("transaction_id", "customer_id", "terminal_id")
_BATCH: Final = 500


class Scorer:
    """Scores transactions one after the other."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._model = trained_model()
        self._store = redis.Redis.from_url(place.redis, decode_responses=True)
        self._producer: Producer = producer(place.broker)

    def handle(self, messages: list[Message]) -> None:
        """Score a batch, one by one; return once the broker has the scores."""
        for message in messages:
            started = time.perf_counter()
            transaction = _read(message.value())
            if transaction is None:
                DEAD_LETTERS.inc()
                self._producer.produce(self._place.dead_letters, message.value(), message.key())
            else:
                self._score(transaction)
                SECONDS.observe(time.perf_counter() - started)
        self._producer.flush()

    def _score(self, transaction: Mapping[str, Any]) -> None:
        place, name = self._place, transaction["transaction_id"]
        with self._store.pipeline(transaction=False) as pipe:
            pipe.hgetall(place.customer(transaction["customer_id"]))
            pipe.hgetall(place.terminal(transaction["terminal_id"]))
            customer, terminal = pipe.execute()
        features, after = describe(transaction["amount"], transaction["event_time"], customer, terminal)
        chance = probability(self._model, features)
        with self._store.pipeline(transaction=True) as pipe:
            key = place.customer(transaction["customer_id"])
            pipe.hset(key, mapping=after)  # type: ignore[arg-type]  # its keys are invariant
            pipe.expire(key, _STATE_SECONDS)
            pipe.hincrby(place.terminal(transaction["terminal_id"]), "transactions", 1)
            pending = json.dumps(
                {"features": features, "score": chance, "event_time": transaction["event_time"]}
            )
            pipe.set(place.pending(name), pending, ex=_PENDING_SECONDS)
            pipe.execute()
        answer = {
            "transaction_id": name,
            "event_time": transaction["event_time"],
            "customer_id": transaction["customer_id"],
            "terminal_id": transaction["terminal_id"],
            "amount": transaction["amount"],
            "score": chance,
            "decision": "alert" if chance >= ALERT else "allow",
            "model_version": VERSION,
            "scored_at": round(time.time() * 1000),
        }
        self._producer.produce(place.scores, json.dumps(answer), transaction["customer_id"])
        if chance >= ALERT:
            ALERTS.inc()
        TRANSACTIONS.inc()


def _read(value: bytes | None) -> Mapping[str, Any] | None:
    """Return a transaction; None when it is not one."""
    try:
        transaction = json.loads(value or b"")
    except ValueError:
        return None
    if not isinstance(transaction, dict):
        return None
    if not all(isinstance(transaction.get(name), str) and transaction[name] for name in _TEXTS):
        return None
    amount, event_time = transaction.get("amount"), transaction.get("event_time")
    if not isinstance(amount, int | float) or not isinstance(event_time, int) or amount < 0:
        return None
    return transaction


if __name__ == "__main__":
    here = Place.of_environment()
    start_http_server(here.metrics_port, "127.0.0.1")
    consume(here, "bare", _BATCH, Scorer(here).handle)
