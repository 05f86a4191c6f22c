"""Record batches on real brokers, read by processes that are killed, stopped and joined by others.

This file is also the program of those processes.
"""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import faust
import pytest
from confluent_kafka import Consumer, TopicPartition

from stream.adapters.batch_app import acknowledge, batch_topic, draw, overtaken, record_batch_app
from stream.adapters.emitter import KafkaEmitter
from stream.adapters.kafka_access import KafkaAccess
from stream.adapters.record_batches import RecordBatch
from stream.adapters.topics import TopicNames, create_topics
from stream.ports import Outgoing
from stream.settings import Settings
from tests.services.process import Process
from tests.services.waiting import eventually

RECORDS = 20_000
PARTITIONS = 4
LEFT_WITHOUT = "Resuming streams with empty assignment"
"""What Faust says when a rebalance has given it nothing."""

Place = tuple[int, int]


class Log:
    """A topic full of records, and what its readers have written of them."""

    def __init__(self, broker: str, topic: str, directory: Path) -> None:
        self.broker = broker
        self.topic = topic
        self.group = f"readers-{uuid4().hex[:8]}"
        self.directory = directory
        self.readers: list[Process] = []

    def fill(self, records: int = RECORDS) -> None:
        with_keys = [Outgoing(self.topic, b"customer-%d" % n, b"%d" % n) for n in range(records)]
        emitter = KafkaEmitter(KafkaAccess(self.broker))
        emitter.emit(with_keys)
        emitter.close()

    def reader(self, **options: str) -> Process:
        """Start a process that reads the topic."""
        number = len(self.readers)
        given = {"broker": self.broker, "topic": self.topic, "group": self.group}
        given |= {"output": str(self.directory / f"seen-{number}")} | options
        arguments = [f"{name}={value}" for name, value in given.items()]
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, __file__, *arguments]
        reader = Process(command, self.directory / f"reader-{number}.log", environment)
        self.readers.append(reader)
        return reader

    def seen(self, number: int | None = None) -> list[Place]:
        """Return what one reader has handled, or all of them."""
        files = sorted(self.directory.glob("seen-*" if number is None else f"seen-{number}"))
        lines = [line for file in files for line in file.read_text().splitlines(keepends=True)]
        pairs = [line.split() for line in lines if line.endswith("\n")]
        return [(int(partition), int(offset)) for partition, offset in pairs]

    def twice(self, number: int | None = None) -> dict[Place, int]:
        """Return what was handled more than once."""
        return {place: times for place, times in Counter(self.seen(number)).items() if times > 1}

    def await_seen(self, records: int) -> None:
        def enough() -> bool:
            ended = [reader for reader in self.readers if reader.returncode not in {None, 0, -9}]
            assert not ended, ended[0].tail()
            return len(set(self.seen())) >= records

        eventually(enough, 60, lambda: self.readers[-1].tail(4000))

    def committed(self) -> dict[int, int]:
        consumer = Consumer({"bootstrap.servers": self.broker, "group.id": self.group})
        places = [TopicPartition(self.topic, partition) for partition in range(PARTITIONS)]
        try:
            return {place.partition: max(0, place.offset) for place in consumer.committed(places, timeout=10)}
        finally:
            consumer.close()


@pytest.fixture(params=["embedded", pytest.param("kafka", marks=pytest.mark.service("kafka"))])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Log]:
    kafka = request.param == "kafka"
    if kafka:
        settings = Settings(broker=request.getfixturevalue("kafka"), topic_prefix=f"{uuid4().hex[:8]}.")
        create_topics(settings)
    else:
        settings = Settings(broker=request.getfixturevalue("embedded_broker"))
    log = Log(settings.broker, TopicNames.of(settings).transactions, tmp_path)
    yield log
    for reader in log.readers:
        reader.kill()


