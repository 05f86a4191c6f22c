"""What is computed from a worker's metrics and health."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from stream.demo.scrape import Endpoint, Histogram, Scrape

Answers = Callable[[str], tuple[int, str]]


@contextmanager
def serving(answer: Answers) -> Iterator[int]:
    """Serve what `answer` says of a path; yield the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, text = answer(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        pytest.param(0.25, 0.05, id="inside the first bucket"),
        pytest.param(0.5, 0.1, id="at its bound"),
        pytest.param(0.7, 0.55, id="inside the second"),
        pytest.param(0.99, 1.0, id="beyond every finite bound"),
    ],
)
def test_a_quantile_is_interpolated_within_its_bucket(share: float, expected: float) -> None:
    histogram = Histogram((0.1, 1.0, math.inf), (50.0, 90.0, 100.0))

    assert histogram.quantile(share) == pytest.approx(expected)


def test_there_is_no_quantile_of_nothing() -> None:
    assert Histogram().quantile(0.5) is None
    assert Histogram((0.1, math.inf), (0.0, 0.0)).quantile(0.5) is None


def test_what_came_since_an_earlier_reading_is_the_difference() -> None:
    earlier = Histogram((0.1, math.inf), (900.0, 1000.0))
    later = Histogram((0.1, math.inf), (900.0, 1100.0))

    assert later.since(earlier) == Histogram((0.1, math.inf), (0.0, 100.0))
    assert later.since(Histogram()) == later


def test_samples_are_summed_by_label() -> None:
    scrape = Scrape.parse('x_total{a="1",b="1"} 2\nx_total{a="1",b="2"} 3\nx_total{a="2",b="1"} 5\n')

    assert scrape.total("x_total") == 10
    assert scrape.total("x_total", a="1") == 5
    assert scrape.by("x_total", "a") == {"1": 5, "2": 5}
    assert scrape.value("x_total", a="2") == 5
    assert scrape.value("x_total", a="3") is None
    assert scrape.total("y_total") == 0


def test_an_endpoint_says_what_its_worker_waits_for() -> None:
    with serving(lambda _: (503, '{"reasons":["no partitions"]}')) as port:
        reason = Endpoint(port).why_not_ready()
    assert reason is not None
    assert "no partitions" in reason
    assert Endpoint(port).why_not_ready() == "it has not answered yet"


def test_an_endpoint_that_is_ready_has_no_reasons() -> None:
    with serving(lambda path: (200 if path == "/health/ready" else 404, "{}")) as port:
        assert Endpoint(port).why_not_ready() is None


def test_metrics_that_cannot_be_had_now_are_none() -> None:
    with serving(lambda path: (200, "x 1\n") if path == "/metrics" else (404, "")) as port:
        scrape = Endpoint(port).scrape()
    assert scrape is not None
    assert scrape.total("x") == 1
    assert Endpoint(port).scrape() is None
    with serving(lambda _: (500, "")) as port:
        assert Endpoint(port).scrape() is None
