"""Monitoring is true: on a running pipeline every panel shows something, and an alert reaches whom it should.

Apache Kafka, Redis, PostgreSQL, a scorer, a learner, a fitter, a filler of the case store, a desk, Prometheus
with our rules, Alertmanager with our routes.
"""

import json
import os
import re
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from consumers.desk.users import new_user
from grafana.__main__ import DASHBOARDS
from grafana.queries import DEAD_LETTERS
from stream.adapters.topics import create_topics
from stream.clock import DAY_MS, MINUTE_MS
from stream.ports import Outgoing
from stream.settings import Settings
from tests.promql import CATALOGUE, recorded, rules, selectors
from tests.services.alertmanager_server import AlertmanagerServer, Webhook
from tests.services.kafka_server import KafkaServer
from tests.services.pipeline import Pipeline
from tests.services.postgres_server import PostgresServer, rows
from tests.services.process import Process, free_port
from tests.services.prometheus_server import PrometheusServer
from tests.services.redis_server import RedisServer
from tests.services.traffic import labels, transactions
from tests.services.waiting import eventually
from tests.services.worker import Worker, environment_of

SERVICES = ("kafka", "redis", "postgres", "prometheus", "alertmanager")
pytestmark = [pytest.mark.service(name) for name in SERVICES]

# Scraped every two seconds, so that rates over these are there within seconds.
VARIABLES = {
    "$environment": "fraudstream",
    "$instance": ".*",
    "$model": ".*",
    # As long as all that is asked here takes: what happened once, at the beginning, is to be seen to the end.
    "$__rate_interval": "10m",
}
EVENTS = {
    "fraud_dead_letters_total": "nothing bad has come; test_a_bad_record_shows_on_its_panel sends some",
    "fraud_drift_total": "a signal has no series before it first moves",
    "fraud_population_signals_total": "nothing departs from what is usual",
    "fraud_label_signals_total": "nor does the arrival of labels",
    "fraud_state_lost_timestamp_seconds": "Redis has lost nothing",
}
"""What has no series, or none above zero, while all is well: metric and reason."""
SLOW_MACHINE = re.compile("Fraud(Latency|Undecided).*")
"""Alerts that tests beside this one may raise: 100 ms are little while others compile."""

_DAY = DAY_MS // MINUTE_MS
"""Transactions, a minute apart."""

PANELS = [
    pytest.param(target["expr"], id=f"{name.removesuffix('.json')}: {panel['title']} {target['refId']}")
    for name, board in DASHBOARDS.items()
    for panel in board["panels"]
    for target in panel.get("targets", ())
    if "expr" in target
]
STATEMENTS = [
    pytest.param(target["rawSql"], id=panel["title"])
    for board in DASHBOARDS.values()
    for panel in board["panels"]
    for target in panel.get("targets", ())
    if "rawSql" in target
]
MARKS = sorted({mark["expr"] for board in DASHBOARDS.values() for mark in board["annotations"]["list"]})
CHOICES = sorted(
    {
        choice["definition"]
        for board in DASHBOARDS.values()
        for choice in board["templating"]["list"]
        if choice["type"] == "query"
    }
)
ALERTS = {rule["alert"]: rule["expr"] for rule in rules() if "alert" in rule}


class Deployment:
    """What is under test, and who looks at it."""

    def __init__(
        self,
        pipeline: Pipeline,
        redis: RedisServer,
        prometheus: PrometheusServer,
        webhook: Webhook,
        case_store: str,
        desk: "Desk",
    ) -> None:
        self.pipeline = pipeline
        self.desk = desk
        self.case_store = case_store
        self.redis = redis
        self.prometheus = prometheus
        self.webhook = webhook
        self._waves = count()
        self._published = 0
        self._labelled = 0

    def go_on(self) -> None:
        """Send some more transactions through the pipeline, and their labels."""
        wave = next(self._waves)
        some = transactions(150, f"w{wave}-", seed=wave)
        self._published += len(some)
        self.pipeline.publish(some)
        self.pipeline.await_scored(self._published)
        self._labelled += len(some)
        self.pipeline.publish(labels(some))
        self.pipeline.await_learnt(self._labelled)

    def live_through(self, days: int) -> None:
        """Send what comes in some days and a minute, each day once the last is scored; label a tenth."""
        some = transactions(days * _DAY + 1, "days-")
        for day in range(days + 1):
            today = some[day * _DAY : (day + 1) * _DAY]
            self._published += len(today)
            self.pipeline.publish(today)
            self.pipeline.await_scored(self._published)
        known = labels(some[::10])
        self._labelled += len(known)
        self.pipeline.publish(known)
        self.pipeline.await_learnt(self._labelled)

    def send_rubbish(self) -> None:
        topic = self.pipeline.topics.transactions
        self.pipeline.publish_raw(Outgoing(topic, b"c1", b'{"oops"') for _ in range(5))

    def shows(self, expr: str) -> bool:
        numbers = self.prometheus.numbers(filled(expr))
        return bool(np.isfinite(numbers).any())


