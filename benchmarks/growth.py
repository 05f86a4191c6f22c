"""Whether a transaction costs the same when the work has grown: by customers, by the length of the stream.

    python -m benchmarks.growth [--json G.json] [--quick]

Apache Kafka and Redis of its own, one scorer, no learner. Ten thousand simulated customers live for a
month; then their states are copied under new names, up to a million (``--customers`` for more), and the
same stream goes on with its transactions spread at random over all copies: the worst case for a scorer's
cache. Deployments of each size drain the same number of transactions in turns. Then a stream whose
customers stay runs for ten million transactions; its last tenth goes in turns with the first of another
that has just begun, each with a scorer that sleeps while the other is at work: what a machine does in the
minutes between would be taken for growth. Bytes of a customer and of a pending transaction are what
`used_memory` grows by; those of a customer for the largest number, which is copied first. Redis's two tables
of keys double at powers of two: just after one, that is 16 bytes more for each, and as many again while its
keys move. That is waited for. Exit code 1 when a bar is missed.
"""

import argparse
import random
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import islice, takewhile
from pathlib import Path
from statistics import median
from typing import Any, Final, Self

import msgspec

from benchmarks.bars import Bar, hold
from benchmarks.meter import WARM_UP, Usage, between, drain, middle, read
from benchmarks.provenance import provenance, write
from benchmarks.site import Growth, Keyed, Site, resident_bytes, topics_of
from benchmarks.trained import START, Trained, keyed, simulator, train
from producers.simulator import Simulated
from stream.adapters.redis_keys import PartitionKeys
from stream.adapters.topics import TopicNames
from stream.clock import DAY_MS
from stream.records import encode
from stream.settings import Settings

SIZE_BAR: Final = 0.8
"""Throughput with the most customers, as a share of that with the fewest."""
LENGTH_BAR: Final = 0.95
"""Throughput in the last tenth of the long stream, as a share of that in the first."""
CUSTOMER_BAR: Final = 400.0
PENDING_BAR: Final = 250.0
_PIPELINED: Final = 5_000
_MOVING_SECONDS: Final = 90e-6
"""For each key, and half as many again: Redis moves them to larger tables a millisecond in every hundred."""
_TENTHS: Final = 10
_AWAKENING: Final = 0.02
"""Share of a tenth that is left out after a scorer has slept."""
_ASLEEP_SECONDS: Final = 120.0
"""So long a scorer may sleep and keep its partition."""
_LOG: Final = {"log.retention.check.interval.ms": "10000", "log.segment.delete.delay.ms": "1000"}
_SHORT: Final = {"retention.bytes": "268435456", "segment.bytes": "67108864"}
"""Of topics that nobody reads here: ten million scores would take as many kilobytes on disk."""


