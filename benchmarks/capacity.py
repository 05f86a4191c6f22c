"""How much memory a deployment needs: the formula of docs/capacity.md, and its numbers measured anew.

    python -m benchmarks.capacity [--transactions 60000] [--json C.json]

Runs the roles over a real Redis on a simulated stream, counts what lies there by kind, and holds the formula
against `used_memory`; then counts what a customer costs a scorer.
"""

import argparse
import sys
import tempfile
import threading
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar, cast

import redis

from benchmarks.provenance import provenance, write
from producers.simulator import Simulator
from stream.adapters.memory import InMemoryEmitter
from stream.adapters.redis_store import RedisStore
from stream.adapters.topics import TopicNames
from stream.clock import DAY_MS, wall_clock
from stream.features.customer import unpack_customers
from stream.records import Label, Record, Transaction, encode
from stream.roles.customer_cache import CustomerCache
from stream.roles.learner import LearnerPolicy, LearnerRole
from stream.roles.patience import Patience, Waits
from stream.roles.scorer import ScorerPolicy, ScorerRole
from stream.settings import Settings
from tests.services.redis_server import RedisServer

T = TypeVar("T")

COSTS: Final = {"customer": 304, "risk": 120, "pending": 160, "verdict": 64}
"""Bytes of a key or field with its value, identifiers of 7 characters."""
LIVES: Final = 32
"""Bytes of the entry that holds a key's time to live."""
SNAPSHOT: Final = 1_400_000
"""Bytes of a snapshot of a grown ensemble; next to it, one of a logistic regression is nothing."""
CHECKPOINT: Final = 8_000_000
"""Bytes of a checkpoint, for each ensemble."""
PLACE: Final = 8
"""Bytes of a place in a hash table, of which there is a power of two."""
EMPTY: Final = 1_500_000
"""Bytes of a Redis with workers connected and nothing in it."""
TOLERATED: Final = 0.15
_BATCH: Final = 500
_ASKED_OF: Final = 100
"""Asking for a key's size takes a round trip: of thousands it is not asked of each."""
_SAMPLES: Final = 10_000
"""Fields of which Redis takes the mean when it is asked for the size of a hash."""
_ROUNDED: Final = 8
"""Bytes that an entry of 24 really takes, where the allocator's steps are of 16; MEMORY USAGE says 24."""
_LARGE: Final = ("snapshot", "checkpoint")
_ENSEMBLE: Final = "ensemble-"
_HASHES: Final = {"p": "pending", "v": "verdict"}


class Stored(NamedTuple):
    """What lies in Redis."""

    customers: int
    risks: int
    """Risk records, of terminals and of customers."""
    pending: tuple[int, ...]
    """Records in each generation."""
    verdicts: tuple[int, ...]
    """Of the learner, in each generation."""
    snapshots: int
    """Of ensembles: those that serve, and those that were replaced less than a minute ago."""
    checkpoints: int
    ensembles: int
    """That serve, and are in each checkpoint."""

    def predicted(self) -> int:
        """Return the bytes of `used_memory` that the formula gives for it."""
        keys = self.customers * COSTS["customer"] + self.risks * COSTS["risk"]
        number = self.customers + self.risks
        fields = sum(self.pending) * COSTS["pending"] + sum(self.verdicts) * COSTS["verdict"]
        places = 2 * _places(number) + sum(map(_places, self.pending + self.verdicts))
        models = self.snapshots * SNAPSHOT + self.checkpoints * self.ensembles * CHECKPOINT
        return EMPTY + keys + number * LIVES + fields + places * PLACE + models


def census(client: redis.Redis, namespace: str) -> tuple[Stored, dict[str, float]]:
    """Count what lies in a namespace by kind; tell what one of each kind takes."""
    count: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    size: Counter[str] = Counter()
    fields: defaultdict[str, list[int]] = defaultdict(list)
    for key in client.scan_iter(f"{namespace}:*", count=5_000):
        kind = _kind(key.decode().removeprefix(namespace))
        if kind in _HASHES.values():
            number = cast("int", client.hlen(key))
            fields[kind].append(number)
            asked[kind] += number
            used = client.memory_usage(key, samples=_SAMPLES) or 0
            size[kind] += used - PLACE * _places(number) + _ROUNDED * number
            continue
        if count[kind] % _ASKED_OF == 0 or kind in _LARGE:
            asked[kind] += 1
            size[kind] += (client.memory_usage(key, samples=0) or 0) + _ROUNDED
        count[kind] += 1
    keys = (count["customer"], count["risk"])
    stored = Stored(
        *(*keys, tuple(fields["pending"]), tuple(fields["verdict"])),
        *(count["snapshot"], count["checkpoint"], _ensembles(client, namespace)),
    )
    return stored, {kind: size[kind] / asked[kind] for kind in asked}


def _ensembles(client: redis.Redis, namespace: str) -> int:
    """Count the ensembles that serve."""
    names = cast("set[bytes]", client.smembers(f"{namespace}:{{learner}}:s"))
    return sum(name.decode().startswith(_ENSEMBLE) for name in names)


def used_memory(client: redis.Redis) -> int:
    """Return what Redis has allocated, in bytes."""
    return int(cast("Mapping[str, int]", client.info("memory"))["used_memory"])


