"""Panels: what Grafana draws, as plain dictionaries, laid out in rows.

Only what differs from Grafana's own defaults is set, so that a rendered dashboard can be read.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

Json = dict[str, Any]

WIDTH: Final = 24
"""Grafana's columns."""
DATASOURCE: Final[Json] = {"type": "prometheus", "uid": "${datasource}"}
DOCUMENTATION: Final = "http://localhost:8001"
"""Where `docker compose` serves the documentation; the hidden variable `docs` of every dashboard."""


CASES: Final[Json] = {"type": "grafana-postgresql-datasource", "uid": "fraudstream-cases"}
"""The case store, docs/case-store.md."""


class Query(NamedTuple):
    """PromQL and what its series are called."""

    expr: str
    legend: str = ""


class Column(NamedTuple):
    """How a column of a table of rows is shown."""

    title: str
    unit: str = ""
    width: int = 0
    link: str = ""
    """URL that a click leads to; `${__value.raw}` stands for the cell."""
    colours: Mapping[str, str] | None = None
    """Of the cell, by its value."""


def timeseries(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    stacked: bool = False,
    bars: bool = False,
    limit: float | None = None,
    ceiling: float | None = None,
    logarithmic: bool = False,
    weeks: int = 0,
    alerts: Sequence[str] = (),
) -> Json:
    """Draw curves over time.

    Parameters
    ----------
    title, description
        The second is shown on hovering: what the curves mean, and what a bad one looks like.
    *queries
        One curve or more each.
    unit
        One of Grafana's unit ids.
    stacked, bars, logarithmic
        How they are drawn.
    limit
        Drawn as a red line, such as an objective.
    ceiling
        The axis ends here.
    weeks
        Show so many weeks, a point for each, whatever time is chosen; 0: what is chosen.
    alerts
        Alerts that are about what is shown: the panel links to their sections of the runbook.
    """
    custom: Json = {"fillOpacity": 30 if stacked or bars else 8, "showPoints": "never"}
    if stacked:
        custom["stacking"] = {"mode": "normal"}
    if bars:
        custom |= {"drawStyle": "bars", "fillOpacity": 80}
    if logarithmic:
        custom["scaleDistribution"] = {"type": "log", "log": 10}
    defaults: Json = {"unit": unit, "min": 0, "custom": custom}
    if logarithmic:
        del defaults["min"]
    if ceiling is not None:
        defaults["max"] = ceiling
    if limit is not None:
        custom["thresholdsStyle"] = {"mode": "line"}
        defaults["thresholds"] = _steps({None: "transparent", limit: "red"})
    options = {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    panel = _panel("timeseries", title, description, queries, defaults, options, alerts)
    if weeks:
        custom["drawStyle"], custom["showPoints"] = "line", "always"
        panel |= {"interval": "7d", "timeFrom": f"{weeks}w", "hideTimeOverride": True}
    return panel


def stat(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str = "short",
    colours: Mapping[float | None, str] | None = None,
    named: bool = False,
    alerts: Sequence[str] = (),
) -> Json:
    """Show one number, large.

    Parameters
    ----------
    title, description, query, unit, alerts
        As in `timeseries`.
    colours
        From which value on which colour; None is the lowest.
    named
        Show the series' names in place of its values.
    """
    defaults: Json = {"unit": unit, "thresholds": _steps(colours or {None: "text"})}
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"]},
        "colorMode": "background" if colours else "value",
        "graphMode": "none",
        "textMode": "name" if named else "auto",
    }
    return _panel("stat", title, description, [query], defaults, options, alerts)


def table(title: str, description: str, columns: Mapping[str, Query], label: str) -> Json:
    """Show a row for each value of `label`, and a column for each query, which is by that label alone."""
    panel = _panel("table", title, description, [*columns.values()], {"unit": "short"}, {"showHeader": True})
    for target in panel["targets"]:
        target |= {"format": "table", "instant": True, "range": False}
    names = {
        f"Value #{target['refId']}": name for target, name in zip(panel["targets"], columns, strict=True)
    }
    organized = {"excludeByName": {"Time": True}, "renameByName": {label: label.capitalize(), **names}}
    panel["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": organized},
    ]
    return panel


