"""The hold: waits for the pipeline, and knows when to give up."""

import pytest

from producers.hold import Hold
from producers.stopping import StopRequested
from stream.errors import InfrastructureError, TopicError
from tests.producers.pipeline_twin import TOPICS, PipelineTwin


def hold(twin: PipelineTwin, **options: object) -> Hold:
    return Hold(twin, twin, TOPICS, monotonic=twin.clock, **options)  # type: ignore[arg-type]


def publish(twin: PipelineTwin, count: int, topic: str = TOPICS.transactions) -> None:
    for number in range(count):
        twin.publish(topic, f"key {number}".encode(), b'{"transaction_id":"t"}')


def test_waits_until_every_partition_is_scored() -> None:
    twin = PipelineTwin()
    holding = hold(twin)
    publish(twin, 50)
    holding.until_scored()
    assert len(twin.processed) == 50


def test_waits_until_every_label_is_learnt() -> None:
    twin = PipelineTwin()
    holding = hold(twin)
    publish(twin, 50, TOPICS.labels)
    holding.until_learnt()
    assert len(twin.processed) == 50


def test_does_not_wait_when_nothing_was_published() -> None:
    twin = PipelineTwin()
    holding = hold(twin)
    holding.until_scored()
    holding.until_learnt()
    assert twin.now == 0


def test_room_is_what_in_flight_leaves() -> None:
    twin = PipelineTwin()
    twin.scoring = False
    holding = hold(twin, in_flight=10)
    publish(twin, 4)
    assert holding.room_for_transactions() == 6
    twin.flush()
    assert holding.room_for_transactions() == 6


def test_room_is_waited_for_when_there_is_none() -> None:
    twin = PipelineTwin(partitions=1, batch=3)
    holding = hold(twin, in_flight=10)
    publish(twin, 10)
    assert holding.room_for_transactions() == 3
    assert twin.now > 0


def test_labels_have_room_of_their_own() -> None:
    twin = PipelineTwin()
    twin.learning = False
    holding = hold(twin, in_flight=10)
    publish(twin, 4, TOPICS.labels)
    twin.flush()
    assert holding.room_for_labels() == 6
    assert holding.room_for_transactions() == 10


def test_a_scorer_that_stands_still_is_named() -> None:
    twin = PipelineTwin(partitions=1)
    holding = hold(twin, stall_seconds=5)
    publish(twin, 7)
    twin.scoring = False
    with pytest.raises(
        InfrastructureError,
        match=r"nothing moved for 5 s: partition 0 of 'transactions' is published up to offset 6 and"
        r" scored up to -1; is a scorer running .*worker --role score",
    ):
        holding.until_scored()
    assert 5 <= twin.now < 5.1


def test_a_learner_that_stands_still_is_named() -> None:
    twin = PipelineTwin()
    holding = hold(twin, stall_seconds=5)
    publish(twin, 7, TOPICS.labels)
    twin.learning = False
    with pytest.raises(
        InfrastructureError, match=r"'labels' is published up to offset 6 and learnt up to -1; is the learner"
    ):
        holding.until_learnt()


def test_a_broker_that_acknowledges_nothing_is_named() -> None:
    twin = PipelineTwin()
    holding = hold(twin, in_flight=5, stall_seconds=5)
    publish(twin, 7)
    twin.acknowledging = False
    with pytest.raises(InfrastructureError, match=r"7 record\(s\) wait for the broker's acknowledgement"):
        holding.room_for_transactions()


def test_slow_is_not_still() -> None:
    twin = PipelineTwin(partitions=1, batch=1)
    holding = hold(twin, stall_seconds=0.1)
    publish(twin, 500)
    holding.until_scored()
    assert len(twin.processed) == 500
    assert twin.now > 0.1


def test_an_outage_of_the_store_is_waited_out() -> None:
    twin = PipelineTwin()
    holding = hold(twin)
    publish(twin, 5)
    twin.outages = 20
    holding.until_scored()
    assert len(twin.processed) == 5


def test_an_outage_that_does_not_end_is_named() -> None:
    twin = PipelineTwin()
    holding = hold(twin, stall_seconds=5)
    publish(twin, 5)
    twin.scoring = False
    twin.outages = 10**9
    with pytest.raises(InfrastructureError, match=r"nothing moved for 5 s: .*; the store is away$"):
        holding.until_scored()


def test_a_store_that_is_away_at_the_start_is_said_at_once() -> None:
    twin = PipelineTwin()
    twin.outages = 1
    with pytest.raises(InfrastructureError, match="the store is away"):
        hold(twin)


def test_the_state_of_another_broker_is_noticed() -> None:
    twin = PipelineTwin(partitions=1)
    twin.set_done(TOPICS.transactions, 0, 100)
    holding = hold(twin)
    publish(twin, 5)
    with pytest.raises(InfrastructureError, match=r"done up to offset 100 before offset 4 was published"):
        holding.until_scored()


def test_labels_on_several_partitions_are_refused() -> None:
    twin = PipelineTwin()
    twin.sizes[TOPICS.labels] = 4
    with pytest.raises(TopicError, match="'labels' must have one partition"):
        hold(twin)


def test_a_request_to_stop_ends_the_wait() -> None:
    twin = PipelineTwin()
    twin.scoring = False
    holding = hold(twin, stop=lambda: twin.now > 1)
    publish(twin, 5)
    with pytest.raises(StopRequested):
        holding.until_scored()
