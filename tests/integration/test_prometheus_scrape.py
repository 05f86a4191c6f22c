"""A real Prometheus with our configuration scrapes our endpoint, and every query of ours has an answer."""

import asyncio
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from grafana.__main__ import DASHBOARDS
from stream.adapters.http import start_http
from stream.adapters.metrics import CATALOGUE, Metrics, observe_many
from tests.promql import ROOT, recorded, rules
from tests.services.process import Process, free_port
from tests.services.waiting import eventually

pytestmark = pytest.mark.service("prometheus")

MODELS = ("ensemble-1", "logistic-1")
# Scraped once a second, so that rates over these are there within seconds.
VARIABLES = {"$environment": "fraudstream", "$instance": ".*", "$model": ".*", "$__rate_interval": "1m"}
# What is to show nothing while all is well.
QUIET = ("fraud_dead_letters_total", "fraud_drift_total")


class Prometheus:
    """A Prometheus under test: its HTTP interface."""

    def __init__(self, port: int) -> None:
        self._base = f"http://127.0.0.1:{port}"

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._base}/-/ready", timeout=2) as answer:  # noqa: S310 - http
                return answer.status == 200
        except OSError:
            return False

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer; a refusal is the assertion's message."""
        url = f"{self._base}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - http
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refusal:
            raise AssertionError(f"{parameters}: {refusal.read().decode()}") from None

    def query(self, expr: str) -> list[dict[str, Any]]:
        answer: list[dict[str, Any]] = self.ask("query", query=expr)["result"]
        return answer


def work(metrics: Metrics, step: int) -> None:
    """Do what a healthy worker in both roles does in a second."""
    random = np.random.default_rng(step)
    metrics.transactions.labels("scored").inc(500)
    metrics.transactions.labels("redelivered").inc(2)
    metrics.alerts.inc(3)
    metrics.alerted_amount.inc(700)
    metrics.frauds.labels("caught").inc(2)
    metrics.frauds_amount.labels("caught").inc(400)
    metrics.show_budget(0, 100.0, 97, 0.2)
    observe_many(metrics.scores, random.beta(1, 50, 500))
    observe_many(metrics.scoring_latency, random.lognormal(-4.5, 0.5, 500))
    observe_many(metrics.label_delay, random.exponential(5 * 86_400, 40))
    observe_many(metrics.label_latency, random.exponential(0.5, 40))
    metrics.fits.inc()
    metrics.fit_seconds.observe(1.5)
    metrics.fit_rows.labels("fraud").set(900)
    metrics.fit_labels.labels("joined").inc(40)
    metrics.fit_time.set(time.time() - 3_600)
    for role in ("score", "learn", "fit"):
        metrics.batch_records.labels(role).observe(500)
        metrics.partitions.labels(role).set(1)
        metrics.stalled.labels(role).set(0)
        metrics.event_time.labels(role).set(time.time())
        for stage in ("decode", "load", "compute", "commit", "emit"):
            metrics.batch_seconds.labels(role, stage).observe(0.004)
    for topic in ("transactions", "labels"):
        metrics.lag.labels(topic, "0").set(0)
    metrics.waiting.labels("redis").set(0)
    metrics.labels.labels("joined").inc(40)
    for number, model in enumerate(MODELS):
        metrics.learned.labels(model).inc(40)
        metrics.champion.labels(model).set(number == 0)
        metrics.model_ap.labels(model).set(0.7 - number / 100)
        metrics.model_log_loss.labels(model).set(0.03)
        metrics.model_calibration_error.labels(model).set(0.002)
        metrics.model_brier.labels(model).set(0.004)
        metrics.model_precision.labels(model).set(0.6)
        metrics.model_recall.labels(model).set(0.5)
        metrics.model_window.labels(model).set(10_000)
        metrics.snapshot.labels(model).set(step)
    metrics.drift.labels("log_loss")
    metrics.checkpoint_time.set_to_current_time()
    metrics.checkpoint_bytes.set(1_000_000)
    metrics.label_offset.set(40 * step)
    metrics.build_info.labels("0.1.0", "all").set(1)
    metrics.ready.set(1)


