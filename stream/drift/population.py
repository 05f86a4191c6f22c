"""The population: what comes in and what is said of it, day by day, without any label.

Labels are weeks late. What can be seen before: whether transactions look as they did, whether the scores do,
whether the models still agree. None of it says that anything is wrong, and nothing is swapped on it.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.clock import DAY_MS
from stream.drift.band import Band, BandPolicy, Departure

Counts = NDArray[np.int64]

SIGNALS: Final[Mapping[str, BandPolicy]] = MappingProxyType(
    {
        # Population stability indices: 0.1 is by convention the least that is looked at.
        "score_psi": BandPolicy(floor=0.1),
        "feature_psi": BandPolicy(floor=0.1),
        "mean_score": BandPolicy(share=0.5),
        "alert_rate": BandPolicy(share=0.5),
        "disagreement": BandPolicy(share=1.0),
        "expected_precision": BandPolicy(floor=0.1, share=0.5),
        "new_terminals": BandPolicy(floor=0.02, share=0.25),
        "new_customers": BandPolicy(floor=0.02, share=0.25),
        "missing_country": BandPolicy(floor=0.02),
        "missing_category": BandPolicy(floor=0.02),
        "missing_channel": BandPolicy(floor=0.02),
    }
)
"""Each signal with what is far from usual for it."""
_OF_SCORES: Final = ("score_psi", "mean_score", "alert_rate", "disagreement", "expected_precision")
_MEANS: Final = (
    "mean_score",
    "alert_rate",
    "new_terminals",
    "new_customers",
    "missing_country",
    "missing_category",
    "missing_channel",
)
"""The mean of the champion's scores, and of the flags."""
SCORE_EDGES: Final = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8])
"""Of suspects: most scores lie about the base rate, and wander with it from snapshot to snapshot."""
_BINS: Final = 10
_LEAST_TRANSACTIONS: Final = 500
"""A day with fewer says nothing."""
_ROWS: Final = 5_000
"""Transactions of the first day that decide how features are binned."""
_WORD: Final = 64
_TOGETHER: Final = 500
"""Transactions of small batches that are counted at once: to count a few costs as much."""


class Glance(NamedTuple):
    """A batch of transactions, as columns of n."""

    event_times: NDArray[np.int64]
    features: NDArray[np.float32]
    """Shape (n, width)."""
    scores: NDArray[np.float64]
    """Shape (n, models), the champion's first."""
    models: tuple[str, ...]
    flags: NDArray[np.bool_]
    """Shape (n, 6): alerts, terminals new to the customer, new customers; without a country, a merchant
    category, a channel."""

    @property
    def columns(self) -> tuple[NDArray[Any], ...]:
        """Times, features, scores and flags."""
        return self.event_times, self.features, self.scores, self.flags

    def take(self, rows: NDArray[np.bool_]) -> "Glance":
        """Return some of the rows."""
        columns = (self.event_times[rows], self.features[rows], self.scores[rows])
        return Glance(*columns, self.models, self.flags[rows])


class Sign(NamedTuple):
    """A signal that has fired."""

    signal: str
    departure: Departure
    day: int
    """Since 1970."""
    about: str
    """The feature that moved most; empty for other signals."""


