"""Transport: the settings that say where Kafka and Redis are, how the way is protected, and who we are."""

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import parse_qsl, unquote, urlencode

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from stream.errors import SettingsError
from stream.secret_files import SecretFiles

KafkaSecurity = Literal["plaintext", "tls", "sasl_plaintext", "sasl_tls"]
SaslMechanism = Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", "OAUTHBEARER"]


class TransportSettings(BaseSettings):
    """The part of the settings that every client of Kafka or Redis is made from.

    A secret, of these settings or of those that build on them, may come from a file: ``FRAUD_REDIS_PASSWORD``
    from the one that ``FRAUD_REDIS_PASSWORD_FILE`` names.
    """

    model_config = SettingsConfigDict(env_prefix="FRAUD_", frozen=True, extra="ignore")

    broker: Annotated[str, Field(description="Kafka bootstrap servers, HOST:PORT, comma-separated.")] = (
        "localhost:9092"
    )
    redis: Annotated[
        str,
        Field(
            description="URL of the Redis that holds features and models; rediss:// is encrypted. A user or"
            " password in it counts as FRAUD_REDIS_USER and FRAUD_REDIS_PASSWORD."
        ),
    ] = "redis://localhost:6379/0"

    kafka_security: Annotated[
        KafkaSecurity,
        Field(
            description="How brokers are talked to: plaintext, tls, sasl_plaintext (a login without"
            " encryption) or sasl_tls."
        ),
    ] = "plaintext"
    kafka_ca: Annotated[
        Path | None,
        Field(description="PEM file of the authorities that brokers are trusted by; unset: the system's."),
    ] = None
    kafka_certificate: Annotated[
        Path | None,
        Field(description="PEM file of our certificate, for brokers that ask for one; with FRAUD_KAFKA_KEY."),
    ] = None
    kafka_key: Annotated[Path | None, Field(description="PEM file of its private key.")] = None
    kafka_key_password: Annotated[
        SecretStr | None, Field(min_length=1, description="Password of that file, if it is encrypted.")
    ] = None
    kafka_sasl: Annotated[SaslMechanism, Field(description="The mechanism of a login at Kafka.")] = (
        "SCRAM-SHA-512"
    )
    kafka_user: Annotated[
        str | None, Field(min_length=1, description="Who logs in at Kafka; by OAUTHBEARER the client's id.")
    ] = None
    kafka_password: Annotated[
        SecretStr | None,
        Field(
            min_length=1, description="The password of a login at Kafka; by OAUTHBEARER the client's secret."
        ),
    ] = None
    kafka_token_url: Annotated[
        str | None,
        Field(
            pattern="^https?://",
            description="Where a login by OAUTHBEARER gets its tokens, as client credentials are granted.",
        ),
    ] = None
    kafka_token_scope: Annotated[
        str | None, Field(min_length=1, description="The scope that is asked for there, if any.")
    ] = None

    redis_user: Annotated[
        str | None,
        Field(min_length=1, description="Who logs in at Redis; unset, with a password: its default user."),
    ] = None
    redis_password: Annotated[
        SecretStr | None, Field(min_length=1, description="The password of a login at Redis.")
    ] = None
    redis_ca: Annotated[
        Path | None,
        Field(description="PEM file of the authorities that Redis is trusted by; unset: the system's."),
    ] = None
    redis_certificate: Annotated[
        Path | None,
        Field(
            description="PEM file of our certificate, for a Redis that asks for one; with FRAUD_REDIS_KEY."
        ),
    ] = None
    redis_key: Annotated[Path | None, Field(description="PEM file of its private key.")] = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments before the environment, and that before the files it names."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, SecretFiles(settings_cls)

    @model_validator(mode="before")
    @classmethod
    def _keep_the_password_out_of_the_url(cls, values: Any) -> Any:
        url = values.get("redis") if isinstance(values, dict) else None
        if not isinstance(url, str):
            return values
        bare, user, password = part_login(url)
        login = {"redis_user": user, "redis_password": password}
        given = {name: value for name, value in login.items() if value is not None}
        if twice := [name for name in given if values.get(name) is not None]:
            raise SettingsError(
                f"FRAUD_REDIS names a user or password, and FRAUD_{twice[0].upper()} is set as well; keep one"
            )
        return values | {"redis": bare} | given

    @field_validator("broker")
    @classmethod
    def _has_port(cls, value: str) -> str:
        for server in value.split(","):
            _, _, port = server.rpartition(":")
            if not port.isdigit():
                raise ValueError(f"{server!r} is not HOST:PORT")
        return value

    @model_validator(mode="after")
    def _belongs_together(self) -> "TransportSettings":
        tls = self.kafka_security in ("tls", "sasl_tls")
        sasl = self.kafka_security in ("sasl_plaintext", "sasl_tls")
        if sasl and (self.kafka_user is None or self.kafka_password is None):
            raise SettingsError(
                f"FRAUD_KAFKA_SECURITY={self.kafka_security}: a login needs FRAUD_KAFKA_USER, and"
                " FRAUD_KAFKA_PASSWORD or FRAUD_KAFKA_PASSWORD_FILE; set them"
            )
        _refuse_idle(
            self,
            f"FRAUD_KAFKA_SECURITY={self.kafka_security} logs nobody in",
            sasl,
            *("kafka_user", "kafka_password"),
        )
        bearer = sasl and self.kafka_sasl == "OAUTHBEARER"
        if bearer and self.kafka_token_url is None:
            raise SettingsError("FRAUD_KAFKA_SASL=OAUTHBEARER needs FRAUD_KAFKA_TOKEN_URL; set that")
        _refuse_idle(
            self,
            f"FRAUD_KAFKA_SASL={self.kafka_sasl} asks for no token",
            bearer,
            *("kafka_token_url", "kafka_token_scope"),
        )
        _refuse_idle(
            self,
            f"FRAUD_KAFKA_SECURITY={self.kafka_security} encrypts nothing",
            tls,
            *("kafka_ca", "kafka_certificate", "kafka_key", "kafka_key_password"),
        )
        _refuse_idle(
            self,
            "FRAUD_REDIS encrypts nothing without rediss://",
            self.redis.startswith("rediss://"),
            *("redis_ca", "redis_certificate", "redis_key"),
        )
        if self.redis_user is not None and self.redis_password is None:
            raise SettingsError(
                "FRAUD_REDIS_USER is set without a password; set FRAUD_REDIS_PASSWORD or"
                " FRAUD_REDIS_PASSWORD_FILE"
            )
        for service in ("kafka", "redis"):
            if (getattr(self, f"{service}_certificate") is None) != (getattr(self, f"{service}_key") is None):
                name = f"FRAUD_{service.upper()}"
                raise SettingsError(f"{name}_CERTIFICATE and {name}_KEY go together; set both or neither")
        return self


