"""The emission: what a scored batch owes to its readers, and whether it is on its way."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stream.adapters.topics import TopicNames
from stream.pipeline.answers import Answers
from stream.ports import Burst
from stream.records import DeadLetter, ModelEvent, Record, encode


class Due(NamedTuple):
    """What of a batch is to be emitted."""

    answers: Answers
    letters: list[DeadLetter]
    events: list[ModelEvent]

    def any(self) -> bool:
        """Tell whether there is something to emit."""
        return bool(self.answers or self.letters or self.events)

    def beyond(self, answered: int, places: Sequence[Record]) -> "Due":
        """Leave out what was answered before its effects were lost: what lies before an offset."""
        return Due(
            self.answers.take([n for n, place in enumerate(places) if place.offset >= answered]),
            [letter for letter in self.letters if letter.offset >= answered],
            self.events,
        )


class Emission:
    """What goes out of a batch: encoded on the way, the answers only the first time that it is sent."""

    def __init__(self, topics: TopicNames, due: Due) -> None:
        self._topics = topics
        self.due = due
        self.sent = False
        """Whether it is on its way, for all that is known."""

    def __iter__(self) -> Iterator[Burst]:
        topics = self._topics
        answers, letters, events = self.due
        keys, values, alerts = answers.keys, answers.values, answers.alerts
        yield Burst(topics.scores, keys, values)
        yield Burst(topics.alerts, [keys[n] for n in alerts], [values[n] for n in alerts])
        yield Burst(topics.dead_letters, [one.key for one in letters], [encode(one) for one in letters])
        names = [one.model_version.encode() for one in events]
        yield Burst(topics.model_events, names, [encode(one) for one in events])
