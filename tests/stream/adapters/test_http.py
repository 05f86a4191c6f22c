"""Metrics and health are served as promised, and a port that cannot be had is a sentence."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import aiohttp
import pytest

from stream.adapters.http import Server, start_http
from stream.adapters.metrics import Metrics
from stream.errors import SettingsError

Answer = tuple[int, Mapping[str, str], str]


def nothing() -> list[str]:
    return []


def serving(
    talk: Callable[[Server, aiohttp.ClientSession], Awaitable[Any]],
    metrics: Metrics | None = None,
    ready: Callable[[], list[str]] = nothing,
    live: Callable[[], list[str]] = nothing,
) -> Any:
    """Start a server on a free port, talk to it, close it."""

    async def run() -> Any:
        server = await start_http("127.0.0.1", 0, (metrics or Metrics()).registry, ready, live)
        base = f"http://127.0.0.1:{server.port}"
        try:
            async with aiohttp.ClientSession(base) as session:
                return await talk(server, session)
        finally:
            await server.close()

    return asyncio.run(run())


def get(
    path: str, accept: str | None = None, **kwargs: Any
) -> tuple[int, aiohttp.typedefs.LooseHeaders, str]:
    async def talk(_server: Server, session: aiohttp.ClientSession) -> Answer:
        async with session.get(path, headers={"Accept": accept} if accept else None) as response:
            return response.status, response.headers, await response.text()

    answer: Answer = serving(talk, **kwargs)
    return answer


def test_metrics_come_as_plain_text_to_whoever_does_not_ask() -> None:
    metrics = Metrics()
    metrics.alerts.inc(3)
    status, headers, body = get("/metrics", metrics=metrics)
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain; version=")
    assert "fraud_alerts_total 3.0" in body


def test_metrics_come_as_openmetrics_to_whoever_asks() -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    status, headers, body = get("/metrics", accept)
    assert status == 200
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith("# EOF\n")


def test_metrics_are_compressed_for_whoever_can_read_it() -> None:
    _, headers, body = get("/metrics")
    assert headers["Content-Encoding"] in {"gzip", "deflate"}
    assert "fraud_ready" in body


@pytest.mark.parametrize("name", ["live", "ready"])
def test_health_is_200_while_nothing_is_wrong(name: str) -> None:
    status, headers, body = get(f"/health/{name}")
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert headers["Cache-Control"] == "no-store"
    assert body == f'{{"{name}":true,"reasons":[]}}'


def test_readiness_is_503_with_every_reason() -> None:
    wrong = ["redis: connection refused", "learn: no partitions assigned yet"]
    status, _, body = get("/health/ready", ready=lambda: wrong)
    assert status == 503
    expected = '"reasons":["redis: connection refused","learn: no partitions assigned yet"]'
    assert body == '{"ready":false,' + expected + "}"


def test_a_worker_that_is_not_ready_still_lives() -> None:
    status, _, _ = get("/health/live", ready=lambda: ["redis: connection refused"])
    assert status == 200


def test_health_is_asked_anew_each_time() -> None:
    wrong = ["redis: away"]

    async def talk(_server: Server, session: aiohttp.ClientSession) -> list[int]:
        before = await session.get("/health/ready")
        wrong.clear()
        after = await session.get("/health/ready")
        return [before.status, after.status]

    assert serving(talk, ready=lambda: wrong) == [503, 200]


@pytest.mark.parametrize("path", ["/", "/health", "/metrics/", "/table", "/debug/pprof"])
def test_nothing_else_is_served(path: str) -> None:
    status, _, _ = get(path)
    assert status == 404


def test_nothing_can_be_written() -> None:
    async def talk(_server: Server, session: aiohttp.ClientSession) -> int:
        async with session.post("/health/ready", data=b"{}") as response:
            return response.status

    assert serving(talk) == 405


def test_closing_does_not_wait_for_an_idle_connection() -> None:
    """Prometheus keeps its connection open between scrapes."""

    async def talk(server: Server, session: aiohttp.ClientSession) -> bool:
        async with session.get("/metrics") as response:
            await response.read()
        async with asyncio.timeout(5):
            await server.close()
            await server.close()
        with pytest.raises(aiohttp.ClientError):
            await session.get("/metrics")
        return True

    assert serving(talk)


def test_a_taken_port_is_a_sentence_that_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        async def run() -> None:
            await start_http("127.0.0.1", port, Metrics().registry, nothing, nothing)

        with pytest.raises(
            SettingsError, match=rf"FRAUD_HTTP_PORT={port}: another process .* choose another port, or 0"
        ):
            asyncio.run(run())


def test_an_address_of_another_machine_is_a_sentence() -> None:
    async def run() -> None:
        # TEST-NET-1 (RFC 5737): nobody's.
        await start_http("192.0.2.1", 0, Metrics().registry, nothing, nothing)

    with pytest.raises(SettingsError, match=r"FRAUD_HTTP_HOST=192\.0\.2\.1: cannot listen there"):
        asyncio.run(run())


def test_a_host_that_is_no_address_is_a_sentence() -> None:
    async def run() -> None:
        await start_http("no-such-host.invalid", 0, Metrics().registry, nothing, nothing)

    with pytest.raises(SettingsError, match=r"FRAUD_HTTP_HOST=no-such-host\.invalid"):
        asyncio.run(run())


@pytest.mark.parametrize("path", ["/metrics", "/health/live", "/health/ready", "/", "/metrics/../secret"])
def test_no_browser_may_keep_frame_or_guess_an_answer_and_nobody_is_told_what_serves_it(path: str) -> None:
    _, headers, _ = get(path)
    assert isinstance(headers, Mapping)
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert headers["Server"] == "fraudstream"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_sent(method: str) -> None:
    async def talk(_server: Server, session: aiohttp.ClientSession) -> int:
        async with session.request(method, "/metrics", data=b"x") as response:
            return response.status

    assert serving(talk) == 405
