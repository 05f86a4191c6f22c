"""Label sources: how much each may say, how much of it is learnt, and whether it says unlikely things.

Whoever can publish labels can teach the models. A source that was taken over, or whose file was wrong, is
held to a rate; what exceeds it is put aside and can be brought back. All goes by the broker's time of each
label and by identifiers, so that a learner that starts again decides as it did before.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from stream.clock import HOUR_MS
from stream.models.sampling import place
from stream.records import Label, LabelSource, Record

SUSPECT_SCORE: Final = 0.001
"""A fraud that was scored below is unlikely: one in a thousand such transactions is one, at most."""
_LOOKED_AT: Final = 200
"""Frauds of a source that are looked at together."""
_TIMES_USUAL: Final = 3.0
_AT_LEAST: Final = 0.1
"""A smaller share of suspects among them is never remarkable."""
_FOLLOWS: Final = 0.2
"""How fast what is usual follows what is."""
_SALT: Final = 0x5EED_1ABE1
"""Another draw than those of the classifiers' samples."""


class Remarkable(NamedTuple):
    """A source whose frauds are unlikely ones more often than they were."""

    source: LabelSource
    share: float
    """Of its last frauds, those that were scored below `SUSPECT_SCORE`."""
    usual: float


@dataclass
class _Source:
    hour: int = 0
    count: int = 0
    """Of labels in that hour."""
    frauds: int = 0
    suspects: int = 0
    """Of the frauds that are being looked at."""
    usual: float | None = None


@dataclass
class LabelSources:
    """What is remembered of each source; part of the learner's checkpoint.

    Examples
    --------
    >>> sources = LabelSources()
    >>> [sources.admits("analyst", timestamp, most=2) for timestamp in (0, 1, 2, HOUR_MS)]
    [True, True, False, True]
    """

    sources: dict[str, _Source] = field(default_factory=dict)

    def admits(self, source: LabelSource, timestamp_ms: int, most: float) -> bool:
        """Count a label, and say whether its source may still say something in this hour.

        Parameters
        ----------
        source
            Whose it is.
        timestamp_ms
            The broker's time of it, milliseconds since 1970. An hour that is past does not come back.
        most
            Labels in an hour.
        """
        one = self._of(source)
        hour = timestamp_ms // HOUR_MS
        if hour > one.hour:
            one.hour, one.count = hour, 0
        if one.count >= most:
            return False
        one.count += 1
        return True

    def excess(
        self, labels: Sequence[Label], places: Sequence[Record], most: Mapping[LabelSource, float]
    ) -> set[int]:
        """Return the offsets of those labels that exceed what their sources may say in an hour."""
        if not most:
            return set()
        return {
            where.offset
            for label, where in zip(labels, places, strict=True)
            if label.source in most and not self.admits(label.source, where.timestamp, most[label.source])
        }

    def watch(self, frauds: Iterable[tuple[LabelSource, float]]) -> list[Remarkable]:
        """Take in frauds with their scores; return what is remarkable about their sources."""
        found = []
        for source, score in frauds:
            one = self._of(source)
            one.frauds += 1
            one.suspects += score < SUSPECT_SCORE
            if one.frauds < _LOOKED_AT:
                continue
            share = one.suspects / one.frauds
            one.frauds = one.suspects = 0
            if one.usual is None:
                one.usual = share
            elif share > max(_AT_LEAST, _TIMES_USUAL * one.usual):
                found.append(Remarkable(source, share, one.usual))
            else:
                one.usual += _FOLLOWS * (share - one.usual)
        return found

    def _of(self, source: LabelSource) -> _Source:
        return self.sources.setdefault(source, _Source())


def is_learnt(label: Label, weights: Mapping[LabelSource, float]) -> bool:
    """Say whether models learn a label, given the share that they learn of its source's.

    Examples
    --------
    >>> label = Label(transaction_id="t", is_fraud=True, source="analyst", label_time=0)
    >>> is_learnt(label, {}), is_learnt(label, {"analyst": 0.0})
    (True, False)
    """
    weight = weights.get(label.source, 1.0)
    return weight >= 1.0 or place(label.transaction_id, _SALT) < weight
