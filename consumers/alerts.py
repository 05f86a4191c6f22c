"""Alerts, delivered: each shown or posted at least once, and once only within a bounded window."""

from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from consumers.decoder import Decoder
from consumers.stopping import Stop
from consumers.subscription import POLL_SECONDS, Subscription
from stream.records import Alert

BATCH_ALERTS: Final = 100
REMEMBERED_ALERTS: Final = 100_000
"""Transaction ids held to recognise a redelivered alert: about 10 MB."""


class Sink(Protocol):
    """Where alerts are delivered to."""

    def deliver(self, alert: Alert, stop: Stop) -> bool:
        """Return once `alert` is delivered; False when asked to stop before it was."""
        ...


class RecentIds:
    """The last identifiers seen, as many as fit.

    Examples
    --------
    >>> recent = RecentIds(2)
    >>> for name in ("a", "b", "c"):
    ...     recent.add(name)
    >>> "a" in recent, "c" in recent
    (False, True)
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._ids: dict[str, None] = {}

    def __contains__(self, identifier: str) -> bool:
        return identifier in self._ids

    def add(self, identifier: str) -> None:
        """Remember `identifier`, and forget the oldest when there are too many."""
        self._ids[identifier] = None
        if len(self._ids) > self._size:
            del self._ids[next(iter(self._ids))]


class AlertDelivery:
    """Takes alerts from a subscription to every sink, in order.

    Parameters
    ----------
    subscription
        To the topic ``alerts``. An offset is committed once its alert has reached every sink.
    sinks
        Where to. An alert that one sink took and another did not, because of a stop, comes to both again.
    remembered
        How many transaction ids are held to recognise an alert that comes again.
    """

    def __init__(
        self, subscription: Subscription, sinks: Sequence[Sink], remembered: int = REMEMBERED_ALERTS
    ) -> None:
        self._subscription = subscription
        self._sinks = sinks
        self._recent = RecentIds(remembered)
        self._decoder = Decoder(Alert)
        self.delivered = 0
        self.repeated = 0

    @property
    def foreign(self) -> int:
        """Records passed over because they were no alerts."""
        return self._decoder.foreign

    def run(self, stop: Stop, *, idle_seconds: float | None = None) -> None:
        """Deliver until told to stop.

        Parameters
        ----------
        stop
            Asked between two alerts, and while a sink waits.
        idle_seconds
            Stop by itself after so long without an alert; None goes on for ever.
        """
        idle = 0.0
        for batch in self._subscription.batches(BATCH_ALERTS, stop):
            try:
                for record in batch:
                    alert = self._decoder(record)
                    if alert is not None and not self._deliver(alert, stop):
                        return
                    self._subscription.done(record)
            finally:
                self._subscription.commit()
            idle = 0.0 if batch or not self._subscription.joined else idle + POLL_SECONDS
            if idle_seconds is not None and idle >= idle_seconds:
                return

    def _deliver(self, alert: Alert, stop: Stop) -> bool:
        if alert.transaction_id in self._recent:
            self.repeated += 1
            return True
        if not _all_take(self._sinks, alert, stop):
            return False
        self._recent.add(alert.transaction_id)
        self.delivered += 1
        return True


def _all_take(sinks: Iterable[Sink], alert: Alert, stop: Stop) -> bool:
    return all(sink.deliver(alert, stop) for sink in sinks)
