"""How long a score takes, from the moment its transaction is to be sent to the one at which it can be read.

    python -m benchmarks.latency --rate 2000 --seconds 60 [--rounds 5] [--json L.json] [--quick]

Apache Kafka and Redis of its own, one scorer, a learner that is sent every transaction's label five seconds
later, and swaps of the champion. A generator, a process of its own, sends at a fixed rate whatever the
pipeline does; this process reads the scores. A latency counts from the moment at which the transaction was
due, so that what had to wait behind a pause counts with all of its waiting. The champion is swapped by
orders, as people give them (``benchmarks/orders.py``). All of it anew in each round; what is held are the
medians of the rounds' latencies. Exit code 1 when a bar is missed, a transaction is not answered or has the
scores of two versions, or a partition did not change over with each swap.
"""

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from math import nan
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec
import numpy as np
from confluent_kafka import Consumer, KafkaException, TopicPartition
from numpy.typing import NDArray

from benchmarks.bars import Bar, hold
from benchmarks.orders import Orders
from benchmarks.provenance import provenance, write
from benchmarks.site import Site
from benchmarks.swaps import MOST_EXCESS_MS, Seen, swapping
from benchmarks.trained import CHALLENGERS, keyed, label_of, simulator
from stream.adapters.offsets import offset_range
from stream.records import encode
from stream.settings import Settings
from tests.services.kafka_server import QUICK_JAVA
from tests.services.pipeline import Pipeline
from tests.services.process import Process
from tests.services.worker import Worker

BARS: Final = {"p50_ms": 10.0, "p99_ms": 50.0, "p999_ms": 250.0}
LEAST_SWAPS: Final = 2
_PERCENTILES: Final = {"p50_ms": 50.0, "p99_ms": 99.0, "p999_ms": 99.9, "max_ms": 100.0}
_COUNTS: Final = ("answered", "unanswered", "snapshots", "of_two_versions", "quiet_seconds", "quiet_over")
"""What is summed over the rounds."""
_SWAPS_WANTED: Final = 5
_POLL_SECONDS: Final = 0.1
_BURST: Final = 10_000
_TIMEOUT_SECONDS: Final = 600.0
_OFFSETS_SECONDS: Final = 10.0
_GRACE_SECONDS: Final = 60.0
_AFTER_SECONDS: Final = 1.0
"""In which a second answer to a transaction would come."""


class _Answer(msgspec.Struct):
    transaction_id: str
    model_version: str
    snapshot: int


