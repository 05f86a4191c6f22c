from pathlib import Path

import pytest

from stream.errors import SettingsError
from stream.settings import load_settings
from stream.transport import part_login


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"kafka_security": "sasl_tls"}, "FRAUD_KAFKA_SECURITY=sasl_tls: a login needs FRAUD_KAFKA_USER"),
        ({"kafka_security": "ssl"}, "FRAUD_KAFKA_SECURITY=ssl: input should be 'plaintext', 'tls', "),
        ({"kafka_password": "hush"}, "FRAUD_KAFKA_PASSWORD is set, but FRAUD_KAFKA_SECURITY=plaintext logs"),
        (
            {"kafka_ca": "ca.pem"},
            "FRAUD_KAFKA_CA is set, but FRAUD_KAFKA_SECURITY=plaintext encrypts nothing",
        ),
        ({"redis_ca": "ca.pem"}, "FRAUD_REDIS_CA is set, but FRAUD_REDIS encrypts nothing without rediss://"),
        (
            {"kafka_token_url": "https://login.example/token"},
            "FRAUD_KAFKA_TOKEN_URL is set, but FRAUD_KAFKA_SASL=SCRAM-SHA-512 asks for no token",
        ),
        (
            {
                "kafka_security": "sasl_tls",
                "kafka_sasl": "OAUTHBEARER",
                "kafka_user": "a",
                "kafka_password": "b",
            },
            "FRAUD_KAFKA_SASL=OAUTHBEARER needs FRAUD_KAFKA_TOKEN_URL",
        ),
        ({"redis_user": "worker"}, "FRAUD_REDIS_USER is set without a password"),
        (
            {"kafka_security": "tls", "kafka_key": "key.pem"},
            "FRAUD_KAFKA_CERTIFICATE and FRAUD_KAFKA_KEY go together",
        ),
        (
            {"redis": "redis://:hush@cache", "redis_password": "hush"},
            "FRAUD_REDIS names a user or password, and FRAUD_REDIS_PASSWORD is set as well",
        ),
        ({"redis": "redis://:hu/sh@cache"}, "FRAUD_REDIS is not a Redis URL; write redis://HOST"),
        ({"redis": "http://cache:6379"}, "FRAUD_REDIS is not a Redis URL; write redis://HOST"),
    ],
)
def test_settings_that_do_not_go_together_are_one_sentence_without_a_secret(
    given: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"FRAUD_{name.upper()}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert says in str(caught.value)
    assert "hu/sh" not in str(caught.value)
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_password_in_the_url_of_redis_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FRAUD_REDIS", "rediss://worker:hu%2Fsh@cache:6380/1?health_check_interval=5")
    settings = load_settings()
    assert settings.redis == "rediss://cache:6380/1?health_check_interval=5"
    assert settings.redis_user == "worker"
    assert settings.redis_password is not None
    assert settings.redis_password.get_secret_value() == "hu/sh"
    assert "sh@" not in f"{settings!r} {settings}"
    assert "hu/sh" not in f"{settings!r} {settings}"


def test_a_password_among_a_commands_arguments_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"everybody on this machine.*FRAUD_REDIS_PASSWORD") as caught:
        load_settings(redis="redis://:hush@cache:6379")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "parted"),
    [
        ("redis://cache:6379/0", ("redis://cache:6379/0", None, None)),
        ("redis://:hush@cache", ("redis://cache", None, "hush")),
        ("rediss://a:b@[::1]:6379", ("rediss://[::1]:6379", "a", "b")),
        ("unix:///run/redis.sock?db=2&username=a&password=b", ("unix:///run/redis.sock?db=2", "a", "b")),
    ],
)
def test_a_url_is_parted_from_its_login(url: str, parted: tuple[str, str | None, str | None]) -> None:
    assert part_login(url) == parted


def test_secrets_may_come_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, secret in {"kafka_password": "at kafka ", "signing_key": "a key of 16 bytes"}.items():
        (tmp_path / name).write_text(f"{secret}\n")
        monkeypatch.setenv(f"FRAUD_{name.upper()}_FILE", str(tmp_path / name))
    settings = load_settings(kafka_security="sasl_plaintext", kafka_user="worker")
    assert settings.kafka_password is not None
    assert settings.kafka_password.get_secret_value() == "at kafka "
    assert settings.signing_key is not None
    assert settings.signing_key.get_secret_value() == "a key of 16 bytes"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, r"FRAUD_SIGNING_KEY_FILE=.*/key: cannot be read \(No such file or directory\)"),
        (b"\n", "holds 1 bytes, where a secret has 1 to"),
        (b"x" * 70_000, "holds 65537 bytes, where a secret has 1 to"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b"short", r"FRAUD_SIGNING_KEY=\*\*\*: .* at least 16"),
    ],
)
def test_a_secrets_file_that_holds_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, says: str
) -> None:
    if content is not None:
        (tmp_path / "key").write_bytes(content)
    monkeypatch.setenv("FRAUD_SIGNING_KEY_FILE", str(tmp_path / "key"))
    with pytest.raises(SettingsError, match=says) as caught:
        load_settings()
    assert "short;" not in str(caught.value)


def test_a_secret_in_a_file_and_in_the_environment_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "key").write_text("a key of 16 bytes")
    monkeypatch.setenv("FRAUD_SIGNING_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.setenv("FRAUD_SIGNING_KEY", "another one of 16 bytes")
    with pytest.raises(SettingsError, match="FRAUD_SIGNING_KEY and FRAUD_SIGNING_KEY_FILE are both set"):
        load_settings()
