"""A real Alertmanager for tests, with our routes, and the webhook that it calls."""

import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.services.process import Process, free_port

CONFIGURATION = Path(__file__).parents[2] / "prometheus" / "alertmanager.yml"


class Notice(NamedTuple):
    """One alert of a notification."""

    receiver: str
    """By the path that was called: `page` or `ticket`."""
    status: str
    """`firing` or `resolved`."""
    labels: dict[str, str]
    annotations: dict[str, str]


class Webhook:
    """Somebody who is told of alerts: listens on a free port, and keeps what it hears."""

    def __init__(self) -> None:
        self._heard: list[Notice] = []
        heard = self._heard

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                for alert in body["alerts"]:
                    notice = Notice(self.path[1:], alert["status"], alert["labels"], alert["annotations"])
                    heard.append(notice)
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def heard(self, alert: str, status: str) -> list[Notice]:
        """Return what was said of an alert, oldest first."""
        return [one for one in self._heard if (one.labels["alertname"], one.status) == (alert, status)]

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class AlertmanagerServer:
    """A running Alertmanager with our routes, which calls a webhook without waiting for a group to fill.

    Parameters
    ----------
    directory
        Empty; holds its configuration, its data and its log.
    webhook
        URL that takes the place of ours, up to the receiver's path.
    """

    def __init__(self, directory: Path, webhook: str) -> None:
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        configuration = directory / "alertmanager.yml"
        configuration.write_text(yaml.safe_dump(_configuration(webhook)))
        self.process = Process(
            [
                "prometheus-alertmanager",
                f"--config.file={configuration}",
                f"--storage.path={directory / 'data'}",
                f"--web.listen-address={self.address}",
                "--cluster.listen-address=",
            ],
            directory / "alertmanager.log",
        )
        self.process.await_ready(self.is_ready)

    def is_ready(self) -> bool:
        """Tell whether it takes alerts."""
        try:
            with urllib.request.urlopen(f"http://{self.address}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def stop(self) -> None:
        """Stop it in order."""
        self.process.terminate()


def _configuration(webhook: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(CONFIGURATION.read_text())
    for route in (config["route"], *config["route"]["routes"]):
        route |= {"group_wait": "1s", "group_interval": "1s"}
    for receiver in config["receivers"]:
        for hook in receiver["webhook_configs"]:
            hook["url"] = f"{webhook}/{hook['url'].rsplit('/', 1)[1]}"
    return config
