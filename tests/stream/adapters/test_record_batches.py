"""Record batches against Faust's real inner machinery, fed with fetches made up here: no broker."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher, FetchResult
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.structs import ConsumerRecord, TopicPartition
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream.adapters.batch_app import (
    acknowledge,
    batch_topic,
    consumer_lag,
    let_in,
    on_assignment,
    overtaken,
    reached,
    record_batch_app,
    take,
)
from stream.adapters.intake import MOST_AHEAD
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.record_batches import (
    FETCH_WAIT_MS,
    Fetch,
    RecordBatch,
    RecordBatchConsumer,
    RecordBatchTransport,
)
from stream.records import Record

PLACE = TP("transactions", 2)


def fetched(offsets: range, tp: TP = PLACE) -> list[ConsumerRecord]:
    """Return what aiokafka makes of a fetch."""
    return [
        ConsumerRecord(tp.topic, tp.partition, n, 1_000 + n, 0, b"key", b"%d" % n, None, 3, 1, ())
        for n in offsets
    ]


class Rig:
    """An app whose consumer fetches from a list instead of a broker."""

    def __init__(self, **options: Any) -> None:
        self.at_once = True
        """Whether each batch is taken, and done, as soon as it is there."""
        self.app = record_batch_app("test", access=KafkaAccess("localhost:1"), **options)
        batch_topic(self.app, "transactions", self._deliver)
        self.batches: list[RecordBatch] = []
        self.delivered: Callable[[], object] = lambda: None
        self.app.consumer_generation_id = 1
        self.consumer: RecordBatchConsumer = self.app.transport.create_consumer(
            callback=self._nothing,
            on_partitions_revoked=self._nothing,
            on_partitions_assigned=self._nothing,
        )
        self.app.consumer = self.consumer
        self.pauses = 0
        self.backlog = 0
        self.consumer._thread.pause = self._pause
        self.consumer._thread.backlog = lambda: self.backlog
        self.committed: list[dict[TP, int]] = []
        self.consumer.assignment = lambda: {PLACE}
        self.consumer._commit = self._commit
        self.app.producer.flush = self._nothing

    async def drain(self, *fetches: dict[TP, list[ConsumerRecord]]) -> None:
        """Hand over what comes of `fetches`, all of them."""
        waiting = list(fetches)
        async with asyncio.timeout(10):
            while waiting:
                await self.consumer.pump(self.fetching(waiting), 0.01)

    def fetching(self, waiting: list[dict[TP, list[ConsumerRecord]]]) -> Fetch:
        """Return what fetches the first of `waiting` each time, and then nothing."""

        async def fetch(seconds: float) -> dict[TP, list[ConsumerRecord]]:
            assert seconds > 0
            if waiting:
                return waiting.pop(0)
            await asyncio.sleep(seconds)
            return {}

        return fetch

    def _deliver(self, batch: RecordBatch) -> None:
        self.batches.append(batch)
        self.delivered()
        if self.at_once:
            self.consumer.intake.take(batch)
            self.consumer.intake.let_in()

    def _pause(self) -> None:
        self.pauses += 1

    async def _nothing(self, *_args: Any, **_kwargs: Any) -> None:
        return

    async def _commit(self, offsets: dict[TP, int]) -> bool:
        self.committed.append(offsets)
        return True


def run(test: Callable[[Rig], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        await test(Rig(**options))

    asyncio.run(main())


def test_one_fetch_of_a_partition_is_one_batch() -> None:
    async def test(rig: Rig) -> None:
        await rig.drain({PLACE: fetched(range(5))}, {PLACE: fetched(range(5, 7))})
        first, second = rig.batches
        assert first.records == [Record("transactions", 2, n, 1_000 + n, b"key", b"%d" % n) for n in range(5)]
        assert (first.tp, first.generation_id, first.follows) == (PLACE, 1, None)
        assert ([record.offset for record in second.records], second.follows) == ([5, 6], 5)
        assert take(rig.app, first) is first.records

    run(test)


def test_fetching_goes_on_for_as_long_as_faust_waits_for_one_fetch() -> None:
    async def test(rig: Rig) -> None:
        waiting = fetches((0, 5), (5, 7), (7, 9))
        began = asyncio.get_running_loop().time()
        assert await rig.consumer.pump(rig.fetching(waiting), 0.2) == {}
        assert asyncio.get_running_loop().time() - began >= 0.19
        assert [len(batch.records) for batch in rig.batches] == [5, 2, 2]

    run(test)


def test_what_is_fetched_while_faust_wants_nothing_to_flow_is_fetched_again() -> None:
    """Faust may have set the positions of a new assignment already: nobody else would go back for it."""
    rewound: list[Any] = []

    async def test(rig: Rig) -> None:
        async def fetch(_seconds: float) -> dict[TP, list[ConsumerRecord]]:
            rig.consumer.stop_flow()
            return {PLACE: fetched(range(5))}

        rig.consumer._thread.rewind = rewound.append
        assert await rig.consumer.pump(fetch, 10) == {}
        assert rig.batches == []

    run(test)
    assert rewound == [{PLACE: fetched(range(5))}]


def test_what_a_fetch_brings_that_began_before_a_rebalance_is_of_the_new_assignment() -> None:
    async def test(rig: Rig) -> None:
        async def fetch(seconds: float) -> dict[TP, list[ConsumerRecord]]:
            if rig.batches:
                await asyncio.sleep(seconds)
                return {}
            rig.app.consumer_generation_id = 2
            return {PLACE: fetched(range(5))}

        await rig.consumer.pump(fetch, 0.01)
        assert [batch.generation_id for batch in rig.batches] == [2]

    run(test)


def test_rewinding_sets_the_position_to_the_first_record() -> None:
    sought: list[tuple[TP, int]] = []

    class Seeking:
        def seek(self, tp: TP, offset: int) -> None:
            sought.append((tp, offset))

    async def test(rig: Rig) -> None:
        rig.consumer._thread._consumer = Seeking()
        rig.consumer._thread.rewind({PLACE: fetched(range(5, 9)), TP("transactions", 3): []})

    run(test)
    assert sought == [(PLACE, 5)]


def test_an_acknowledged_batch_is_committed_past_its_last_record() -> None:
    async def test(rig: Rig) -> None:
        await rig.drain({PLACE: fetched(range(500))}, {PLACE: fetched(range(500, 900))})
        assert acknowledge(rig.app, rig.batches[0])
        assert await rig.consumer.commit()
        assert rig.committed == [{PLACE: 500}]
        assert acknowledge(rig.app, rig.batches[1])
        assert await rig.consumer.commit()
        assert rig.committed == [{PLACE: 500}, {PLACE: 900}]

    run(test)


def test_several_batches_acknowledged_since_the_last_commit_are_committed_at_once() -> None:
    async def test(rig: Rig) -> None:
        await rig.drain(*({PLACE: fetched(range(n, n + 10))} for n in range(0, 50, 10)))
        for number in range(5):
            assert acknowledge(rig.app, rig.batches[number])
        await rig.consumer.commit()
        assert rig.committed == [{PLACE: 50}]

    run(test)


def test_offsets_that_are_missing_from_the_log_do_not_hold_commits_back() -> None:
    async def test(rig: Rig) -> None:
        await rig.drain({PLACE: fetched(range(10, 15))}, {PLACE: fetched(range(100, 105))})
        assert acknowledge(rig.app, rig.batches[0])
        assert acknowledge(rig.app, rig.batches[1])
        await rig.consumer.commit()
        assert rig.committed == [{PLACE: 105}]
        assert not rig.consumer._gap[PLACE]

    run(test)


def test_nothing_is_committed_without_acknowledgement() -> None:
    async def test(rig: Rig) -> None:
        await rig.drain({PLACE: fetched(range(10))})
        assert not await rig.consumer.commit()
        assert rig.committed == []

    run(test)


def test_a_batch_after_one_that_was_not_acknowledged_is_refused() -> None:
    async def test(rig: Rig) -> None:
        await rig.drain(*({PLACE: fetched(range(n, n + 10))} for n in (0, 10, 20)))
        assert acknowledge(rig.app, rig.batches[0])
        assert not acknowledge(rig.app, rig.batches[2])
        await rig.consumer.commit()
        assert rig.committed == [{PLACE: 10}]

    run(test)


def test_a_batch_that_a_rebalance_has_overtaken_is_refused() -> None:
    async def test(rig: Rig) -> None:
        await rig.drain({PLACE: fetched(range(10))})
        batch = rig.batches[0]
        assert not overtaken(rig.app, batch)
        rig.app.consumer_generation_id = 2
        assert overtaken(rig.app, batch)
        assert not acknowledge(rig.app, batch)
        assert not await rig.consumer.commit()

    run(test)


def test_while_partitions_are_given_away_no_batch_may_begin_and_the_one_in_hand_may_end() -> None:
    async def test(rig: Rig) -> None:
        await rig.drain({PLACE: fetched(range(10))})
        rig.consumer.stop_flow()
        assert overtaken(rig.app, rig.batches[0])
        assert acknowledge(rig.app, rig.batches[0])

    run(test)


def test_what_was_acknowledged_is_committed_before_partitions_are_given_away() -> None:
    async def test(rig: Rig) -> None:
        await rig.drain({PLACE: fetched(range(10))}, {PLACE: fetched(range(10, 20))})
        assert acknowledge(rig.app, rig.batches[0])

        async def finish_the_batch_in_hand(_revoked: set[TP]) -> None:
            assert rig.committed == [{PLACE: 10}]
            assert acknowledge(rig.app, rig.batches[1])

        rig.consumer._on_partitions_revoked = finish_the_batch_in_hand
        await rig.consumer.on_partitions_revoked({PLACE})
        assert rig.committed == [{PLACE: 10}, {PLACE: 20}]

    run(test)


def test_a_position_of_ones_own_overrides_the_committed_one() -> None:
    sought: list[dict[TP, int]] = []

    async def test(rig: Rig) -> None:
        async def committed() -> dict[TP, int]:
            return {PLACE: 40}

        async def seek_wait(positions: dict[TP, int]) -> None:
            sought.append(positions)

        rig.consumer.seek_to_committed = committed
        rig.consumer.seek_wait = seek_wait
        await rig.consumer.perform_seek()
        assert rig.consumer._next_offset == {PLACE: 12}

    run(test, start_offset=lambda topic, partition: {("transactions", 2): 12}.get((topic, partition)))
    assert sought == [{PLACE: 12}]


def test_after_a_rebalance_reading_goes_on_from_the_committed_offset() -> None:
    async def test(rig: Rig) -> None:
        async def committed() -> dict[TP, int]:
            return {PLACE: 10}

        rig.consumer.seek_to_committed = committed
        await rig.drain({PLACE: fetched(range(10))}, {PLACE: fetched(range(10, 20))})
        await rig.consumer.perform_seek()
        await rig.drain({PLACE: fetched(range(10, 20))})
        # The first since then is accepted though batches before the rebalance were not.
        assert acknowledge(rig.app, rig.batches[2])
        await rig.consumer.commit()
        assert rig.committed == [{PLACE: 20}]

    run(test)


def test_after_a_rebalance_what_was_never_committed_is_read_from_its_beginning() -> None:
    """A fetch that ends amid the rebalance is dropped; aiokafka, sent nowhere, would read on behind it."""
    sought: list[TP] = []

    async def test(rig: Rig) -> None:
        async def committed() -> dict[TP, int | None]:
            return {PLACE: None}

        async def seek_to_beginning(*places: TP) -> None:
            sought.extend(places)

        rig.consumer.seek_to_committed = committed
        rig.consumer._thread.seek_to_beginning = seek_to_beginning
        await rig.consumer.perform_seek()
        assert rig.consumer._next_offset == {}

    run(test)
    assert sought == [PLACE]


def test_lag_counts_what_was_not_acknowledged() -> None:
    async def test(rig: Rig) -> None:
        assert consumer_lag(rig.app) == {}
        rig.consumer._thread.highwaters_known = lambda: {PLACE: 100, TP("transactions", 3): 7}
        await rig.drain({PLACE: fetched(range(20, 30))}, {PLACE: fetched(range(30, 40))})
        assert consumer_lag(rig.app) == {("transactions", 2): 80}
        acknowledge(rig.app, rig.batches[0])
        assert consumer_lag(rig.app) == {("transactions", 2): 70}

    run(test)


def fetches(*ends: tuple[int, int]) -> list[dict[TP, list[ConsumerRecord]]]:
    return [{PLACE: fetched(range(*one))} for one in ends]


def test_while_one_is_at_work_only_what_is_more_than_a_batch_is_fetched() -> None:
    async def test(rig: Rig) -> None:
        rig.at_once = False
        rig.delivered = lambda: take(rig.app, rig.batches[0])
        waiting = fetches((0, 10), (10, 13), (13, 17))
        await rig.consumer.pump(rig.fetching(waiting), 0.05)
        # It was a full one: the second is fetched ahead, and as it is none, no third.
        assert waiting == fetches((13, 17))
        let_in(rig.app)
        await rig.drain(*waiting)
        assert [record.offset for record in rig.batches[-1].records] == [*range(10, 17)]

    run(test, batch_records=10)


def test_nothing_is_fetched_ahead_but_of_a_backlog() -> None:
    async def test(rig: Rig) -> None:
        await rig.consumer.pump(rig.fetching(fetches((0, 3))), 0.01)
        assert rig.pauses
        rig.pauses, rig.backlog = 0, 50
        await rig.consumer.pump(rig.fetching(fetches((3, 6))), 0.01)
        assert not rig.pauses

    run(test, batch_records=10)


def test_the_backlog_is_what_lies_beyond_the_positions() -> None:
    async def test(rig: Rig) -> None:
        thread = rig.app.transport.create_consumer(
            callback=rig._nothing, on_partitions_revoked=rig._nothing, on_partitions_assigned=rig._nothing
        )._thread
        assert thread.backlog() == 0
        subscriptions = SubscriptionState()
        places = [TopicPartition("transactions", number) for number in range(3)]
        subscriptions.assign_from_user(places)
        states = [subscriptions.subscription.assignment.state_value(place) for place in places]
        for state, highwater in zip(states, (10, 7, None), strict=True):
            state.reset_to(4)
            state.highwater = highwater
        thread._consumer = SimpleNamespace(_subscription=subscriptions)
        assert thread.backlog() == 6 + 3

    run(test)


def test_a_batch_is_fetched_as_soon_as_it_is_wanted() -> None:
    async def test(rig: Rig) -> None:
        rig.at_once = False
        await rig.drain(*fetches((0, 3)))
        take(rig.app, rig.batches[0])
        there = asyncio.Event()
        rig.delivered = there.set
        pumping = asyncio.create_task(rig.consumer.pump(rig.fetching(fetches((3, 5))), 10))
        await asyncio.sleep(0.01)
        assert len(rig.batches) == 1
        # By the thread that works on it.
        await asyncio.to_thread(let_in, rig.app)
        async with asyncio.timeout(5):
            await there.wait()
        pumping.cancel()

    run(test)


def test_there_is_one_fetch_for_each_batch_that_is_done() -> None:
    async def test(rig: Rig) -> None:
        rig.at_once = False
        waiting = fetches((0, 3), (3, 5), (5, 9))
        for number in range(3):
            await rig.consumer.pump(rig.fetching(waiting), 0.01)
            assert len(rig.batches) == number + 1
            take(rig.app, rig.batches[-1])
            # When it is nearly done, and again when it is.
            let_in(rig.app)
            if number == 0:
                await rig.consumer.pump(rig.fetching(waiting), 0.01)
            let_in(rig.app)

    run(test)


def test_no_more_than_a_few_batches_are_fetched_ahead() -> None:
    async def test(rig: Rig) -> None:
        rig.at_once = False
        waiting = fetches(*((n, n + 10) for n in range(0, 100, 10)))
        await rig.consumer.pump(rig.fetching(waiting), 0.01)
        assert len(rig.batches) == MOST_AHEAD
        for batch in rig.batches[:2]:
            take(rig.app, batch)
        await rig.consumer.pump(rig.fetching(waiting), 0.01)
        assert len(rig.batches) == MOST_AHEAD + 2

    run(test, batch_records=10)


def test_what_comes_before_a_batch_is_begun_with_joins_it() -> None:
    async def test(rig: Rig) -> None:
        rig.at_once, rig.backlog = False, 10
        await rig.drain(*fetches((0, 3), (3, 5), (5, 11), (11, 13)))
        first, second = rig.batches
        assert [record.offset for record in first.records] == [*range(5)]
        assert [record.offset for record in second.records] == [*range(5, 13)]
        assert take(rig.app, first) is first.records
        assert acknowledge(rig.app, first)
        await rig.consumer.commit()
        assert acknowledge(rig.app, second)
        await rig.consumer.commit()
        assert rig.committed == [{PLACE: 5}, {PLACE: 13}]

    run(test, batch_records=10)


def test_nothing_joins_a_batch_that_was_begun_with_or_that_a_rebalance_has_overtaken() -> None:
    async def test(rig: Rig) -> None:
        await rig.drain(*fetches((0, 3), (3, 5)))
        rig.at_once, rig.backlog = False, 10_000
        await rig.drain(*fetches((5, 7)))
        rig.app.consumer_generation_id = 2
        await rig.drain(*fetches((7, 9)))
        assert [len(batch.records) for batch in rig.batches] == [3, 2, 2, 2]

    run(test)


def test_what_a_rebalance_has_dropped_is_not_waited_for() -> None:
    async def test(rig: Rig) -> None:
        async def committed() -> dict[TP, int | None]:
            return {PLACE: None}

        rig.at_once = False
        rig.consumer.seek_to_committed = committed
        rig.consumer._thread.seek_to_beginning = rig._nothing
        await rig.drain(*fetches((0, 3)))
        take(rig.app, rig.batches[0])
        assert not await rig.consumer.intake.appetite(0.01)
        await rig.consumer.perform_seek()
        assert await rig.consumer.intake.appetite(0.01)

    run(test)


def test_topics_that_are_not_batched_are_left_to_faust() -> None:
    async def test(rig: Rig) -> None:
        other = TP("another", 0)
        records = fetched(range(3, 4), other)
        both = {PLACE: fetched(range(5)), other: records}
        assert await rig.consumer.pump(rig.fetching([both]), 10) == {other: records}
        assert [len(batch.records) for batch in rig.batches] == [5]
        rig.consumer._acked[other] = [3, 4, 6]
        assert rig.consumer._new_offset(other) == 5

    run(test)


def test_handlers_of_an_assignment_get_every_assigned_partition() -> None:
    seen: list[set[tuple[str, int]]] = []

    async def test(rig: Rig) -> None:
        async def handler(partitions: set[tuple[str, int]]) -> None:
            seen.append(partitions)

        on_assignment(rig.app, handler)
        await rig.app.on_rebalance_complete.send()

    run(test)
    assert seen == [{("transactions", 2)}]


def test_how_far_a_partition_has_come_is_what_was_acknowledged_or_where_the_next_fetch_is() -> None:
    async def test(rig: Rig) -> None:
        positions: dict[TP, int | None] = {PLACE: None}
        rig.consumer._thread.positions = lambda: positions
        assert reached(rig.app) == {("transactions", 2): None}
        await rig.drain({PLACE: fetched(range(5))}, {PLACE: fetched(range(5, 7))})
        positions[PLACE] = 9  # past two marks of a transaction, say, which nobody is handed
        assert reached(rig.app) == {("transactions", 2): 0}
        acknowledge(rig.app, rig.batches[0])
        assert reached(rig.app) == {("transactions", 2): 5}
        acknowledge(rig.app, rig.batches[1])
        assert reached(rig.app) == {("transactions", 2): 9}

    run(test)


def test_a_consumer_still_keeps_its_positions_where_they_are_looked_for() -> None:
    async def main() -> None:
        subscriptions = SubscriptionState()
        place = TopicPartition("transactions", 2)
        subscriptions.assign_from_user([place])
        state = subscriptions.subscription.assignment.state_value(place)
        assert state._position is None
        state.reset_to(7)
        assert state._position == 7

    asyncio.run(main())


def test_an_app_has_the_settings_that_record_batches_need() -> None:
    app = record_batch_app(
        "group",
        access=KafkaAccess("one:1,two:2"),
        batch_records=7,
        session_timeout_seconds=9,
        commit_interval_seconds=0.5,
    )
    assert app.conf.id == "group"
    assert [str(server) for server in app.conf.broker] == ["kafka://one:1", "kafka://two:2"]
    assert driver.server_list(app.transport.url, 9092) == ["one:1", "two:2"]
    assert app.conf.broker_max_poll_records == 7
    assert app.conf.broker_heartbeat_interval == 3
    assert app.conf.broker_commit_interval == 0.5
    assert app.conf.consumer_auto_offset_reset == "earliest"
    assert not app.conf.stream_wait_empty
    assert not app.conf.web_enabled
    assert not app.conf.topic_allow_declare
    assert isinstance(app.transport, RecordBatchTransport)


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (Consumer, "_new_offset", ["self", "tp"]),
        (Consumer, "_filter_tps_with_pending_acks", ["self", "topics"]),
        (Consumer, "perform_seek", ["self"]),
        (Consumer, "on_partitions_revoked", ["self", "revoked"]),
        (driver.Consumer, "_new_consumer_thread", ["self"]),
        (driver.AIOKafkaConsumerThread, "_create_worker_consumer", ["self", "transport"]),
        (
            driver.AIOKafkaConsumerThread,
            "_fetch_records",
            ["self", "consumer", "active_partitions", "timeout", "max_records"],
        ),
    ],
)
def test_what_is_overridden_is_still_there(owner: type, name: str, parameters: list[str]) -> None:
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters


def test_faust_still_records_acknowledgements_for_acking_topics_alone() -> None:
    """Our topics are declared with ``acks=False``: were that ignored, skipped batches would be lost."""
    source = inspect.getsource(Consumer.ack)
    assert "acks_enabled_for(message.topic)" in source
    app = record_batch_app("group", access=KafkaAccess("one:1"))
    batch_topic(app, "t", lambda _batch: None)
    assert [topic.acks for topic in app.topics] == [False]
    assert faust.App("group").topic("t").acks


def test_a_group_can_still_be_joined_anew() -> None:
    assert list(inspect.signature(GroupCoordinator.request_rejoin).parameters) == ["self"]
    assert "self.need_rejoin(subscription)" in inspect.getsource(GroupCoordinator)


def test_positions_are_still_set_after_the_signal_and_before_messages_flow() -> None:
    source = inspect.getsource(faust.tables.recovery.Recovery._resume_streams)
    steps = ("on_rebalance_complete.send", "perform_seek()", "flow_control.resume", "resume_flow")
    places = [source.index(step) for step in steps]
    assert places == sorted(places)


def test_what_is_paused_is_still_not_fetched_ahead() -> None:
    source = inspect.getsource(Fetcher._get_actions_per_node)
    assert source.index("elif tp_state.paused:") < source.index("fetchable[node_id].append")
    for call in (AIOKafkaConsumer.pause, AIOKafkaConsumer.resume, AIOKafkaConsumer.seek):
        assert not inspect.iscoroutinefunction(call)
    assert [*inspect.signature(SubscriptionState.fetch_context).parameters] == ["self"]


def test_what_is_returned_is_still_of_the_present_assignment() -> None:
    source = inspect.getsource(FetchResult.check_assignment)
    assert "assignment.active" in source
    assert "position != self._partition_records.next_fetch_offset" in source


def test_the_consumer_still_hands_its_fetch_wait_to_the_fetcher() -> None:
    async def main() -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers="localhost:1")
        assert consumer._fetch_max_wait_ms == 500

    asyncio.run(main())
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in inspect.getsource(AIOKafkaConsumer.start)
    assert "fetch_max_wait_ms" in inspect.signature(Fetcher).parameters
    assert FETCH_WAIT_MS < 100