def test_after_a_kill_nothing_is_missing_and_only_what_was_not_committed_comes_again(log: Log) -> None:
    log.fill()
    # However late it is killed, not all is done.
    victim = log.reader(delay="0.01", stand_at=str(RECORDS * 3 // 4))
    log.await_seen(RECORDS // 2)
    victim.kill()
    committed = log.committed()
    handled = set(log.seen(0))
    assert sum(committed.values()) > 0

    log.reader()
    log.await_seen(RECORDS)

    again = set(log.seen(1)) & handled
    assert all(offset >= committed[partition] for partition, offset in again)
    assert log.twice(1) == {}


def test_after_an_orderly_stop_nothing_is_missing_and_nothing_comes_again(log: Log) -> None:
    log.fill()
    first = log.reader(delay="0.01")
    log.await_seen(RECORDS // 2)
    assert first.terminate() == 0, first.tail()

    log.reader()
    log.await_seen(RECORDS)

    assert log.twice() == {}


# The embedded broker holds one member a group: a second one ends in an error now and then.
@pytest.mark.parametrize("log", [pytest.param("kafka", marks=pytest.mark.service("kafka"))], indirect=True)
def test_readers_share_the_partitions_and_hand_over(log: Log) -> None:
    log.fill()
    log.reader(delay="0.02")
    log.await_seen(RECORDS // 10)
    second = log.reader(delay="0.02")
    eventually(lambda: "Worker ready" in second.tail(4000), 60, lambda: second.tail(4000))
    log.fill()
    eventually(lambda: log.seen(1), 60, lambda: second.tail(4000))
    assert second.terminate() == 0, second.tail()
    log.fill()

    log.await_seen(3 * RECORDS)
    # What was acknowledged is committed before a partition goes over, and a reader lets the batch in hand
    # come to its end: nothing is done twice.
    assert log.twice() == {}


@pytest.mark.parametrize("log", [pytest.param("kafka", marks=pytest.mark.service("kafka"))], indirect=True)
def test_a_reader_that_is_left_without_a_partition_reads_none(log: Log) -> None:
    log.topic = log.topic.replace("transactions", "labels")  # of one partition
    log.fill(1000)
    readers = [log.reader(delay="0.2")]
    log.await_seen(1000)
    readers[0].pause()
    readers.append(log.reader(delay="0.2"))
    log.fill()
    log.await_seen(1100)
    # Both have had it now, and either may get it. Both are busy, so that none sees how reading stops.
    readers[0].resume()
    left = eventually(lambda: [n for n in (0, 1) if LEFT_WITHOUT in readers[n].tail()], 60)[0]
    before, owners = (len(log.seen(number)) for number in (left, 1 - left))
    eventually(lambda: len(log.seen(1 - left)) > owners + 1000, 60, readers[1 - left].tail)
    assert len(log.seen(left)) == before


def test_nothing_is_committed_past_a_batch_that_was_not_acknowledged(log: Log) -> None:
    log.fill()
    reader = log.reader(fail_at="1000")
    # The reader goes on with the batches after it and with the other partitions.
    eventually(lambda: any(place > (0, 1500) for place in log.seen()), 60, lambda: reader.tail(4000))
    eventually(lambda: log.committed()[1] > 0, 60, lambda: reader.tail(4000))
    reader.terminate()

    assert (0, 1000) not in log.seen()
    assert log.committed()[0] <= 1000


def test_a_reader_may_start_where_it_likes_whatever_was_committed(log: Log) -> None:
    log.fill()
    first = log.reader()
    log.await_seen(RECORDS)
    assert first.terminate() == 0, first.tail()
    ends = log.committed()

    log.reader(start="17")

    expected = {(partition, offset) for partition, end in ends.items() for offset in range(17, end)}
    eventually(lambda: set(log.seen(1)) >= expected, 60, lambda: log.readers[-1].tail(4000))
    assert set(log.seen(1)) == expected


def main(broker: str, topic: str, group: str, output: str, **options: str) -> None:
    """Read `topic` in record batches and write what was seen to `output`, a line for each record."""
    delay = float(options.get("delay", 0))
    fail_at = int(options.get("fail_at", -1))
    stand_at = int(options.get("stand_at", sys.maxsize))
    start = options.get("start")
    app = record_batch_app(
        group,
        access=KafkaAccess(broker),
        batch_records=100,
        session_timeout_seconds=6,
        commit_interval_seconds=0.3,
        start_offset=None if start is None else lambda _topic, _partition: int(start),
    )
    turn = asyncio.Lock()
    stopping = False
    handled = 0

    @app.task
    async def read() -> None:
        while True:
            async with turn:
                for batch in await asyncio.to_thread(draw, app, 0.05):
                    await work_on(batch)
            await asyncio.sleep(0)

    async def work_on(batch: RecordBatch) -> None:
        nonlocal handled
        records = batch.records
        if stopping or overtaken(app, batch):
            return
        if handled >= stand_at:
            await asyncio.Event().wait()
        handled += len(records)
        if any((record.partition, record.offset) == (0, fail_at) for record in records):
            return  # nobody says that it is done
        await asyncio.sleep(delay)
        seen.write(b"".join(b"%d %d\n" % (record.partition, record.offset) for record in records))
        acknowledge(app, batch)

    async def finish_the_batch_in_hand(*_: Any, **__: Any) -> None:
        async with turn:
            await app.consumer.commit()

    async def stop(*_: Any, **__: Any) -> None:
        nonlocal stopping
        stopping = True
        await finish_the_batch_in_hand()

    batch_topic(app, topic)
    app.on_partitions_revoked.connect(finish_the_batch_in_hand)
    app.on_before_shutdown.connect(stop)
    with Path(output).open("ab", buffering=0) as seen:
        faust.Worker(app, loglevel="INFO").execute_from_commandline()


if __name__ == "__main__":
    main(**dict(argument.split("=", 1) for argument in sys.argv[1:]))
