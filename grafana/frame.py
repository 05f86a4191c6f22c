"""The frame of every dashboard: the choices at its top, and the marks on its curves."""

from typing import Final

from grafana.panels import Json, annotation, variable

ENVIRONMENT: Final[Json] = variable(
    "environment", "Environment", "label_values(fraud_build_info, job)", many=False
)
"""A deployment: one job of Prometheus."""
WORKER: Final[Json] = variable(
    "instance", "Worker", 'label_values(fraud_build_info{job="$environment"}, instance)', many=True
)
MODEL: Final[Json] = variable(
    "model", "Model", 'label_values(fraud_model_average_precision{job="$environment"}, model)', many=True
)
MARKS: Final[tuple[Json, ...]] = (
    annotation(
        "Swaps",
        'sum(increase(fraud_swaps_total{job="$environment"}[1m])) > 0',
        "Swap",
        "A challenger became the champion; model-events has the evidence.",
        "green",
    ),
    annotation(
        "Rollbacks",
        'sum(increase(fraud_rollbacks_total{job="$environment"}[1m])) > 0',
        "Rollback",
        "The new champion failed its probation.",
        "red",
    ),
    annotation(
        "Drift",
        'sum by (signal) (increase(fraud_drift_total{job="$environment"}[1m])) > 0',
        "Drift: {{signal}}",
        "A detector fired.",
        "orange",
    ),
)
