"""What a PromQL expression names: metrics with the matchers they are selected by."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from consumers.metrics import CATALOGUE as CONSUMERS
from stream.adapters.metrics import CATALOGUE as WORKERS

CATALOGUE = tuple(dict.fromkeys([*WORKERS, *CONSUMERS]))
ROOT = Path(__file__).parents[1]
RULES = ROOT / "prometheus" / "rules"

# A metric's name, and its matchers when it has any. Label names and functions are not followed by braces, and
# none of them begins like a metric of ours.
_SELECTOR = re.compile(r"(?P<metric>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(?P<matchers>[^}]*)\})?")
_MATCHER = re.compile(r'(?P<label>\w+)\s*(?P<operator>=~|!~|!=|=)\s*"(?P<value>[^"]*)"')
_ABOUT_TARGETS = {"job", "instance"}


class Matcher(NamedTuple):
    label: str
    operator: str
    value: str


class Selector(NamedTuple):
    metric: str
    matchers: tuple[Matcher, ...]


def selectors(expr: str) -> Iterator[Selector]:
    """Yield each of our metrics and recorded series that an expression selects."""
    for found in _SELECTOR.finditer(expr):
        metric = found["metric"]
        if metric.startswith("fraud_") or ":fraud_" in metric:
            matchers = _MATCHER.finditer(found["matchers"] or "")
            yield Selector(metric, tuple(Matcher(*each.group(1, 2, 3)) for each in matchers))


def rules() -> list[dict[str, Any]]:
    """Return every recording and alert rule."""
    return [
        rule
        for file in sorted(RULES.glob("*.yml"))
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]


def recorded() -> set[str]:
    """Return the names that recording rules make."""
    return {rule["record"] for rule in rules() if "record" in rule}


def complaints(expr: str) -> list[str]:
    """Say what an expression selects that does not exist: metrics, labels, and values of closed sets."""
    known = {name: entry for entry in CATALOGUE for name in entry.series}
    found = []
    for selector in selectors(expr):
        entry = known.get(selector.metric)
        if entry is None:
            if selector.metric not in recorded():
                found.append(f"{selector.metric} is neither in the catalogue nor recorded")
            continue
        for label, operator, value in selector.matchers:
            if label == "le" and selector.metric.endswith("_bucket"):
                if float(value) not in entry.buckets:
                    found.append(f"{selector.metric} has no bucket up to {value}")
            elif label in _ABOUT_TARGETS:
                continue
            elif label not in entry.labels:
                found.append(f"{selector.metric} has no label {label}")
            elif not _selects(entry.labels[label], operator, value):
                found.append(f"{selector.metric} never has {label}{operator}{value}")
    return found


def _selects(closed: tuple[str, ...] | None, operator: str, value: str) -> bool:
    if closed is None:
        return True
    if "~" in operator:
        return any(re.fullmatch(value, each) for each in closed)
    return value in closed
