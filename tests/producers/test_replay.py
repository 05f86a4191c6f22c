"""A replay gives the pipeline what real time would have given it."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producers.hold import Hold
from producers.pace import Pace
from producers.replay import Replay, ReplaySummary
from stream.decoding import decode_labels, decode_transactions
from stream.errors import InfrastructureError
from stream.pipeline.deliveries import due_ms
from stream.recording import Recorded
from stream.records import Label, Transaction
from stream.records import Record as Place
from tests.producers.pipeline_twin import TOPICS, PipelineTwin

START = 1_700_000_000_000
MINUTE = 60_000


def recorded(index: int, minute: int, is_fraud: bool | None = False, raw: bytes | None = None) -> Recorded:
    transaction = Transaction(
        transaction_id=f"t{index}",
        event_time=START + minute * MINUTE,
        customer_id=f"c{index % 7}",
        terminal_id="t",
        amount=1.0,
    )
    return Recorded(transaction, is_fraud, raw)


recordings = st.lists(st.tuples(st.integers(0, 300), st.sampled_from([True, False, None])), max_size=80).map(
    lambda rows: [recorded(index, *row) for index, row in enumerate(sorted(rows, key=lambda row: row[0]))]
)


def held(twin: PipelineTwin, source: list[Recorded], **options: object) -> Replay:
    return Replay(
        source,
        twin,
        TOPICS,
        **{  # type: ignore[arg-type]
            "delay": timedelta(minutes=60),
            "cadence": timedelta(minutes=15),
            "hold": Hold(twin, twin, TOPICS, in_flight=10, stall_seconds=5, monotonic=twin.clock),
            "monotonic": twin.clock,
        }
        | options,
    )


@settings(max_examples=60)
@given(recordings, st.integers(0, 120), st.sampled_from([0, 1, 15, 60]), st.integers(1, 10))
def test_a_transaction_is_scored_after_exactly_the_labels_due_by_then(
    source: list[Recorded], delay: int, cadence: int, batch: int
) -> None:
    """The law that makes a replay equal to a backtest, whatever the speed of scorers and learner."""
    twin = PipelineTwin(batch=batch)
    held(twin, source, delay=timedelta(minutes=delay), cadence=timedelta(minutes=cadence)).run()
    due = {
        r.transaction.transaction_id: due_ms(r.transaction.event_time, delay * MINUTE, cadence * MINUTE)
        for r in source
        if r.is_fraud is not None
    }
    times = {r.transaction.transaction_id: r.transaction.event_time for r in source}
    scored: set[str] = set()
    known: set[str] = set()
    for what, identifier in twin.story():
        if what == "label":
            assert {other for other, time in times.items() if time < due[identifier]} <= scored
            known.add(identifier)
        else:
            now = times[identifier]
            # One that happens at the very moment may have come before (a delay of 0) or after.
            assert {other for other, time in due.items() if time < now} <= known
            assert all(due[other] <= now for other in known)
            scored.add(identifier)
    assert scored == set(times)
    assert known == {
        other for other, time in due.items() if source and time <= source[-1].transaction.event_time
    }


def test_no_more_than_in_flight_is_ahead_of_the_pipeline() -> None:
    twin = PipelineTwin()
    held(twin, [recorded(index, index // 50) for index in range(500)]).run()
    assert twin.most_in_flight <= 10
    assert len(twin.processed) == 500


def test_every_record_decodes_under_its_key() -> None:
    twin = PipelineTwin()
    held(twin, [recorded(index, index, is_fraud=index % 3 == 0) for index in range(200)]).run()
    places = [Place(s.topic, s.partition, s.offset, START, s.key, s.value) for s in twin.sent]
    now = START + 1000 * MINUTE
    transactions = decode_transactions([p for p in places if p.topic == TOPICS.transactions], now)
    labels = decode_labels([p for p in places if p.topic == TOPICS.labels], now)
    assert not transactions.dead_letters
    assert not labels.dead_letters
    assert len(transactions.records) == 200
    assert labels.records[0] == Label(
        transaction_id="t0", is_fraud=True, source="chargeback", label_time=labels.records[0].label_time
    )
    assert [p.key for p in labels.places] == [label.transaction_id.encode() for label in labels.records]


def test_raw_bytes_are_published_as_they_are_in_their_place() -> None:
    twin = PipelineTwin(partitions=1)
    twin.scoring = False
    source = [recorded(0, 0), recorded(1, 1, None, b'{"oops"'), recorded(2, 2)]
    summary = Replay(source, twin, TOPICS, hold=None, monotonic=twin.clock).run()
    assert twin.sent[1].value == b'{"oops"'
    assert twin.sent[1].key == b"c1"
    assert (summary.published, summary.bad_records) == (3, 1)


def test_the_summary_counts_what_was_published() -> None:
    twin = PipelineTwin()
    summary = held(twin, [recorded(index, index, is_fraud=index % 4 == 0) for index in range(200)]).run()
    labels = [sent for sent in twin.sent if sent.topic == TOPICS.labels]
    assert summary == ReplaySummary(
        published=200,
        bad_records=0,
        labels_published=len(labels),
        fraud_labels=sum(b'"is_fraud":true' in label.value for label in labels),
        first_event_time=START,
        last_event_time=START + 199 * MINUTE,
        seconds=twin.now,
        finished=True,
        stopped=False,
    )
    assert summary.as_json()["first_event_time"] == "2023-11-14T22:13:20.000+00:00"


def test_an_empty_recording_publishes_nothing() -> None:
    twin = PipelineTwin()
    summary = held(twin, []).run()
    assert (summary.published, summary.finished, summary.last_event_time) == (0, True, None)


def test_labels_after_the_end_are_published_when_asked_for() -> None:
    source = [recorded(0, 0), recorded(1, 1)]
    assert held(PipelineTwin(), source).run().labels_published == 0
    assert held(PipelineTwin(), source, labels_after_end=True).run().labels_published == 2


def test_a_replay_in_time_publishes_each_record_at_its_moment() -> None:
    twin = PipelineTwin()
    sent_at: list[tuple[str, float]] = []
    publish = twin.publish

    def noting(topic: str, key: bytes, value: bytes) -> None:
        sent_at.append((topic, twin.now))
        publish(topic, key, value)

    twin.publish = noting  # type: ignore[method-assign]
    pace = Pace(60, monotonic=twin.clock, sleep=twin.serve)
    held(twin, [recorded(0, 0), recorded(1, 50), recorded(2, 90)], pace=pace).run()
    assert [topic for topic, _ in sent_at] == ["transactions", "transactions", "labels", "transactions"]
    # 22:13:20 is when it begins: the label of an hour later is delivered at 23:15, 61 minutes 40 after.
    assert [moment for _, moment in sent_at] == pytest.approx([0, 50, 61 + 40 / 60, 90], abs=0.1)


def test_a_request_to_stop_ends_in_good_order() -> None:
    twin = PipelineTwin()
    replay = held(
        twin,
        [recorded(index, index) for index in range(5000)],
        stop=lambda: len(twin.sent) >= 1000,
    )
    summary = replay.run()
    assert summary.stopped
    assert not summary.finished
    assert 1000 <= summary.published + summary.labels_published < 1600
    assert twin.unacknowledged == 0


def test_progress_is_told_now_and_then_and_at_the_end() -> None:
    twin = PipelineTwin()
    told: list[ReplaySummary] = []
    replay = held(twin, [recorded(index, index) for index in range(2000)], on_progress=told.append)
    last = replay.run()
    assert told[-1] == last
    assert 1 < len(told) < 100
    assert [summary.published for summary in told] == sorted(summary.published for summary in told)


def test_a_pipeline_that_stands_still_ends_the_replay_and_leaves_its_summary() -> None:
    twin = PipelineTwin()
    twin.learning = False
    replay = held(twin, [recorded(index, index) for index in range(500)])
    with pytest.raises(InfrastructureError, match="is the learner running"):
        replay.run()
    assert 60 <= replay.summary().published < 100
    assert not replay.summary().finished


def test_without_a_hold_nobody_is_waited_for() -> None:
    twin = PipelineTwin()
    twin.scoring = twin.learning = False
    source = [recorded(index, index) for index in range(500)]
    summary = held(twin, source, hold=None).run()
    assert (summary.published, summary.finished) == (500, True)
    assert twin.now == 0
