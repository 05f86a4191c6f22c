import ssl
from pathlib import Path

import pytest
from confluent_kafka import KafkaError
from pydantic import SecretStr

from stream.adapters.kafka_access import KafkaAccess, SaslLogin
from stream.adapters.redis_connection import RedisAccess
from stream.errors import AccessError, InfrastructureError, SettingsError
from stream.settings import Settings
from tests.services.certificates import Authority

ROOT = Path(__file__).parents[3]
LOGIN = SaslLogin("SCRAM-SHA-256", "worker", SecretStr("hush"))


def test_an_access_has_what_the_settings_say(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key, _ = authority.issue("client")
    access = KafkaAccess.of(
        Settings(
            broker="kafka:9093",
            kafka_security="sasl_tls",
            kafka_ca=authority.certificate,
            kafka_certificate=certificate,
            kafka_key=key,
            kafka_sasl="SCRAM-SHA-256",
            kafka_user="worker",
            kafka_password=SecretStr("hush"),
        )
    )
    config = access.client()
    del config["error_cb"]
    assert config == {
        "bootstrap.servers": "kafka:9093",
        "security.protocol": "SASL_SSL",
        "ssl.ca.location": str(authority.certificate),
        "ssl.certificate.location": str(certificate),
        "ssl.key.location": str(key),
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": "worker",
        "sasl.password": "hush",
    }
    assert access.login == LOGIN
    assert access.ssl_context is not None
    assert access.ssl_context.verify_mode is ssl.CERT_REQUIRED
    assert access.ssl_context.check_hostname
    assert access.ssl_context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert "hush" not in f"{access} {access!r} {access.login!r}"


@pytest.mark.parametrize("service", ["kafka", "redis"])
def test_a_file_that_is_not_what_it_should_be_is_said_at_once(tmp_path: Path, service: str) -> None:
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("no certificate")
    authority = Authority(tmp_path)
    certificate, _, _ = authority.issue("client")

    def open_(**files: Path | None) -> None:
        if service == "kafka":
            KafkaAccess("kafka:9093", "tls", **{"ca": None} | files)
        else:
            RedisAccess(**files).options("rediss://cache")

    name = f"FRAUD_{service.upper()}"
    for files, says in (
        ({"ca": tmp_path / "none.pem"}, rf"{name}_CA=.*none.pem: cannot be used \(No such file"),
        ({"ca": rubbish}, rf"{name}_CA=.*rubbish.pem: cannot be used \(.*; name a PEM file of certificates"),
        (
            {"certificate": certificate, "key": rubbish},
            rf"{name}_CERTIFICATE=.*, {name}_KEY=.*rubbish.pem: cannot",
        ),
    ):
        with pytest.raises(SettingsError, match=says):
            open_(**files)


def test_what_went_wrong_is_told_apart() -> None:
    access = KafkaAccess("kafka:9093", "sasl_plaintext", login=LOGIN)
    timed_out = KafkaError(KafkaError._TIMED_OUT)
    away = access.failure("it failed", timed_out, "start it")
    assert type(away) is InfrastructureError
    assert str(away).startswith("it failed (")
    assert str(away).endswith("; start it")

    assert access.hear(KafkaError(KafkaError._AUTHENTICATION))
    assert access.hear(KafkaError(KafkaError._ALL_BROKERS_DOWN)), "what follows from it is no news"
    refused = access.failure("it failed", timed_out, "start it")
    assert type(refused) is AccessError
    assert "does not let the user 'worker' in" in str(refused)
    assert type(access.failure("it failed", timed_out, "start it")) is InfrastructureError, "told once"
    assert not access.hear(KafkaError(KafkaError._ALL_BROKERS_DOWN))

    forbidden = access.failure("it failed", KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED), "start it")
    assert type(forbidden) is AccessError
    assert str(forbidden).startswith("it failed: our user 'worker' lacks the right to do so with the topic")


def test_there_is_one_way_to_kafka_and_one_to_redis() -> None:
    """A client made past them would go without encryption and login."""
    ways = {
        '"bootstrap.servers"': {"stream/adapters/kafka_access.py"},
        # The embedded Redis asks itself whether it is there.
        "from_url(": {"stream/adapters/redis_connection.py", "stream/embedded/redis_server.py"},
    }
    for words, places in ways.items():
        found = {
            str(path.relative_to(ROOT))
            for package in ("stream", "producers", "consumers")
            for path in (ROOT / package).rglob("*.py")
            if words in path.read_text()
        }
        assert found == places
