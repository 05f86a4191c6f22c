"""A flood of identifiers used once each: what Redis takes, and what becomes of the honest customers.

    python -m benchmarks.flood [--identifiers 1000000] [--json F.json]

Runs the roles over a Redis of its own. Simulated customers live for a while; then every transaction but one
in ten comes from a customer that nobody has seen, at a terminal that nobody has seen, and one in three of
these is labelled. Exit code 1 when more is remembered than there should be, `used_memory` is beyond what
docs/capacity.md gives for that, an honest transaction has no answer, or those who were known before are not
known any more.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import count, islice
from pathlib import Path
from typing import Any, Final, NamedTuple

import redis

from benchmarks.bars import Bar, hold
from benchmarks.capacity import Stored, census, used_memory
from benchmarks.provenance import provenance, write
from producers.simulator import Simulator
from stream.adapters.memory import InMemoryEmitter
from stream.adapters.redis_store import RedisStore
from stream.adapters.topics import TopicNames
from stream.clock import MINUTE_MS, wall_clock
from stream.features.catalogue import FEATURE_NAMES
from stream.records import Label, Record, Transaction, encode
from stream.roles.learner import LearnerPolicy, LearnerRole
from stream.roles.patience import Patience, Waits
from stream.roles.scorer import ScorerPolicy, ScorerReport, ScorerRole
from stream.settings import Settings
from tests.services.redis_server import RedisServer

BATCH: Final = 1_000
HONEST_SHARE: Final = 10
"""One transaction in so many is of somebody known before."""
LABELLED_SHARE: Final = 3
"""Of the others, one in so many is labelled."""
OVERSHOOT: Final = 1.1
"""Of the most that is remembered: how many there are is estimated, and a batch may bring more."""
TOLERATED: Final = 1.15
"""Of the bytes that the formula of docs/capacity.md gives."""
KNOWN: Final = 0.95
"""Share of the honest transactions in the flood whose customer's past must still be known."""
_SEEN: Final = FEATURE_NAMES.index("customer_count_30d")
_LONGER: Final = 32
"""Bytes that an identifier of the flood, in customer and terminal, takes more than one of 7 characters."""


class Flooded(NamedTuple):
    """What a flood came to."""

    identifiers: int
    """Customers that came once, and as many terminals."""
    most: int
    """States that were to be remembered, and as many risk records."""
    remembered: int
    """The most of both together that there ever were between two batches."""
    forgotten: int
    used: int
    """Bytes of Redis's `used_memory` at the end."""
    bound: int
    """Bytes that the formula gives for the most that is remembered, and for the transactions as they are."""
    honest: int
    """Transactions of those who were known before, in the flood."""
    unanswered: int
    known: float
    """Share of them whose customer's past was known."""
    seconds: float

    def bars(self) -> list[Bar]:
        """Return what it is held to."""
        return [
            Bar("remembered / most", self.remembered / (2 * self.most), "at most", OVERSHOOT),
            Bar("used_memory / bound", self.used / self.bound, "at most", TOLERATED),
            Bar("honest, not answered", self.unanswered, "at most", 0),
            Bar("honest, still known", self.known, "at least", KNOWN),
        ]


