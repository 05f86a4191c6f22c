"""The fetcher against the embedded broker, which can be told to fail."""

import json
import logging
import sys
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError, Message
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from stream import kernel
from stream.adapters.emitter import KafkaEmitter
from stream.adapters.fetcher import METHODS, Drawn, Fetcher, run_of
from stream.adapters.kafka_access import KafkaAccess
from stream.embedded import EmbeddedBroker
from stream.embedded.broker import Request
from stream.errors import AccessError
from stream.ports import Outgoing
from stream.records import Record

PLACE = TP("transactions", 0)


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(partitions=2) as broker:
        yield broker


@pytest.fixture
def fetcher(broker: EmbeddedBroker) -> Iterator[Fetcher]:
    fetcher = Fetcher(KafkaAccess(broker.bootstrap), "readers", most=100)
    yield fetcher
    fetcher.close()


def fill(broker: EmbeddedBroker, *keys: bytes, records: int = 10) -> None:
    emitter = KafkaEmitter(KafkaAccess(broker.bootstrap))
    emitter.emit(Outgoing("transactions", key, b"%d" % n) for n in range(records) for key in keys)
    emitter.close()


def draw_all(fetcher: Fetcher, count: int, seconds: float = 20) -> tuple[list[Record], list[Drawn]]:
    """Draw until so many records have come: return them, and each drawing of any."""
    found: list[Record] = []
    drawings: list[Drawn] = []
    end = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < end:
        drawn = fetcher.draw(0.2)
        drawings.append(drawn)
        found += [record for records in drawn.records.values() for record in records]
    return found, drawings


def test_what_has_come_is_drawn_in_offset_order_and_no_more_than_a_batch_holds(
    broker: EmbeddedBroker, fetcher: Fetcher
) -> None:
    fill(broker, b"c", b"d", records=250)
    fetcher.read_from({TP("transactions", 0): None, TP("transactions", 1): None})
    found, drawings = draw_all(fetcher, 500)
    assert len(found) == 500
    for partition in (0, 1):
        offsets = [record.offset for record in found if record.partition == partition]
        assert offsets == [*range(len(offsets))]
    assert max(sum(map(len, drawn.records.values())) for drawn in drawings) <= 100
    for drawn in drawings:
        for tp, records in drawn.records.items():
            assert {(record.topic, record.partition) for record in records} == {tuple(tp)}
    first = found[0]
    assert (first.key in (b"c", b"d"), first.value) == (True, b"0")
    assert abs(first.timestamp / 1000 - time.time()) < 60


def test_reading_begins_and_begins_again_where_it_is_told_to(
    broker: EmbeddedBroker, fetcher: Fetcher
) -> None:
    fill(broker, b"21")  # the murmur2 of which lies in partition 0 of 2
    assert fetcher.draw(0.05) == Drawn({}, {}), "it was not told where"
    for begin in (7, 2, 9):
        fetcher.read_from({PLACE: begin})
        found, _ = draw_all(fetcher, 10 - begin)
        assert [record.offset for record in found] == [*range(begin, 10)]


def test_the_end_of_a_partition_is_told(broker: EmbeddedBroker, fetcher: Fetcher) -> None:
    fill(broker, b"21")
    fetcher.read_from({PLACE: 0})
    _, drawings = draw_all(fetcher, 10)
    drawings += [fetcher.draw(0.5)]
    ends = [drawn.ends for drawn in drawings if drawn.ends]
    assert ends[-1] == {PLACE: 10}


def test_how_far_a_partition_goes_is_known_after_a_while(broker: EmbeddedBroker, fetcher: Fetcher) -> None:
    fill(broker, b"21")
    fetcher.read_from({PLACE: 4})
    assert fetcher.highwater(PLACE) is None
    end = time.monotonic() + 30
    while fetcher.highwater(PLACE) is None and time.monotonic() < end:
        fetcher.draw(0.1)
    assert fetcher.highwater(PLACE) == 10


