"""The dashboards: fresh, complete, and naming only what exists."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from consumers.desk.rendering import case_path
from grafana.__main__ import DASHBOARDS, FOLDER
from grafana.desk import CASE_PAGE
from grafana.panels import CASES, WIDTH, render
from stream.settings import Settings
from tests.promql import CATALOGUE, ROOT, complaints, rules, selectors

SCHEMA = ROOT / "consumers" / "cases" / "schema" / "0001_cases.sql"
PROVISIONING = ROOT / "grafana" / "provisioning"
PANELS = [
    pytest.param(panel, id=f"{name}: {panel['title']}")
    for name, board in DASHBOARDS.items()
    for panel in board["panels"]
    if panel["type"] != "row"
]


def queries(board: dict[str, Any]) -> list[str]:
    """Return every expression of a dashboard."""
    return [
        *(
            target["expr"]
            for panel in board["panels"]
            for target in panel.get("targets", ())
            if "expr" in target
        ),
        *(mark["expr"] for mark in board["annotations"]["list"]),
        *(choice["definition"] for choice in board["templating"]["list"] if choice["type"] == "query"),
    ]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_rendered_dashboard_is_fresh(name: str) -> None:
    assert (FOLDER / name).read_text() == render(DASHBOARDS[name]), "run: python -m grafana"


def test_every_committed_dashboard_is_rendered_from_code() -> None:
    assert {file.name for file in FOLDER.iterdir()} == set(DASHBOARDS)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_queries_name_only_what_is_in_the_catalogue_or_recorded(name: str) -> None:
    for expr in queries(DASHBOARDS[name]):
        assert complaints(expr) == [], expr


def test_every_metric_is_on_the_dashboard_or_in_a_rule() -> None:
    """What nobody looks at need not be exported."""
    exprs = [expr for board in DASHBOARDS.values() for expr in queries(board)]
    exprs += [rule["expr"] for rule in rules()]
    used = {selector.metric for expr in exprs for selector in selectors(expr)}
    assert {entry.name for entry in CATALOGUE if not used & set(entry.series)} == set()


@pytest.mark.parametrize("name", DASHBOARDS)
def test_ids_are_unique_and_the_uid_is_the_files_name(name: str) -> None:
    board = DASHBOARDS[name]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    assert board["uid"] == name.removesuffix(".json")


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_fill_the_width_and_do_not_overlap(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARDS[name]["panels"]:
        place = panel["gridPos"]
        columns = range(place["x"], place["x"] + place["w"])
        cells = set(itertools.product(columns, range(place["y"], place["y"] + place["h"])))
        assert not cells & taken, panel["title"]
        taken |= cells
    rows = {y for _, y in taken}
    assert rows == set(range(len(rows)))
    assert len(taken) == WIDTH * len(rows)


@pytest.mark.parametrize("panel", PANELS)
def test_every_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["targets"]
    assert panel["fieldConfig"]["defaults"].get("unit") or panel["type"] in {"state-timeline", "heatmap"}


@pytest.mark.parametrize("panel", PANELS)
def test_every_panel_follows_the_choices_at_the_top(panel: dict[str, Any]) -> None:
    if panel["datasource"]["type"] != "prometheus":
        return
    assert panel["datasource"]["uid"] == "${datasource}"
    for target in panel["targets"]:
        assert target["datasource"]["uid"] == "${datasource}"
        for selector in selectors(target["expr"]):
            labels = {matcher.label: matcher.value for matcher in selector.matchers}
            assert labels.get("job") == "$environment", target["expr"]
            # Every figure of models, but the champion's own, is of the models chosen.
            if ":fraud_model_" in f":{selector.metric}" and "== 1" not in target["expr"]:
                assert labels["model"] == "$model", target["expr"]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_grafanas_own_schema_knows_every_field_that_is_set(name: str) -> None:
    """Read into Grafana's models and written out again, nothing is lost: a misspelt option would be."""
    board = json.loads(render(DASHBOARDS[name]))
    register_default_plugins()
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
    # What the schema of dashboards leaves to Prometheus's data source, and what only the browser reads.
    beyond = re.compile(
        r"/annotations/list/\d+/(step|textFormat|titleFormat)|/templating/list/\d+/definition"
    )
    assert [path for path in _lost(board, again) if not beyond.fullmatch(path)] == []


