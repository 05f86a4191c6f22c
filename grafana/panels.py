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


class Query(NamedTuple):
    """PromQL and what its series are called."""

    expr: str
    legend: str = ""


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
    return _panel("timeseries", title, description, queries, defaults, options)


def stat(
    title: str,
    description: str,
    query: Query,
    *,
    unit: str = "short",
    colours: Mapping[float | None, str] | None = None,
    named: bool = False,
) -> Json:
    """Show one number, large.

    Parameters
    ----------
    title, description, query, unit
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
    return _panel("stat", title, description, [query], defaults, options)


def timeline(title: str, description: str, query: Query, states: Mapping[int, tuple[str, str]]) -> Json:
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
    return _panel("state-timeline", title, description, [query], defaults, options)


def heatmap(title: str, description: str, query: Query, *, unit: str = "short") -> Json:
    """Draw a histogram's buckets over time; the query sums by `le`."""
    options = {
        "calculate": False,
        "color": {"mode": "scheme", "scheme": "Oranges", "scale": "exponential", "exponent": 0.5},
        "cellGap": 0,
        "yAxis": {"unit": unit},
        "filterValues": {"le": 1e-9},
        "tooltip": {"mode": "single"},
    }
    panel = _panel("heatmap", title, description, [query], {}, options)
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
        "templating": {
            "list": [
                {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"},
                *variables,
            ]
        },
        "annotations": {"list": list(annotations)},
        "panels": _lay_out(rows),
    }


def render(board: Json) -> str:
    """Return a dashboard as the JSON that is committed."""
    return json.dumps(board, indent=1, sort_keys=True) + "\n"


def _panel(
    kind: str, title: str, description: str, queries: Sequence[Query], defaults: Json, options: Json
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
    }


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
