"""The catalogue keeps its promises: names, labels, documentation, and cheap updates that count the same."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stream.adapters.metrics import CATALOGUE, Entry, Exported, Metrics, observe_many
from stream.records import DeadLetterReason

BOUNDS = (-1.0, 0.0, 0.1, 0.25, 1.0)

# The bounds themselves and their neighbours are where a wrong comparison would show.
values = st.lists(
    st.sampled_from([*BOUNDS, *np.nextafter(BOUNDS, np.inf), *np.nextafter(BOUNDS, -np.inf)])
    | st.floats(-10, 10, width=32),
    max_size=60,
)


def text(metrics: Metrics) -> str:
    return generate_latest(metrics.registry).decode()


def test_every_metric_of_the_catalogue_is_an_attribute_of_its_kind() -> None:
    metrics = Metrics()
    for entry in CATALOGUE:
        assert isinstance(getattr(metrics, entry.attribute), entry.kind), entry.name
        assert getattr(Metrics, entry.attribute) is entry


def test_names_follow_the_conventions() -> None:
    for entry in CATALOGUE:
        assert re.fullmatch(r"fraud(_[a-z]+)+", entry.name), entry.name
        assert entry.name.endswith("_total") == (entry.kind is Counter), entry.name
        # Base units: seconds and bytes, nothing else that can be converted into them.
        assert not re.search(r"_(ms|millis|milliseconds|minutes|hours|days|kb|mb|percent)\b", entry.name)
        assert entry.description.endswith(".") or entry.description.endswith(tuple("01"))
    assert len({entry.name for entry in CATALOGUE}) == len(CATALOGUE)


def test_no_label_could_name_a_person() -> None:
    labels = {label for entry in CATALOGUE for label in entry.labels}
    assert labels == {
        *("outcome", "topic", "partition", "reason", "role", "stage"),
        *("service", "model", "signal", "decision", "version", "source", "remedy", "state", "feature"),
    }


def test_scraped_names_are_the_catalogues_series() -> None:
    """What a scrape shows is what `Entry.series` says, which rules and dashboards are checked against."""
    metrics = Metrics()
    for entry in CATALOGUE:
        if entry.labels:
            getattr(metrics, entry.attribute).labels(*entry.labels)
    scraped = {
        sample.name for family in text_string_to_metric_families(text(metrics)) for sample in family.samples
    }
    ours = {name for name in scraped if name.startswith("fraud_")}
    assert ours == {name for entry in CATALOGUE for name in entry.series}
    assert "process_cpu_seconds_total" in scraped
    assert "python_info" in scraped


def test_counters_with_closed_labels_start_at_zero() -> None:
    """`increase()` does not see the step that brings a series into being: it must not be a dead letter."""
    registry = Metrics().registry
    for reason in DeadLetterReason:
        labels = {"topic": "transactions", "reason": reason.value}
        assert registry.get_sample_value("fraud_dead_letters_total", labels) == 0
    assert registry.get_sample_value("fraud_labels_total", {"outcome": "joined"}) == 0


def test_one_process_may_have_several_registries() -> None:
    first, second = Metrics(CollectorRegistry()), Metrics(CollectorRegistry())
    first.alerts.inc()
    assert first.registry.get_sample_value("fraud_alerts_total") == 1
    assert second.registry.get_sample_value("fraud_alerts_total") == 0


def test_a_retired_models_series_end_and_the_others_stay() -> None:
    metrics = Metrics()
    model_entries = [entry for entry in CATALOGUE if "model" in entry.labels]
    for version in ("logistic-1", "forest-1"):
        for entry in model_entries:
            getattr(metrics, entry.attribute).labels(version)
    metrics.forget_model("logistic-1")
    assert "logistic-1" not in text(metrics)
    assert text(metrics).count('model="forest-1"') == len(model_entries)


def test_forgetting_a_model_that_this_process_never_had_is_fine() -> None:
    metrics = Metrics()
    metrics.snapshot.labels("logistic-1").set(3)
    metrics.forget_model("logistic-1")
    metrics.forget_model("logistic-1")
    assert "logistic-1" not in text(metrics)


@given(values)
def test_observing_many_counts_as_observing_one_by_one(observed: list[float]) -> None:
    """The contract with the library's insides: an upgrade that moves them fails here."""
    registry = CollectorRegistry()
    many = Histogram("many", "m", buckets=BOUNDS, registry=registry)
    one = Histogram("one", "o", buckets=BOUNDS, registry=registry)
    observe_many(many, np.array(observed))
    for value in observed:
        one.observe(value)
    for bound in ("-1.0", "0.0", "0.1", "0.25", "1.0", "+Inf"):
        expected = registry.get_sample_value("one_bucket", {"le": bound})
        assert registry.get_sample_value("many_bucket", {"le": bound}) == expected
    assert registry.get_sample_value("many_count") == len(observed)
    assert many._sum.get() == pytest.approx(one._sum.get())


def test_observing_many_takes_the_quick_way() -> None:
    """Were the library's insides gone, `observe_many` would go on, thirty times as slowly, and not say so."""
    histogram = Metrics().batch_seconds.labels("score", "commit")
    assert {"_upper_bounds", "_buckets", "_sum"} <= vars(histogram).keys()


def test_observing_many_survives_a_library_that_keeps_its_buckets_elsewhere() -> None:
    class Elsewhere:
        def __init__(self) -> None:
            self.seen: list[float] = []

        def observe(self, value: float) -> None:
            self.seen.append(value)

    elsewhere = Elsewhere()
    observe_many(elsewhere, [0.1, 0.2])  # type: ignore[arg-type]
    assert elsewhere.seen == [0.1, 0.2]


def test_the_latency_objective_is_a_buckets_bound() -> None:
    """Rules count what was scored within 100 ms exactly, not by interpolation."""
    assert 0.1 in Metrics.scoring_latency.buckets
    assert (Metrics.scoring_latency.buckets[0], Metrics.scoring_latency.buckets[-1]) == (0.001, 60.0)


def test_the_label_objective_is_a_buckets_bound() -> None:
    assert 60.0 in Metrics.label_latency.buckets


def test_catalogue_lists_entries_in_the_order_of_their_declaration() -> None:
    declared = [
        name for part in (Metrics, Exported) for name, value in vars(part).items() if isinstance(value, Entry)
    ]
    assert [entry.attribute for entry in CATALOGUE] == declared
