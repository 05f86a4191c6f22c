"""What `make check` asks of security: `python -m tools.check_security`.

Every finding of bandit has an answer, and no package of the image is known to be vulnerable. Where nobody
could be asked about that, it says so.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
LOCK: Final = ROOT / "requirements" / "image.txt"
PACKAGES: Final = ("stream", "producers", "consumers", "grafana", "tools")

ANYWHERE: Final = "*"
ANSWERS: Final[Mapping[tuple[str, str], str]] = {
    (
        "B101",
        ANYWHERE,
    ): "tells readers and mypy what is known; nothing that comes in is checked by one",
    ("B105", "stream/adapters/kafka_token.py"): "an empty text is no password: there is no scope",
    ("B108", "stream/embedded/redis_server.py"): "mkdtemp makes a directory of its own there, for us alone",
    ("B311", "stream/models/binned_forest.py"): "draws what a tree learns from, and no secret",
    ("B314", "stream/backtest/report/drawing.py"): "what is parsed is what Matplotlib has just written",
    ("B403", "stream/registry/checkpoint.py"): "opens what is sealed, by an unpickler that calls nothing",
    ("B404", ANYWHERE): "subprocess is given lists of words; see B603",
    ("B405", "stream/backtest/report/drawing.py"): "see B314",
    ("B603", ANYWHERE): "without a shell, and the words are ours; ruff's S603 asks for a reason at each",
    ("B608", "grafana/statements.py"): "put together from constants and numbers of the module itself",
    ("B704", "stream/backtest/report/drawing.py"): "each text in it is set by ElementTree, which escapes it",
}
"""Why what bandit finds is as it should be: by its test and the file, or anywhere."""
_ASKED_SECONDS: Final = 86_400
"""An answer of the advisories counts for a day: asking takes a request for each package."""


class Audit(NamedTuple):
    """What is known of the dependencies."""

    vulnerable: list[str]
    """Each with its version and advisories."""
    unasked: int
    """Of how many nothing could be found out."""
    asked: int
    why: str = ""
    """Why nothing could be found out of the first of them."""


def main() -> int:
    """Print what was found; return 1 when something needs an answer, 0 otherwise."""
    print("bandit")  # noqa: T201 - as make says of the others
    wrong = [*bandit_problems(_bandit(), ANSWERS)]
    print("pip-audit")  # noqa: T201
    audit = _remembered_audit(ROOT / ".cache" / "pip-audit.json")
    wrong += [f"{LOCK.name}: {one}; lock a newer one: make lock" for one in audit.vulnerable]
    if audit.unasked:
        said = (
            f"pip-audit: could not ask about {audit.unasked} of {audit.asked} packages of the image, so that"
            f" nothing is known of these ({audit.why or 'no reason given'})"
        )
        if os.environ.get("REQUIRE_AUDIT", "0") not in ("", "0"):
            wrong.append(f"{said}, and REQUIRE_AUDIT wants it")
        else:
            print(said, file=sys.stderr)  # noqa: T201
    for one in wrong:
        print(one, file=sys.stderr)  # noqa: T201
    return 1 if wrong else 0


def bandit_problems(findings: list[dict[str, Any]], answers: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """Yield every finding without an answer, and every answer without a finding.

    Examples
    --------
    >>> found = {"test_id": "B102", "filename": "a.py", "line_number": 7, "issue_text": "Use of exec."}
    >>> [*bandit_problems([found], {("B108", "b.py"): "why"})][0]
    'a.py:7: B102 Use of exec.; mend it, or answer it in tools/check_security.py'
    """
    unused = Counter(answers.keys())
    for found in findings:
        place = found["test_id"], str(found["filename"]).removeprefix("./")
        answer = place if place in answers else (place[0], ANYWHERE)
        unused.pop(answer, None)
        if answer not in answers:
            yield (
                f"{place[1]}:{found['line_number']}: {place[0]} {found['issue_text']}; mend it, or answer it"
                " in tools/check_security.py"
            )
    for test, file in unused:
        yield f"tools/check_security.py answers {test} in {file}, where it is found no more; remove that"


def read_audit(report: str, locked: int, complaint: str = "") -> Audit:
    """Return what pip-audit's JSON says; of what is not JSON, that nothing could be asked.

    Parameters
    ----------
    report
        What it printed.
    locked
        How many packages it was to ask about.
    complaint
        What else it said, which ends with the reason where there is no report.

    Examples
    --------
    >>> report = '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "X-1"}]}, {"name": "b"}]}'
    >>> read_audit(report, 3)
    Audit(vulnerable=['a 1 has X-1'], unasked=2, asked=3, why='')
    """
    try:
        dependencies = json.loads(report)["dependencies"]
    except (ValueError, KeyError):
        return Audit([], locked, locked, (complaint.strip().splitlines() or [""])[-1])
    known = [one for one in dependencies if "vulns" in one]
    vulnerable = [
        f"{one['name']} {one['version']} has {', '.join(found['id'] for found in one['vulns'])}"
        for one in known
        if one["vulns"]
    ]
    skipped = next((one["skip_reason"] for one in dependencies if "skip_reason" in one), "")
    return Audit(vulnerable, locked - len(known), locked, skipped)


def locked_versions(lock: str) -> dict[str, str]:
    r"""Return the version of each package of a lock file.

    Examples
    --------
    >>> locked_versions("a==1.2 \\\n    --hash=sha256:00\nb==3\n")
    {'a': '1.2', 'b': '3'}
    """
    pinned = (line.split(" ")[0].split("==") for line in lock.splitlines() if line[:1].isalnum())
    return {name.split("[")[0]: version for name, version in pinned}


def _bandit() -> list[dict[str, Any]]:
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "bandit", "--quiet", "--recursive", "--format", "json"),
            *PACKAGES,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        report = json.loads(ended.stdout)
    except ValueError:
        raise SystemExit(f"bandit ended with {ended.returncode}: {ended.stderr}") from None
    if report["errors"]:
        raise SystemExit(f"bandit could not read {report['errors']}")
    findings: list[dict[str, Any]] = report["results"]
    return findings


def _remembered_audit(memory: Path) -> Audit:
    lock = LOCK.read_text()
    mark = sha256(lock.encode()).hexdigest()
    if memory.exists():
        known = json.loads(memory.read_text())
        if known["lock"] == mark and 0 <= time.time() - known["time"] < _ASKED_SECONDS:
            return Audit(*known["audit"])
    ended = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "pip_audit",
                "--requirement",
                str(LOCK),
                "--require-hashes",
                "--disable-pip",
            ),
            *("--format", "json", "--progress-spinner", "off", "--timeout", "5"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    audit = read_audit(ended.stdout, len(locked_versions(lock)), ended.stderr)
    memory.parent.mkdir(exist_ok=True)
    memory.write_text(json.dumps({"lock": mark, "time": time.time(), "audit": audit}))
    return audit


if __name__ == "__main__":
    raise SystemExit(main())
