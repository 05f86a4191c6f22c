"""Deliveries: no label early, none late, each exactly once."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.pipeline.deliveries import Labels, Transactions, deliveries, due_ms
from stream.recording import Recorded
from stream.records import Label, Transaction

HOUR = 3_600_000


def recorded(index: int, event_time: int, is_fraud: bool | None = False) -> Recorded:
    transaction = Transaction(
        transaction_id=str(index), event_time=event_time, customer_id="c", terminal_id="t", amount=1.0
    )
    return Recorded(transaction, is_fraud)


recordings = st.lists(
    st.tuples(st.integers(-50, 200), st.sampled_from([True, False, None])), max_size=60
).map(lambda rows: [recorded(index, *row) for index, row in enumerate(sorted(rows, key=lambda row: row[0]))])
delays = st.integers(0, 120)
cadences = st.integers(0, 50)
chunks = st.integers(1, 20)


def happenings(steps: list[Transactions | Labels]) -> list[Recorded | Label]:
    flat: list[Recorded | Label] = []
    for step in steps:
        flat.extend(step.records if isinstance(step, Transactions) else step.labels)
    return flat


@given(recordings, delays, cadences, chunks, st.booleans())
def test_every_transaction_comes_once_in_its_order(
    source: list[Recorded], delay: int, cadence: int, chunk: int, after_end: bool
) -> None:
    steps = list(deliveries(source, delay, cadence, after_end=after_end, chunk=chunk))
    assert [happening for happening in happenings(steps) if isinstance(happening, Recorded)] == source


@given(recordings, delays, cadences, chunks)
def test_a_label_comes_before_every_transaction_at_or_after_its_time_and_after_every_one_before(
    source: list[Recorded], delay: int, cadence: int, chunk: int
) -> None:
    known: set[str] = set()
    happened: set[str] = set()
    due = {
        record.transaction.transaction_id: due_ms(record.transaction.event_time, delay, cadence)
        for record in source
        if record.is_fraud is not None
    }
    for happening in happenings(list(deliveries(source, delay, cadence, chunk=chunk))):
        if isinstance(happening, Label):
            assert happening.transaction_id in happened
            earlier = {
                r.transaction.transaction_id
                for r in source
                if r.transaction.event_time < due[happening.transaction_id]
            }
            assert earlier <= happened
            known.add(happening.transaction_id)
        else:
            now = happening.transaction.event_time
            assert {identifier for identifier in happened if due.get(identifier, now + 1) <= now} <= known
            happened.add(happening.transaction.transaction_id)


@given(recordings, delays, cadences, chunks)
def test_each_label_due_by_the_last_transaction_comes_exactly_once(
    source: list[Recorded], delay: int, cadence: int, chunk: int
) -> None:
    end = source[-1].transaction.event_time if source else 0
    expected = [
        (record.transaction.transaction_id, record.is_fraud, due)
        for record in source
        if record.is_fraud is not None
        and (due := due_ms(record.transaction.event_time, delay, cadence)) <= end
    ]
    labels = [
        h for h in happenings(list(deliveries(source, delay, cadence, chunk=chunk))) if isinstance(h, Label)
    ]
    assert sorted((label.transaction_id, label.is_fraud, label.label_time) for label in labels) == sorted(
        expected
    )


@given(recordings, delays, cadences)
def test_labels_are_ordered_by_label_time_then_event_order(
    source: list[Recorded], delay: int, cadence: int
) -> None:
    steps = list(deliveries(source, delay, cadence, after_end=True))
    labels = [h for h in happenings(steps) if isinstance(h, Label)]
    keys = [(label.label_time, int(label.transaction_id)) for label in labels]
    assert keys == sorted(keys)
    assert len(labels) == sum(record.is_fraud is not None for record in source)


@given(st.integers(-(10**13), 10**13), st.integers(0, 10**10), st.integers(1, 10**8))
def test_a_label_is_due_at_the_first_delivery_once_its_delay_has_passed(
    event_time: int, delay: int, cadence: int
) -> None:
    due = due_ms(event_time, delay, cadence)
    assert due % cadence == 0
    assert event_time + delay <= due < event_time + delay + cadence


@given(recordings, delays, cadences, chunks)
def test_steps_are_never_empty_never_too_long_and_labels_never_follow_labels(
    source: list[Recorded], delay: int, cadence: int, chunk: int
) -> None:
    steps = list(deliveries(source, delay, cadence, chunk=chunk))
    assert all(step[0] for step in steps)
    assert all(len(step.records) <= chunk for step in steps if isinstance(step, Transactions))
    assert not any(isinstance(a, Labels) and isinstance(b, Labels) for a, b in pairwise(steps))


def test_a_fraud_is_a_chargeback_and_silence_a_settlement() -> None:
    steps = list(deliveries([recorded(0, 0, True), recorded(1, 1), recorded(2, 9)], 5, 0))
    labels = [h for h in happenings(steps) if isinstance(h, Label)]
    assert [(label.is_fraud, label.source) for label in labels] == [
        (True, "chargeback"),
        (False, "settlement"),
    ]


def test_labels_not_yet_due_at_the_end_are_left_out_unless_asked_for() -> None:
    source = [recorded(0, 0), recorded(1, 5)]
    assert not any(isinstance(step, Labels) for step in deliveries(source, HOUR, 0))
    assert [len(step[0]) for step in deliveries(source, HOUR, 0, after_end=True)] == [2, 2]


def test_a_recording_that_goes_back_in_time_is_refused() -> None:
    with pytest.raises(ValueError, match="transaction 1 at 4 comes after one at 5"):
        list(deliveries([recorded(0, 5), recorded(1, 4)], HOUR, HOUR))


@pytest.mark.parametrize(("delay", "cadence"), [(-1, 0), (0, -1)])
def test_negative_times_are_refused(delay: int, cadence: int) -> None:
    with pytest.raises(ValueError, match="neither can be negative"):
        list(deliveries([], delay, cadence))


def test_the_source_is_read_no_further_than_one_chunk_ahead() -> None:
    read: list[int] = []

    def endless() -> object:
        index = 0
        while True:
            read.append(index)
            yield recorded(index, index)
            index += 1

    steps = deliveries(endless(), HOUR, HOUR, chunk=10)  # type: ignore[arg-type]
    next(steps)
    assert len(read) == 11
