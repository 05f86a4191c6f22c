"""How many transactions a second one scorer answers, beside the usual ways to do it, and beside no work.

    python -m benchmarks.throughput [--json T.json] [--quick]

Apache Kafka and Redis of its own. Each contender drains a backlog of the same simulated transactions,
alone, in rounds: vanilla Faust, a bare confluent-kafka loop, the limit (no work), fraudstream with its
compiled kernel and without; again and again. Every round begins with an empty Redis, but for the models and
risk records that a learner has come to. A rate is counted by the broker's time of the scores, from the first
tenth of the backlog to its end.
Exit code 1 when a bar is missed, a transaction has no score, or a score differs from that of the
unoptimised path.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import msgspec

from benchmarks.bars import Bar, hold
from benchmarks.chaos.undisturbed import read_log
from benchmarks.meter import WARM_UP, Usage, drain, middle, print_budget, print_threads
from benchmarks.provenance import provenance, write
from benchmarks.site import Growth, Keyed, Site, topics_of
from benchmarks.trained import CHALLENGERS, Trained, keyed, simulator, train
from producers.simulator import Simulated
from stream import kernel
from stream.adapters.topics import TopicNames
from stream.records import Record, Score
from stream.settings import Settings
from tests.services.uninterrupted import Uninterrupted
from tests.services.waiting import eventually
from tests.services.worker import Worker

BARS: Final = {"ratio_vanilla": 25.0, "ratio_bare": 6.0, "fraction_of_limit": 0.2}
_OURS: Final = "fraudstream"
_TWINS: Final = "without kernel"
"""Ours, on numpy and plain Python alone."""
BASELINES: Final = {
    "vanilla": ("vanilla", ("worker", "--without-web", "--loglevel", "warn")),
    "bare": ("bare", ()),
    "limit": ("limit", ()),
}
_PAIRED_SESSION_SECONDS: Final = 60.0
"""Longer than two scorers are held back while their backlog is published."""


class _Named(msgspec.Struct):
    transaction_id: str


class Run(NamedTuple):
    """One contender's round."""

    rate: float
    """Transactions a second."""
    usage: Usage
    unanswered: int
    """Transactions without a score."""
    answers: list[bytes]
    """The first of them, where they were asked for."""


