"""Record batches against Faust's real inner machinery, drawn from a list made up here: no broker."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import faust
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher as AiokafkaFetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream.adapters.batch_app import (
    acknowledge,
    batch_topic,
    consumer_lag,
    draw,
    on_assignment,
    overtaken,
    reached,
    record_batch_app,
)
from stream.adapters.fetcher import Drawn
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.record_batches import RecordBatch, RecordBatchConsumer, RecordBatchTransport
from stream.errors import AccessError
from stream.records import Record

PLACE = TP("transactions", 2)


def records(offsets: range, tp: TP = PLACE) -> list[Record]:
    return [Record(tp.topic, tp.partition, n, 1_000 + n, b"key", b"%d" % n) for n in offsets]


class Listed:
    """Stands for what fetches: draws from a list."""

    def __init__(self) -> None:
        self.waiting: list[Drawn] = []
        self.reads: list[dict[TP, int | None]] = []
        self.drawing: Callable[[], object] = lambda: None
        self.highwaters: dict[TP, int] = {}
        self.closed = False

    def read_from(self, starts: dict[TP, int | None]) -> None:
        self.reads.append(starts)

    def draw(self, seconds: float) -> Drawn:
        assert seconds > 0
        self.drawing()
        return self.waiting.pop(0) if self.waiting else Drawn({}, {})

    def highwater(self, tp: TP) -> int | None:
        return self.highwaters.get(tp)

    def close(self) -> None:
        self.closed = True


class Rig:
    """An app whose consumer has one partition, of which something was committed or not."""

    def __init__(self, **options: Any) -> None:
        self.app = record_batch_app("test", access=KafkaAccess("localhost:1"), **options)
        batch_topic(self.app, "transactions")
        self.app.consumer_generation_id = 1
        self.consumer: RecordBatchConsumer = self.app.transport.create_consumer(
            callback=self._nothing,
            on_partitions_revoked=self._nothing,
            on_partitions_assigned=self._nothing,
        )
        self.app.consumer = self.consumer
        self.listed = Listed()
        self.consumer._fetcher = self.listed  # type: ignore[assignment]
        self.before: dict[TP, int | None] = {PLACE: None}
        """What was committed before."""
        self.committed: list[dict[TP, int]] = []
        self.consumer.assignment = lambda: {PLACE}
        self.consumer.seek_to_committed = self._before
        self.consumer._commit = self._commit
        self.app.producer.flush = self._nothing

    async def rebalance(self, committed: int | None = None) -> None:
        """Come to the end of a rebalance."""
        self.before = {PLACE: committed}
        await self.consumer.perform_seek()

    def draw(self, *drawn: range) -> list[RecordBatch]:
        """Draw batches of these offsets."""
        self.listed.waiting += [Drawn({PLACE: records(one)}, {}) for one in drawn]
        return [batch for _ in drawn for batch in draw(self.app, 0.01)]

    async def _before(self) -> dict[TP, int | None]:
        return self.before

    async def _nothing(self, *_args: Any, **_kwargs: Any) -> None:
        return

    async def _commit(self, offsets: dict[TP, int]) -> bool:
        self.committed.append(offsets)
        return True


def run(test: Callable[[Rig], Awaitable[None]], **options: Any) -> None:
    async def main() -> None:
        rig = Rig(**options)
        await rig.rebalance()
        await test(rig)

    asyncio.run(main())


def test_what_has_come_of_a_partition_is_one_batch() -> None:
    async def test(rig: Rig) -> None:
        first, second = rig.draw(range(5), range(5, 7))
        assert first.records == records(range(5))
        assert (first.tp, first.generation_id, first.follows) == (PLACE, 1, None)
        assert ([record.offset for record in second.records], second.follows) == ([5, 6], 5)
        assert draw(rig.app, 0.01) == []

    run(test)


def test_each_partition_has_a_batch_of_its_own() -> None:
    async def test(rig: Rig) -> None:
        other = TP("transactions", 3)
        rig.listed.waiting.append(Drawn({PLACE: records(range(3)), other: records(range(7, 9), other)}, {}))
        assert [(batch.tp, batch.records[0].offset) for batch in draw(rig.app, 0.01)] == [
            (PLACE, 0),
            (other, 7),
        ]

    run(test)


def test_before_the_first_rebalance_has_ended_nothing_is_drawn() -> None:
    async def main() -> None:
        rig = Rig()
        assert rig.draw(range(5)) == []
        assert rig.listed.reads == []
        await rig.rebalance()
        assert len(draw(rig.app, 0.01)) == 1

    asyncio.run(main())


def test_after_a_rebalance_reading_begins_where_it_was_committed() -> None:
    async def test(rig: Rig) -> None:
        rig.draw(range(10), range(10, 20))
        await rig.rebalance(committed=10)
        (batch,) = rig.draw(range(10, 20))
        assert rig.listed.reads == [{PLACE: None}, {PLACE: 10}]
        # The first since then is accepted though batches before the rebalance were not.
        assert acknowledge(rig.app, batch)
        await rig.consumer.commit()
        assert rig.committed == [{PLACE: 20}]

    run(test)


def test_after_a_rebalance_what_was_never_committed_is_read_from_its_beginning() -> None:
    async def test(rig: Rig) -> None:
        rig.draw(range(3, 10))
        await rig.rebalance()
        rig.draw(range(3, 10))
        assert rig.listed.reads == [{PLACE: None}, {PLACE: None}]

    run(test)


def test_whoever_is_left_without_a_partition_reads_none() -> None:
    """Faust sets no positions then: read on, the partition would be taken from its owner again and again."""

    async def test(rig: Rig) -> None:
        rig.draw(range(10))
        await rig.consumer.on_partitions_revoked({PLACE})
        rig.app.consumer_generation_id = 2
        rig.consumer.assignment = set
        await rig.consumer.on_partitions_assigned(set(), 2)
        draw(rig.app, 0.01)
        assert rig.listed.reads == [{PLACE: None}, {}]

    run(test)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_crashed_can_be_stopped() -> None:
    """Where we end over something else, it crashes with us, and may be gone before it is told to stop."""

    async def test(rig: Rig) -> None:
        thread = rig.consumer._new_consumer_thread()
        with pytest.raises(KafkaConnectionError):
            await thread.start()
        await asyncio.to_thread(thread._thread.join)
        assert thread.thread_loop.is_closed()
        await thread.stop()

    run(test)


def test_a_position_of_ones_own_overrides_the_committed_one() -> None:
    async def test(rig: Rig) -> None:
        await rig.rebalance(committed=40)
        rig.draw(range(12, 15))
        assert rig.listed.reads == [{PLACE: 12}]

    run(test, start_offset=lambda topic, partition: {("transactions", 2): 12}.get((topic, partition)))


def test_what_is_drawn_while_nothing_may_flow_is_read_again() -> None:
    async def test(rig: Rig) -> None:
        rig.draw(range(5))
        rig.listed.drawing = rig.consumer.stop_flow
        assert rig.draw(range(5, 9)) == []
        assert rig.draw(range(9, 11)) == [], "it is not even asked for"
        rig.listed.drawing = lambda: None
        rig.consumer.resume_flow()
        rig.listed.waiting.clear()
        (batch,) = rig.draw(range(5, 11))
        assert rig.listed.reads == [{PLACE: None}, {PLACE: 5}]
        assert batch.follows == 5

    run(test)


def test_the_end_of_one_rebalance_lets_nothing_flow_into_the_next() -> None:
    """Faust looks at the generation alone, which is the old one until the next rebalance ends, too."""

    async def test(rig: Rig) -> None:
        (batch,) = rig.draw(range(5))

        async def next_rebalance() -> dict[TP, int | None]:
            await rig.consumer.on_partitions_revoked({PLACE})
            return {PLACE: 3}

        rig.consumer.seek_to_committed = next_rebalance
        await rig.consumer.perform_seek()
        rig.consumer.resume_flow()
        assert overtaken(rig.app, batch)
        assert rig.draw(range(3, 5)) == []
        rig.app.consumer_generation_id = 2
        await rig.consumer.on_partitions_assigned({PLACE}, 2)
        assert draw(rig.app, 0.01) == [], "its positions are not set yet"
        rig.consumer.seek_to_committed = rig._before
        await rig.rebalance(committed=3)
        (batch,) = draw(rig.app, 0.01)
        assert rig.listed.reads == [{PLACE: None}, {PLACE: 3}]
        assert acknowledge(rig.app, batch)

    run(test)


@pytest.mark.parametrize("overtaking", ["generation", "seek"])
def test_what_a_rebalance_has_overtaken_while_it_was_drawn_is_read_again(overtaking: str) -> None:
    async def test(rig: Rig) -> None:
        def rebalance() -> None:
            rig.app.consumer_generation_id += overtaking == "generation"
            rig.consumer._seeks += overtaking == "seek"

        rig.listed.drawing = rebalance
        assert rig.draw(range(5)) == []
        rig.listed.drawing = lambda: None
        await rig.rebalance()
        (batch,) = rig.draw(range(5))
        assert (batch.follows, batch.generation_id) == (None, 1 + (overtaking == "generation"))
        assert rig.listed.reads == [{PLACE: None}] * 2

    run(test)


def test_an_acknowledged_batch_is_committed_past_its_last_record() -> None:
    async def test(rig: Rig) -> None:
        first, second = rig.draw(range(500), range(500, 900))
        assert acknowledge(rig.app, first)
        assert await rig.consumer.commit()
        assert rig.committed == [{PLACE: 500}]
        assert acknowledge(rig.app, second)
        assert await rig.consumer.commit()
        assert rig.committed == [{PLACE: 500}, {PLACE: 900}]

    run(test)


def test_several_batches_acknowledged_since_the_last_commit_are_committed_at_once() -> None:
    async def test(rig: Rig) -> None:
        for batch in rig.draw(*(range(n, n + 10) for n in range(0, 50, 10))):
            assert acknowledge(rig.app, batch)
        await rig.consumer.commit()
        assert rig.committed == [{PLACE: 50}]

    run(test)


def test_offsets_that_are_missing_from_the_log_do_not_hold_commits_back() -> None:
    async def test(rig: Rig) -> None:
        for batch in rig.draw(range(10, 15), range(100, 105)):
            assert acknowledge(rig.app, batch)
        await rig.consumer.commit()
        assert rig.committed == [{PLACE: 105}]
        assert not rig.consumer._gap[PLACE]

    run(test)


def test_nothing_is_committed_without_acknowledgement() -> None:
    async def test(rig: Rig) -> None:
        rig.draw(range(10))
        assert not await rig.consumer.commit()
        assert rig.committed == []

    run(test)


def test_a_batch_after_one_that_was_not_acknowledged_is_refused() -> None:
    async def test(rig: Rig) -> None:
        first, _, third = rig.draw(range(10), range(10, 20), range(20, 30))
        assert acknowledge(rig.app, first)
        assert not acknowledge(rig.app, third)
        await rig.consumer.commit()
        assert rig.committed == [{PLACE: 10}]

    run(test)


def test_a_batch_that_a_rebalance_has_overtaken_is_refused() -> None:
    async def test(rig: Rig) -> None:
        (batch,) = rig.draw(range(10))
        assert not overtaken(rig.app, batch)
        rig.app.consumer_generation_id = 2
        assert overtaken(rig.app, batch)
        assert not acknowledge(rig.app, batch)
        assert not await rig.consumer.commit()

    run(test)


def test_while_partitions_are_given_away_no_batch_may_begin_and_the_one_in_hand_may_end() -> None:
    async def test(rig: Rig) -> None:
        (batch,) = rig.draw(range(10))
        rig.consumer.stop_flow()
        assert overtaken(rig.app, batch)
        assert acknowledge(rig.app, batch)

    run(test)


def test_what_was_acknowledged_is_committed_before_partitions_are_given_away() -> None:
    async def test(rig: Rig) -> None:
        first, second = rig.draw(range(10), range(10, 20))
        assert acknowledge(rig.app, first)

        async def finish_the_batch_in_hand(_revoked: set[TP]) -> None:
            assert rig.committed == [{PLACE: 10}]
            assert acknowledge(rig.app, second)

        rig.consumer._on_partitions_revoked = finish_the_batch_in_hand
        await rig.consumer.on_partitions_revoked({PLACE})
        assert rig.committed == [{PLACE: 10}, {PLACE: 20}]

    run(test)


@pytest.mark.parametrize("whose", ["of every second", "of the rebalance", "amid the rebalance"])
def test_what_is_acknowledged_while_a_commit_is_on_its_way_is_committed_too(whose: str) -> None:
    async def test(rig: Rig) -> None:
        first, second = rig.draw(range(10), range(10, 20))
        sent, answered = asyncio.Event(), asyncio.Event()

        async def commit(offsets: dict[TP, int]) -> bool:
            rig.committed.append(offsets)
            sent.set()
            await answered.wait()
            return True

        rig.consumer._commit = commit
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:

            async def finish_the_batch_in_hand(_revoked: set[TP]) -> None:
                assert acknowledge(rig.app, first)
                tasks.create_task(rig.consumer.commit())
                await sent.wait()

            if whose == "amid the rebalance":
                rig.consumer._on_partitions_revoked = finish_the_batch_in_hand
            else:
                assert acknowledge(rig.app, first)
            if whose == "of every second":
                tasks.create_task(rig.consumer.commit())
                await sent.wait()
            tasks.create_task(rig.consumer.on_partitions_revoked({PLACE}))
            await sent.wait()
            assert acknowledge(rig.app, second)
            await asyncio.sleep(0)
            answered.set()
        assert rig.committed == [{PLACE: 10}, {PLACE: 20}]

    run(test)


def test_lag_counts_what_was_not_acknowledged() -> None:
    async def test(rig: Rig) -> None:
        assert consumer_lag(rig.app) == {}
        rig.listed.highwaters = {PLACE: 100, TP("transactions", 3): 7}
        first, _ = rig.draw(range(20, 30), range(30, 40))
        assert consumer_lag(rig.app) == {("transactions", 2): 80}
        acknowledge(rig.app, first)
        assert consumer_lag(rig.app) == {("transactions", 2): 70}

    run(test)


def test_faust_fetches_nothing_and_is_told_so_again_and_again() -> None:
    paused: list[set[TP]] = []

    class Paused:
        def __init__(self) -> None:
            self._fetcher = self
            self._subscriptions = SubscriptionState()

        def assignment(self) -> set[TP]:
            return {PLACE}

        def pause(self, *places: TP) -> None:
            assert self._subscriptions._fetch_count == 1, "the coordinator counts the time without a fetch"
            paused.append(set(places))

    async def test(rig: Rig) -> None:
        thread, consumer = rig.consumer._thread, Paused()
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await thread._fetch_records(consumer, {PLACE}, timeout=0.3, max_records=7) == {}
        assert loop.time() - began >= 0.29
        assert paused == [{PLACE}] * 2
        assert consumer._subscriptions._fetch_count == 0
        rig.consumer.stop_flow()
        assert await thread._fetch_records(consumer, {PLACE}, timeout=60) == {}

    run(test)


def test_where_nothing_flows_faust_does_not_seek_back() -> None:
    """It would, once it heard of no records: amid a rebalance, which sets its positions itself."""

    async def test(rig: Rig) -> None:
        async def getmany(**_: Any) -> dict[TP, list[Any]]:
            rig.consumer.stop_flow()
            return {}

        rig.consumer._active_partitions = {PLACE}
        rig.consumer._getmany = getmany
        seeks = rig.consumer._seeks
        assert [record async for record in rig.consumer.getmany(timeout=1.0)] == []
        assert rig.consumer._seeks == seeks

    run(test)


def test_who_may_not_read_is_told_by_aiokafka_too() -> None:
    refusals: list[AccessError] = []

    async def test(rig: Rig) -> None:
        async def getmany(**_: Any) -> dict[TP, list[Any]]:
            raise TopicAuthorizationFailedError("transactions")

        async def sleep(_seconds: float) -> None:
            return

        rig.consumer._active_partitions = {PLACE}
        rig.consumer._getmany = getmany
        rig.consumer.sleep = sleep
        for _ in range(2):
            assert [record async for record in rig.consumer.getmany(timeout=1.0)] == []

    run(test, on_refusal=refusals.append)
    assert len(refusals) == 1
    assert "lacks the right" in str(refusals[0])


def test_what_fetches_is_let_go_of_when_the_consumer_stops() -> None:
    async def test(rig: Rig) -> None:
        await rig.consumer.on_stop()
        assert rig.listed.closed

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


def test_how_far_a_partition_has_come_is_what_was_acknowledged_or_its_end() -> None:
    async def test(rig: Rig) -> None:
        assert reached(rig.app) == {("transactions", 2): None}
        first, second = rig.draw(range(5), range(5, 7))
        assert reached(rig.app) == {("transactions", 2): 0}
        # Past two marks of a transaction, say, which nobody is handed.
        rig.listed.waiting.append(Drawn({}, {PLACE: 9}))
        assert draw(rig.app, 0.01) == []
        assert reached(rig.app) == {("transactions", 2): 0}
        acknowledge(rig.app, first)
        assert reached(rig.app) == {("transactions", 2): 5}
        acknowledge(rig.app, second)
        assert reached(rig.app) == {("transactions", 2): 9}
        await rig.rebalance(committed=7)
        assert reached(rig.app) == {("transactions", 2): 7}

    run(test)


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


@pytest.mark.parametrize("seconds", [6, 300])
def test_faust_starts_with_a_session_of_any_length_that_can_be_set(seconds: float) -> None:
    async def test(rig: Rig) -> None:
        made = rig.consumer._thread._create_worker_consumer(rig.app.transport)
        assert made._session_timeout_ms == seconds * 1000

    run(test, session_timeout_seconds=seconds)


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (Consumer, "_new_offset", ["self", "tp"]),
        (Consumer, "_filter_tps_with_pending_acks", ["self", "topics"]),
        (Consumer, "perform_seek", ["self"]),
        (Consumer, "on_partitions_revoked", ["self", "revoked"]),
        (Consumer, "on_partitions_assigned", ["self", "assigned", "generation_id"]),
        (Consumer, "_wait_next_records", ["self", "timeout"]),
        (Consumer, "on_stop", ["self"]),
        (driver.Consumer, "_new_consumer_thread", ["self"]),
        (driver.AIOKafkaConsumerThread, "_stopped_set", ["self"]),
        (driver.AIOKafkaConsumerThread, "verify_event_path", ["self", "now", "tp"]),
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
    batch_topic(app, "t")
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
    source = inspect.getsource(AiokafkaFetcher._get_actions_per_node)
    assert source.index("elif tp_state.paused:") < source.index("fetchable[node_id].append")
    assert not inspect.iscoroutinefunction(AIOKafkaConsumer.pause)
    assert [*inspect.signature(SubscriptionState.fetch_context).parameters] == ["self"]
