"""The arrival of labels: how many come, how late, and what they say, by source and day of label time.

Everything that learns hangs on them. A source that falls silent, is late, or says something else than it used
to is seen here before it is seen in a model. Nothing is swapped or refused on it.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import log, sqrt
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, get_args

from stream.clock import DAY_MS, HOUR_MS, SECOND_MS
from stream.drift.band import Band, BandPolicy, Departure
from stream.drift.silence import Silence
from stream.records import LabelSource

ArrivalSignal = Literal[
    "labels", "silent_days", "delay_p50", "delay_p95", "fraud_share", "corrected_share", "unmatched_share"
]
SIGNALS: Final[tuple[ArrivalSignal, ...]] = get_args(ArrivalSignal)
ALL: Final = "all"
"""Stands for all sources together; only what share of the labels are frauds is watched of these."""
SOURCES: Final = (*get_args(LabelSource), ALL)

_WEEK: Final = 7
"""Shares and delays are those of so many days, the day's own the last: a Monday's labels waited longer."""
DAYS: Final = 4 * _WEEK
"""That say what is usual: each weekday four times, as weekends are quiet."""


def _band(*, floor: float = 0.0, share: float = 0.0) -> BandPolicy:
    return BandPolicy(days=DAYS, least_days=DAYS, floor=floor, share=share, season=_WEEK)


_BANDS: Final[Mapping[ArrivalSignal, BandPolicy]] = MappingProxyType(
    {
        "labels": _band(floor=10.0, share=0.5),
        "delay_p50": _band(floor=HOUR_MS / SECOND_MS, share=0.5),
        "delay_p95": _band(floor=HOUR_MS / SECOND_MS, share=0.75),
        "fraud_share": _band(floor=0.005, share=0.5),
        "corrected_share": _band(floor=0.02, share=0.5),
        "unmatched_share": _band(floor=0.02, share=0.5),
    }
)
"""Each signal with what is far from usual for it; of silence, see :class:`~stream.drift.silence.Silence`."""
_LEAST_LABELS: Final = 50
"""Of fewer in a week, neither shares nor delays say anything."""
_AHEAD: Final = 20
"""So many labels of later days end a day: one with a wrong time does not."""
_STEP: Final = log(1.05)
"""Delays are counted by powers of 1.05 of a second, and given to within 2.5 %."""


class Arrival(NamedTuple):
    """A label as it arrived."""

    source: LabelSource
    label_time: int
    """Milliseconds since 1970."""
    delay_ms: int | None
    """Since its transaction's event time; None: no such transaction was found."""
    is_fraud: bool
    corrected: bool
    """Whether it contradicted an earlier label of its transaction."""


class ArrivalSign(NamedTuple):
    """A signal that has fired."""

    signal: ArrivalSignal
    source: str
    departure: Departure
    day: int
    """Since 1970."""


@dataclass
class _Tally:
    """What came from a source in some days."""

    labels: int = 0
    frauds: int = 0
    corrected: int = 0
    unmatched: int = 0
    delays: Counter[int] = field(default_factory=Counter)
    """Labels by their delay's logarithm, in steps."""

    def add(self, one: Arrival) -> None:
        self.labels += 1
        self.frauds += one.is_fraud
        self.corrected += one.corrected
        if one.delay_ms is None:
            self.unmatched += 1
        else:
            self.delays[round(log(max(one.delay_ms / SECOND_MS, 1.0)) / _STEP)] += 1

    def figures(self) -> dict[ArrivalSignal, float]:
        """Return shares, and delays in seconds; nothing of too few."""
        if self.labels < _LEAST_LABELS:
            return {}
        figures: dict[ArrivalSignal, float] = {
            "fraud_share": self.frauds / self.labels,
            "corrected_share": self.corrected / self.labels,
            "unmatched_share": self.unmatched / self.labels,
        }
        # Where most have found no transaction, the delay of the others says little.
        if 2 * self.delays.total() >= _LEAST_LABELS:
            figures |= {"delay_p50": self._delay(0.5), "delay_p95": self._delay(0.95)}
        return figures

    def _delay(self, quantile: float) -> float:
        """Return the delay, in seconds, that this share of the labels did not exceed."""
        wanted = quantile * self.delays.total()
        for step in sorted(self.delays):
            wanted -= self.delays[step]
            if wanted <= 0:
                break
        return float(1.05**step)


def _sum(tallies: Iterable[_Tally]) -> _Tally:
    total = _Tally()
    for one in tallies:
        total.labels += one.labels
        total.frauds += one.frauds
        total.corrected += one.corrected
        total.unmatched += one.unmatched
        total.delays.update(one.delays)
    return total