def main() -> int:
    """Run the rounds, print what came of them; 1 when a bar is missed or an answer is missing or wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--transactions", type=int, default=100_000, help="of fraudstream and of the limit")
    parser.add_argument("--bare", type=int, default=15_000, help="transactions of the bare loop")
    parser.add_argument("--vanilla", type=int, default=5_000, help="transactions of vanilla Faust")
    parser.add_argument("--compared", type=int, default=10_000, help="scores held against the backtest's")
    parser.add_argument("--labels", type=int, default=40_000, help="that the models have learnt from")
    parser.add_argument("--customers", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one small round; bars are shown, not held")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.transactions, args.bare, args.vanilla = 1, 30_000, 4_000, 1_500
        args.compared, args.labels = 2_000, 10_000
    stream = simulator(args.customers, seed=args.seed)
    trained = train(stream, args.labels, seed=args.seed)
    backlog = list(islice(stream, args.transactions))
    records = [keyed(one) for one in backlog]
    counts = {"vanilla": args.vanilla, "bare": args.bare, "limit": args.transactions}
    runs: dict[str, list[Run]] = {name: [] for name in (*counts, _OURS, _TWINS)}
    pairs: list[tuple[Run, Run]] = []
    with Site() as site:
        for number in range(1, args.rounds + 1):
            for name, count in counts.items():
                runs[name].append(_run_baseline(site, name, number, records[:count]))
                _say(number, name, runs[name][-1])
            kept = args.compared if number == 1 else 0
            runs[_OURS].append(_run_ours(site, trained, number, records, keep=kept))
            _say(number, _OURS, runs[_OURS][-1])
            runs[_TWINS].append(_run_ours(site, trained, number, records, keep=0, compiled="off"))
            _say(number, _TWINS, runs[_TWINS][-1])
        for number in range(1, args.rounds + 1):
            pairs.append(
                (
                    _run_several(site, trained, 1, number, records),
                    _run_several(site, trained, 2, number, records),
                )
            )
            for scorers, run in enumerate(pairs[-1], 1):
                _say(number, f"{scorers} of 2 partitions", run)
        services = site.versions()
    equal = _unequal(trained, backlog, runs[_OURS][0].answers, args.seed) == 0
    result = _result(runs, pairs) | {"bit_equal": equal, "compared": args.compared, "services": services}
    met = _print(result)
    unanswered = sum(run.unanswered for several in runs.values() for run in several)
    unanswered += sum(run.unanswered for pair in pairs for run in pair)
    result["unanswered"] = unanswered
    print(
        f"scores equal to the backtest's, one at a time: {equal} ({args.compared:,d}); missing: {unanswered}"
    )
    right = equal and not unanswered
    write(args.json, {**provenance(seed=args.seed), **result, "passed": met and right})
    return not (right and (met or args.quick))


def _run_baseline(site: Site, name: str, number: int, records: Sequence[Keyed]) -> Run:
    place = site.place(f"{name}-{number}")
    site.publish(place.transactions, records)
    module, arguments = BASELINES[name]
    with Growth(place.broker, place.scores) as grown, site.baseline(place, module, *arguments) as process:
        usage = drain(grown, len(records), {name: process}, site.processes())
    run = _look(place.broker, place.scores, records, usage)
    site.clear([place.transactions, place.scores, place.dead_letters])
    return run


def _run_ours(
    site: Site, trained: Trained, number: int, records: Sequence[Keyed], *, keep: int, compiled: str = "on"
) -> Run:
    settings = trained.deploy(site, f"ours-{compiled}-{number}", kernel=compiled)
    topics = TopicNames.of(settings)
    site.publish(topics.transactions, records)
    with Growth(settings.broker, topics.scores) as grown, site.worker(settings, "score") as worker:
        usage = drain(grown, len(records), {"scorer": worker}, site.processes())
    run = _look(settings.broker, topics.scores, records, usage, keep)
    site.clear(topics_of(settings))
    return run


def _run_several(site: Site, trained: Trained, scorers: int, number: int, records: Sequence[Keyed]) -> Run:
    """Drain two partitions with one scorer or with two, which have shared them out before there is work."""
    settings = trained.deploy(
        site, f"pair-{number}-{scorers}", partitions=2, session_timeout_seconds=_PAIRED_SESSION_SECONDS
    )
    topics = TopicNames.of(settings)
    with Growth(settings.broker, topics.scores) as grown, ExitStack() as stack:
        workers = [stack.enter_context(site.worker(settings, "score", one + 1)) for one in range(scorers)]
        for worker in workers:
            eventually(partial(_holds, worker, 2 // scorers), describe="the partitions shared out")
        for worker in workers:
            worker.pause()
        site.publish(topics.transactions, records)
        for worker in workers:
            worker.resume()
        measured = {f"scorer {one + 1}": worker for one, worker in enumerate(workers)}
        usage = drain(grown, len(records), measured, site.processes())
    run = _look(settings.broker, topics.scores, records, usage)
    site.clear(topics_of(settings))
    return run


def _holds(worker: Worker, partitions: int) -> bool:
    return worker.metric("fraud_assigned_partitions", role="score") == partitions


def _look(broker: str, topic: str, records: Sequence[Keyed], usage: Usage, keep: int = 0) -> Run:
    """Read the scores back: how fast they came, and whether every transaction has one."""
    answers = list(read_log(broker, topic))
    times = sorted(answer.timestamp for answer in answers)
    begin, end = times[int(len(times) * WARM_UP)], times[-1]
    later = sum(time > begin for time in times)
    decode = msgspec.json.Decoder(_Named).decode
    asked = {decode(value).transaction_id for _, value in records}
    asked -= {decode(answer.value or b"").transaction_id for answer in answers}
    return Run(later / (end - begin) * 1000, usage, len(asked), [_value(answer) for answer in answers[:keep]])


def _value(record: Record) -> bytes:
    assert record.value is not None
    return record.value


def _unequal(trained: Trained, backlog: Sequence[Simulated], answers: Sequence[bytes], seed: int) -> int:
    """Count the answers that a backtest of one transaction at a time gives otherwise, to the last bit."""
    twin = Uninterrupted(Settings(challengers=CHALLENGERS, seed=seed), batch_records=1)
    trained.publish(twin.store)
    with kernel.using(False):
        twin.score([one.transaction for one in backlog[: len(answers)]])
    return sum(not _agrees(msgspec.json.decode(answer, type=Score), twin) for answer in answers)


def _agrees(score: Score, twin: Uninterrupted) -> bool:
    pending = twin.pending.get(score.transaction_id)
    return pending is not None and (
        score.features == tuple(pending.vector.tolist())
        and (score.model_version, *score.shadow) == pending.models
        and (score.score, *score.shadow.values()) == pending.scores
        and (score.snapshot, score.decision, score.threshold)
        == (pending.snapshot, pending.decision, pending.threshold)
    )


def _result(runs: dict[str, list[Run]], pairs: Sequence[tuple[Run, Run]]) -> dict[str, Any]:
    rates = {name: [run.rate for run in several] for name, several in runs.items()}
    ratios = {
        "ratio_vanilla": _ratios(rates[_OURS], rates["vanilla"]),
        "ratio_bare": _ratios(rates[_OURS], rates["bare"]),
        "kernel_factor": _ratios(rates[_OURS], rates[_TWINS]),
        "fraction_of_limit": _ratios(rates[_OURS], rates["limit"]),
        "two_scorers_factor": [two.rate / one.rate for one, two in pairs],
    }
    cpu = {name: middle([run.usage.cpu for run in several]) for name, several in runs.items()}
    own = {name: next(iter(taken.values())) for name, taken in cpu.items()}
    return {
        **{name: median(values) for name, values in ratios.items()},
        "own_cpu_ratios": {name: own[name] / own[_OURS] for name in (*BASELINES, _TWINS)},
        "rates": {name: median(values) for name, values in rates.items()},
        "rounds": {"rates": rates, "ratios": ratios},
        "cpu_microseconds": cpu,
        "stage_microseconds": middle([run.usage.stages for run in runs[_OURS]]),
        "thread_cpu_microseconds": middle([run.usage.threads for run in runs[_OURS]]),
        "pairs": {
            "rates": [median(run.rate for run in side) for side in zip(*pairs, strict=True)],
            "cpu_microseconds": [
                middle([run.usage.cpu for run in side]) for side in zip(*pairs, strict=True)
            ],
        },
    }


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(ours, theirs, strict=True)]


def _print(result: dict[str, Any]) -> bool:
    print(f"\n{'':14} {'a second':>10} {'µs of CPU, own':>15} {'Redis':>7} {'Kafka':>7}")
    for name, rate in result["rates"].items():
        own, store, broker = result["cpu_microseconds"][name].values()
        print(f"{name:14} {rate:10,.0f} {own:15.1f} {store:7.1f} {broker:7.1f}")
    own_cpu = ", ".join(f"{name} {ratio:.2f}" for name, ratio in result["own_cpu_ratios"].items())
    print(f"own processor time, in fraudstream's: {own_cpu}")
    print_budget(result["stage_microseconds"], result["rates"][_OURS], beside=("emit",))
    print_threads(result["thread_cpu_microseconds"])
    for rate, cpu in zip(result["pairs"]["rates"], result["pairs"]["cpu_microseconds"], strict=True):
        cores = ", ".join(f"{name} {each * rate / 1e6:.2f}" for name, each in cpu.items())
        print(f"{len(cpu) - 2} scorer(s) on two partitions: {rate:,.0f} a second; cores taken: {cores}")
    print(f"two scorers against one: {result['two_scorers_factor']:.2f}")
    print(f"with the kernel against without: {result['kernel_factor']:.2f}\n")
    return hold([Bar(name, result[name], "at least", bar) for name, bar in BARS.items()])


def _say(number: int, name: str, run: Run) -> None:
    print(f"round {number}: {name:18} {run.rate:10,.0f} a second", flush=True)


if __name__ == "__main__":
    sys.exit(main())
