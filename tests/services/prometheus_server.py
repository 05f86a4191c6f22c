"""A real Prometheus for tests: our configuration and our rules, with other addresses and a faster pulse."""

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from tests.services.process import Process, free_port

CONFIGURATION = Path(__file__).parents[2] / "prometheus"


class PrometheusServer:
    """A running `prometheus` that scrapes workers as the job `fraudstream` every two seconds.

    Parameters
    ----------
    directory
        Empty; holds its configuration, its data and its log.
    workers
        HOST:PORT of each.
    alertmanager
        HOST:PORT of who is told of alerts; None: nobody.
    """

    def __init__(self, directory: Path, workers: Iterable[str], alertmanager: str | None = None) -> None:
        port = free_port()
        self._api = f"http://127.0.0.1:{port}"
        configuration = directory / "prometheus.yml"
        configuration.write_text(yaml.safe_dump(_configuration(directory, workers, alertmanager)))
        self.process = Process(
            [
                "prometheus",
                f"--config.file={configuration}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            directory / "prometheus.log",
        )
        self.process.await_ready(self.is_ready)

    def is_ready(self) -> bool:
        """Tell whether it serves queries."""
        try:
            with urllib.request.urlopen(f"{self._api}/-/ready", timeout=2) as answer:  # noqa: S310 - http
                return bool(answer.status == 200)
        except OSError:
            return False

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of its API; a refusal is the assertion's message."""
        url = f"{self._api}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310 - http
                return json.load(answer)["data"]
        except urllib.error.HTTPError as refusal:
            raise AssertionError(f"{parameters}: {refusal.read().decode()}") from None

    def query(self, expr: str) -> list[dict[str, Any]]:
        """Return the series that an expression gives now."""
        answer: list[dict[str, Any]] = self.ask("query", query=expr)["result"]
        return answer

    def numbers(self, expr: str) -> list[float]:
        """Return the values of those series."""
        return [float(series["value"][1]) for series in self.query(expr)]

    def alerts(self, state: str = "firing") -> set[str]:
        """Return the names of the alerts in a state."""
        raised = self.ask("alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in raised if alert["state"] == state}

    def stop(self) -> None:
        """Stop it in order."""
        self.process.terminate()


def _configuration(directory: Path, workers: Iterable[str], alertmanager: str | None) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((CONFIGURATION / "prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": "2s", "scrape_timeout": "2s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(CONFIGURATION / pattern) for pattern in config["rule_files"]]
    del config["alerting"]
    if alertmanager is not None:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    del jobs["fraudstream"]["dns_sd_configs"]
    targets = directory / "targets.yml"
    targets.write_text(yaml.safe_dump([{"targets": list(workers)}]))
    jobs["fraudstream"]["file_sd_configs"] = [{"files": [str(targets)]}]
    config["scrape_configs"] = [jobs["fraudstream"]]
    return config
