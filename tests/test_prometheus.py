"""Prometheus's and Alertmanager's files: what they name exists, and every alert is tested and explained."""

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana.__main__ import DASHBOARDS
from grafana.panels import DOCUMENTATION
from stream.settings import Settings
from tests.promql import ROOT, complaints, recorded, rules, selectors

PROMETHEUS = ROOT / "prometheus"
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
ALERTS = {rule["alert"]: rule for rule in rules() if "alert" in rule}
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))


@cache
def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def run(*command: str | Path) -> str:
    """Run one of the tools; what it says is the assertion's message."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def section(alert: str) -> str:
    found = re.search(rf"^## {alert}\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


@pytest.mark.service("prometheus")
def test_promtool_accepts_the_configuration_and_the_rules() -> None:
    said = run("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    assert "WARNING" not in said
    run("promtool", "check", "rules", *sorted((PROMETHEUS / "rules").glob("*.yml")))


@pytest.mark.service("prometheus")
@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alerts_are_silent_just_before_and_fire_just_after(file: Path) -> None:
    run("promtool", "test", "rules", file)


@pytest.mark.service("alertmanager")
def test_amtool_accepts_the_routes() -> None:
    run("amtool", "check-config", PROMETHEUS / "alertmanager.yml")


@pytest.mark.service("alertmanager")
@pytest.mark.parametrize("severity", ["page", "ticket"])
def test_each_severity_reaches_its_receiver(severity: str) -> None:
    config = f"--config.file={PROMETHEUS / 'alertmanager.yml'}"
    assert run("amtool", "config", "routes", "test", config, f"severity={severity}").strip() == severity


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_test_that_it_is_silent_and_one_that_it_fires(alert: str) -> None:
    cases = [
        case
        for file in TESTS
        for test in load(file)["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == alert
    ]
    assert any(not case["exp_alerts"] for case in cases)
    assert any(case["exp_alerts"] for case in cases)


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alert_tests_evaluate_recording_rules_first(file: Path) -> None:
    """A group that is not named there is evaluated whenever promtool likes."""
    groups = [
        group["name"]
        for rule_file in ("recording.yml", "alerts.yml")
        for group in load(PROMETHEUS / "rules" / rule_file)["groups"]
    ]
    assert load(file)["group_eval_order"] == groups


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_says_who_is_called_what_is_wrong_and_where_to_read_on(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in {"page", "ticket"}
    notes = rule["annotations"]
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert notes["runbook_url"] == f"{DOCUMENTATION}/runbook/#{alert.lower()}"
    for text in (notes["summary"], notes["description"]):
        assert text.endswith("."), text
    # Without any series left there is nothing to name.
    if "absent" not in rule["expr"]:
        assert "{{ $labels." in notes["summary"] or "{{ $value" in notes["summary"]


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_section_in_the_runbook(alert: str) -> None:
    text = section(alert)
    severity = ALERTS[alert]["labels"]["severity"].capitalize()
    assert text.strip().startswith(f"*{severity}.*"), f"no section, or of another severity: {alert}"
    parts = re.findall(r"^\*\*([^*]+)\.\*\*", text, re.MULTILINE)
    # Its meaning comes first; then what it does to whom, how to look, and what to do.
    assert parts in (["Impact", "Look", "Do"], ["Impact", "Look and do"], ["Impact and what to do"]), alert


def test_the_runbook_explains_no_alert_that_does_not_exist() -> None:
    assert set(re.findall(r"^## (\w+)$", RUNBOOK, re.MULTILINE)) == set(ALERTS)
    assert set(re.findall(r"\bFraud[A-Z]\w+", RUNBOOK)) <= set(ALERTS)


def test_the_runbook_names_only_settings_that_exist() -> None:
    named = set(re.findall(r"\bFRAUD_([A-Z_]+)", RUNBOOK))
    assert named <= {name.upper() for name in Settings.model_fields}


def test_the_runbook_shows_only_panels_that_exist() -> None:
    boards = DASHBOARDS.values()
    titles = {panel["title"] for board in boards for panel in board["panels"]}
    titles |= {board["title"] for board in boards}
    # Panels are set in italics; so are severities, messages of the worker, and the pages of other programs.
    italics = set(re.findall(r"(?<!\*)\*([A-Z][^*]+)\*(?!\*)", RUNBOOK.replace("\n", " ")))
    others = {"Page.", "Ticket.", "Targets", "Waits for redis", "No partitions assigned yet"}
    assert italics - others <= titles


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_name_only_what_is_in_the_catalogue_or_recorded(rule: dict[str, Any]) -> None:
    assert complaints(rule["expr"]) == []


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_alert_tests_feed_only_what_is_in_the_catalogue(file: Path) -> None:
    """A test that feeds a metric nobody exports would pass for ever."""
    for test in load(file)["tests"]:
        for series in test["input_series"]:
            assert complaints(series["series"]) == []


def test_every_recorded_series_is_used() -> None:
    exprs = [rule["expr"] for rule in rules()]
    exprs += [
        target["expr"]
        for board in DASHBOARDS.values()
        for panel in board["panels"]
        for target in panel.get("targets", ())
        if "expr" in target
    ]
    assert recorded() <= {selector.metric for expr in exprs for selector in selectors(expr)}


def test_complaints_are_made_of_what_does_not_exist() -> None:
    assert complaints('rate(fraud_nonsense_total[5m]) / up{job="x"}') == [
        "fraud_nonsense_total is neither in the catalogue nor recorded"
    ]
    assert complaints('fraud_transactions_total{outcome="scoerd", job="fraudstream"}') == [
        "fraud_transactions_total never has outcome=scoerd"
    ]
    assert complaints('fraud_transactions_total{outcome=~"scored|lost"}') == []
    assert complaints('fraud_ready{outcome!="scored"}') == ["fraud_ready has no label outcome"]
    assert complaints('fraud_scoring_latency_seconds_bucket{le="0.2"}') == [
        "fraud_scoring_latency_seconds_bucket has no bucket up to 0.2"
    ]
    assert complaints("sum by (job) (fraud_scoring_latency_seconds)") == [
        "fraud_scoring_latency_seconds is neither in the catalogue nor recorded"
    ]


def test_inhibitions_and_routes_name_only_alerts_that_exist() -> None:
    config = load(PROMETHEUS / "alertmanager.yml")
    for rule in config["inhibit_rules"]:
        for matcher in [*rule["source_matchers"], *rule["target_matchers"]]:
            names = matcher.split('"')[1].split("|")
            assert set(names) <= set(ALERTS)
    assert {receiver["name"] for receiver in config["receivers"]} == {"page", "ticket"}
