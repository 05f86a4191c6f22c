"""The consumers' metrics: their names, their labels, and how they are served."""

import re
import socket
import urllib.error
import urllib.request

import pytest
from prometheus_client import Counter

from consumers.cases.backlog import Backlog
from consumers.cases.store import Batch, Placed
from consumers.exposition import Exposition
from consumers.metrics import CATALOGUE, TOPICS, DeskMetrics, FilingMetrics
from stream.adapters.metrics import CATALOGUE as WORKERS
from stream.clock import ManualClock
from stream.errors import SettingsError
from stream.records import Record
from tests.consumers.made import T0, make_alert


def test_names_follow_the_conventions_and_are_nobody_elses() -> None:
    for entry in CATALOGUE:
        assert re.fullmatch(r"fraud(_[a-z]+)+", entry.name), entry.name
        assert entry.name.endswith("_total") == (entry.kind is Counter), entry.name
    shared = {entry.name for entry in CATALOGUE} & {entry.name for entry in WORKERS}
    assert shared == {"fraud_build_info"}


def test_no_label_could_name_a_person() -> None:
    open_ended = {label for entry in CATALOGUE for label, known in entry.labels.items() if known is None}
    assert open_ended == {"version"}


@pytest.mark.parametrize("metrics", [FilingMetrics, DeskMetrics])
def test_both_tell_of_the_case_store(metrics: type[FilingMetrics] | type[DeskMetrics]) -> None:
    assert {"fraud_case_store_up", "fraud_verdict_outbox_verdicts", "fraud_build_info"} <= {
        family.name for family in metrics().registry.collect()
    }


class Log:
    """A topic that ends where the test says."""

    def __init__(self, topic: str) -> None:
        self.topic = topic
        self.end = 0

    def known_ends(self) -> dict[int, int]:
        return {0: self.end}


def test_the_backlog_is_as_old_as_the_last_alert_filed_while_others_wait() -> None:
    metrics, clock = FilingMetrics(), ManualClock(T0)
    logs = [Log(f"eu.{topic}") for topic in TOPICS]
    backlog = Backlog(logs, metrics, clock)  # type: ignore[arg-type]

    def shown(name: str) -> float | None:
        return metrics.registry.get_sample_value(name, {"topic": "alerts"})

    backlog.begin({})
    clock.advance(60_000)
    assert (shown("fraud_cases_lag_records"), shown("fraud_cases_behind_seconds")) == (0, 0)

    logs[1].end = 2
    backlog.look()
    assert (shown("fraud_cases_lag_records"), shown("fraud_cases_behind_seconds")) == (2, 60)

    record = Record("eu.alerts", 0, 0, T0 + 50_000, b"c1", b"")
    backlog.filed(Batch(alerts=[Placed(make_alert("t1"), record)], positions={("eu.alerts", 0): 1}))
    assert (shown("fraud_cases_lag_records"), shown("fraud_cases_behind_seconds")) == (1, 10)
    # A scrape sees how it grows, whatever the filler is waiting for.
    clock.advance(5_000)
    assert shown("fraud_cases_behind_seconds") == 15
    assert metrics.registry.get_sample_value("fraud_cases_alert_seconds_sum") == 10

    backlog.rest()
    assert (shown("fraud_cases_lag_records"), shown("fraud_cases_behind_seconds")) == (0, 0)


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def test_metrics_and_health_are_served_from_a_thread_until_the_end() -> None:
    wrong: list[str] = []
    metrics = FilingMetrics()
    with Exposition("127.0.0.1", 0, metrics.registry, lambda: wrong, setting="FRAUD_X_PORT") as served:
        metrics.records.labels("filed").inc(3)
        assert 'fraud_cases_records_total{outcome="filed"} 3.0' in ask(served.port, "/metrics")[1]
        assert ask(served.port, "/health/ready")[0] == 200
        wrong.append("the case store does not answer")
        code, text = ask(served.port, "/health/ready")
        assert code == 503
        assert "the case store does not answer" in text
        assert ask(served.port, "/health/live")[0] == 200
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{served.port}/metrics", timeout=2)


def test_a_port_that_is_taken_is_a_sentence_that_names_its_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        exposition = Exposition("127.0.0.1", port, FilingMetrics().registry, list, setting="FRAUD_X_PORT")
        with pytest.raises(SettingsError, match=f"FRAUD_X_PORT={port}: another process listens"), exposition:
            pass