def _lost(before: Any, after: Any, path: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from _lost(value, after[key], f"{path}/{key}") if key in after else (f"{path}/{key}",)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from _lost(*pair, f"{path}/{index}")
    elif before != after:
        yield path


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_dashboard_offers_the_environment_and_marks_drift_and_swaps(name: str) -> None:
    board = DASHBOARDS[name]
    assert "environment" in {choice["name"] for choice in board["templating"]["list"]}
    assert {mark["name"] for mark in board["annotations"]["list"]} == {"Swaps", "Rollbacks", "Drift"}
    assert board["links"][0]["tags"] == board["tags"]  # the other dashboards are one click away


def test_panels_link_to_the_runbook_and_every_alert_has_its_panel() -> None:
    sections = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
    linked = {
        link["url"] for board in DASHBOARDS.values() for panel in board["panels"] for link in _links(panel)
    }
    assert linked == {f"${{docs}}/runbook/#{alert.lower()}" for alert in sections}


def _links(panel: dict[str, Any]) -> list[dict[str, Any]]:
    return panel.get("links", [])


def test_an_alert_is_one_click_from_the_page_where_it_is_judged() -> None:
    [panel] = (
        one for one in DASHBOARDS["fraudstream-desk.json"]["panels"] if one["title"] == "Alerts to judge"
    )
    links = [
        link["url"]
        for override in panel["fieldConfig"]["overrides"]
        for attribute in override["properties"]
        if attribute["id"] == "links"
        for link in attribute["value"]
    ]
    assert links == [f"${{desk}}{case_path('X').replace('X', '${__value.raw}')}"]
    assert f"http://localhost:{Settings().desk_port}" == CASE_PAGE


def test_the_first_page_is_a_dashboard() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    home = compose["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home.rsplit("/", 1)[1] in DASHBOARDS


@pytest.mark.parametrize("panel", [panel for panel in PANELS if "rawSql" in panel.values[0]["targets"][0]])
def test_every_statement_reads_what_readers_are_promised(panel: dict[str, Any]) -> None:
    """The views of docs/case-store.md; the tables below them may change with a release."""
    views = set(re.findall(r"CREATE VIEW (\w+)", SCHEMA.read_text()))
    [target] = panel["targets"]
    assert target["datasource"] == panel["datasource"] == CASES
    read = set(re.findall(r"\b(?:FROM|JOIN) ([a-z_]+)\b", target["rawSql"]))
    assert read
    assert read <= views


def test_provisioned_sources_have_stable_uids() -> None:
    sources = [
        source
        for file in sorted((PROVISIONING / "datasources").iterdir())
        for source in yaml.safe_load(file.read_text())["datasources"]
    ]
    assert {source["type"]: source["uid"] for source in sources} == {
        CASES["type"]: CASES["uid"],
        "prometheus": "fraudstream-prometheus",
        "alertmanager": "fraudstream-alertmanager",
    }


def test_grafana_knows_how_often_prometheus_scrapes() -> None:
    """`$__rate_interval` is computed from it: too short an interval shows nothing at all."""
    sources = yaml.safe_load((PROVISIONING / "datasources" / "prometheus.yml").read_text())["datasources"]
    scraping = yaml.safe_load((ROOT / "prometheus" / "prometheus.yml").read_text())["global"]
    assert sources[0]["jsonData"]["timeInterval"] == scraping["scrape_interval"]


def test_dashboards_are_read_from_where_compose_mounts_them() -> None:
    providers = yaml.safe_load((PROVISIONING / "dashboards" / "fraudstream.yml").read_text())["providers"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    mounted = {
        volume.split(":")[0]: volume.split(":")[1] for volume in compose["services"]["grafana"]["volumes"]
    }
    assert providers[0]["options"]["path"] == mounted["./grafana/dashboards"]


def test_rendering_is_deterministic_json() -> None:
    for board in DASHBOARDS.values():
        assert json.loads(render(board)) == json.loads(render(json.loads(render(board))))