class Flood:
    """Roles over a Redis, honest customers, and a flood.

    Parameters
    ----------
    url
        Of a Redis that is empty.
    most
        States to remember, and as many risk records.
    customers
        Honest ones.
    seed
        Of all randomness.
    """

    def __init__(self, url: str, most: int, customers: int, seed: int = 7) -> None:
        # A small cache, so that who is known is a matter of what Redis has.
        self._settings = Settings(
            redis=url, partitions=1, champion="logistic", challengers=(), customer_cache=BATCH
        )
        self._most = most
        self._client = redis.Redis.from_url(url)
        self._store = RedisStore(
            url,
            namespace=self._settings.namespace,
            pending_ttl=timedelta(days=self._settings.pending_days),
            state_ttl=timedelta(days=self._settings.state_days),
            most_remembered=most,
        )
        waits = Waits.alike(Patience(threading.Event(), lambda _: None))
        self._emitter, topics = InMemoryEmitter(), TopicNames()
        learning, scoring = LearnerPolicy.of(self._settings), ScorerPolicy.of(self._settings)
        self._learner = LearnerRole(self._store, self._emitter, topics, wall_clock, learning, None, waits)
        self._scorer = ScorerRole(self._store, self._emitter, topics, wall_clock, scoring, None, waits)
        self._learner.start()
        self._scorer.assign(0)
        self._offsets, self._label_offsets = count(), count()
        self._honest = (one.transaction for one in Simulator(seed=seed, customers=customers, days=None))
        self._event_time = 0
        self._remembered = 0

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()
        self._store.close()

    def live(self, transactions: int) -> None:
        """Let the honest customers live for so many transactions."""
        while transactions > 0:
            self._score([*islice(self._honest, min(BATCH, transactions))])
            transactions -= BATCH

    def flood(self, identifiers: int) -> Flooded:
        """Flood, and say what came of it."""
        started = time.perf_counter()
        numbers = iter(range(identifiers))
        honest = unanswered = known = 0
        while strangers := [*islice(self._strangers(numbers), BATCH - BATCH // HONEST_SHARE)]:
            friends = [*islice(self._honest, BATCH // HONEST_SHARE)]
            pendings = self._score([*strangers, *friends]).pendings
            honest += len(friends)
            for one in friends:
                pending = pendings.get(one.transaction_id)
                unanswered += pending is None
                known += pending is not None and pending.vector[_SEEN] > 0
            self._label(strangers[::LABELLED_SHARE])
            self._emitter.emitted.clear()
        seconds = time.perf_counter() - started
        stored, _ = census(self._client, self._settings.namespace)
        return Flooded(
            *(identifiers, self._most, self._remembered, self._store.forgotten),
            *(used_memory(self._client), self._bound(stored)),
            *(honest, unanswered, known / honest, seconds),
        )

    def _bound(self, stored: Stored) -> int:
        """Return the bytes for the most that is remembered."""
        full = stored._replace(customers=self._most, risks=self._most)
        longer = _LONGER * (2 * self._most + sum(stored.pending))
        return full.predicted() + longer

    def _strangers(self, numbers: Iterator[int]) -> Iterator[Transaction]:
        for number in numbers:
            yield Transaction(
                transaction_id=f"f{number}",
                event_time=self._event_time,
                customer_id=f"flood-customer-{number:08}",
                terminal_id=f"flood-terminal-{number:08}",
                amount=20.0,
            )

    def _score(self, transactions: Sequence[Transaction]) -> ScorerReport:
        self._event_time = max(one.event_time for one in transactions)
        report = self._scorer.handle(
            [
                Record("transactions", 0, next(self._offsets), 0, one.customer_id.encode(), encode(one))
                for one in transactions
            ]
        )
        self._look()
        return report

    def _label(self, transactions: Sequence[Transaction]) -> None:
        labels = [
            Label(
                transaction_id=one.transaction_id,
                is_fraud=False,
                source="settlement",
                label_time=one.event_time + MINUTE_MS,
            )
            for one in transactions
        ]
        self._learner.handle(
            [
                Record("labels", 0, next(self._label_offsets), 0, one.transaction_id.encode(), encode(one))
                for one in labels
            ]
        )
        self._look()

    def _look(self) -> None:
        """Look how many keys there are; those that hold neither are some dozens."""
        self._remembered = max(self._remembered, int(self._client.dbsize()))  # type: ignore[arg-type]


def main() -> int:
    """Flood a Redis and print what came of it; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--identifiers", type=int, default=1_000_000)
    parser.add_argument(
        "--most", type=int, default=50_000, help="states to remember, and as many risk records"
    )
    parser.add_argument("--customers", type=int, default=10_000, help="honest ones")
    parser.add_argument("--transactions", type=int, default=200_000, help="of the honest ones before")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server = RedisServer(Path(directory))
        try:
            flood = Flood(server.url, args.most, args.customers, args.seed)
            flood.live(args.transactions)
            flooded = flood.flood(args.identifiers)
            flood.close()
        finally:
            server.process.kill()
    for name, value in flooded._asdict().items():
        print(f"{name:12} {value:15,.3f}" if isinstance(value, float) else f"{name:12} {value:15,d}")
    result: dict[str, Any] = {**provenance(seed=args.seed), **flooded._asdict()}
    write(args.json, result)
    return not hold(flooded.bars())


if __name__ == "__main__":
    sys.exit(main())
