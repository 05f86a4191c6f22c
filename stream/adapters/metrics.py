"""The catalogue of metrics: every series that a worker exports, declared once.

``docs/metrics.md`` is rendered from it, and from the consumers' own, by ``tools/reference.py``; alert rules
and dashboards may name nothing else, which tests hold them to. Labels are bounded: never a customer, card,
terminal or transaction.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import product
from typing import Any, Final, Generic, Self, TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray
from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from stream.clock import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from stream.drift import arrival
from stream.drift.population import SIGNALS
from stream.features.catalogue import FEATURE_NAMES
from stream.records import DeadLetterReason
from stream.registry.case_state import STATES

M = TypeVar("M", bound=Counter | Gauge | Histogram)
Labels = Mapping[str, tuple[str, ...] | None]
"""A label's name and its values: all of them, or None when it is bounded by other means."""

_MINUTE: Final = MINUTE_MS / SECOND_MS
_HOUR: Final = HOUR_MS / SECOND_MS
_DAY: Final = DAY_MS / SECOND_MS

_LATENCY_BUCKETS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25),
    *(0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
_STAGE_BUCKETS: Final = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    1.0,
    5.0,
)
_RECORD_BUCKETS: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0)
_SCORE_BUCKETS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4),
    *(0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0),
)
_JOIN_BUCKETS: Final = (0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_FIT_BUCKETS: Final = (0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
_DELAY_BUCKETS: Final = (
    *(10 * _MINUTE, _HOUR, 6 * _HOUR, 12 * _HOUR),
    *(days * _DAY for days in (1, 2, 3, 5, 7, 10, 14, 21, 30, 45, 60)),
)

_ROLES: Final = ("score", "learn", "fit")
_TOPICS: Final = ("transactions", "labels")
_SERVICES: Final = ("redis", "kafka", "learner", "scorers")
_STAGES: Final = ("decode", "load", "compute", "commit", "send", "emit")


class Entry(Generic[M]):
    """One metric of the catalogue: on an instance of :class:`Metrics` it is the metric itself.

    Parameters
    ----------
    kind
        Counter, Gauge or Histogram.
    name
        As Prometheus sees it: `fraud_` first, then what is counted, its base unit, and `_total` on counters.
    description
        One sentence; the metric's HELP.
    labels
        Its labels in order.
    buckets
        A histogram's upper bounds, in the metric's unit.
    """

    def __init__(
        self,
        kind: type[M],
        name: str,
        description: str,
        labels: Labels | None = None,
        buckets: Sequence[float] = (),
    ) -> None:
        self.kind: type[M] = kind
        self.name = name
        self.description = description
        self.labels: Labels = labels or {}
        self.buckets = tuple(buckets)
        self.attribute = ""

    def __set_name__(self, owner: type, attribute: str) -> None:
        self.attribute = attribute

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> M: ...

    def __get__(self, instance: object | None, owner: type) -> Self | M:
        return self if instance is None else cast(M, vars(instance)[self.attribute])

    def make(self, registry: CollectorRegistry) -> M:
        """Make the metric and register it.

        A counter whose labels' values are all known starts with every series at zero: `increase` sees
        nothing of the step that brings a series into being, so that the first dead letter would be missed.
        """
        options: dict[str, Any] = {"buckets": self.buckets} if self.buckets else {}
        metric: M = self.kind(self.name, self.description, tuple(self.labels), registry=registry, **options)
        values = [known for known in self.labels.values() if known is not None]
        if self.kind is Counter and values and len(values) == len(self.labels):
            for combination in product(*values):
                metric.labels(*combination)
        return metric

    @property
    def series(self) -> tuple[str, ...]:
        """Names that queries may use: the metric's own, or a histogram's parts."""
        if self.kind is Histogram:
            return tuple(f"{self.name}_{part}" for part in ("bucket", "count", "sum"))
        return (self.name,)


class Exported:
    """The metrics of one kind of process: those that its class declares, by attribute.

    Parameters
    ----------
    registry
        Where they are registered, with the process's and Python's own; None: in a new registry.
    """

    build_info = Entry(
        Gauge,
        "fraud_build_info",
        "Always 1; the labels tell.",
        {"version": None, "role": (*_ROLES, "all", "cases", "desk")},
    )

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = CollectorRegistry() if registry is None else registry
        # They double the number of series, and no query of ours needs a counter's time of birth.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library forgot to annotate it
        for entry in self.catalogue():
            vars(self)[entry.attribute] = entry.make(self.registry)
        if self.registry is not REGISTRY:  # which has them from prometheus-client itself
            ProcessCollector(registry=self.registry)
            PlatformCollector(registry=self.registry)
            GCCollector(registry=self.registry)

    @classmethod
    def catalogue(cls) -> tuple[Entry[Any], ...]:
        """Return what the class declares, in that order, what it has from others after its own."""
        return tuple(
            entry for part in cls.__mro__ for entry in vars(part).values() if isinstance(entry, Entry)
        )


class Metrics(Exported):
    """Every metric of a worker, by attribute.

    Parameters
    ----------
    registry
        As in :class:`Exported`.

    Examples
    --------
    >>> metrics = Metrics()
    >>> metrics.transactions.labels("scored").inc(500)
    >>> metrics.registry.get_sample_value("fraud_transactions_total", {"outcome": "scored"})
    500.0
    >>> Metrics.transactions.name
    'fraud_transactions_total'
    """

    transactions = Entry(
        Counter,
        "fraud_transactions_total",
        "Transactions done with: scored; delivered again and answered from the pending record; scored anew,"
        " and not answered again, as Redis had lost them; a second one of a known id; or a dead letter.",
        {"outcome": ("scored", "redelivered", "rebuilt", "duplicate", "dead_letter")},
    )
    dead_letters = Entry(
        Counter,
        "fraud_dead_letters_total",
        "Records that could not be used, by the topic they came from (without its prefix) and the reason.",
        {"topic": _TOPICS, "reason": tuple(reason.value for reason in DeadLetterReason)},
    )
    tokenised = Entry(
        Counter,
        "fraud_tokenised_transactions_total",
        "Transactions in which tokens stand for identifiers: with FRAUD_TOKENISE=cards, those that came with"
        " a card number.",
    )
    suspect_labels = Entry(
        Counter,
        "fraud_suspect_labels_total",
        "Labels that say fraud of a transaction that had been scored below 0.001, by their source.",
        {"source": ("chargeback", "analyst", "settlement")},
    )
    forgotten = Entry(
        Counter,
        "fraud_forgotten_total",
        "States and risk records that were forgotten, as there were more than FRAUD_MOST_REMEMBERED.",
        {"role": _ROLES},
    )
    alerts = Entry(Counter, "fraud_alerts_total", "Transactions scored at or above their threshold.")
    alerted_amount = Entry(
        Counter,
        "fraud_alerted_amount_total",
        "Amount of those transactions, in units of the account's currency.",
    )
    alert_budget = Entry(
        Gauge,
        "fraud_alert_budget",
        "Alerts a day of event time that are wanted of a partition: its share of the alert budget.",
        {"partition": None},
    )
    alerts_last_day = Entry(
        Gauge,
        "fraud_alerts_last_day",
        "Alerts given by a partition in the last 24 whole hours of event time; only with a budget.",
        {"partition": None},
    )
    alert_threshold = Entry(
        Gauge,
        "fraud_alert_threshold",
        "Score that is an alert in a partition now, 0 to 1; 2 when none is; only with a budget.",
        {"partition": None},
    )
    scores = Entry(
        Histogram,
        "fraud_score",
        "The champion's scores: probability of fraud, 0 to 1.",
        buckets=_SCORE_BUCKETS,
    )
    scoring_latency = Entry(
        Histogram,
        "fraud_scoring_latency_seconds",
        "From the broker's timestamp of a transaction to the confirmed delivery of its score.",
        buckets=_LATENCY_BUCKETS,
    )
    batch_seconds = Entry(
        Histogram,
        "fraud_batch_seconds",
        "Time that a record batch spent in each stage.",
        {"role": _ROLES, "stage": _STAGES},
        _STAGE_BUCKETS,
    )
    batch_records = Entry(
        Histogram, "fraud_batch_records", "Records in a batch.", {"role": _ROLES}, _RECORD_BUCKETS
    )
    lag = Entry(
        Gauge,
        "fraud_consumer_lag_records",
        "Records on an assigned partition after the last one done with; the topic as the broker calls it.",
        {"topic": None, "partition": None},
    )
    partitions = Entry(
        Gauge, "fraud_assigned_partitions", "Partitions that this worker has now.", {"role": _ROLES}
    )
    fenced = Entry(
        Counter,
        "fraud_fenced_total",
        "Batches refused by Redis because another worker had taken the partition over.",
        {"role": _ROLES},
    )
    state_lost = Entry(
        Gauge,
        "fraud_state_lost_timestamp_seconds",
        "When it was last found at a start that Redis had lost state, by what was done about it, seconds"
        " since 1970: read again from the watermark, rebuilt from the topic, or gone on without.",
        {"role": _ROLES, "remedy": ("reread", "rebuild", "cold")},
    )
    stalled = Entry(
        Gauge,
        "fraud_stalled_seconds",
        "For how long a role has done nothing though records lie on a partition of its, and no service is"
        " away; at FRAUD_STALL_SECONDS the process ends itself.",
        {"role": _ROLES},
    )
    offset_gaps = Entry(
        Counter,
        "fraud_offset_gap_records_total",
        "Records that fell off a topic (named without its prefix) unread, and were passed over.",
        {"topic": _TOPICS},
    )
    infrastructure_errors = Entry(
        Counter,
        "fraud_infrastructure_errors_total",
        "Calls that failed because a service was away, slow, full or refusing; each was tried again.",
        {"service": _SERVICES},
    )
    waiting = Entry(
        Gauge,
        "fraud_waiting",
        "1 while work waits for a service to answer again, else 0.",
        {"service": _SERVICES},
    )
    labels = Entry(
        Counter,
        "fraud_labels_total",
        "Labels by what became of them: joined to their transaction; parked until it is found (counted once,"
        " and again by how it ended); given up on; said before; changing what was said before; dead letters.",
        {"outcome": ("joined", "parked", "unmatched", "duplicate", "corrected", "dead_letter")},
    )
    label_delay = Entry(
        Histogram,
        "fraud_label_delay_seconds",
        "Verification latency: from a transaction's event time to the time its label became known.",
        buckets=_DELAY_BUCKETS,
    )
    label_latency = Entry(
        Histogram,
        "fraud_label_join_seconds",
        "From the broker's timestamp of a label to its effects being stored.",
        buckets=_JOIN_BUCKETS,
    )
    frauds = Entry(
        Counter,
        "fraud_frauds_total",
        "Frauds, when a label first tells of them, by whether they had been alerted.",
        {"outcome": ("caught", "missed")},
    )
    frauds_amount = Entry(
        Counter,
        "fraud_frauds_amount_total",
        "Amount of those frauds, in units of the account's currency.",
        {"outcome": ("caught", "missed")},
    )
    parked = Entry(Gauge, "fraud_parked_labels", "Labels that wait for their transaction now.")
    learned = Entry(Counter, "fraud_learned_total", "Labels that a model has learnt from.", {"model": None})
    model_ap = Entry(
        Gauge,
        "fraud_model_average_precision",
        "Average precision over the window of matured labels, of the scores given at decision time, 0 to 1.",
        {"model": None},
    )
    model_log_loss = Entry(
        Gauge, "fraud_model_log_loss", "Log loss over the same window, in nats.", {"model": None}
    )
    model_calibration_error = Entry(
        Gauge,
        "fraud_model_calibration_error",
        "Expected calibration error over the same window, 15 bins of equal width, 0 to 1.",
        {"model": None},
    )
    model_brier = Entry(
        Gauge,
        "fraud_model_brier",
        "Brier score over the same window: mean squared error of the probability, 0 to 1.",
        {"model": None},
    )
    model_precision = Entry(
        Gauge,
        "fraud_model_alert_precision",
        "Frauds among the model's highest scores, as many as were alerted, over the same window, 0 to 1.",
        {"model": None},
    )
    model_recall = Entry(
        Gauge,
        "fraud_model_alert_recall",
        "Share of the frauds that are among those, over the same window, 0 to 1.",
        {"model": None},
    )
    model_window = Entry(
        Gauge, "fraud_model_window_labels", "Matured labels in the model's window.", {"model": None}
    )
    champion = Entry(
        Gauge, "fraud_model_champion", "1 for the champion, 0 for a challenger.", {"model": None}
    )
    snapshot = Entry(
        Gauge,
        "fraud_model_snapshot",
        "Number of the model's snapshot that this scorer scores with.",
        {"model": None},
    )
    drift = Entry(
        Counter, "fraud_drift_total", "Drift detections by the signal that moved.", {"signal": None}
    )
    signal = Entry(
        Gauge,
        "fraud_population_signal",
        "What a scorer saw on the last whole day of event time, without labels: indices of stability against"
        " the two weeks before, shares and means. expected_precision: mean score of the alerts.",
        {"signal": tuple(SIGNALS)},
    )
    signals_fired = Entry(
        Counter,
        "fraud_population_signals_total",
        "Times that such a figure has left its band.",
        {"signal": tuple(SIGNALS)},
    )
    feature_shift = Entry(
        Gauge,
        "fraud_feature_shift",
        "Population stability index of a feature on that day.",
        {"feature": FEATURE_NAMES},
    )
    label_signal = Entry(
        Gauge,
        "fraud_label_signal",
        "How labels arrived on the last whole day of label time: how many; the days in succession that had"
        " none, but for weekdays that never have any; of the week that ended with it, verification latency"
        " in seconds, median and 95th percentile, and the shares that are frauds, contradicted an earlier"
        " label, found no transaction.",
        {"signal": arrival.SIGNALS, "source": arrival.SOURCES},
    )
    label_signals_fired = Entry(
        Counter,
        "fraud_label_signals_total",
        "Times that such a figure has left its band.",
        {"signal": arrival.SIGNALS, "source": arrival.SOURCES},
    )
    swaps = Entry(Counter, "fraud_swaps_total", "Times that a challenger became the champion.")
    rollbacks = Entry(
        Counter,
        "fraud_rollbacks_total",
        "Times that a new champion, or a new fit of it, failed its probation and was undone.",
    )
    case_state = Entry(
        Gauge,
        "fraud_case_state",
        "1 for where the champion's case stands, 0 for the rest.",
        {"state": STATES},
    )
    gate = Entry(
        Counter,
        "fraud_gate_decisions_total",
        "Comparisons of the champion with its best challenger, by whether the challenger passed.",
        {"decision": ("passed", "refused")},
    )
    checkpoint_time = Entry(
        Gauge,
        "fraud_checkpoint_timestamp_seconds",
        "When the learner last stored a checkpoint, seconds since 1970; 0 before the first.",
    )
    checkpoint_bytes = Entry(Gauge, "fraud_checkpoint_bytes", "Size of that checkpoint.")
    fits = Entry(Counter, "fraud_fits_total", "Times that the batch challenger was fitted and offered.")
    fit_seconds = Entry(
        Histogram,
        "fraud_fit_seconds",
        "Time that a fit took, its offer included.",
        buckets=_FIT_BUCKETS,
    )
    fit_rows = Entry(
        Gauge,
        "fraud_fit_rows",
        "Transactions in the window that the batch challenger is fitted on.",
        {"outcome": ("fraud", "legitimate")},
    )
    fit_labels = Entry(
        Counter,
        "fraud_fit_labels_total",
        "Labels that the fitter has read: joined to their transaction; or skipped, as it was not found.",
        {"outcome": ("joined", "skipped")},
    )
    fit_time = Entry(
        Gauge,
        "fraud_fit_timestamp_seconds",
        "Label time up to which the last model offered was fitted, seconds since 1970; 0 before the first."
        ' Its age: fraud_event_timestamp_seconds{role="fit"} less this.',
    )
    offers = Entry(
        Counter,
        "fraud_offers_total",
        "Models offered by a fitter, by what the learner did: admitted, or refused as damaged, forged or"
        " made for other features.",
        {"decision": ("admitted", "refused")},
    )
    label_offset = Entry(
        Gauge, "fraud_label_offset", "Offset of the last label that the learner, or the fitter, has applied."
    )
    event_time = Entry(
        Gauge,
        "fraud_event_timestamp_seconds",
        "Newest event time (score) or label time (learn, fit) seen, seconds since 1970: the stream's own"
        " clock.",
        {"role": _ROLES},
    )
    ready = Entry(Gauge, "fraud_ready", "1 while /health/ready says so, else 0.")

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        super().__init__(registry)
        # That nothing waits is known from the start, and must be told from not knowing.
        for service in _SERVICES:
            self.waiting.labels(service).set(0)

    def show_budget(self, partition: int, budget: float, last_day: int, threshold: float) -> None:
        """Set what a partition may alert, did, and will."""
        name = str(partition)
        self.alert_budget.labels(name).set(budget)
        self.alerts_last_day.labels(name).set(last_day)
        self.alert_threshold.labels(name).set(threshold)

    def forget_budgets(self) -> None:
        """Stop exporting every partition's budget: others may have them now."""
        for gauge in (self.alert_budget, self.alerts_last_day, self.alert_threshold):
            gauge.clear()

    def forget_model(self, version: str) -> None:
        """Stop exporting a retired model's series, so that their number stays bounded."""
        for entry in _MODEL_ENTRIES:
            # Not every process has a series of every model.
            with suppress(KeyError):
                vars(self)[entry.attribute].remove(version)


CATALOGUE: Final = Metrics.catalogue()
"""Every metric of a worker, in the order of their declaration."""

_MODEL_ENTRIES: Final = tuple(entry for entry in CATALOGUE if tuple(entry.labels) == ("model",))


def observe_many(histogram: Histogram, values: Iterable[float] | NDArray[np.floating]) -> None:
    """Observe every value, as `histogram.observe` one by one would.

    Parameters
    ----------
    histogram
        Without labels, or the child of a labelled one.
    values
        Shape (n,), in the histogram's unit. None at all is fine.

    Notes
    -----
    500 latencies take 9 us as an array and 15 us as a list, where a loop over `observe` takes 300 us
    (CPython 3.11, one core). The library has no public call for this, so the buckets are incremented where it
    keeps them; should it ever keep them elsewhere, the loop takes over and a contract test fails.

    Examples
    --------
    >>> metrics = Metrics()
    >>> observe_many(metrics.scoring_latency, [0.004, 0.02, 0.02])
    >>> metrics.registry.get_sample_value("fraud_scoring_latency_seconds_count")
    3.0
    """
    observed = np.asarray(values if isinstance(values, np.ndarray) else list(values), dtype=np.float64)
    if observed.size == 0:
        return
    try:
        bounds, buckets, total = histogram._upper_bounds, histogram._buckets, histogram._sum  # noqa: SLF001 - see Notes
    except AttributeError:
        for value in observed.tolist():
            histogram.observe(value)
        return
    # Bucket i takes what lies above bound i-1 and up to bound i, itself included.
    counts = np.bincount(np.searchsorted(bounds, observed, side="left"), minlength=len(bounds))
    for bucket in np.flatnonzero(counts[: len(bounds)]).tolist():
        buckets[bucket].inc(float(counts[bucket]))
    total.inc(float(observed.sum()))


def in_rows(entries: Iterable[Entry[Any]]) -> str:
    """Return metrics as the rows of a table in Markdown: name, type, labels, meaning."""
    return "\n".join(
        f"| `{entry.name}` | {entry.kind.__name__.lower()}"
        f" | {'<br>'.join(_label(name, known) for name, known in entry.labels.items())}"
        f" | {entry.description} |"
        for entry in entries
    )


def bounds_in_rows(entries: Iterable[Entry[Any]]) -> str:
    """Return the bounds of the histograms among them as such rows: name, bounds."""
    return "\n".join(
        f"| `{entry.name}` | {' '.join(f'{bound:.10g}' for bound in entry.buckets)} |"
        for entry in entries
        if entry.buckets
    )


def _label(name: str, known: tuple[str, ...] | None) -> str:
    if known is None:
        return f"`{name}`"
    return f"`{name}`: {', '.join(known)}"
