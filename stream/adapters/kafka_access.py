"""Kafka access: how every client of ours reaches the brokers, logs in, and says why it was not let in."""

import ssl
import time
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import ClusterMetadata
from pydantic import SecretStr

from stream.adapters.tls import client_context
from stream.errors import AccessError, InfrastructureError
from stream.transport import KafkaSecurity, SaslMechanism, TransportSettings

_PROTOCOLS: Final[dict[KafkaSecurity, str]] = {
    "plaintext": "PLAINTEXT",
    "tls": "SSL",
    "sasl_plaintext": "SASL_PLAINTEXT",
    "sasl_tls": "SASL_SSL",
}
_LOGIN: Final = KafkaError._AUTHENTICATION  # noqa: SLF001 - librdkafka's own errors are named so
_TLS: Final = KafkaError._SSL  # noqa: SLF001
_SLICE_SECONDS: Final = 1.0
_ALL_DOWN: Final = KafkaError._ALL_BROKERS_DOWN  # noqa: SLF001
_RIGHTS: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "consumer group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "cluster",
}


def await_delivery(producer: Producer, timeout_seconds: float) -> int:
    """Wait until brokers have every record that a producer was given, and return how many they have not.

    Unlike ``producer.flush``, it waits for what lingers, and lets Ctrl+C end it within a second.

    And it says why a producer ends. librdkafka's fatal errors are raised where they are told. ``flush`` of
    confluent-kafka (2.16) goes on to the delivery reports with that exception set: one of them, or a garbage
    collection in one, makes a SystemError of it, with or without the reason. ``poll`` does not go on.

    Parameters
    ----------
    producer
        Of an access, so that it has an ``error_cb``.
    timeout_seconds
        How long to wait.

    Raises
    ------
    KafkaException
        The producer does no further work: brokers refuse it, or it has lost count of what it sent. Its first
        argument says why.
    """
    deadline = time.monotonic() + timeout_seconds
    while (left := len(producer)) and (seconds := deadline - time.monotonic()) > 0:
        producer.poll(min(_SLICE_SECONDS, seconds))
    return left


class Client(Protocol):
    """What every client of confluent-kafka can be asked."""

    def list_topics(self, topic: str | None = ..., timeout: float = ...) -> ClusterMetadata:
        """Ask for metadata."""
        ...

    def poll(self, timeout: float = ...) -> object:
        """Call what waits to be told."""
        ...


class SaslLogin(NamedTuple):
    """Who logs in, and how."""

    mechanism: SaslMechanism
    user: str
    password: SecretStr
    token_url: str | None = None
    """Where tokens come from, with OAUTHBEARER."""
    token_scope: str | None = None


