"""`python -m stream.embedded broker|redis`: an embedded service by itself.

It prints one line of JSON that says where it listens, and runs until its standard input ends (Ctrl-D) or it
is told to stop (SIGTERM, Ctrl-C).
"""

import click

from stream.adapters.topics import topic_specs
from stream.embedded.broker import MockCluster
from stream.embedded.leash import follow, leave_on_signals, say
from stream.embedded.redis_server import RedisServer
from stream.errors import FraudstreamError
from stream.settings import Settings


@click.group()
def main() -> None:
    """Run an embedded service until standard input ends."""
    leave_on_signals()


@main.command()
@click.option("--partitions", default=4, show_default=True, help="Of transactions, scores and alerts.")
@click.option("--topic-prefix", default="", help="Put before every topic's name.")
@click.option(
    "--rebalance-delay-ms", default=50, show_default=True, help="How long a new group waits for more members."
)
def broker(partitions: int, topic_prefix: str, rebalance_delay_ms: int) -> None:
    """Run a Kafka broker in memory."""
    specs = topic_specs(Settings(partitions=partitions, topic_prefix=topic_prefix))
    topics = {spec.name: spec.partitions for spec in specs}
    with MockCluster(topics, rebalance_delay_ms) as cluster:
        follow({"broker": cluster.bootstrap}, cluster.carry_out)


@main.command()
def redis() -> None:
    """Run a Redis that keeps nothing."""
    with RedisServer() as server:
        announcement = {"redis": server.url, "pid": server.pid, "executable": server.executable}
        follow(announcement, _refuse, server.is_alive)


def _refuse(_request: object) -> None:
    raise ValueError("the embedded Redis takes no requests")


if __name__ == "__main__":
    try:
        main(prog_name="python -m stream.embedded")
    except FraudstreamError as error:
        say({"error": str(error)})
        raise SystemExit(1) from None