def main() -> int:
    """Fill a Redis, print what lies there and what the formula says; 1 when it is off by too much."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transactions", type=int, default=60_000)
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        server = RedisServer(Path(directory))
        try:
            result = _measure(server.url, args.transactions, args.customers, args.seed)
        finally:
            server.process.kill()
    write(args.json, {**provenance(seed=args.seed), **result})
    return abs(result["off"]) > TOLERATED


def _measure(url: str, transactions: int, customers: int, seed: int) -> dict[str, Any]:
    # Published at the end: what was replaced within a minute depends on the rate, and is for the soak.
    settings = Settings(redis=url, partitions=1, snapshot_labels=transactions // 2, snapshot_seconds=10**6)
    simulator = Simulator(seed=seed, customers=customers, terminals=2 * customers, transactions=transactions)
    simulated = list(simulator)
    _fill(settings, [one.transaction for one in simulated], [one.is_fraud for one in simulated])
    with redis.Redis.from_url(url) as client:
        stored, costs = census(client, settings.namespace)
        # Those of the first roster, which had learnt nothing, are still there, and next to empty.
        stored = stored._replace(snapshots=stored.ensembles)
        used, predicted = used_memory(client), stored.predicted()
        customers_of = f"{settings.namespace}:{{0}}:c:*"
        states = [client.get(key) for key in islice(client.scan_iter(customers_of, count=5_000), 2_000)]
    print(f"{'kind':10} {'keys':>9} {'bytes each':>11} {'formula':>9}")
    formula = COSTS | {"snapshot": SNAPSHOT, "checkpoint": stored.ensembles * CHECKPOINT}
    for (kind, bytes_each), count in zip(formula.items(), stored[:-1], strict=True):
        number = sum(count) if isinstance(count, tuple) else count
        print(f"{kind:10} {number:9,d} {costs.get(kind, 0):11,.0f} {bytes_each:9,d}")
    off = predicted / used - 1
    print(f"predicted {predicted:,d} bytes, used_memory {used:,d}: off by {off:+.1%}")
    cached = _cached_bytes([cast("bytes", state) for state in states])
    print(f"a cached customer costs a scorer {cached:,.0f} bytes")
    return {**costs, **stored._asdict(), "predicted": predicted, "used": used, "off": off, "cached": cached}


def _fill(settings: Settings, transactions: Sequence[Transaction], frauds: Sequence[bool]) -> None:
    """Score all of them, and label the first half."""
    waits = Waits.alike(Patience(threading.Event(), lambda _: None))
    store = RedisStore.of(settings)
    topics, emitter = TopicNames(), InMemoryEmitter()
    learner = LearnerRole(store, emitter, topics, wall_clock, LearnerPolicy.of(settings), None, waits)
    scorer = ScorerRole(store, emitter, topics, wall_clock, ScorerPolicy.of(settings), None, waits)
    learner.start()
    scorer.assign(0)
    half = len(transactions) // 2
    records = [
        Record("transactions", 0, n, 0, one.customer_id.encode(), encode(one))
        for n, one in enumerate(transactions)
    ]
    labels = [
        Record("labels", 0, n, 0, one.transaction_id.encode(), encode(_label(one, is_fraud)))
        for n, (one, is_fraud) in enumerate(zip(transactions[:half], frauds, strict=False))
    ]
    for batch in _groups(iter(records), _BATCH):
        scorer.handle(batch)
    for batch in _groups(iter(labels), _BATCH):
        learner.handle(batch)
    learner.checkpoint()
    store.close()


def _label(transaction: Transaction, is_fraud: bool) -> Label:
    return Label(
        transaction_id=transaction.transaction_id,
        is_fraud=is_fraud,
        source="chargeback",
        label_time=transaction.event_time + 7 * DAY_MS,
    )


def _cached_bytes(states: Sequence[bytes]) -> float:
    """Return what a customer's state costs a scorer that keeps it in memory."""
    rows, cache = unpack_customers(states), CustomerCache()
    tracemalloc.start()
    cache.put([str(n) for n in range(len(states))], rows, len(states))
    allocated, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return allocated / max(1, len(cache))


def _kind(rest: str) -> str:
    """Tell what kind of key it is, by what follows the namespace: `:{3}:p:7` holds pending records."""
    _, owner, letter, *name = [*rest.split(":", 3), "", ""]
    if owner == "{learner}" and name[0]:
        if letter in ("s", "x") and not name[0].startswith(_ENSEMBLE):
            return "other"
        kinds = {
            "t": "risk",
            "c": "risk",
            "v": "verdict",
            "s": "snapshot",
            "x": "snapshot",
            "k": "checkpoint",
        }
        return kinds.get(letter, "other")
    return {"c": "customer", "p": "pending"}.get(letter, "other") if name[0] else "other"


def _groups(some: Iterator[T], size: int) -> Iterator[list[T]]:
    while group := list(islice(some, size)):
        yield group


def _places(count: int) -> int:
    """Return the places of the hash table that so many lie in.

    One that is full gets a second one, of twice its size, into which all move by and by: until a third more
    has come, both are there.
    """
    places = 1 << max(2, (count - 1).bit_length())
    return places + places // 2 if 3 * count <= 2 * places else places


if __name__ == "__main__":
    sys.exit(main())
