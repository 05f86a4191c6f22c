"""What the doctor makes of what it is told, without a service."""

from typing import Any

import pytest

from stream import kernel
from stream.doctor.configuration import check_configuration
from stream.doctor.finding import Finding, State
from stream.doctor.installation import check_installation, check_kernel
from stream.doctor.redis import judge_clock, judge_server
from stream.settings import Settings

HEALTHY = {
    "redis_version": "7.4.2",
    "role": "master",
    "cluster_enabled": 0,
    "aof_enabled": 1,
    "aof_last_write_status": "ok",
    "maxmemory": 1_000,
    "maxmemory_human": "1000B",
    "maxmemory_policy": "noeviction",
    "used_memory": 500,
}


def complaints(findings: list[Finding]) -> list[tuple[State, str]]:
    return [(one.state, one.text) for one in findings if one.state is not State.GOOD]


def test_a_healthy_redis_is_praised() -> None:
    found = list(judge_server(HEALTHY, "redis://cache"))
    assert complaints(found) == []
    assert found[-1].text == "50% of maxmemory 1000B used, and nothing is evicted"


@pytest.mark.parametrize(
    ("change", "state", "words"),
    [
        ({"redis_version": "6.0.16"}, State.WRONG, "6.2 or newer is needed"),
        ({"role": "slave"}, State.WRONG, "set FRAUD_REDIS to its primary"),
        ({"cluster_enabled": 1}, State.WRONG, "name one primary or a proxy"),
        ({"aof_enabled": 0}, State.WARNING, "set appendonly yes"),
        ({"aof_last_write_status": "err"}, State.WRONG, "look at its disk"),
        ({"maxmemory_policy": "allkeys-lru"}, State.WRONG, "set it to noeviction"),
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": 0}, State.WARNING, "set it to noeviction"),
        ({"used_memory": 800}, State.WARNING, "80% of maxmemory 1000B used"),
    ],
)
def test_what_is_wrong_with_a_redis_is_told_with_its_remedy(
    change: dict[str, Any], state: State, words: str
) -> None:
    [(found, text)] = complaints(list(judge_server(HEALTHY | change, "redis://cache")))
    assert found is state
    assert words in text


@pytest.mark.parametrize(
    ("ahead_ms", "state"),
    [(999, State.GOOD), (-999, State.GOOD), (1_000, State.WARNING), (-60_000, State.WRONG)],
)
def test_clocks_that_differ_are_told_apart(ahead_ms: int, state: State) -> None:
    assert judge_clock(ahead_ms).state is state


def test_a_misspelt_variable_is_found_and_a_stranger_is_left_alone() -> None:
    environment = {
        "FRAUD_BROKR": "kafka:9092",
        "FRAUD_REDIS": "redis://cache",
        "FRAUD_XYZZY": "1",
        "HOME": "/",
    }
    found = list(check_configuration(Settings(signing_key="0123456789abcdef"), environment))
    assert complaints(found) == [
        (State.WARNING, "FRAUD_BROKR is no setting and changes nothing; FRAUD_BROKER is one")
    ]
    assert found[-1].text == "valid; from the environment: FRAUD_REDIS"


def test_models_that_are_not_signed_are_a_warning() -> None:
    [(state, text)] = complaints(list(check_configuration(Settings(), {})))
    assert state is State.WARNING
    assert "set FRAUD_SIGNING_KEY" in text


def test_a_recipe_that_does_not_exist_is_wrong_before_a_worker_finds_it_out() -> None:
    settings = Settings(signing_key="0123456789abcdef", challengers=("logistic", "woods"))
    [(state, text)] = complaints(list(check_configuration(settings, {})))
    assert state is State.WRONG
    assert text.startswith("there is no recipe 'woods'; there are: ensemble, ")
    assert text.endswith("look at FRAUD_CHAMPION and FRAUD_CHALLENGERS")


def test_what_is_installed_is_what_is_required() -> None:
    [finding] = check_installation()
    assert finding.state is State.GOOD


def test_a_kernel_that_is_not_compiled_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "BUILT", False)
    assert check_kernel().state is State.WARNING
    assert "C compiler" in check_kernel().text
    monkeypatch.setattr(kernel, "BUILT", True)
    assert check_kernel().state is State.GOOD


def test_a_library_of_another_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.doctor.installation.version", lambda name: "0.1" if name == "river" else "99")
    texts = [finding.text for finding in check_installation()]
    assert any(text.startswith("river is 0.1, where ") for text in texts)
