"""The emission: what a scored batch owes to its readers, and whether it is on its way."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stream.adapters.topics import TopicNames
from stream.ports import Outgoing
from stream.records import Alert, DeadLetter, ModelEvent, Record, Score, encode


class Due(NamedTuple):
    """What of a batch is to be emitted."""

    answers: list[Score | Alert]
    letters: list[DeadLetter]
    events: list[ModelEvent]

    def any(self) -> bool:
        """Tell whether there is something to emit."""
        return bool(self.answers or self.letters or self.events)

    def beyond(self, answered: int, places: Sequence[Record]) -> "Due":
        """Leave out what was answered before its effects were lost: what lies before an offset."""
        answers = zip(self.answers, places, strict=True)
        return Due(
            [answer for answer, place in answers if place.offset >= answered],
            [letter for letter in self.letters if letter.offset >= answered],
            self.events,
        )


class Emission:
    """What goes out of a batch: encoded on the way, and again each time that it has to be sent."""

    def __init__(self, topics: TopicNames, due: Due) -> None:
        self._topics = topics
        self.due = due
        self.sent = False
        """Whether it is on its way, for all that is known."""

    def __iter__(self) -> Iterator[Outgoing]:
        scores, alerts = self._topics.scores, self._topics.alerts
        for answer in self.due.answers:
            key, value = answer.customer_id.encode(), encode(answer)
            yield Outgoing(scores, key, value)
            if answer.decision == "alert":
                yield Outgoing(alerts, key, value)
        for letter in self.due.letters:
            yield Outgoing(self._topics.dead_letters, letter.key, encode(letter))
        for event in self.due.events:
            yield Outgoing(self._topics.model_events, event.model_version.encode(), encode(event))
