"""The webhook against a real HTTP server that answers as told."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from consumers.stopping import Stop
from consumers.webhook import WebhookSink
from stream.errors import InfrastructureError, SettingsError
from tests.consumers.made import make_alert
from tests.services.alert_receiver import Receiver
from tests.services.waiting import eventually


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def sink(receiver: Receiver, **options: Any) -> WebhookSink:
    return WebhookSink(receiver.url, **{"first_wait_seconds": 0.01, "timeout_seconds": 2.0} | options)


def test_an_alert_is_posted_as_json_with_its_idempotency_key(receiver: Receiver) -> None:
    assert sink(receiver, token="secret").deliver(make_alert("t-1"), Stop())
    ((path, headers, body),) = receiver.posts
    assert path == "/alerts"
    assert {name.lower(): value for name, value in headers.items()}["idempotency-key"] == "t-1"
    assert headers["Authorization"] == "Bearer secret"
    assert headers["Content-Type"] == "application/json"
    assert (body["transaction_id"], body["score"]) == ("t-1", 0.75)
    assert body["reasons"][0]["text"] == "12 transactions in 24 h"


@pytest.mark.parametrize("code", [500, 502, 503, 504, 408, 425, 429])
def test_passing_trouble_is_tried_again(receiver: Receiver, code: int) -> None:
    receiver.codes = [code, code]
    assert sink(receiver).deliver(make_alert(), Stop())
    assert len(receiver.posts) == 3


def test_a_server_that_is_too_slow_is_tried_again(receiver: Receiver) -> None:
    receiver.delay_seconds = 0.5
    stop = Stop()
    slow = threading.Thread(target=lambda: sink(receiver, timeout_seconds=0.1).deliver(make_alert(), stop))
    slow.start()
    eventually(lambda: len(receiver.posts) >= 2)
    receiver.delay_seconds = 0.0
    slow.join(10)
    assert not slow.is_alive()
    assert not stop.asked


@pytest.mark.parametrize("code", [302, 400, 401, 404])
def test_a_refusal_is_an_error_for_somebody_to_look_at(receiver: Receiver, code: int) -> None:
    receiver.codes = [code]
    with pytest.raises(InfrastructureError, match=f"HTTP {code}: check --webhook"):
        sink(receiver).deliver(make_alert(), Stop())
    assert len(receiver.posts) == 1


def test_a_stop_ends_the_wait_with_the_alert_undelivered(receiver: Receiver) -> None:
    receiver.codes = [503] * 100
    stop = Stop()
    threading.Timer(0.2, stop.ask).start()
    started = time.monotonic()
    assert not sink(receiver, first_wait_seconds=30).deliver(make_alert(), stop)
    assert time.monotonic() - started < 5


def test_a_server_that_is_away_is_waited_for() -> None:
    stop = Stop()
    threading.Timer(0.2, stop.ask).start()
    away = WebhookSink("http://127.0.0.1:1/", first_wait_seconds=0.01)
    assert not away.deliver(make_alert(), stop)


def test_identifiers_that_no_header_may_hold_are_escaped(receiver: Receiver) -> None:
    assert sink(receiver).deliver(make_alert("t\r\nX: é"), Stop())
    headers = {name.lower(): value for name, value in receiver.posts[0][1].items()}
    assert headers["idempotency-key"] == "t%0D%0AX:%20%C3%A9"
    assert "x" not in headers


@pytest.mark.parametrize("url", ["file:///etc/passwd", "example.org", "https://"])
def test_only_urls_of_http_are_taken(url: str) -> None:
    with pytest.raises(SettingsError, match="is not a URL such as"):
        WebhookSink(url)
