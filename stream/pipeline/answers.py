"""Answers: what goes out on ``scores`` for the transactions of a record batch, as it goes on the wire."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Self

import msgspec

from stream.pipeline.pending import Pending, PendingBatch, score_record
from stream.records import Alert, Score, encode

_SCORES: Final = msgspec.json.Decoder(Score)
_ALERTS: Final = msgspec.json.Decoder(Alert)


@dataclass(frozen=True, eq=False)
class Answers:
    """One for each transaction of a batch, in its order; made when they are first asked for, and then kept.

    Parameters
    ----------
    scored
        The transactions scored just now.
    before
        Those scored earlier, by transaction id.
    places
        Where each transaction's answer is among those of `scored` and, behind them, of `before`.
    """

    scored: PendingBatch
    before: Mapping[str, Pending]
    places: Sequence[int]

    @classmethod
    def to(cls, names: Sequence[str], scored: PendingBatch, pending: Mapping[str, Pending]) -> Self:
        """Answer transactions from what was scored or, where it was not, from pending records."""
        if len(names) == len(scored.names):
            return cls(scored, {}, range(len(names)))
        now = dict.fromkeys(scored.names)
        before = {name: pending[name] for name in names if name not in now}
        place = {name: place for place, name in enumerate((*now, *before))}
        return cls(scored, before, [place[name] for name in names])

    def __len__(self) -> int:
        return len(self.places)

    def take(self, places: Sequence[int]) -> Self:
        """Return some of them."""
        return replace(self, places=[self.places[place] for place in places])

    @cached_property
    def keys(self) -> list[bytes]:
        """The customers' ids."""
        customers = [*self.scored.customers, *(one.customer_id for one in self.before.values())]
        keys = [name.encode() for name in customers]
        return [keys[place] for place in self.places]

    @cached_property
    def values(self) -> list[bytes]:
        """Each a :class:`~stream.records.Score`, or an :class:`~stream.records.Alert`, encoded."""
        values = self.scored.encoded()
        values += [encode(score_record(name, one)) for name, one in self.before.items()]
        return [values[place] for place in self.places]

    @cached_property
    def alerts(self) -> list[int]:
        """Which of them are alerts, by their places: those go out on ``alerts`` too."""
        scored = len(self.scored.names)
        alerts = {*self.scored.alerts}
        alerts |= {scored + n for n, one in enumerate(self.before.values()) if one.decision == "alert"}
        return [n for n, place in enumerate(self.places) if place in alerts] if alerts else []

    def records(self) -> list[Score | Alert]:
        """Return what the values say."""
        alerts = {*self.alerts}
        return [(_ALERTS if n in alerts else _SCORES).decode(value) for n, value in enumerate(self.values)]
