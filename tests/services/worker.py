"""A worker under test: `fraudstream worker` as a process of its own."""

import json
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from stream.settings import Settings
from tests.services.process import Process, free_port

_COMMAND = Path(sys.executable).with_name("fraudstream")


class Worker(Process):
    """A running worker, ready once it has been made.

    Parameters
    ----------
    settings
        Handed down as environment variables; those left at their default are not, but for the port, which
        is then a free one.
    role
        `score`, `learn` or `all`.
    log
        File that takes what it says.
    timeout
        Seconds it may take to become ready; None does not wait.
    """

    def __init__(
        self,
        settings: Settings,
        role: str,
        log: Path,
        timeout: float | None = 90.0,
    ) -> None:
        port = settings.http_port if "http_port" in settings.model_fields_set else free_port()
        self.url = f"http://127.0.0.1:{port}"
        # Nothing of the caller's own configuration may leak in.
        ours = {name: value for name, value in os.environ.items() if not name.startswith("FRAUD_")}
        environment = ours | environment_of(settings) | {"FRAUD_HTTP_PORT": str(port), "FRAUD_ROLE": role}
        super().__init__([str(_COMMAND), "worker", "--role", role], log, environment)
        if timeout is not None:
            try:
                self.await_ready(self.is_ready, timeout)
            except BaseException:
                self.kill()
                raise

    def is_ready(self) -> bool:
        """Tell whether /health/ready says 200."""
        return self.status("/health/ready") == 200

    def why_not_ready(self) -> str:
        """Return what /health/ready answers."""
        try:
            with urllib.request.urlopen(self.url + "/health/ready", timeout=5) as response:  # noqa: S310 - http
                return str(response.read().decode())
        except urllib.error.HTTPError as error:
            return error.read().decode()

    def status(self, path: str) -> int | None:
        """Return the HTTP status of a path; None when nobody answers."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as response:  # noqa: S310 - http
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def metrics(self) -> dict[str, float]:
        """Return every sample of /metrics, by name and labels as written there: `name{label="value"}`."""
        return {_series(sample): sample.value for sample in self._samples()}

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that carry these labels; 0 when there is none yet."""
        return sum(
            sample.value
            for sample in self._samples()
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def _samples(self) -> list[Sample]:
        with urllib.request.urlopen(self.url + "/metrics", timeout=5) as response:  # noqa: S310 - http
            text = response.read().decode()
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment variables that make these settings.

    Examples
    --------
    >>> made = environment_of(Settings(partitions=2, challengers=("forest",)))
    >>> made["FRAUD_PARTITIONS"], made["FRAUD_CHALLENGERS"], made["FRAUD_DESK_METRICS_PORT"]
    ('2', '["forest"]', '0')
    """
    # Tests run beside each other: only who wants to look at a port has one of its own.
    ports = {f"FRAUD_{command}_METRICS_PORT": "0" for command in ("CASES", "DESK")}
    return ports | {
        f"FRAUD_{name.upper()}": _text(getattr(settings, name))
        for name in Settings.model_fields
        if name in settings.model_fields_set and getattr(settings, name) is not None
    }


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return json.dumps(value)
    secret = getattr(value, "get_secret_value", None)
    return str(secret() if secret else value)


def _series(sample: Sample) -> str:
    inside = ",".join(f'{label}="{value}"' for label, value in sample.labels.items())
    return f"{sample.name}{{{inside}}}" if inside else sample.name
