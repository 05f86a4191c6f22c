"""Settlement: when silence becomes a label, and that no crash changes it."""

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.settlement import REMEMBERED_LABELS, PendingSettlements, Settlement
from consumers.stopping import Stop
from stream.errors import InfrastructureError, TopicError
from stream.ports import Outgoing
from stream.records import Label, Record
from tests.consumers.made import T0, make_score, placed

AFTER_MS = 1_000


class Topic:
    """A topic in memory that outlives its readers."""

    def __init__(self, partitions: int) -> None:
        self.partitions = list(range(partitions))
        self.records: list[list[Record]] = [[] for _ in self.partitions]
        self.committed: dict[int, int] = {}

    def publish(self, value: object, partition: int = 0) -> None:
        offset = len(self.records[partition])
        self.records[partition].append(placed(value, offset, "topic", partition))  # type: ignore[arg-type]


class Reader:
    """Stands for a partition log; may break off after some records, or before a commit."""

    def __init__(self, topic: Topic, breaks: Iterator[bool]) -> None:
        self._topic = topic
        self._breaks = breaks
        self.partitions = topic.partitions
        self.positions: dict[int, int] = {}

    def committed(self) -> dict[int, int]:
        return dict(self._topic.committed)

    def ends(self) -> dict[int, int]:
        return {partition: len(self._topic.records[partition]) for partition in self.partitions}

    def start(self, offsets: Mapping[int, int]) -> None:
        self.positions = {partition: offsets.get(partition, 0) for partition in self.partitions}

    def read_to(self, ends: Mapping[int, int]) -> Iterator[Record]:
        for partition, end in ends.items():
            while self.positions[partition] < end:
                record = self._topic.records[partition][self.positions[partition]]
                self.positions[partition] += 1
                yield record

    def commit(self, offsets: Mapping[int, int]) -> None:
        _maybe_break(self._breaks)
        self._topic.committed |= offsets


class Stream:
    """Scores, labels, and a settlement over them that may die at any step."""

    def __init__(self, partitions: int = 1) -> None:
        self.scores = Topic(partitions)
        self.labels = Topic(1)
        self._breaks: Iterator[bool] = iter(())

    def score(self, transaction_id: str, time_ms: int, partition: int = 0) -> None:
        self.scores.publish(make_score(transaction_id, event_time=T0 + time_ms), partition)

    def label(self, transaction_id: str, *, is_fraud: bool = True) -> None:
        label = Label(transaction_id=transaction_id, is_fraud=is_fraud, source="chargeback", label_time=T0)
        self.labels.publish(label)

    def emit(self, records: Iterable[Outgoing]) -> None:
        for record in records:
            _maybe_break(self._breaks)
            self.labels.publish(record.value)

    def settle(self, breaks: Iterable[bool] = ()) -> Settlement:
        """Run a new settlement until there is nothing more to read."""
        self._breaks = iter(breaks)
        scores, labels = Reader(self.scores, self._breaks), Reader(self.labels, self._breaks)
        settlement = Settlement(scores, labels, self, "labels", AFTER_MS)  # type: ignore[arg-type]
        settlement.run(NoWait(), until_idle=True)
        return settlement

    def settled(self) -> Counter[str]:
        return Counter(label.transaction_id for label in self.all_labels() if label.source == "settlement")

    def all_labels(self) -> list[Label]:
        return [msgspec.json.decode(record.value or b"", type=Label) for record in self.labels.records[0]]


class NoWait(Stop):
    """Never asks, and does not wait between rounds."""

    def wait(self, seconds: float) -> bool:
        del seconds
        return False


def _maybe_break(breaks: Iterator[bool]) -> None:
    if next(breaks, False):
        raise InfrastructureError("told to break")


def test_silence_becomes_a_label_once_its_time_has_passed() -> None:
    stream = Stream()
    stream.score("a", 0)
    stream.score("b", 999)
    stream.settle()
    assert stream.settled() == {}
    stream.score("c", 1_000)
    stream.settle()
    assert stream.settled() == {"a": 1}
    (label,) = stream.all_labels()
    assert (label.is_fraud, label.source, label.label_time) == (False, "settlement", T0 + 1_000)