class Desk:
    """A desk, and an analyst who looks at it as a program does.

    Parameters
    ----------
    settings
        What it is started with.
    token
        The analyst's.
    log
        Takes what it says.
    """

    def __init__(self, settings: Settings, token: str, log: Path) -> None:
        self._url = f"http://127.0.0.1:{settings.desk_port}"
        self.watched_at = f"127.0.0.1:{settings.desk_metrics_port}"
        self._settings = settings
        self._token = token
        self._log = log
        self.start()

    def start(self) -> None:
        """Start it, again perhaps, and wait until it is ready."""
        self.process = Process(
            [str(Path(sys.executable).with_name("fraudstream")), "desk"],
            self._log,
            os.environ | environment_of(self._settings),
        )
        self.process.await_ready(lambda: self._asks("/health/ready"))

    def visit(self, case_store: str) -> None:
        """Look at the alerts and at a transaction, and judge it: labels may have closed every alert."""
        [(name,)] = eventually(
            lambda: rows(case_store, "SELECT transaction_id FROM transactions LIMIT 1"), 120, "a transaction"
        )
        assert self._asks("/login")
        assert self._asks("/api/alerts")
        assert self._asks(f"/api/case?transaction={name}")
        verdict = {"transaction_id": name, "is_fraud": True, "why": "called"}
        assert self._asks("/api/verdicts", json.dumps(verdict).encode())

    def _asks(self, path: str, body: bytes | None = None) -> bool:
        whose = {"Authorization": f"Bearer {self._token}"}
        request = urllib.request.Request(self._url + path, body, whose)  # noqa: S310 - http
        try:
            with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310 - http
                return bool(response.status == 200)
        except OSError:
            return False


def filled(expr: str) -> str:
    for variable, value in VARIABLES.items():
        expr = expr.replace(variable, value)
    assert "$" not in expr, expr
    return expr


def events_in(expr: str) -> list[str]:
    return [reason for metric, reason in EVENTS.items() if f"{metric}{{" in expr and expr.endswith("> 0")]