def rows(title: str, description: str, statement: str, columns: Mapping[str, Column]) -> Json:
    """Show what a statement finds in the case store, a line each, its columns by their names in it."""
    panel = _sql("table", title, description, statement, {"showHeader": True, "cellHeight": "sm"})
    panel["fieldConfig"]["overrides"] = [
        {"matcher": {"id": "byName", "options": name}, "properties": _properties(column)}
        for name, column in columns.items()
    ]
    return panel


def total_of(
    title: str, description: str, statement: str, *, colours: Mapping[float | None, str] | None = None
) -> Json:
    """Show the one number that a statement finds in the case store, large."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"]},
        "colorMode": "background" if colours else "value",
        "graphMode": "none",
        "textMode": "auto",
    }
    panel = _sql("stat", title, description, statement, options)
    panel["fieldConfig"]["defaults"] |= {"thresholds": _steps(colours or {None: "text"})}
    return panel


def bars(
    title: str,
    description: str,
    statement: str,
    colours: Mapping[str, str],
    *,
    unit: str = "short",
    stacked: bool = True,
    lying: bool = False,
) -> Json:
    """Draw bars of what a statement finds in the case store: the first column names them.

    Parameters
    ----------
    title, description, statement, unit
        As elsewhere.
    colours
        Of each of the other columns, in the order in which they are stacked.
    stacked
        Upon each other, else side by side.
    lying
        Names are long: from left to right.
    """
    options = {
        "orientation": "horizontal" if lying else "vertical",
        "stacking": "normal" if stacked else "none",
        "xTickLabelSpacing": 0 if lying else 100,
        "showValue": "never",
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "none"},
    }
    panel = _sql("barchart", title, description, statement, options)
    panel["fieldConfig"]["defaults"] |= {"unit": unit, "custom": {"fillOpacity": 80, "lineWidth": 0}}
    panel["fieldConfig"]["overrides"] = [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for name, colour in colours.items()
    ]
    return panel


def timeline(
    title: str,
    description: str,
    query: Query,
    states: Mapping[int, tuple[str, str]],
    *,
    alerts: Sequence[str] = (),
) -> Json:
    """Draw states over time, a band for each series; `states` names and colours each value."""
    mappings = {
        str(value): {"text": text, "color": colour, "index": index}
        for index, (value, (text, colour)) in enumerate(states.items())
    }
    defaults = {
        "mappings": [{"type": "value", "options": mappings}],
        "custom": {"fillOpacity": 80, "lineWidth": 0},
        "color": {"mode": "thresholds"},
    }
    options = {
        "showValue": "never",
        "rowHeight": 0.8,
        "legend": {"displayMode": "list", "placement": "bottom"},
    }
    return _panel("state-timeline", title, description, [query], defaults, options, alerts)


def heatmap(
    title: str, description: str, query: Query, *, unit: str = "short", alerts: Sequence[str] = ()
) -> Json:
    """Draw a histogram's buckets over time; the query sums by `le`."""
    options = {
        "calculate": False,
        "color": {"mode": "scheme", "scheme": "Oranges", "scale": "exponential", "exponent": 0.5},
        "cellGap": 0,
        "yAxis": {"unit": unit},
        "filterValues": {"le": 1e-9},
        "tooltip": {"mode": "single"},
    }
    panel = _panel("heatmap", title, description, [query], {}, options, alerts)
    panel["targets"][0] |= {"format": "heatmap", "legendFormat": "{{le}}"}
    return panel


def row(title: str, height: int, *panels: Json) -> Json:
    """Put panels side by side, sharing the width as equally as it can be; `height` in Grafana's units."""
    return {"type": "row", "title": title, "collapsed": False, "_height": height, "panels": list(panels)}


def annotation(name: str, expr: str, title: str, text: str, colour: str) -> Json:
    """Put a mark on every curve wherever `expr` has a value."""
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "expr": expr,
        "iconColor": colour,
        "step": "60s",
        "titleFormat": title,
        "textFormat": text,
    }


def variable(name: str, label: str, query: str, *, many: bool) -> Json:
    """Offer a choice at the dashboard's top, out of a label's values."""
    chosen: Json = {"includeAll": True, "multi": True, "allValue": ".*"} if many else {}
    if many:
        chosen["current"] = {"selected": True, "text": ["All"], "value": ["$__all"]}
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        **chosen,
    }