class KafkaAccess:
    """How to reach Kafka. Its clients tell it when a broker does not let them in.

    Parameters
    ----------
    servers
        Bootstrap servers, HOST:PORT, comma-separated.
    security
        How they are talked to.
    ca
        PEM file of the authorities that they are trusted by; None: the system's.
    certificate, key, key_password
        PEM files of our own certificate and its private key, and that one's password.
    login
        Needed where `security` has SASL.

    Raises
    ------
    SettingsError
        A file cannot be read, or is not what it should be.

    Examples
    --------
    >>> access = KafkaAccess("kafka:9092")
    >>> str(access), access.client()["security.protocol"], access.ssl_context
    ('kafka:9092', 'PLAINTEXT', None)
    """

    def __init__(
        self,
        servers: str,
        security: KafkaSecurity = "plaintext",
        *,
        ca: Path | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        key_password: SecretStr | None = None,
        login: SaslLogin | None = None,
    ) -> None:
        self.servers: Final = servers
        self.login: Final = login
        self.ssl_context: Final[ssl.SSLContext | None] = (
            client_context("KAFKA", ca, certificate, key, key_password)
            if security in ("tls", "sasl_tls")
            else None
        )
        """For clients that take one, such as aiokafka; None where nothing is encrypted."""
        self.secured: Final = security != "plaintext"
        """Whether brokers may know who we are."""
        self._refusal: KafkaError | None = None
        self._config: dict[str, Any] = {
            "bootstrap.servers": servers,
            "security.protocol": _PROTOCOLS[security],
        }
        files = {"ssl.ca.location": ca, "ssl.certificate.location": certificate, "ssl.key.location": key}
        self._config |= {name: str(path) for name, path in files.items() if path is not None}
        if key_password is not None:
            self._config["ssl.key.password"] = key_password.get_secret_value()
        if login is not None and login.token_url is not None:
            self._config |= {
                "sasl.mechanism": login.mechanism,
                "sasl.oauthbearer.method": "oidc",
                "sasl.oauthbearer.token.endpoint.url": login.token_url,
                "sasl.oauthbearer.client.id": login.user,
                "sasl.oauthbearer.client.secret": login.password.get_secret_value(),
            }
            if login.token_scope is not None:
                self._config["sasl.oauthbearer.scope"] = login.token_scope
        elif login is not None:
            self._config |= {
                "sasl.mechanism": login.mechanism,
                "sasl.username": login.user,
                "sasl.password": login.password.get_secret_value(),
            }

    @classmethod
    def of(cls, settings: TransportSettings) -> "KafkaAccess":
        """Return the access that `settings` ask for.

        Raises
        ------
        SettingsError
            A file that they name cannot be read, or is not what it should be.
        """
        login = None
        if settings.kafka_user is not None and settings.kafka_password is not None:
            login = SaslLogin(
                settings.kafka_sasl,
                settings.kafka_user,
                settings.kafka_password,
                settings.kafka_token_url,
                settings.kafka_token_scope,
            )
        return cls(
            settings.broker,
            settings.kafka_security,
            ca=settings.kafka_ca,
            certificate=settings.kafka_certificate,
            key=settings.kafka_key,
            key_password=settings.kafka_key_password,
            login=login,
        )

    def __str__(self) -> str:
        return self.servers

    def __repr__(self) -> str:
        return f"KafkaAccess({self.servers!r}, {self._config['security.protocol']})"

    def client(self) -> dict[str, Any]:
        """Return what the configuration of every client of librdkafka has, to be added to."""
        return self._config | {"error_cb": self._listen}

    def hear(self, error: KafkaError) -> bool:
        """Take in what a client of this access complains of, and tell whether it was not let in."""
        if error.code() in (_LOGIN, _TLS):
            self._refusal = error
        # Where none lets us in, the client then says that all are down.
        return self._refusal is not None and error.code() in (_LOGIN, _TLS, _ALL_DOWN)

    def take_refusal(self) -> AccessError | None:
        """Return why a broker has not let a client in, once, if one has not."""
        refusal, self._refusal = self._refusal, None
        return None if refusal is None else AccessError(self._why(refusal))

    def metadata(
        self, client: Client, topic: str | None = None, *, timeout_seconds: float, remedy: str
    ) -> ClusterMetadata:
        """Ask which topics there are, or about one alone.

        Where a broker does not let us in, that is found long before the time limit.

        Parameters
        ----------
        client
            Asks; of this access.
        topic
            The one; None for all that we may know of.
        timeout_seconds
            How long the broker may take.
        remedy
            What to do where none answers, a clause.

        Raises
        ------
        AccessError
            We were not let in.
        InfrastructureError
            No broker answered in time.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            left = deadline - time.monotonic()
            try:
                return client.list_topics(topic, timeout=max(0.01, min(_SLICE_SECONDS, left)))
            except KafkaException as error:
                client.poll(0)  # what a broker said before it hung up may wait there to be told
                what = f"no Kafka broker answered at {self.servers} within {timeout_seconds:g} s"
                failure = self.failure(what, error.args[0], remedy)
                if isinstance(failure, AccessError) or left <= _SLICE_SECONDS:
                    raise failure from error

    def failure(self, what: str, error: KafkaError, remedy: str) -> InfrastructureError:
        """Return the error for `what` went wrong: an AccessError where we were not let in, or not allowed to.

        Parameters
        ----------
        what
            A clause that says what failed, without its end.
        error
            What the client raised; a mere time limit where the reason went to ``error_cb``.
        remedy
            What to do where it is no matter of access, a clause.
        """
        if error.code() in _RIGHTS:
            # Fatal: an idempotent producer is for those alone who may write to a topic, whichever.
            kind = "topic" if error.fatal() else _RIGHTS[error.code()]
            return self.lacking(what, kind, error.str())
        if error.code() in (_LOGIN, _TLS):
            return AccessError(self._why(error))
        if (refusal := self.take_refusal()) is not None:
            return refusal
        return InfrastructureError(f"{what} ({error.str()}); {remedy}")

    def lacking(self, what: str, kind: str, words: str) -> AccessError:
        """Return the error for `what` went wrong because of a right that our user does not have.

        Parameters
        ----------
        what
            A clause that says what failed, without its end.
        kind
            Of what it lacks a right: a topic, a consumer group, the cluster.
        words
            The broker's own.
        """
        return AccessError(f"{what}: {self._lacks(kind, words)}")

    def _listen(self, error: KafkaError) -> None:
        self.hear(error)

    def _lacks(self, kind: str, words: str) -> str:
        return (
            f"our user{self._user} lacks the right to do so with the {kind} ({words}); give it that, see"
            " docs/security.md"
        )

    @property
    def _user(self) -> str:
        return f" {self.login.user!r}" if self.login is not None else ""

    def _why(self, error: KafkaError) -> str:
        if error.code() in _RIGHTS:
            return self._lacks(_RIGHTS[error.code()], error.str())
        if error.code() == _LOGIN:
            return (
                f"Kafka at {self.servers} does not let the user{self._user} in ({error.str()}); check"
                " FRAUD_KAFKA_USER, FRAUD_KAFKA_PASSWORD and FRAUD_KAFKA_SASL"
            )
        return (
            f"no TLS connection to Kafka at {self.servers} ({error.str()}); check FRAUD_KAFKA_CA, that the"
            " broker's certificate names this host, and FRAUD_KAFKA_SECURITY"
        )
