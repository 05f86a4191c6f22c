"""Where a baseline works: broker, Redis and names, from the environment."""

import os
from collections.abc import Mapping
from typing import NamedTuple, Self


class Place(NamedTuple):
    """Where a baseline works."""

    broker: str
    """HOST:PORT."""
    redis: str
    """URL."""
    name: str
    """Begins the names of topics, as in `NAME.transactions`, of keys and of the consumer group."""
    metrics_port: int

    @classmethod
    def of_environment(cls) -> Self:
        """Read it from the environment.

        Raises
        ------
        KeyError
            A variable is missing.
        """
        return cls(
            os.environ["BASELINE_BROKER"],
            os.environ["BASELINE_REDIS"],
            os.environ["BASELINE_NAME"],
            int(os.environ["BASELINE_METRICS_PORT"]),
        )

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that say it."""
        return {
            "BASELINE_BROKER": self.broker,
            "BASELINE_REDIS": self.redis,
            "BASELINE_NAME": self.name,
            "BASELINE_METRICS_PORT": str(self.metrics_port),
        }

    @property
    def transactions(self) -> str:
        """The topic to read."""
        return f"{self.name}.transactions"

    @property
    def scores(self) -> str:
        """The topic to answer on."""
        return f"{self.name}.scores"

    @property
    def dead_letters(self) -> str:
        """The topic for what cannot be read."""
        return f"{self.name}.dead-letters"

    def customer(self, name: str) -> str:
        """Name the hash of a customer's aggregates."""
        return f"{self.name}:customer:{name}"

    def terminal(self, name: str) -> str:
        """Name the hash of a terminal's aggregates."""
        return f"{self.name}:terminal:{name}"

    def pending(self, name: str) -> str:
        """Name what is kept of a transaction for its label."""
        return f"{self.name}:pending:{name}"
