"""The pytest side of real services: tests say what they need, the summary says what they had.

`@pytest.mark.service("kafka")` marks a test that needs a service; using one of the service's fixtures says
the same. Where the service cannot be had the test is skipped with the reason, and fails with it when the
environment says `REQUIRE_SERVICES=1`.
"""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.services.availability import lack

# Other fixtures lead to these.
_FIXTURES = {
    "kafka_server": "kafka",
    "kafka": "kafka",
    "redis_server": "redis",
    "redis_url": "redis",
    "postgres": "postgres",
    "case_store": "postgres",
}
_USED = pytest.StashKey[set[str]]()
_MISSED = pytest.StashKey[dict[str, str]]()
LOGS = pytest.StashKey[list[Path]]()
"""Logs of the processes that a test started: shown when it fails."""


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_USED] = set()
    config.stash[_MISSED] = {}


def services_of(item: pytest.Item) -> list[str]:
    """Return the services that a test needs, sorted."""
    marked = {name for mark in item.iter_markers("service") for name in mark.args}
    used = {_FIXTURES[name] for name in getattr(item, "fixturenames", ()) if name in _FIXTURES}
    return sorted(marked | used)


# Before the fixtures are set up, which would fail on their own with less to say.
@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for service in services_of(item):
        missing = lack(service)
        if missing is None:
            item.config.stash[_USED].add(service)
            continue
        item.config.stash[_MISSED][service] = missing
        if os.environ.get("REQUIRE_SERVICES", "0") not in ("", "0"):
            pytest.fail(f"{service} is required: {missing}", pytrace=False)
        pytest.skip(f"{service}: {missing}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for log in item.stash.get(LOGS, []):
            report.sections.append((f"Log of {log.stem}", log.read_text(errors="replace")[-20_000:]))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Where tests run in several processes (pytest-xdist), tell the first one."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["services"] = (sorted(session.config.stash[_USED]), session.config.stash[_MISSED])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear what another process used and missed."""
    used, missed = getattr(node, "workeroutput", {}).get("services", ([], {}))
    node.config.stash[_USED].update(used)
    node.config.stash[_MISSED].update(missed)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    used, missed = config.stash[_USED], config.stash[_MISSED]
    if used or missed:
        line = f"services: {', '.join(sorted(used)) or 'none'}"
        if missed:
            reasons = "; ".join(f"{service} ({reason})" for service, reason in sorted(missed.items()))
            line += f"; missing: {reasons}"
        terminalreporter.write_line(line)
