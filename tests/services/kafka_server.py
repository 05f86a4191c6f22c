"""A real Apache Kafka for tests: one KRaft node from the jars that install.sh fetches."""

import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.services.process import Process, free_port

JARS = Path(__file__).parents[2] / ".cache" / "kafka-4.1.0" / "libs"

_CONFIGURATION = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocols}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
log.dirs={directory}/data
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
# Nobody else is coming.
group.initial.rebalance.delay.ms=0
# Tests of failing over should not wait for Kafka's least of 6 s.
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=2
background.threads=2
{options}
"""
# Started for minutes on a small machine: the fast compiler alone and the small collector start quickest.
QUICK_JAVA = ("java", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_QUIET = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"


@dataclass(frozen=True)
class Secured:
    """A listener with TLS and SCRAM, and an authorizer for whoever comes in by it."""

    keystore: Path
    """PEM file of the broker's key and certificate."""
    passwords: Mapping[str, str]
    """Of the users. None has a right but by an ACL."""
    port: int = field(default_factory=free_port)

    def options(self) -> dict[str, str]:
        """Return the broker's configuration of it."""
        way = "listener.name.secured"
        return {
            f"{way}.ssl.keystore.type": "PEM",
            f"{way}.ssl.keystore.location": str(self.keystore),
            f"{way}.sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256,OAUTHBEARER",
            **{
                f"{way}.scram-sha-{bits}.sasl.jaas.config": (
                    "org.apache.kafka.common.security.scram.ScramLoginModule required;"
                )
                for bits in (256, 512)
            },
            # Takes tokens that nobody has signed: fit for a test.
            f"{way}.oauthbearer.sasl.jaas.config": (
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required"
                ' unsecuredLoginStringClaim_sub="broker";'
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
        }

    def users(self) -> list[str]:
        """Return the options with which the cluster is formatted, so that it knows the users."""
        return [
            option
            for user, password in self.passwords.items()
            for mechanism in ("SCRAM-SHA-512", "SCRAM-SHA-256")
            for option in ("--add-scram", f"{mechanism}=[name={user},password={password}]")
        ]


class KafkaServer:
    """A running broker.

    Parameters
    ----------
    directory
        Empty; holds its configuration, its data and its log.
    java
        How to start Java; a benchmark will want the full compiler and more memory.
    proxied
        Further ports that it listens on, each with the port of 127.0.0.1 that clients who come that way are
        told to go to: a proxy's.
    options
        More of the broker's configuration.
    secured
        A further listener, :attr:`secured`, that is encrypted and wants a login by SCRAM; the others may do
        anything. None: there is none.
    """

    def __init__(
        self,
        directory: Path,
        java: tuple[str, ...] = QUICK_JAVA,
        proxied: Mapping[int, int] | None = None,
        options: Mapping[str, str] | None = None,
        secured: "Secured | None" = None,
    ) -> None:
        self._java = (*java, _QUIET, "-cp", f"{JARS}/*")
        self._directory = directory
        self._configuration = directory / "server.properties"
        port = free_port()
        self.bootstrap = f"127.0.0.1:{port}"
        self.secured = f"127.0.0.1:{secured.port}" if secured is not None else None
        ways = {f"WAY{number}": pair for number, pair in enumerate((proxied or {}).items())}
        self._configuration.write_text(
            _CONFIGURATION.format(
                port=port,
                controller_port=free_port(),
                directory=directory,
                listeners="".join(f",{way}://127.0.0.1:{own}" for way, (own, _) in ways.items())
                + (f",SECURED://{self.secured}" if secured else ""),
                advertised="".join(f",{way}://127.0.0.1:{told}" for way, (_, told) in ways.items())
                + (f",SECURED://{self.secured}" if secured else ""),
                protocols="".join(f",{way}:PLAINTEXT" for way in ways)
                + (",SECURED:SASL_SSL" if secured else ""),
                options="\n".join(
                    f"{name}={value}"
                    for name, value in ((secured.options() if secured else {}) | dict(options or {})).items()
                ),
            )
        )
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        formatted = subprocess.run(
            [
                *self._java,
                # An identifier may begin with a dash: apart from its option it would be taken for one.
                *("kafka.tools.StorageTool", "format", f"--cluster-id={cluster}"),
                *("-c", str(self._configuration)),
                *(secured.users() if secured else ()),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert formatted.returncode == 0, f"StorageTool: {formatted.stdout}{formatted.stderr}"
        self.start()

    def start(self) -> None:
        """Start it, again perhaps: at the same address, with the data it had."""
        self.process = Process(
            [*self._java, "kafka.Kafka", str(self._configuration)], self._directory / "kafka.log"
        )
        self.process.await_ready(self.answers, timeout=90)

    def answers(self) -> bool:
        """Tell whether it answers a request for metadata."""
        # The client's own complaints about a broker that is not there yet are no news.
        client = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        try:
            return bool(client.list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    def stop(self) -> None:
        """Stop it in order."""
        self.process.terminate()

    def discard(self) -> None:
        """Stop it and remove its data, a few hundred megabytes perhaps."""
        self.process.kill()
        shutil.rmtree(self._directory / "data", ignore_errors=True)