def test_a_labelled_transaction_is_left_alone() -> None:
    stream = Stream()
    stream.score("a", 0)
    stream.score("b", 0)
    stream.label("a")
    stream.score("late", 5_000)
    stream.settle()
    assert stream.settled() == {"b": 1}


def test_a_label_before_its_score_counts() -> None:
    stream = Stream()
    stream.label("a")
    stream.settle()
    stream.score("a", 0)
    stream.score("late", 5_000)
    stream.settle()
    assert stream.settled() == {}


def test_a_score_delivered_again_after_its_label_is_not_settled() -> None:
    stream = Stream()
    stream.score("a", 0)
    stream.label("a")
    running = PendingSettlements(AFTER_MS)
    running.scored(0, 0, "a", T0, 0)
    running.labelled("a", 0)
    running.scored(0, 1, "a", T0, 1)
    running.scored(0, 2, "late", T0 + 5_000, 1)
    assert running.settle() == []


def test_waiting_transactions_hold_the_offset_back_and_others_do_not() -> None:
    stream = Stream(partitions=2)
    for n in range(5):
        stream.score(f"done{n}", n, partition=0)
        stream.score(f"gone{n}", n, partition=1)
    stream.score("waits", 3_000, partition=0)
    stream.score("new", 3_500, partition=0)
    stream.settle()
    assert sum(stream.settled().values()) == 10
    assert stream.scores.committed == {0: 5, 1: 5}


def test_what_is_remembered_of_labels_is_bounded() -> None:
    pending = PendingSettlements(AFTER_MS)
    for n in range(REMEMBERED_LABELS + 10):
        pending.labelled(str(n), n)
    pending.scored(0, 0, "0", 0, REMEMBERED_LABELS + 10)
    pending.scored(0, 1, "20", 0, REMEMBERED_LABELS + 10)
    assert len(pending) == 1
    # A restart reads every label again that had been remembered.
    assert pending.labels_offset(REMEMBERED_LABELS + 10) == 10


def test_foreign_records_are_counted_and_passed_over() -> None:
    stream = Stream()
    stream.scores.publish(b"nonsense")
    stream.labels.publish(b"{}")
    stream.score("a", 0)
    assert stream.settle().foreign == 2


def test_labels_of_several_partitions_are_refused() -> None:
    reader = Reader(Topic(2), iter(()))
    with pytest.raises(TopicError, match="has 2 partitions where 1 should be"):
        Settlement(reader, reader, Stream(), "labels", AFTER_MS)  # type: ignore[arg-type]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("score"), st.integers(0, 15), st.integers(0, 400)),
        st.tuples(st.just("label"), st.integers(0, 15), st.just(0)),
        st.tuples(st.just("settle"), st.just(0), st.just(0)),
        st.tuples(st.just("die"), st.integers(0, 6), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(STEPS)
def test_dying_at_any_step_neither_loses_nor_doubles_nor_overrules_a_label(
    steps: list[tuple[str, int, int]],
) -> None:
    stream = Stream(partitions=3)
    now_ms = 0
    scored: set[str] = set()
    labelled: set[str] = set()
    for what, number, later_ms in steps:
        name = f"t{number}"
        if what == "score" and name not in scored:
            now_ms += later_ms
            stream.score(name, now_ms, number % 3)
            scored.add(name)
        elif what == "label" and name not in labelled | set(stream.settled()):
            stream.label(name)
            labelled.add(name)
        elif what == "settle":
            stream.settle()
        elif what == "die":
            with contextlib.suppress(InfrastructureError):
                stream.settle([*[False] * number, True])
    stream.score("end", now_ms + 10 * AFTER_MS)
    stream.settle()
    assert stream.settled() == dict.fromkeys(scored - labelled, 1)
