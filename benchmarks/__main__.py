"""`python -m benchmarks`: the benchmarks of speed, one after the other.

    python -m benchmarks [--quick] [--only throughput latency] [--directory benchmarks/results]

Each runs as a process of its own, prints its tables and leaves DIRECTORY/NAME.json, in which are the
machine, the versions, the seed and the command. Exit code 1 when any of them misses a bar; with
``--quick``, when an answer is missing or wrong. What has its own command is not among them: quality, chaos,
soak, capacity, fuzz.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

BENCHMARKS: Final = ("stages", "throughput", "latency", "learner", "growth")
_QUICK_STAGES: Final = ("--transactions", "20000")
_RESULTS: Final = Path(__file__).parent / "results"


def main() -> int:
    """Run them; 1 when one has failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small ones, and no verdict")
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=BENCHMARKS)
    parser.add_argument(
        "--directory", type=Path, help="for the JSON [benchmarks/results; --quick: none is kept]"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as nowhere:
        directory = args.directory or (Path(nowhere) if args.quick else _RESULTS)
        directory.mkdir(parents=True, exist_ok=True)
        failed = [name for name in args.only if _run(name, directory, quick=args.quick)]
    if failed:
        print(f"\nfailed: {', '.join(failed)}")
    return bool(failed)


def _run(name: str, directory: Path, *, quick: bool) -> int:
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(directory / f"{name}.json")]
    if quick:
        command += _QUICK_STAGES if name == "stages" else ("--quick",)
    print(f"\n== {name} ==", flush=True)
    began = time.monotonic()
    code = subprocess.run(command, check=False).returncode
    print(f"{name} took {time.monotonic() - began:.0f} s", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
