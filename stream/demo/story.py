"""The story so far: what the live view shows, the plain lines tell, and the summary sums up."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Final, NamedTuple

from stream.demo.figures import Figures
from stream.demo.plan import Plan
from stream.demo.scrape import Histogram
from stream.demo.witness import Sighting
from stream.records import Alert, ModelEvent

RATE_SECONDS: Final = 5.0
"""Throughput and latency are those of the last seconds."""
_HISTORY: Final = 400
_ALERTS: Final = 50

Monotonic = Callable[[], float]


class _Moment(NamedTuple):
    seconds: float
    processed: int
    latency: Histogram


class Story:
    """Takes in figures and sightings as they come.

    Parameters
    ----------
    plan
        What is being run.
    transactions_topic
        The name of ``transactions`` on the broker: dead letters of other topics are not counted.
    monotonic
        Returns seconds.
    """

    def __init__(self, plan: Plan, transactions_topic: str, monotonic: Monotonic) -> None:
        self.plan = plan
        self._transactions_topic = transactions_topic
        self.figures = Figures()
        self.alerts: deque[Alert] = deque(maxlen=_ALERTS)
        """The last ones, newest last."""
        self.model_events: list[ModelEvent] = []
        self.dead_letters: Counter[str] = Counter()
        """Transactions' dead letters by reason, each counted once however often it was delivered."""
        self.quality: dict[str, list[tuple[float, float]]] = {}
        """For each model, its average precision at moments of event time, both ascending in time."""
        self._monotonic = monotonic
        self._started = monotonic()
        self._refused_places: set[tuple[str, int, int]] = set()
        self._moments: deque[_Moment] = deque()

    @property
    def seconds(self) -> float:
        """Since the story began."""
        return self._monotonic() - self._started

    @property
    def dead_lettered(self) -> int:
        """How many transactions became dead letters."""
        return self.dead_letters.total()

    @property
    def transactions_per_second(self) -> float:
        """Transactions processed, over the last seconds."""
        if len(self._moments) < 2:  # noqa: PLR2004 - a rate takes two moments
            return 0.0
        first, last = self._moments[0], self._moments[-1]
        return (last.processed - first.processed) / max(last.seconds - first.seconds, 1e-9)

    def latency(self, share: float) -> float | None:
        """Return a quantile of the latency over the last seconds, in seconds; None without any score."""
        if not self._moments:
            return None
        return self._moments[-1].latency.since(self._moments[0].latency).quantile(share)

    def take_in(self, figures: Figures, sighting: Sighting) -> None:
        """Go on to the present."""
        self.figures = figures
        self.see(sighting)
        now = self.seconds
        self._moments.append(_Moment(now, figures.scored + figures.refused, figures.latency))
        while len(self._moments) > 2 and self._moments[1].seconds <= now - RATE_SECONDS:  # noqa: PLR2004
            self._moments.popleft()
        for model, value in figures.judged().items():
            if value is not None:
                points = self.quality.setdefault(model, [])
                points.append((figures.event_time_seconds, value))
                if len(points) > _HISTORY:
                    del points[1::2]  # half as fine: the shape stays

    def see(self, sighting: Sighting) -> None:
        """Take in what the topics brought."""
        self.alerts.extend(sighting.alerts)
        self.model_events += sighting.model_events
        for letter in sighting.dead_letters:
            place = (letter.topic, letter.partition, letter.offset)
            if letter.topic == self._transactions_topic and place not in self._refused_places:
                self._refused_places.add(place)
                self.dead_letters[letter.reason.value] += 1