def test_who_may_not_read_is_told_so(fetcher: Fetcher) -> None:
    """The embedded broker knows no rights; tests/integration/test_secured_services.py has one that does."""
    refusal = Message(error=KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    with pytest.raises(AccessError, match="reading records failed: our user lacks the right"):
        fetcher._sort([refusal], Drawn({}, {}))


def messages_of(*kinds: tuple[str, int, bytes | None]) -> list[Message]:
    """Return messages as they come, by topic, partition and value; ends of partitions for want of a value."""
    return [
        Message(
            # As librdkafka gives them: each has a name of its own, which is equal to others.
            topic="".join(topic),
            partition=partition,
            offset=3 * place,
            key=value[:1] or None if value else None,
            value=value or None,
            timestamp=(1, 1_700_000_000_000 + place),
            error=KafkaError(KafkaError._PARTITION_EOF) if value is None else None,
        )
        for place, (topic, partition, value) in enumerate(kinds)
    ]


KINDS = st.lists(
    st.tuples(st.sampled_from(["labels", "scores"]), st.sampled_from([0, 1, 7_000]), st.none() | st.binary()),
    max_size=12,
)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.service("kernel"))])
@given(KINDS)
def test_what_comes_is_sorted_by_partition_in_order(
    compiled: bool,
    kinds: list[tuple[str, int, bytes | None]],
) -> None:
    messages = messages_of(*kinds)
    fetcher, drawn = Fetcher(KafkaAccess("localhost:1"), "readers", most=100), Drawn({}, {})
    with kernel.using(compiled):
        fetcher._sort(messages[:1], drawn)
        fetcher._sort(messages[1:], drawn)
    records: dict[TP, list[Record]] = {}
    ends: dict[TP, int] = {}
    for message in messages:
        tp = TP(message.topic(), message.partition())
        if message.error() is not None:
            ends[tp] = message.offset()
            continue
        records.setdefault(tp, []).append(
            Record(*tp, message.offset(), message.timestamp()[1], message.key(), message.value())
        )
    assert drawn == (records, ends)
    assert {type(tp) for tp in drawn.records} <= {TP}
    assert {type(record) for some in drawn.records.values() for record in some} <= {Record}


@pytest.mark.service("kernel")
def test_what_is_compiled_holds_on_to_nothing() -> None:
    value = b"a value that nobody else has"
    messages = messages_of(("labels", 0, value), ("labels", 0, value))
    before = sys.getrefcount(value), sys.getrefcount(messages[0])
    for _ in range(100):
        with kernel.using(True):
            records = run_of(messages, 0)
        assert records[1].value is value
        del records
    assert (sys.getrefcount(value), sys.getrefcount(messages[0])) == before


@pytest.mark.service("kernel")
def test_what_is_compiled_takes_nothing_but_what_it_can_make_records_of() -> None:
    messages = messages_of(("labels", 0, b"1"))
    with pytest.raises(TypeError, match="named tuples of six fields"):
        kernel.drawing.run(messages, 0, METHODS, TP)
    with pytest.raises(TypeError):
        kernel.drawing.run([object()], 0, METHODS, Record)
    assert kernel.drawing.run(messages, 1, METHODS, Record) == []
    assert kernel.drawing.run(messages, -1, METHODS, Record) == []


def test_a_broker_that_was_away_is_read_on_from(broker: EmbeddedBroker, fetcher: Fetcher) -> None:
    fill(broker, b"21", records=5)
    fetcher.read_from({PLACE: 0})
    found, _ = draw_all(fetcher, 5)
    broker.go_down()
    assert not fetcher.draw(0.5).records
    broker.come_up()
    fill(broker, b"21", records=5)
    found += draw_all(fetcher, 5, seconds=60)[0]
    assert [record.offset for record in found] == [*range(10)]


def test_what_goes_wrong_for_a_while_is_said_once(
    broker: EmbeddedBroker, fetcher: Fetcher, caplog: pytest.LogCaptureFixture
) -> None:
    fill(broker, b"21")
    caplog.set_level(logging.WARNING, "stream.adapters.fetcher")
    broker.fail(Request.FETCH, *[KafkaError.INVALID_MSG] * 2)
    fetcher.read_from({PLACE: 0})
    found, _ = draw_all(fetcher, 10)
    assert len(found) == 10
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "reading transactions goes on in a while"
    ]


def test_what_retention_has_taken_is_passed_over(broker: EmbeddedBroker, fetcher: Fetcher) -> None:
    fill(broker, b"21")
    broker.fail(Request.FETCH, KafkaError.OFFSET_OUT_OF_RANGE)
    fetcher.read_from({PLACE: 6})
    found, _ = draw_all(fetcher, 10)
    assert [record.offset for record in found] == [*range(10)]


def test_after_closing_nothing_is_drawn(broker: EmbeddedBroker, fetcher: Fetcher) -> None:
    fill(broker, b"21")
    fetcher.read_from({PLACE: 0})
    fetcher.close()
    assert fetcher.draw(0.05) == Drawn({}, {})
    fetcher.read_from({PLACE: 0})
    assert fetcher.draw(0.05) == Drawn({}, {})
    fetcher.close()


def test_where_a_partition_ends_is_not_known_of_those_that_librdkafka_does_not_know(fetcher: Fetcher) -> None:
    partitions = {"0": {"hi_offset": 7, "lo_offset": 0}, "1": {"hi_offset": -1001}, "-1": {"hi_offset": 3}}
    fetcher._note(json.dumps({"name": "x", "topics": {"transactions": {"partitions": partitions}}}))
    assert fetcher.highwater(PLACE) == 7
    assert fetcher.highwater(TP("transactions", 1)) is None