def main() -> int:
    """Run both parts and print what came of them; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--base", type=int, default=10_000, help="customers that are simulated")
    parser.add_argument("--days", type=int, default=31, help="that these live before")
    parser.add_argument("--customers", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--transactions", type=int, default=60_000, help="of each size in each round")
    parser.add_argument("--length", type=int, default=10_000_000, help="transactions of the long stream")
    parser.add_argument(
        "--pending-days",
        type=float,
        default=0.0002,
        help="how long the long stream's wait for labels: the first of them are to be over within its first"
        " tenth, so that Redis clears away as many as it takes in from then on",
    )
    parser.add_argument("--labels", type=int, default=20_000, help="that the models have learnt from")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="a small part of it; bars are shown, not held")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.base, args.customers = 1, 1_000, [1_000, 10_000, 100_000]
        args.transactions, args.length, args.labels = 15_000, 1_000_000, 5_000
    args.customers.sort()
    if any(size % args.base for size in args.customers):
        parser.error(f"--customers: each must be a multiple of the {args.base} that are simulated")
    trained = train(simulator(args.base, seed=args.seed), args.labels, seed=args.seed)
    result: dict[str, Any] = {}
    with Site(options=_LOG) as site:
        result |= _by_customers(site, trained, args)
        site.client.flushall()
        if args.length:
            result |= _by_length(site, trained, args)
        result["services"] = site.versions()
    bars = [
        Bar("throughput_by_customers", result["throughput_by_customers"], "at least", SIZE_BAR),
        Bar("bytes_per_customer", result["bytes_per_customer"], "at most", CUSTOMER_BAR),
        Bar("bytes_per_pending", result["bytes_per_pending"], "at most", PENDING_BAR),
    ]
    if args.length:
        bars.append(Bar("last_tenth_by_first", result["last_tenth_by_first"], "at least", LENGTH_BAR))
    print()
    met = hold(bars)
    write(args.json, {**provenance(seed=args.seed), **result, "passed": met})
    return not (met or args.quick)


# By customers.


def _by_customers(site: Site, trained: Trained, args: argparse.Namespace) -> dict[str, Any]:
    stream = simulator(args.base, seed=args.seed)
    until = round(START.timestamp() * 1000) + args.days * DAY_MS
    past = list(takewhile(lambda one: one.transaction.event_time < until, stream))
    # Names as long as the default namespace: they are part of every key.
    deployments = {size: trained.deploy(site, f"size{number}") for number, size in enumerate(args.customers)}
    smallest = args.customers[0]
    seeded = deployments[smallest]
    before = site.used_memory()
    _drain(site, seeded, map(keyed, past))
    lived = site.used_memory() - before
    print(
        f"{args.base:,d} customers have lived for {args.days} days: {len(past):,d} transactions", flush=True
    )
    bytes_of: list[float] = []
    for size in reversed(args.customers[1:]):
        used = site.used_memory()
        _copy_customers(site, seeded, deployments[size], args.base, size)
        time.sleep(_MOVING_SECONDS * size)
        bytes_of.append((site.used_memory() - used) / size)
        print(f"{size:,d} customers: {bytes_of[-1]:,.0f} bytes each", flush=True)
    bytes_per_customer = next(iter(bytes_of), 0.0)
    ahead = list(islice(stream, args.rounds * args.transactions))
    rates: dict[int, list[float]] = {size: [] for size in args.customers}
    for number in range(args.rounds):
        some = ahead[number * args.transactions :][: args.transactions]
        for size, settings in deployments.items():
            records = spread(some, args.base, size, seed=args.seed + number)
            rates[size].append(_drain(site, settings, records))
            print(f"round {number + 1}: {size:10,d} customers {rates[size][-1]:10,.0f} a second", flush=True)
    shares = [rates[args.customers[-1]][n] / rates[smallest][n] for n in range(args.rounds)]
    for settings in deployments.values():
        site.clear(topics_of(settings))
    print(f"\n{'customers':>10} {'a second':>10}")
    for size, several in rates.items():
        print(f"{size:10,d} {median(several):10,.0f}")
    return {
        "rates_by_customers": {str(size): several for size, several in rates.items()},
        "throughput_by_customers": median(shares),
        "bytes_per_customer": bytes_per_customer,
        "bytes_per_pending": (lived - args.base * bytes_per_customer) / len(past),
    }


def _drain(site: Site, settings: Settings, records: Iterable[Keyed]) -> float:
    """Have a scorer answer them, and return how many a second."""
    topics = TopicNames.of(settings)
    with Growth(settings.broker, topics.transactions) as published:
        site.publish(topics.transactions, records)
        count = published()
    with Growth(settings.broker, topics.scores) as grown, site.worker(settings, "score") as worker:
        return drain(grown, count, {"scorer": worker}, site.processes()).rate


def spread(some: Iterable[Simulated], base: int, size: int, *, seed: int) -> Iterator[Keyed]:
    """Spread transactions at random over the copies of their customers."""
    rng = random.Random(seed)
    for one in some:
        number = int(one.transaction.customer_id[1:])
        customer = f"C{number + base * rng.randrange(size // base)}"
        yield (
            customer.encode(),
            encode(msgspec.structs.replace(one.transaction, customer_id=customer)),
        )


def _copy_customers(site: Site, source: Settings, target: Settings, base: int, size: int) -> None:
    """Give every customer of the target the state of the one whose copy it is."""
    names = [f"C{number}" for number in range(base)]
    source_keys = PartitionKeys(source.namespace, 0).customers(names)
    target_keys = PartitionKeys(target.namespace, 0).customers([f"C{number}" for number in range(size)])
    for start in range(0, size, _PIPELINED):
        with site.client.pipeline(transaction=False) as pipe:
            for number in range(start, min(start + _PIPELINED, size)):
                pipe.copy(source_keys[number % base], target_keys[number])
            pipe.execute()


# By length.


def _by_length(site: Site, trained: Trained, args: argparse.Namespace) -> dict[str, Any]:
    tenth, turn = args.length // _TENTHS, args.length // _TENTHS // args.rounds
    old = _Stream(site, trained, args, "old", args.length)
    young = _Stream(site, trained, args, "young", tenth)
    print(f"\nthe long stream is published: {args.length:,d} transactions", flush=True)
    with old:
        usages = [old.run(tenth) for _ in range(1, _TENTHS)]
        with young:
            turns = [(young.run(turn), old.run(turn)) for _ in range(args.rounds)]
        resident = resident_bytes(old.worker.pid)
    shares = [now.rate / then.rate for then, now in turns]
    last = [now for _, now in turns]
    return {
        "rates_by_tenth": [*(usage.rate for usage in usages), median(usage.rate for usage in last)],
        "cpu_microseconds_by_tenth": [
            *(usage.cpu for usage in usages),
            middle([usage.cpu for usage in last]),
        ],
        "stage_microseconds_by_tenth": [
            *(usage.stages for usage in usages),
            middle([usage.stages for usage in last]),
        ],
        "rates_in_turns": {
            "first tenth": [then.rate for then, _ in turns],
            "last tenth": [now.rate for _, now in turns],
        },
        "last_tenth_by_first": median(shares),
        "resident_bytes": resident,
        "used_memory": site.used_memory(),
    }


class _Stream:
    """A stream with a scorer of its own, which sleeps but while :meth:`run` is at it; a context.

    Parameters
    ----------
    site, trained
        Where it is, and what its scorer knows.
    args
        How long its transactions wait for labels, and more.
    name
        Of the deployment.
    length
        Transactions of it, all of them published before the scorer starts.
    """

    def __init__(
        self, site: Site, trained: Trained, args: argparse.Namespace, name: str, length: int
    ) -> None:
        self._site = site
        self._name = name
        self._warm_up = round(args.length // _TENTHS * WARM_UP)
        self._awakening = round(args.length // _TENTHS * _AWAKENING)
        self._reached = 0
        self._stack = ExitStack()
        self._settings = trained.deploy(
            site, name, pending_days=args.pending_days, session_timeout_seconds=_ASLEEP_SECONDS
        )
        topics = TopicNames.of(self._settings)
        for topic in (topics.scores, topics.alerts):
            site.alter(topic, _SHORT)
        stream = islice(simulator(args.base, seed=args.seed), length)
        site.publish(topics.transactions, map(keyed, stream))

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            scores = TopicNames.of(self._settings).scores
            self._done = stack.enter_context(Growth(self._settings.broker, scores))
            self.worker = stack.enter_context(self._site.worker(self._settings, "score"))
            self.worker.pause()
            stack.callback(self.worker.resume)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, count: int) -> Usage:
        """Let the scorer answer so many more, and return what one took, those at its beginning left out."""
        left_out = self._awakening if self._reached else self._warm_up
        self._reached += count
        processes = {"scorer": self.worker, **self._site.processes()}
        self.worker.resume()
        first = read(self._done, self._reached - count + left_out, processes)
        last = read(self._done, self._reached, processes)
        self.worker.pause()
        usage = between(first, last, processes)
        spent = ", ".join(f"{name} {each:.1f}" for name, each in usage.cpu.items())
        print(
            f"{self._name:>8} {self._reached:12,d} {usage.rate:10,.0f} a second; µs of CPU: {spent}",
            flush=True,
        )
        return usage


if __name__ == "__main__":
    sys.exit(main())
