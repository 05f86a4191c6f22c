"""What the learner's metrics make of what happened to the models."""

import pytest
from prometheus_client import CollectorRegistry

from stream.adapters.metrics import Metrics
from stream.records import ModelEvent, ModelEventKind
from stream.worker.learner import count_events


@pytest.mark.parametrize(
    ("kind", "evidence", "counted"),
    [
        ("swap", {"trigger": "missed_frauds"}, {"swaps": 1, "passed": 1}),
        ("swap", {"trigger": "review"}, {"swaps": 1, "passed": 1}),
        # Nobody asked the gate.
        ("swap", {"trigger": "refit"}, {"swaps": 1}),
        ("swap", {"trigger": "order"}, {"swaps": 1}),
        ("gate_refused", {}, {"refused": 1}),
        ("rollback", {}, {"rollbacks": 1}),
        ("fit_undone", {}, {"rollbacks": 1}),
        ("refitted", {}, {}),
    ],
)
def test_events_are_counted_as_what_they_are(
    kind: ModelEventKind, evidence: dict[str, float | int | str], counted: dict[str, int]
) -> None:
    registry = CollectorRegistry()
    event = ModelEvent(
        kind=kind,
        model_version="a-1",
        detail="",
        evidence=evidence,
        label_offset=0,
        event_time=0,
        recorded_at=0,
    )
    count_events(Metrics(registry), [event])
    gate = {
        decision: registry.get_sample_value("fraud_gate_decisions_total", {"decision": decision})
        for decision in ("passed", "refused")
    }
    found = {
        "swaps": registry.get_sample_value("fraud_swaps_total"),
        "rollbacks": registry.get_sample_value("fraud_rollbacks_total"),
        **gate,
    }
    assert found == {"swaps": 0, "rollbacks": 0, "passed": 0, "refused": 0} | counted
