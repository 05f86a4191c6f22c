"""The fetcher against the embedded broker, which can be told to fail."""

import json
import logging
import time
from collections.abc import Iterator

import pytest
from confluent_kafka import KafkaError
from faust.types import TP

from stream.adapters.emitter import KafkaEmitter
from stream.adapters.fetcher import Drawn, Fetcher
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

    class Refusal:
        def error(self) -> KafkaError:
            return KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED)

    with pytest.raises(AccessError, match="reading records failed: our user lacks the right"):
        fetcher._sort(Refusal(), Drawn({}, {}))  # type: ignore[arg-type]


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