@pytest.fixture(scope="module")
def deployment(
    _shared_kafka: Callable[[], KafkaServer],
    _shared_postgres: Callable[[], PostgresServer],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    """Return a pipeline that has worked for some seconds under everybody's eyes."""
    folder = tmp_path_factory.mktemp
    with ExitStack() as stack:
        redis = RedisServer(folder("redis"))
        stack.callback(lambda: redis.process.kill())  # noqa: PLW0108 - by then it may be another process
        name = uuid4().hex[:12]
        token, entry = new_user("ana", "analyst")
        settings = Settings(
            broker=_shared_kafka().bootstrap,
            redis=redis.url,
            namespace=f"test-{name}",
            topic_prefix=f"{name}.",
            challengers=("logistic",),
            checkpoint_seconds=2,
            batch_min_frauds=30,
            batch_negative_rate=0.9,
            batch_every_days=0.1,
            signing_key="a-throw-away-key",
            # Of a partition's first day: many.
            alert_threshold=0.02,
            case_store=_shared_postgres().new_database(),
            cases_metrics_port=free_port(),
            desk_port=free_port(),
            desk_metrics_port=free_port(),
            desk_users=entry,
        )
        assert settings.case_store is not None
        create_topics(settings)
        logs = folder("workers")
        workers = []
        for role in ("score", "learn", "fit"):
            worker = Worker(settings, role, logs / f"{role}.log", None)
            stack.callback(worker.kill)
            workers.append(worker)
        filler = Process(
            [str(Path(sys.executable).with_name("fraudstream")), "cases"],
            logs / "cases.log",
            os.environ | environment_of(settings),
        )
        stack.callback(filler.terminate)
        webhook = Webhook()
        stack.callback(webhook.close)
        alertmanager = AlertmanagerServer(folder("alertmanager"), webhook.url)
        stack.callback(alertmanager.stop)
        for worker in workers:
            worker.await_ready(worker.is_ready)
        addresses = [worker.url.removeprefix("http://") for worker in workers]
        addresses += [
            f"127.0.0.1:{port}" for port in (settings.cases_metrics_port, settings.desk_metrics_port)
        ]
        prometheus = PrometheusServer(folder("prometheus"), addresses, alertmanager.address)
        stack.callback(prometheus.stop)
        pipeline = stack.enter_context(Pipeline(settings))
        case_store = settings.case_store.get_secret_value()
        eventually(lambda: rows(case_store, "SELECT to_regclass('cases')") != [(None,)], describe=filler.tail)
        desk = Desk(settings, token, logs / "desk.log")
        stack.callback(lambda: desk.process.terminate())  # noqa: PLW0108 - by then it may be another process
        deployed = Deployment(pipeline, redis, prometheus, webhook, case_store, desk)

        def watched() -> bool:
            deployed.go_on()
            return deployed.shows("sum(fraud_fits_total) > 0") and all(map(deployed.shows, recorded()))

        eventually(watched, 120, lambda: f"a number of each of {sorted(recorded())}", every=1)
        # What shows only by its change wants two more looks.
        deployed.go_on()
        desk.visit(case_store)
        # A rate is the change from one look to a later one.
        visited = 'fraud_desk_request_seconds_count{route="api_verdicts"}'
        eventually(lambda: deployed.shows(f"{visited} >= 1"), describe="the visit, at a look of Prometheus")
        # The first day is where features are binned, the third is compared with the second. Some alerts of
        # these days are still open.
        deployed.live_through(days=3)
        desk.visit(case_store)
        eventually(lambda: deployed.shows(f"{visited} >= 2"), describe="the second visit")
        seen = prometheus.numbers("min(count_over_time(fraud_ready[5m]))")[0]
        eventually(lambda: prometheus.numbers("min(count_over_time(fraud_ready[5m]))")[0] >= seen + 2)
        yield deployed


def test_every_worker_is_scraped_without_complaint(deployment: Deployment) -> None:
    targets = deployment.prometheus.ask("targets")["activeTargets"]
    assert [(target["health"], target["lastError"]) for target in targets] == [("up", "")] * 5
    assert {target["labels"]["job"] for target in targets} == {"fraudstream"}


def test_prometheus_knows_every_metric_by_its_type_and_help(deployment: Deployment) -> None:
    known = deployment.prometheus.ask(
        "targets/metadata", match_target='{job="fraudstream"}', limit=str(10 * len(CATALOGUE))
    )
    # In OpenMetrics a counter's family goes without _total.
    described = {(each["metric"].removesuffix("_total"), each["type"], each["help"]) for each in known}
    expected = {
        (entry.name.removesuffix("_total"), entry.kind.__name__.lower(), entry.description)
        for entry in CATALOGUE
    }
    assert expected <= described


def test_every_rule_is_healthy(deployment: Deployment) -> None:
    groups = deployment.prometheus.ask("rules")["groups"]
    evaluated = {rule["name"]: (rule["health"], rule.get("lastError")) for g in groups for rule in g["rules"]}
    assert evaluated.keys() == {rule.get("alert") or rule["record"] for rule in rules()}
    assert {health for health in evaluated.values() if health != ("ok", None)} == set()


@pytest.mark.parametrize("name", sorted(recorded()))
def test_every_recorded_series_has_a_number(deployment: Deployment, name: str) -> None:
    assert deployment.shows(name)


@pytest.mark.parametrize("alert", ALERTS)
def test_every_series_that_an_alert_looks_at_is_there(deployment: Deployment, alert: str) -> None:
    looked_at = list(selectors(ALERTS[alert]))
    for selector in looked_at:
        matchers = ", ".join(f'{one.label}{one.operator}"{one.value}"' for one in selector.matchers)
        if selector.metric not in EVENTS:
            assert deployment.prometheus.query(f"{selector.metric}{{{matchers}}}"), selector
    assert looked_at or ALERTS[alert].startswith(("up{", "changes(process_start_time_seconds{"))


@pytest.mark.parametrize("expr", PANELS)
def test_every_query_of_the_dashboards_has_an_answer(deployment: Deployment, expr: str) -> None:
    # A scrape that came too late on a busy machine is made up for by the next.
    eventually(lambda: deployment.shows(expr) or events_in(expr), describe=expr, every=1)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_every_statement_of_the_dashboards_finds_something(deployment: Deployment, statement: Any) -> None:
    # The filler may be some seconds behind. A count or a sum that is nought is nothing yet.
    assert eventually(
        lambda: [row for row in rows(deployment.case_store, statement) if row[0]], 120, statement
    )


@pytest.mark.parametrize("expr", MARKS)
def test_curves_are_marked_where_something_happened_and_nowhere_else(
    deployment: Deployment, expr: str
) -> None:
    [event] = {selector.metric for selector in selectors(expr)}
    # A challenger that is better on this traffic may well take over while the tests look.
    happened = sum(deployment.prometheus.numbers(event)) > 0
    assert happened or deployment.prometheus.query(filled(expr)) == []
    if not events_in(expr):
        assert deployment.shows(expr.removesuffix(" > 0"))


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_at_the_dashboards_top_has_values(deployment: Deployment, choice: str) -> None:
    """`label_values(SELECTOR, LABEL)` is Grafana's own; to Prometheus it is a label's values."""
    selector, label = choice.removeprefix("label_values(").removesuffix(")").rsplit(", ", 1)
    assert deployment.prometheus.ask(f"label/{label}/values", **{"match[]": filled(selector)})


def test_no_alert_is_raised_while_all_is_well(deployment: Deployment) -> None:
    assert [name for name in deployment.prometheus.alerts() if not SLOW_MACHINE.fullmatch(name)] == []


def test_a_bad_record_shows_on_its_panel(deployment: Deployment) -> None:
    deployment.send_rubbish()
    series = eventually(
        lambda: deployment.prometheus.query(filled(DEAD_LETTERS.expr)), describe="the dead letters' rate"
    )
    assert [one["metric"] for one in series] == [{"topic": "transactions", "reason": "malformed_json"}]


def test_a_redis_that_hangs_pages_somebody_and_its_return_clears_the_page(deployment: Deployment) -> None:
    webhook = deployment.webhook
    assert webhook.heard("FraudWaiting", "firing") == []
    deployment.redis.process.pause()
    try:
        eventually(
            lambda: webhook.heard("FraudWaiting", "firing"),
            180,
            lambda: f"a page; {deployment.prometheus.ask('alerts')}",
            every=0.5,
        )
    finally:
        deployment.redis.process.resume()
    page = webhook.heard("FraudWaiting", "firing")[0]
    assert page.receiver == "page"
    assert (page.labels["job"], page.labels["service"]) == ("fraudstream", "redis")
    assert page.annotations["summary"] == "Work of fraudstream has been waiting for redis for a minute."
    assert page.annotations["runbook_url"].endswith("#fraudwaiting")
    # What the page explains does not ring as well.
    assert webhook.heard("FraudWorkerNotReady", "firing") == []

    eventually(lambda: webhook.heard("FraudWaiting", "resolved"), 120, "the page cleared", every=0.5)
    assert webhook.heard("FraudWaiting", "resolved")[0].receiver == "page"

    deployment.go_on()


def test_a_process_that_ends_again_and_again_is_a_ticket_and_no_page(deployment: Deployment) -> None:
    webhook, desk = deployment.webhook, deployment.desk
    assert webhook.heard("FraudWorkerRestarts", "firing") == []
    began = f'process_start_time_seconds{{instance="{desk.watched_at}"}}'
    for _ in range(3):
        [before] = deployment.prometheus.numbers(f"last_over_time({began}[5m])")
        desk.process.kill()
        desk.start()
        # What no scrape has seen was no start.
        eventually(lambda before=before: deployment.prometheus.numbers(f"{began} > {before}"), 60, began)  # type: ignore[misc]
    eventually(lambda: webhook.heard("FraudWorkerRestarts", "firing"), 60, "a ticket", every=0.5)
    [ticket] = webhook.heard("FraudWorkerRestarts", "firing")
    assert ticket.receiver == "ticket"
    assert ticket.labels["instance"] == desk.watched_at
    assert ticket.annotations["summary"].endswith("has been started 3 times in an hour.")
    assert ticket.annotations["runbook_url"].endswith("#fraudworkerrestarts")
