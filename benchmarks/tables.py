"""The tables of docs/performance.md, from the results of the last run.

    python -m benchmarks.tables [--directory benchmarks/results] [--page docs/performance.md]

Each table stands between its marks on the page, ``<!-- NAME -->`` and ``<!-- /NAME -->``; one whose result
is not there stays as it is.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

_ROOT: Final = Path(__file__).parents[1]
Result = Mapping[str, Any]


def main() -> None:
    """Write them into the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", type=Path, default=_ROOT / "benchmarks" / "results")
    parser.add_argument("--page", type=Path, default=_ROOT / "docs" / "performance.md")
    args = parser.parse_args()
    page = args.page.read_text()
    for name, (source, table) in _TABLES.items():
        path = args.directory / f"{source}.json"
        if path.exists():
            page = put(page, name, table(json.loads(path.read_text())))
    args.page.write_text(page)


def put(page: str, name: str, table: str) -> str:
    r"""Put a table between its marks.

    Examples
    --------
    >>> put("before\n<!-- t -->\nold\n<!-- /t -->\nafter", "t", "new")
    'before\n<!-- t -->\nnew\n<!-- /t -->\nafter'
    """
    marked = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    return marked.sub(lambda match: f"{match[1]}{table}\n{match[2]}", page)


def _throughput(result: Result) -> str:
    rows = [
        (
            f"`{name}`",
            f"{rate:,.0f}",
            *(f"{spent:,.1f}" for spent in result["cpu_microseconds"][name].values()),
        )
        for name, rate in result["rates"].items()
    ]
    one, two = result["pairs"]["rates"]
    ratios = (
        f"{result['ratio_vanilla']:.1f} times `vanilla`, {result['ratio_bare']:.1f} times `bare`,"
        f" {result['fraction_of_limit']:.2f} of the limit, {result['kernel_factor']:.1f} times itself without"
        f" the kernel (medians of {_rounds(result)}). Two scorers on two"
        f" partitions answer {two:,.0f} a second where one does {one:,.0f}, a factor of"
        f" {result['two_scorers_factor']:.2f}:"
    )
    head = ("", "transactions a second", "µs of CPU, own", "Redis's", "Kafka's")
    cores = "\n".join(_cores(result["pairs"]))
    return "\n\n".join([_table(head, rows), ratios, cores, _origin(result)])


def _cores(pairs: Result) -> Iterable[str]:
    for rate, cpu in zip(pairs["rates"], pairs["cpu_microseconds"], strict=True):
        cores = ", ".join(f"{name} {each * rate / 1e6:.2f}" for name, each in cpu.items())
        yield f"- {rate:,.0f} a second takes of the cores: {cores}"


def _budget(result: Result) -> str:
    stages = dict(result["stage_microseconds"])
    emit = stages.pop("emit", 0.0)
    wall = 1e6 / result["rates"]["fraudstream"]
    rows = [(name, f"{spent:.1f}") for name, spent in stages.items()]
    rows += [
        ("drawing, waiting", f"{wall - sum(stages.values()):.1f}"),
        ("together", f"{wall:.1f}"),
        ("emit, beside the next batch", f"{emit:.1f}"),
    ]
    threads = [(name, f"{spent:.1f}") for name, spent in result["thread_cpu_microseconds"].items()]
    return "\n\n".join(
        [
            _table(("by the clock", "µs each"), rows),
            _table(("processor time of the scorer", "µs each"), threads),
        ]
    )


def _latency(result: Result) -> str:
    names = ("p50_ms", "p99_ms", "p999_ms", "max_ms")
    rounds = result["rounds"]
    worst = {name: max(one[name] for one in rounds) for name in names}
    second = {name: max(one[name] for each in rounds for one in each["seconds"]) for name in names}
    rows = [
        (who, *(f"{some[name]:.1f}" for name in names))
        for who, some in (
            (f"median of {len(rounds)} rounds", result),
            ("the worst round's", worst),
            ("the worst second's", second),
        )
    ]
    what = (
        f"{result['answered']:,d} transactions at {result['rate']:,.0f} a second, {result['swaps']} swaps or"
        f" more in each round, {result['snapshots']} snapshots in all. {_origin(result)}"
    )
    return "\n\n".join([_table(("ms", "p50", "p99", "p99.9", "most"), rows), what])


def _learner(result: Result) -> str:
    stages = result["stage_microseconds"]
    rows = [(name, f"{spent:.1f}") for name, spent in stages.items()]
    rows.append(("together", f"{1e6 / result['labels_per_second']:.1f}"))
    rate = f"{result['labels_per_second']:,.0f} labels a second."
    return "\n\n".join([rate, _table(("by the clock", "µs each"), rows), _origin(result)])


def _growth(result: Result) -> str:
    sizes = [
        (f"{int(size):,d}", f"{sorted(rates)[len(rates) // 2]:,.0f}")
        for size, rates in result["rates_by_customers"].items()
    ]
    tenths = [(str(n), f"{rate:,.0f}") for n, rate in enumerate(result["rates_by_tenth"], 1)]
    what = (
        f"The most customers have {result['throughput_by_customers']:.2f} of the rate of the fewest; the last"
        f" tenth, in turns with a first one, {result['last_tenth_by_first']:.2f} of that one's."
        f" {result['bytes_per_customer']:.0f} bytes a customer, {result['bytes_per_pending']:.0f} a pending"
        f" transaction. {_origin(result)}"
    )
    rate = "transactions a second"
    return "\n\n".join(
        [_table(("customers", rate), sizes), _table(("tenth of the stream", rate), tenths), what]
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _rounds(result: Result) -> str:
    count = len(result["rounds"]["ratios"]["ratio_vanilla"])
    return f"{count} rounds"


def _origin(result: Result) -> str:
    cores = result["machine"]["cores"]
    return f"`{result['command']}`, seed {result['seed']}, {cores} cores."


_TABLES: Final[Mapping[str, tuple[str, Callable[[Result], str]]]] = {
    "throughput": ("throughput", _throughput),
    "budget": ("throughput", _budget),
    "latency": ("latency", _latency),
    "learner": ("learner", _learner),
    "growth": ("growth", _growth),
}
"""By its mark: the file it is made of, and how."""


if __name__ == "__main__":
    main()