@contextmanager
def served(metrics: Metrics) -> Iterator[int]:
    """Serve metrics from a thread with an event loop of its own; yield the port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    start = start_http("127.0.0.1", 0, metrics.registry, ready=list, live=list)
    server = asyncio.run_coroutine_threadsafe(start, loop).result(10)
    try:
        yield server.port
    finally:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


def configuration(worker: int, folder: Path) -> Path:
    """Write our configuration with other addresses and a faster pulse, and nothing else changed."""
    config = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(ROOT / "prometheus" / pattern) for pattern in config["rule_files"]]
    del config["alerting"]
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    del jobs["fraudstream"]["dns_sd_configs"]
    targets = folder / "targets.yml"
    targets.write_text(yaml.safe_dump([{"targets": [f"127.0.0.1:{worker}"]}]))
    jobs["fraudstream"]["file_sd_configs"] = [{"files": [str(targets)]}]
    config["scrape_configs"] = [jobs["fraudstream"]]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config))
    return path


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Return a Prometheus that has scraped a busy worker for some seconds."""
    folder = tmp_path_factory.mktemp("prometheus")
    metrics = Metrics()
    steps = iter(range(1, 1_000_000))
    with served(metrics) as worker:
        port = free_port()
        process = Process(
            [
                "prometheus",
                f"--config.file={configuration(worker, folder)}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            folder / "prometheus.log",
        )
        try:
            asked = Prometheus(port)
            process.await_ready(asked.ready)

            def scraped_often() -> bool:
                work(metrics, next(steps))
                done = asked.query("count_over_time(fraud_ready[1m])")
                evaluated = all(asked.query(name) for name in recorded())
                return bool(done) and float(done[0]["value"][1]) >= 5 and evaluated

            eventually(scraped_often, 60, "five scrapes, and every rule evaluated", every=0.2)
            yield asked
        finally:
            process.terminate()


def test_the_worker_is_scraped_without_complaint(prometheus: Prometheus) -> None:
    (target,) = prometheus.ask("targets")["activeTargets"]
    assert (target["health"], target["lastError"]) == ("up", "")
    assert target["labels"]["job"] == "fraudstream"


def test_prometheus_knows_every_metric_by_its_type_and_help(prometheus: Prometheus) -> None:
    known = prometheus.ask("targets/metadata", match_target='{job="fraudstream"}', limit="1000")
    # In OpenMetrics a counter's family goes without _total.
    described = {(each["metric"].removesuffix("_total"), each["type"], each["help"]) for each in known}
    expected = {
        (entry.name.removesuffix("_total"), entry.kind.__name__.lower(), entry.description)
        for entry in CATALOGUE
    }
    assert expected <= described


def test_every_rule_is_healthy(prometheus: Prometheus) -> None:
    evaluated = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert len(evaluated) == len(rules())
    assert [rule["name"] for rule in evaluated if rule["health"] != "ok"] == []


def test_no_alert_is_raised_while_all_is_well(prometheus: Prometheus) -> None:
    assert [alert["labels"]["alertname"] for alert in prometheus.ask("alerts")["alerts"]] == []


@pytest.mark.parametrize("name", sorted(recorded()))
def test_every_recorded_series_has_a_number(prometheus: Prometheus, name: str) -> None:
    values = [float(series["value"][1]) for series in prometheus.query(name)]
    assert values
    assert np.isfinite(values).any()


@pytest.mark.parametrize(
    "expr",
    [
        pytest.param(target["expr"], id=f"{name}: {panel['title']} {target['refId']}")
        for name, board in DASHBOARDS.items()
        for panel in board["panels"]
        for target in panel.get("targets", ())
    ],
)
def test_every_query_of_the_dashboards_has_an_answer(prometheus: Prometheus, expr: str) -> None:
    answer = prometheus.query(_filled(expr))
    if any(name in expr for name in QUIET):
        assert answer == []
        # The same without its `> 0` must be there.
        answer = prometheus.query(_filled(expr.removesuffix(" > 0")))
    assert answer, expr
    assert np.isfinite([float(series["value"][1]) for series in answer]).any(), expr


@pytest.mark.parametrize(
    "expr", [mark["expr"] for board in DASHBOARDS.values() for mark in board["annotations"]["list"]]
)
def test_no_annotation_is_drawn_without_an_event(prometheus: Prometheus, expr: str) -> None:
    assert prometheus.query(_filled(expr)) == []
    assert prometheus.query(_filled(expr.removesuffix(" > 0")))


@pytest.mark.parametrize(
    "choice",
    [
        pytest.param(choice["definition"], id=choice["name"])
        for board in DASHBOARDS.values()
        for choice in board["templating"]["list"]
        if choice["type"] == "query"
    ],
)
def test_every_choice_at_the_dashboards_top_has_values(prometheus: Prometheus, choice: str) -> None:
    """`label_values(SELECTOR, LABEL)` is Grafana's own; to Prometheus it is a label's values."""
    selector, label = choice.removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
    assert prometheus.ask(f"label/{label}/values", **{"match[]": _filled(selector)})


def _filled(expr: str) -> str:
    for variable, value in VARIABLES.items():
        expr = expr.replace(variable, value)
    assert "$" not in expr, expr
    return expr