def _refuse_idle(settings: TransportSettings, why: str, used: bool, *names: str) -> None:
    """Refuse what would be set to no effect: somebody believes in a protection that is not there."""
    idle = [name for name in names if not used and getattr(settings, name) is not None]
    if idle:
        raise SettingsError(f"FRAUD_{idle[0].upper()} is set, but {why}; change the one or remove the other")


def part_login(url: str) -> tuple[str, str | None, str | None]:
    """Part a URL of Redis from the user and the password in it.

    Raises
    ------
    SettingsError
        It is none, or nobody can say where its password ends.

    Examples
    --------
    >>> part_login("redis://worker:se%2Fcret@cache:6379/2?client_name=x")
    ('redis://cache:6379/2?client_name=x', 'worker', 'se/cret')
    >>> part_login("unix:///run/redis.sock?password=secret")
    ('unix:///run/redis.sock', None, 'secret')
    """
    match = REDIS_URL.fullmatch(url)
    if match is None:
        # The URL is not shown, and neither is what is wrong with it: a '/' in a password ends the host part.
        raise SettingsError(
            "FRAUD_REDIS is not a Redis URL; write redis://HOST:PORT/NUMBER, rediss:// for TLS, and the"
            " password into FRAUD_REDIS_PASSWORD"
        )
    options = dict(parse_qsl((match["options"] or "")[1:]))
    user = options.pop("username", None) or unquote(match["user"] or "") or None
    password = options.pop("password", None) or unquote(match["password"] or "") or None
    rest = f"?{urlencode(options)}" if options else ""
    return f"{match['scheme']}://{match['place']}{rest}", user, password


REDIS_URL: Final = re.compile(
    r"(?P<scheme>rediss?|unix)://(?P<login>(?P<user>[^@/?#:]*)(:(?P<password>[^@/?#]*))?@)?"
    r"(?P<place>(\[[0-9a-fA-F:.]+\]|[\w.-]*)(:\d+)?(/[^@?#]*)?)(?P<options>\?[^@#]*)?"
)
"""What redis-py reads as one, and where a password's reserved characters are encoded."""
