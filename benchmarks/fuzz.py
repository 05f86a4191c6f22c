"""Feeds every decoder bytes that libFuzzer makes up, led by what they make the code do.

    python -m benchmarks.fuzz [--seconds 300] [--seed 7] [--json F.json]

Needs the extra `fuzz`. The time is shared among the decoders, each of which has a process of its own; a
finding is printed with the bytes that led to it, and the exit code is then 1.
"""

import argparse
import logging
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.provenance import provenance, write

_LONGEST: Final = 4_096
_EXECUTED: Final = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
_GRACE_SECONDS: Final = 60


class Fuzzed(NamedTuple):
    """What became of one decoder."""

    executions: int
    finding: str | None
    """What it said at the end, and the bytes in hexadecimal; None when all was well."""


def main() -> int:
    """Fuzz all decoders, print executions and findings; 1 when there is one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--decoder", help="run this one alone, in this process", metavar="NAME")
    args, options = parser.parse_known_args()
    if find_spec("atheris") is None:
        sys.exit("fuzzing needs atheris: pip install 'fraudstream[fuzz]'")
    if args.decoder:
        _run_here(args.decoder, options)
    names = _names()
    seconds = max(1, round(args.seconds / len(names)))
    print(f"{'decoder':12} {'executions':>11}")
    fuzzed = {name: _run(name, seconds, args.seed) for name in names}
    findings = {name: one.finding for name, one in fuzzed.items() if one.finding is not None}
    executions = {name: one.executions for name, one in fuzzed.items()}
    print(f"{sum(executions.values()):,d} executions, {len(findings)} findings")
    result = {"seconds": args.seconds, "executions": executions, "findings": findings}
    write(args.json, {**provenance(seed=args.seed), **result})
    return bool(findings)


def _names() -> list[str]:
    from benchmarks.decoders import TARGETS  # noqa: PLC0415 - the fuzzing process imports it instrumented

    return list(TARGETS)


def _run(name: str, seconds: int, seed: int) -> Fuzzed:
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "benchmarks.fuzz", "--decoder", name]
        options = [
            *(f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={_LONGEST}", "-print_final_stats=1"),
            *("-verbosity=0", f"-artifact_prefix={directory}/", directory),
        ]
        done = subprocess.run(
            [*command, *options],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=seconds + _GRACE_SECONDS,
        )
        executed = _EXECUTED.search(done.stderr)
        executions = int(executed[1]) if executed else 0
        print(f"{name:12} {executions:11,d}", flush=True)
        if done.returncode == 0 and executions:
            return Fuzzed(executions, None)
        guilty = [
            path.read_bytes().hex()
            for kind in ("crash", "timeout", "oom")
            for path in Path(directory).glob(f"{kind}-*")
        ]
        said = f"exit code {done.returncode}\n{done.stdout[-2_000:]}{done.stderr[-4_000:]}\ninput: {guilty}"
        print(said)
        return Fuzzed(executions, said)


def _run_here(name: str, options: list[str]) -> None:
    import atheris  # noqa: PLC0415 - an extra

    with atheris.instrument_imports(include=["benchmarks", "consumers", "msgspec", "stream"]):
        from benchmarks.decoders import TARGETS  # noqa: PLC0415 - instrumented

    # Of every record passed over it would say so, thousands of times a second.
    logging.getLogger("consumers").setLevel(logging.CRITICAL)
    target = TARGETS[name]
    for number, seed in enumerate(target.seeds):
        (Path(options[-1]) / f"seed-{number}").write_bytes(seed)
    atheris.Setup([sys.argv[0], *options], target.feed)
    atheris.Fuzz()  # ends the process


if __name__ == "__main__":
    sys.exit(main())
