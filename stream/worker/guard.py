"""The guard: a thread that watches the roles of a process, and ends it when one of them stands still.

A thread of its own, with a client of its own: what stands still may be the event loop, or what fetches.
"""

import asyncio
import logging
import os
import threading
import time
from collections.abc import Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.metrics import Metrics
from stream.adapters.offsets import offset_range
from stream.errors import StalledError
from stream.worker.host import Host
from stream.worker.watchdog import Place, Sight, Watchdog

_log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 1.0
LEAVE_SECONDS: Final = 10.0
"""How long ending in order may take before the process leaves anyway: what is blocked may block that too."""
_ASK_SECONDS: Final = 5.0
"""How long the broker may take to say where a log ends, and how old its answer may become."""


class Guard:
    """Looks at the hosts of a process, once a second, for as long as it lives.

    Parameters
    ----------
    hosts
        To be watched.
    access
        How to reach Kafka.
    limit_seconds
        How long a role may stand still.
    metrics
        Where that is shown.
    loop
        That the hosts' apps run in.
    """

    def __init__(
        self,
        hosts: Sequence[Host],
        access: KafkaAccess,
        limit_seconds: float,
        metrics: Metrics,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._hosts = [(host, Watchdog(limit_seconds, host.blocked_seconds)) for host in hosts]
        self._metrics = metrics
        self._loop = loop
        self._ends = _LogEnds(access)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self.beat: float | None = None
        """To be set to the time, now and then, by the event loop."""

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer; the thread may take some seconds to end."""
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            for host, dog in self._hosts:
                sight = self._sight(host)
                reason = dog.look(sight, time.monotonic())
                self._metrics.stalled.labels(host.name).set(dog.seconds)
                if reason is not None and not self._stop.is_set():
                    self._end(host, reason)
                    return
        self._ends.close()

    def _sight(self, host: Host) -> Sight:
        reached = host.reached()
        places = self._ends.places(host.input_topic, reached)
        return Sight(self.beat, host.at_work_since, host.excused, places)

    def _end(self, host: Host, reason: str) -> None:
        """End the process: in order if that goes, and anyway if it does not."""
        error = StalledError(f"{reason}; ending, to be started again")
        leave = threading.Timer(LEAVE_SECONDS, os._exit, [1])
        leave.daemon = True
        leave.start()
        _log.critical("%s %s", host.name, error)
        host.fatal = error
        asyncio.run_coroutine_threadsafe(host.app.crash(error), self._loop)


class _LogEnds:
    """Where logs end, as the broker says; asked only of partitions that do not move."""

    def __init__(self, access: KafkaAccess) -> None:
        self._consumer = Consumer(
            access.client()
            | {
                "group.id": "fraudstream-watchdog",  # the client wants one, and nobody joins it
                "enable.auto.commit": False,
                "allow.auto.create.topics": False,
                "log_level": 0,
            }
        )
        self._known: dict[tuple[str, int], tuple[float, Place]] = {}

    def places(self, topic: str, reached: dict[int, int | None]) -> dict[int, Place] | None:
        """Return how far each partition has come and goes; None when the broker does not answer."""
        now = time.monotonic()
        places = {}
        for partition, offset in reached.items():
            asked, place = self._known.get((topic, partition), (0.0, None))
            if place is None or (place.reached == offset and now - asked > _ASK_SECONDS):
                try:
                    first, end = offset_range(self._consumer, TopicPartition(topic, partition), _ASK_SECONDS)
                except KafkaException:
                    self._known.clear()
                    return None  # the broker is away: that is told where it is waited for
                asked, place = now, Place(offset, first, end)
            places[partition] = place._replace(reached=offset)
            self._known[topic, partition] = asked, places[partition]
        return places

    def close(self) -> None:
        self._consumer.close()