def constant(name: str, value: str) -> Json:
    """Keep a value for links, out of sight; a page's address may give another: `?var-NAME=...`."""
    return {"type": "constant", "name": name, "query": value, "hide": 2}


def dashboard(
    uid: str,
    title: str,
    description: str,
    *,
    variables: Sequence[Json],
    annotations: Sequence[Json],
    rows: Sequence[Json],
) -> Json:
    """Put a dashboard together. Links are made of its `uid`, which never changes."""
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["fraudstream"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "utc",
        "links": [
            _link("dashboards", "", tags=["fraudstream"], includeVars=True, keepTime=True),
            _link("link", "Runbook", url="${docs}/runbook/", icon="doc", targetBlank=True),
        ],
        "templating": {
            "list": [
                {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"},
                *variables,
                constant("docs", DOCUMENTATION),
            ]
        },
        "annotations": {"list": list(annotations)},
        "panels": _lay_out(rows),
    }


def render(board: Json) -> str:
    """Return a dashboard as the JSON that is committed."""
    return json.dumps(board, indent=1, sort_keys=True) + "\n"


def _panel(
    kind: str,
    title: str,
    description: str,
    queries: Sequence[Query],
    defaults: Json,
    options: Json,
    alerts: Sequence[str] = (),
) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": DATASOURCE,
                "expr": query.expr,
                "legendFormat": query.legend or "__auto",
                "range": True,
            }
            for index, query in enumerate(queries)
        ],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "links": [
            {
                "title": f"What to do: {alert}",
                "url": f"${{docs}}/runbook/#{alert.lower()}",
                "targetBlank": True,
            }
            for alert in alerts
        ],
    }


def _sql(kind: str, title: str, description: str, statement: str, options: Json) -> Json:
    panel = _panel(kind, title, description, [], {"unit": "short"}, options)
    target = {"refId": "A", "datasource": CASES, "rawSql": statement, "rawQuery": True, "format": "table"}
    return panel | {"datasource": CASES, "targets": [target | {"editorMode": "code"}]}


def _properties(column: Column) -> list[Json]:
    properties: list[Json] = [{"id": "displayName", "value": column.title}]
    if column.unit:
        properties.append({"id": "unit", "value": column.unit})
    if column.width:
        properties.append({"id": "custom.width", "value": column.width})
    if column.link:
        link = {"title": "Open", "url": column.link, "targetBlank": True}
        properties.append({"id": "links", "value": [link]})
    if column.colours:
        mapped = {
            value: {"color": colour, "index": index}
            for index, (value, colour) in enumerate(column.colours.items())
        }
        properties.append({"id": "mappings", "value": [{"type": "value", "options": mapped}]})
        properties.append({"id": "custom.cellOptions", "value": {"type": "color-text"}})
    return properties


def _link(kind: str, title: str, **fields: Any) -> Json:
    whole = {"tags": [], "icon": "external link", "tooltip": "", "asDropdown": False, "targetBlank": False}
    return {"type": kind, "title": title, **whole, "includeVars": False, "keepTime": False, **fields}


def _steps(colours: Mapping[float | None, str]) -> Json:
    steps = [{"value": value, "color": colour} for value, colour in colours.items()]
    return {"mode": "absolute", "steps": steps}


def _lay_out(rows: Sequence[Json]) -> list[Json]:
    """Place each row's panels under its title, left to right."""
    placed: list[Json] = []
    y = 0
    for title in rows:
        bare = {key: value for key, value in title.items() if key not in {"_height", "panels"}}
        placed.append(
            bare | {"panels": [], "id": len(placed) + 1, "gridPos": {"x": 0, "y": y, "w": WIDTH, "h": 1}}
        )
        y += 1
        panels, height = title["panels"], title["_height"]
        edges = [WIDTH * index // len(panels) for index in range(len(panels) + 1)]
        for panel, left, right in zip(panels, edges, edges[1:], strict=False):
            place = {"x": left, "y": y, "w": right - left, "h": height}
            placed.append(panel | {"id": len(placed) + 1, "gridPos": place})
        y += height
    return placed