def main() -> int:
    """Run the load, print the latencies; 1 when a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rate", type=float, default=2_000.0, help="transactions a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warm-up", type=float, default=10.0, help="seconds before them, at the same rate")
    parser.add_argument("--partitions", type=int, default=1)
    parser.add_argument("--train", type=int, default=20_000, help="labels learnt before")
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="a short run; bars are shown, not held")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds, args.warm_up, args.train = 1, 15.0, 5.0, 8_000
    print(f"{'round':>8} " + " ".join(f"{name:>9}" for name in _PERCENTILES), flush=True)
    rounds = []
    for number in range(1, args.rounds + 1):
        rounds.append(_run(args))
        print(f"{number:8d} {_row(rounds[-1])}", flush=True)
    result = together(rounds)
    met = _print(result)
    right = not (result["unanswered"] or result["of_two_versions"] or result["swaps_apart"])
    write(args.json, {**provenance(seed=args.seed), **result, "passed": met and right})
    return not (right and (met or args.quick))


def _run(args: argparse.Namespace) -> dict[str, Any]:
    """Run the load once, on a site of its own."""
    whole = args.warm_up + args.seconds
    # A broker that has run for days has compiled what it needs; within its first minutes the full compiler
    # takes a core now and then.
    with Site(java=QUICK_JAVA) as site:
        settings = site.deployment("latency", partitions=args.partitions, challengers=CHALLENGERS)
        with (
            Pipeline(settings) as pipeline,
            site.worker(settings, "learn") as learning,
            site.worker(settings, "score"),
        ):
            _train(site, pipeline, args.train, args.customers, args.seed)
            swapped = [_swapped(learning)]
            result_path = site.directory / "generator.json"
            command = [
                *(sys.executable, "-m", "benchmarks.generator", "--broker", settings.broker),
                *("--name", settings.namespace, "--rate", str(args.rate), "--seconds", str(whole)),
                *("--customers", str(args.customers), "--skip", str(args.train), "--seed", str(args.seed)),
                *("--json", str(result_path)),
            ]
            with Orders(settings, args.warm_up, args.seconds / _SWAPS_WANTED, _SWAPS_WANTED) as orders:
                seen = _read(
                    settings,
                    pipeline.topics.scores,
                    round(args.rate * whole),
                    args.train,
                    lambda: Process(command, site.directory / "generator.log"),
                    orders.start,
                    # Labels go on for some seconds: a rollback in them is nobody's score any more.
                    lambda: swapped.append(_swapped(learning)),
                )
                swaps = swapped[-1] - swapped[0]
                answers = orders.answers()
            sent = json.loads(result_path.read_text())
        services = site.versions()
    result = figures_of(seen, sent, args.rate, args.warm_up)
    apart = max((abs(changes - swaps) for changes in result["changes_by_partition"].values()), default=swaps)
    return result | {"swaps_of_learner": swaps, "swaps_apart": apart, "orders": answers, "services": services}


def _train(site: Site, pipeline: Pipeline, labels: int, customers: int, seed: int) -> None:
    """Let the models learn before anything is measured."""
    some = list(islice(simulator(customers, seed=seed), labels))
    site.publish(pipeline.topics.transactions, map(keyed, some))
    pipeline.await_scored(labels, _TIMEOUT_SECONDS)
    named = ((one.transaction.transaction_id.encode(), encode(label_of(one))) for one in some)
    site.publish(pipeline.topics.labels, named)
    pipeline.await_learnt(labels, _TIMEOUT_SECONDS)


def _swapped(learning: Worker) -> int:
    """Return how often a learner has changed the champion."""
    return round(learning.metric("fraud_swaps_total") + learning.metric("fraud_rollbacks_total"))


def _read(
    settings: Settings,
    topic: str,
    count: int,
    skipped: int,
    generate: Callable[[], Process],
    flowing: Callable[[], None],
    flown: Callable[[], None],
) -> list[Seen]:
    """Start the generator, and read scores until all are there, and nothing after them, or none for long.

    `flowing` is called with the first, `flown` with the last.
    """
    consumer = Consumer(
        {
            "bootstrap.servers": settings.broker,
            "group.id": "latency-reads-without-a-group",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 50,
        }
    )
    places = [TopicPartition(topic, partition) for partition in range(settings.partitions)]
    for place in places:
        _, place.offset = offset_range(consumer, place, _OFFSETS_SECONDS)
    consumer.assign(places)
    decode = msgspec.json.Decoder(_Answer).decode
    # To the garbage collection each record that was read is an object: over a hundred thousand of them it
    # stops whoever reads for a fifth of a second, which the scores would seem to have taken.
    gc.disable()
    generator = generate()
    read: list[tuple[float, list[Any]]] = []
    received, last = 0, time.monotonic()
    try:
        while time.monotonic() - last < (_GRACE_SECONDS if received < count else _AFTER_SECONDS):
            message = consumer.poll(_POLL_SECONDS)
            if message is None:
                continue
            burst = [message, *consumer.consume(_BURST, 0)]
            if not received:
                flowing()
            last = time.monotonic()
            for one in burst:
                if one.error():
                    raise KafkaException(one.error())
            read.append((last, burst))
            if received < count <= received + len(burst):
                flown()
            received += len(burst)
        code = generator.terminate() if received < count else generator.wait(_GRACE_SECONDS)
        assert code == 0, f"the generator ended with {code}:\n{generator.tail()}"
    finally:
        gc.enable()
        generator.kill()
        consumer.close()
    seen = []
    for moment, burst in read:
        for one in burst:
            answer = decode(one.value())
            number = int(answer.transaction_id.rpartition("-")[2]) - skipped
            seen.append(Seen(number, one.partition(), moment, answer.model_version, answer.snapshot))
    return seen


def figures_of(seen: Sequence[Seen], sent: dict[str, Any], rate: float, warm_up: float) -> dict[str, Any]:
    """Return the latencies, and what else there was to see.

    Parameters
    ----------
    seen
        In the order of their reading, second answers included.
    sent
        What the generator said of itself.
    rate
        Transactions a second.
    warm_up
        Seconds that are left out.
    """
    first = round(rate * warm_up)
    answers: dict[int, Seen] = {}
    for one in seen:
        answers.setdefault(one.number, one)
    measured = [one for one in answers.values() if one.number >= first]
    numbers = np.array([one.number for one in measured])
    moments = np.array([one.moment for one in measured])
    latencies = 1000 * (moments - (sent["began"] + numbers / rate))
    seconds = (numbers - first) // round(rate)
    return {
        **_figures(latencies),
        "answered": len(measured),
        "unanswered": sent["sent"] - len(answers),
        "rate": rate,
        **swapping(seen, measured, latencies, rate),
        "snapshots": len({(one.version, one.snapshot) for one in measured}),
        "generator_latest_ms": sent["latest_ms"],
        "seconds": [
            {"second": int(second), **_figures(latencies[seconds == second])} for second in np.unique(seconds)
        ],
    }


def together(rounds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the medians of the rounds' latencies, and of all else the sum or the worst.

    Parameters
    ----------
    rounds
        What :func:`figures_of` made of each, and ``swaps_apart``: by how many swaps what was seen differs
        from what the learner did.
    """
    return {
        **{name: median(one[name] for one in rounds) for name in _PERCENTILES},
        **{name: sum(one[name] for one in rounds) for name in _COUNTS},
        "swaps": min(one["swaps"] for one in rounds),
        "swaps_apart": max(one["swaps_apart"] for one in rounds),
        "generator_latest_ms": max(one["generator_latest_ms"] for one in rounds),
        "usual_slowest_ms": median(one["usual_slowest_ms"] for one in rounds),
        "swap_excess_ms": [excess for one in rounds for excess in one["swap_excess_ms"]],
        "rate": rounds[0]["rate"],
        "rounds": list(rounds),
    }


