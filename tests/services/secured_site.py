"""Apache Kafka with TLS and SCRAM, Redis with TLS and users, where each may do what docs/security says."""

import argparse
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, get_args

from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from pydantic import SecretStr

from stream.adapters.topics import create_topics
from stream.settings import Party, Settings
from tests.services.certificates import Authority
from tests.services.kafka_server import KafkaServer, Secured
from tests.services.redis_secured import SecuredRedis

RULES = Path(__file__).parents[2] / "docs" / "security"
PARTIES = get_args(Party)
PASSWORDS = {party: f"kafka-lets-{party}-in" for party in PARTIES} | {"stranger": "kafka-knows-a-stranger"}
REDIS_PASSWORD = "open-sesame-at-redis"


class Site(NamedTuple):
    """The services, and what they are reached with."""

    kafka: KafkaServer
    redis: SecuredRedis
    authority: Authority
    another: Authority

    def settings(self, party: Party, **overrides: Any) -> Settings:
        """Return settings of somebody who logs in as the party they are."""
        given: dict[str, Any] = {
            "broker": self.kafka.secured,
            "redis": self.redis.tls_url,
            "partitions": 1,
            "champion": "logistic",
            "challengers": (),
            "kafka_security": "sasl_tls",
            "kafka_ca": self.authority.certificate,
            "kafka_user": party,
            "kafka_password": SecretStr(PASSWORDS[party]),
            "redis_ca": self.authority.certificate,
            "redis_user": party,
            "redis_password": SecretStr(REDIS_PASSWORD),
        }
        return Settings(**given | overrides)

    def open(self, **overrides: Any) -> Settings:
        """Return the settings of somebody who needs no login: the test itself."""
        given: dict[str, Any] = {"broker": self.kafka.bootstrap, "redis": self.redis.url, "partitions": 1}
        return Settings(**given | overrides)


@contextmanager
def secured_services(directory: Path) -> Iterator[Site]:
    """Run the services, with our topics, in an empty directory."""
    authority = Authority(directory / "authority")
    (directory / "kafka").mkdir()
    (directory / "redis").mkdir()
    _, _, keystore = authority.issue("127.0.0.1")
    redis = SecuredRedis(
        directory / "redis",
        authority,
        (RULES / "redis.acl").read_text().replace("PASSWORD", REDIS_PASSWORD)
        + f"user stranger on >{REDIS_PASSWORD} ~other:* +@all\n",
    )
    kafka = KafkaServer(directory / "kafka", secured=Secured(keystore, PASSWORDS))
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    for answer in admin.create_acls(kafka_bindings((RULES / "kafka-acls.sh").read_text())).values():
        answer.result(30)
    made = Site(kafka, redis, authority, Authority(directory / "another"))
    try:
        # By the one who may.
        assert len(create_topics(made.settings("topics"))) == 6
        yield made
    finally:
        redis.stop()
        kafka.discard()


def kafka_bindings(script: str) -> list[AclBinding]:
    """Return what calls of kafka-acls.sh would add."""
    parser = argparse.ArgumentParser()
    for option in ("allow-principal", "topic", "group", "resource-pattern-type"):
        parser.add_argument(f"--{option}")
    parser.add_argument("--operation", action="append")
    bindings = []
    for line in script.splitlines():
        if line.startswith("#"):
            continue
        _, _, rule = line.partition(" --add ")
        asked = parser.parse_args(shlex.split(rule))
        bindings += [
            AclBinding(
                ResourceType.TOPIC if asked.topic else ResourceType.GROUP,
                asked.topic or asked.group,
                ResourcePatternType[(asked.resource_pattern_type or "literal").upper()],
                asked.allow_principal,
                "*",
                AclOperation[re.sub("(?<=[a-z])(?=[A-Z])", "_", operation).upper()],
                AclPermissionType.ALLOW,
            )
            for operation in asked.operation
        ]
    return bindings
