"""The backlog: how far the case store is behind the ends of the topics."""

from collections.abc import Mapping, Sequence
from functools import partial

from consumers.cases.store import Batch, Place
from consumers.metrics import TOPICS, FilingMetrics
from consumers.partition_log import PartitionLog
from stream.clock import Clock


class Backlog:
    """Keeps count, and shows it.

    Parameters
    ----------
    logs
        The topics, in the order of :data:`consumers.metrics.TOPICS`.
    metrics
        Where it is shown; :meth:`behind_seconds` is asked anew at every scrape.
    clock
        The present.
    """

    def __init__(self, logs: Sequence[PartitionLog], metrics: FilingMetrics, clock: Clock) -> None:
        self._logs = dict(zip(TOPICS, logs, strict=True))
        self._metrics = metrics
        self._clock = clock
        self._next: dict[Place, int] = {}
        self._newest_ms = dict.fromkeys(TOPICS, clock())
        self._lag = dict.fromkeys(TOPICS, 0)
        for topic in TOPICS:
            metrics.behind.labels(topic).set_function(partial(self.behind_seconds, topic))

    def begin(self, positions: Mapping[Place, int]) -> None:
        """Take over how far the case store has been filled."""
        self._next = dict(positions)
        self.look()

    def rest(self) -> None:
        """Take note that another process fills the case store: what waits is its affair."""
        for topic in TOPICS:
            self._lag[topic] = 0
            self._metrics.lag.labels(topic).set(0)

    def filed(self, batch: Batch) -> None:
        """Take note of what was filed."""
        now = self._clock()
        self._next |= batch.positions
        for topic, placed in (("scores", batch.scores), ("alerts", batch.alerts), ("labels", batch.labels)):
            if placed:
                self._newest_ms[topic] = max(one.record.timestamp for one in placed)
        for alert in batch.alerts:
            self._metrics.alert_seconds.observe(max(0, now - alert.record.timestamp) / 1000)
        self.look()

    def look(self) -> None:
        """Look at where the topics end, as far as the client has heard of it; asks nobody."""
        for topic, log in self._logs.items():
            ends = log.known_ends()
            self._lag[topic] = sum(
                max(0, end - self._next.get((log.topic, partition), 0)) for partition, end in ends.items()
            )
            self._metrics.lag.labels(topic).set(self._lag[topic])

    def behind_seconds(self, topic: str) -> float:
        """Return how old the last record filed of a topic is; 0 while none waits."""
        if not self._lag[topic]:
            return 0.0
        return max(0, self._clock() - self._newest_ms[topic]) / 1000