def _figures(latencies: NDArray[np.float64]) -> dict[str, float]:
    return {name: float(np.percentile(latencies, share)) for name, share in _PERCENTILES.items()}


def _row(figures: dict[str, Any]) -> str:
    return " ".join(f"{figures[name]:9.1f}" for name in _PERCENTILES)


def _print(result: dict[str, Any]) -> bool:
    print(f"{'median':>8} {_row(result)}")
    print(
        f"{result['answered']:,d} answered, {result['unanswered']:,d} not; {result['swaps']} swaps or more in"
        f" each round, {result['snapshots']} snapshots served in all; the generator was late by"
        f" {result['generator_latest_ms']:.1f} ms at most\n"
    )
    about = ", ".join(f"{excess:+.1f}" for excess in result["swap_excess_ms"])
    usual, quiet, over = (result[name] for name in ("usual_slowest_ms", "quiet_seconds", "quiet_over"))
    print(
        f"a second's slowest is {usual:.1f} ms usually; in the one about each swap, against its own round's,"
        f" {about} ms; of {quiet} seconds without a swap {over} are over it by more than"
        f" {MOST_EXCESS_MS:g} ms\n"
    )
    bars = [Bar(name, result[name], "at most", bar) for name, bar in BARS.items()]
    bars += [
        Bar("swaps", result["swaps"], "at least", LEAST_SWAPS),
        Bar("swaps unseen or seen twice", result["swaps_apart"], "at most", 0),
        Bar("of two versions", result["of_two_versions"], "at most", 0),
        Bar(
            "most excess about a swap", max(result["swap_excess_ms"], default=nan), "at most", MOST_EXCESS_MS
        ),
    ]
    return hold(bars)


if __name__ == "__main__":
    sys.exit(main())