class Population:
    """Watches what one scorer sees; about 0.15 µs a transaction.

    Parameters
    ----------
    feature_names
        Of the columns.

    Notes
    -----
    Nothing of it is stored: after a restart, or in partitions that it was given, a scorer learns anew what is
    usual, for a week. Signals of the scores begin anew with each champion. A day ends when the first
    transaction of a later one comes; late ones count in the day that is on.
    """

    def __init__(self, feature_names: Sequence[str]) -> None:
        self._names = tuple(feature_names)
        self._bands = {signal: Band(policy) for signal, policy in SIGNALS.items()}
        self._edges: NDArray[np.float32] | None = None
        self._first: list[NDArray[np.float32]] = []
        self._past_scores: deque[Counts] = deque(maxlen=BandPolicy.days)
        self._past_features: deque[Counts] = deque(maxlen=BandPolicy.days)
        self._models: tuple[str, ...] = ()
        self._waiting: list[Glance] = []
        """What is not counted yet: all of the day that is on, and of the same models."""
        self._day = -1
        self.ended = -1
        """The last day that ended, since 1970."""
        self.figures: dict[str, float] = {}
        """Of the last day that ended, by signal."""
        self.features: dict[str, float] = {}
        """Population stability index of each feature on that day."""
        self._begin()

    def observe(self, glance: Glance) -> list[Sign]:
        """Take in a batch; return what has fired with the day that it ended, if it ended one."""
        if not len(glance.event_times):
            return []
        if self._may_wait(glance):
            self._waiting.append(glance)
            return []
        self._count_waiting()
        days = np.maximum(glance.event_times // DAY_MS, self._day)
        signs: list[Sign] = []
        for day in np.unique(days).tolist():
            if day > self._day >= 0:
                signs += self._end()
            self._day = day
            self._count(glance if days[0] == days[-1] == day else glance.take(days == day))
        return signs

    def _may_wait(self, glance: Glance) -> bool:
        """Tell whether a batch is a small one of the day that is on, to be counted with others."""
        if self._waiting and self._waiting[0].models != glance.models:
            return False
        count = len(glance.event_times) + sum(len(one.event_times) for one in self._waiting)
        return count < _TOGETHER and int(glance.event_times.max()) // DAY_MS <= self._day

    def _count_waiting(self) -> None:
        some, self._waiting = self._waiting, []
        if some:
            columns = (np.concatenate(each) for each in zip(*(one.columns for one in some), strict=True))
            times, features, scores, flags = columns
            self._count(Glance(times, features, scores, some[0].models, flags))

    def _begin(self) -> None:
        self._seen = 0
        self._sums: NDArray[np.float64] = np.zeros(len(_MEANS))
        self._alerted = 0.0
        self._apart = self._apart_seen = 0.0
        self._scores: Counts = np.zeros(len(SCORE_EDGES) + 1, np.int64)
        self._above: Counts | None = None

    def _count(self, glance: Glance) -> None:
        if glance.models[:1] != self._models[:1]:
            self._forget_scores()
        self._models = glance.models
        self._seen += len(glance.event_times)
        champion = glance.scores[:, 0]
        self._sums[0] += champion.sum()
        self._sums[1:] += glance.flags.sum(axis=0)
        self._alerted += float(champion[glance.flags[:, 0]].sum())
        if glance.scores.shape[1] > 1:
            self._apart += float(np.abs(glance.scores[:, 1] - champion).sum())
            self._apart_seen += float(champion.sum())
        self._scores += np.bincount(np.searchsorted(SCORE_EDGES, champion), minlength=len(self._scores))
        if self._edges is None:
            self._first.append(glance.features)
            return
        above = count_above(glance.features, self._edges)
        self._above = above if self._above is None else self._above + above

    def _end(self) -> list[Sign]:
        seen = self._seen
        if seen < _LEAST_TRANSACTIONS:
            self._begin()
            return []
        figures = dict(zip(_MEANS, (self._sums / seen).tolist(), strict=True))
        if self._sums[1] > 0:
            # Were scores what they say, so many of the alerts would be frauds.
            figures["expected_precision"] = self._alerted / float(self._sums[1])
        if self._apart_seen > 0:
            figures["disagreement"] = self._apart / self._apart_seen
        if self._past_scores:
            figures["score_psi"] = float(stability(np.sum(self._past_scores, axis=0), self._scores))
        self._past_scores.append(self._scores)
        about = self._end_features(figures)
        self.figures, self.ended = figures, self._day
        signs = []
        for signal, value in figures.items():
            departure = self._bands[signal].update(value)
            if departure is not None:
                signs.append(Sign(signal, departure, self._day, about if signal == "feature_psi" else ""))
        self._begin()
        return signs

    def _end_features(self, figures: dict[str, float]) -> str:
        """Put the features' shift into the figures; return which one moved most."""
        if self._edges is None:
            rows = np.concatenate(self._first)[:_ROWS].astype(np.float64)
            inner = np.linspace(0, 1, _BINS + 1)[1:-1]
            self._edges = _rounded_down(np.quantile(rows, inner, axis=0).T)
            self._first = []
            return ""
        if self._above is None:
            return ""
        # How many lie above each edge, into how many lie between two; equal edges leave an empty bin.
        whole = np.full((len(self._names), 1), self._seen)
        bounds = np.hstack([whole, self._above, np.zeros_like(whole)])
        counts = bounds[:, :-1] - bounds[:, 1:]
        about = ""
        if self._past_features:
            shifts = stability(np.sum(self._past_features, axis=0), counts)
            self.features = dict(zip(self._names, shifts.tolist(), strict=True))
            about = max(self.features, key=self.features.__getitem__)
            figures["feature_psi"] = self.features[about]
        self._past_features.append(counts)
        return about

    def _forget_scores(self) -> None:
        for signal in _OF_SCORES:
            self._bands[signal] = Band(SIGNALS[signal])
        self._past_scores.clear()


def count_above(features: NDArray[np.float32], edges: NDArray[np.float32]) -> Counts:
    """Return how many of each feature lie above each of its edges.

    Parameters
    ----------
    features
        Shape (n, width).
    edges
        Shape (width, edges).

    Examples
    --------
    >>> count_above(np.array([[1], [2], [3]], np.float32), np.array([[0, 1, 2.5]], np.float32)).tolist()
    [[3, 2, 1]]
    """
    count, width = features.shape
    # Side by side for each feature, and filled up to whole words with what is above nothing: as bits, 64 are
    # counted at a time.
    columns = np.full((width, -(-count // _WORD) * _WORD), np.nan, np.float32)
    columns[:, :count] = features.T
    above = np.packbits(columns[:, None, :] > edges[:, :, None], axis=-1).view(np.uint64)
    counts: Counts = np.bitwise_count(above).sum(axis=-1, dtype=np.int64)
    return counts


def _rounded_down(edges: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return edges that the same float32 numbers are above."""
    nearest = edges.astype(np.float32)
    return np.where(nearest > edges, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def stability(before: Counts, after: Counts) -> NDArray[np.float64]:
    """Return the population stability index between two histograms, over the last axis.

    The sum over bins of (q - p) ln(q / p), p and q being the shares before and after; half a count is added
    to each bin, so that an empty one does not make it infinite.

    Examples
    --------
    >>> round(float(stability(np.array([500, 500]), np.array([500, 500]))), 3)
    0.0
    >>> round(float(stability(np.array([500, 500]), np.array([700, 300]))), 3)
    0.169
    """
    p, q = (counts + 0.5 for counts in (before, after))
    p, q = p / p.sum(axis=-1, keepdims=True), q / q.sum(axis=-1, keepdims=True)
    index: NDArray[np.float64] = ((q - p) * np.log(q / p)).sum(axis=-1)
    return index