class _Watch:
    """What is usual of a source."""

    def __init__(self) -> None:
        self._bands = {signal: Band(policy) for signal, policy in _BANDS.items()}
        self._silence = Silence()
        self._days: deque[_Tally] = deque(maxlen=_WEEK)

    def week(self) -> _Tally:
        """Return what came in the week that ends with the last day."""
        return _sum(self._days)

    def end_day(self, tally: _Tally) -> tuple[dict[ArrivalSignal, float], dict[ArrivalSignal, Departure]]:
        """Take in what came on a day; return the day's figures, and those that have departed."""
        self._days.append(tally)
        week = self.week()
        figures: dict[ArrivalSignal, float] = {"labels": tally.labels, **week.figures()}
        departures: dict[ArrivalSignal, Departure] = {}
        for signal, band in self._bands.items():
            value = figures.get(signal)
            if value is None:
                band.skip()
            elif (departure := band.update(value, _noise(signal, week.labels))) is not None:
                departures[signal] = departure
        silent = self._silence.update(tally.labels)
        figures["silent_days"] = self._silence.days
        if not tally.labels:
            # A day without any is not far from usual by itself: weekends are, and holidays.
            departures.pop("labels", None)
        if silent is not None:
            departures["silent_days"] = silent
        return figures, departures


class Arrivals:
    """Watches the labels as they arrive. It pickles, and is fed the same labels to the same bits.

    Notes
    -----
    A day ends with the 20th label of later days; these count in their own days, and a late one counts in the
    day that is on. Some 3 µs a label. Time is that of labels: that none comes at all from anybody shows when
    one comes again.
    """

    def __init__(self) -> None:
        self._watches: dict[str, _Watch] = {}
        self._overall = Band(_BANDS["fraud_share"])
        self._tallies: dict[str, _Tally] = {}
        self._ahead: list[Arrival] = []
        self._day = -1
        self.ended = -1
        """The last day that ended, since 1970."""
        self.figures: dict[tuple[ArrivalSignal, str], float] = {}
        """As of that day, by signal and source: counts, seconds, shares and days."""

    def observe(self, arrivals: Iterable[Arrival]) -> list[ArrivalSign]:
        """Take in labels in the order of their arrival; return what has fired with the days they ended."""
        signs: list[ArrivalSign] = []
        for one in arrivals:
            if one.label_time // DAY_MS <= self._day:
                self._tally(one)
                continue
            self._ahead.append(one)
            while len(self._ahead) >= _AHEAD:
                signs += self._go_on()
        return signs

    def _tally(self, one: Arrival) -> None:
        self._tallies.setdefault(one.source, _Tally()).add(one)

    def _go_on(self) -> list[ArrivalSign]:
        """End the day that is on, and begin the next on which a label came."""
        following = min(one.label_time // DAY_MS for one in self._ahead)
        signs = self._end() if self._day >= 0 else []
        if self._day >= 0:
            # Beyond four weeks, a day without anything changes nothing any more.
            for day in range(self._day + 1, min(following, self._day + 1 + DAYS)):
                self._day = day
                signs += self._end()
        self._day = following
        ahead, self._ahead = self._ahead, []
        for one in ahead:
            if one.label_time // DAY_MS <= following:
                self._tally(one)
            else:
                self._ahead.append(one)
        return signs

    def _end(self) -> list[ArrivalSign]:
        tallies, self._tallies = self._tallies, {}
        signs = []
        self.figures, self.ended = {}, self._day
        for source in self._watches | tallies:
            if source not in self._watches:
                self._watches[source] = _Watch()
                # Of another mixture something else is usual.
                self._overall = Band(_BANDS["fraud_share"])
            watch = self._watches[source]
            figures, departures = watch.end_day(tallies.get(source, _Tally()))
            self.figures |= {(signal, source): value for signal, value in figures.items()}
            signs += [ArrivalSign(signal, source, one, self._day) for signal, one in departures.items()]
        return signs + self._end_overall()

    def _end_overall(self) -> list[ArrivalSign]:
        """Look at the share of frauds in all labels, where these are not one source's."""
        week = _sum(watch.week() for watch in self._watches.values())
        share = week.figures().get("fraud_share")
        if share is None or len(self._watches) == 1:
            self._overall.skip()
            return []
        self.figures["fraud_share", ALL] = share
        departure = self._overall.update(share, _noise("fraud_share", week.labels))
        return [] if departure is None else [ArrivalSign("fraud_share", ALL, departure, self._day)]


def _noise(signal: ArrivalSignal, labels: int) -> Callable[[float], float] | None:
    """Return what tells a figure's standard deviation by chance; of delays only the days before can tell."""
    if signal == "labels":
        return _of_count
    return partial(_of_share, labels=labels) if signal.endswith("_share") else None


def _of_count(usual: float) -> float:
    return sqrt(usual + 1.0)


def _of_share(usual: float, labels: int) -> float:
    """Return the binomial deviation; one more on either side, so that a share of 0 has some, too."""
    share = (usual * labels + 1.0) / (labels + 2.0)
    return sqrt(share * (1.0 - share) / labels)
