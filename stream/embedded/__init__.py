"""Embedded services: a Kafka broker and a Redis that need pip alone, for demos and tests.

Each runs in a process of its own that cannot outlive the one that started it (:mod:`stream.embedded.leash`).
They keep nothing: what they held is gone when they stop.

Examples
--------
>>> with EmbeddedBroker(partitions=2) as broker, EmbeddedRedis() as redis:
...     broker.bootstrap.startswith("127.0.0.1:"), redis.url.startswith("unix://")
(True, True)
"""

from stream.embedded.broker import EmbeddedBroker
from stream.embedded.redis_server import EmbeddedRedis

__all__ = ["EmbeddedBroker", "EmbeddedRedis"]
