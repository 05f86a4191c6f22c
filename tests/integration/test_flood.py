"""A flood of identifiers, small enough for every run of the tests."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import islice, product
from string import ascii_uppercase

import pytest
import redis
from msgspec import structs

from benchmarks.flood import Flood
from stream.adapters.redis_store import RedisStore
from stream.ports import Outgoing
from stream.settings import Settings
from tests.services.pipeline import Pipeline
from tests.services.redis_server import RedisServer
from tests.services.traffic import labels, transactions
from tests.services.waiting import eventually
from tests.services.worker import Worker


@pytest.fixture
def url(redis_server: Callable[..., RedisServer]) -> str:
    return redis_server().url


def store(url: str, namespace: str, most: int) -> RedisStore:
    days = timedelta(days=1)
    return RedisStore(
        url, namespace=namespace, pending_ttl=days, state_ttl=days, most_remembered=most, timeout_seconds=5
    )


def fill(some: RedisStore, start: int, end: int, state: bytes = b"state") -> None:
    tenure = some.take_partition(0)
    some.commit(tenure, end, {f"c{n}": state for n in range(start, end)}, {})


@pytest.mark.service("redis")
def test_memory_stays_within_its_bound_and_honest_customers_stay_known(url: str) -> None:
    flood = Flood(url, most=5_000, customers=400)
    try:
        flood.live(6_000)
        flooded = flood.flood(20_000)
    finally:
        flood.close()
    assert [bar for bar in flooded.bars() if not bar.met] == []
    assert flooded.forgotten > 15_000
    assert flooded.honest > 2_000


def test_prometheus_gets_no_series_for_a_customer_a_terminal_or_anything_else_that_is_sent(
    embedded_broker: str, redis_url: str, worker: Callable[..., Worker]
) -> None:
    settings = Settings(
        broker=embedded_broker,
        redis=redis_url,  # type: ignore[arg-type]
        challengers=(),
        customer_cache=100,
    )
    honest, flood = transactions(100), transactions(2_000, "flood", customers=10**6, terminals=10**6)
    currencies = ["".join(letters) for letters in islice(product(ascii_uppercase, repeat=3), len(flood))]
    varied = [
        structs.replace(one, merchant_category=f"flood{currency}", currency=currency)
        for one, currency in zip(flood, currencies, strict=True)
    ]

    def rubbish(each: int) -> Iterator[Outgoing]:
        names = pipeline.topics
        for n in range(each):
            for topic in (names.transactions, names.labels):
                yield Outgoing(topic, b"flood%d" % n, b'{"flood%d":' % n)

    def counted(scored: int, learnt: int) -> set[str]:
        """Return the series once so many records of each topic are in them: they follow the answers."""
        pipeline.await_scored(scored)
        pipeline.await_learnt(learnt)
        eventually(lambda: process.metric("fraud_transactions_total") >= scored)
        eventually(lambda: process.metric("fraud_labels_total") >= learnt)
        return set(process.metrics())

    with Pipeline(settings) as pipeline:
        process = worker(settings)
        pipeline.publish([*honest, *labels(honest)])
        pipeline.publish(varied[:100])
        pipeline.publish_raw(rubbish(10))
        before = counted(210, 110)
        pipeline.publish([*varied[100:], *labels(flood)])
        pipeline.publish_raw(rubbish(200))
        after = counted(2_310, 2_310)
    assert not [series for series in after if "flood" in series]
    assert not {f'"{currency}"' for currency in currencies} & set(re.findall(r'"[^"]*"', " ".join(after)))
    # Of 2,000 of each kind. Some dozens come with time alone: signals whose window is full, higher buckets.
    assert len(after - before) < 200


@pytest.mark.service("redis")
def test_those_of_whom_most_is_known_are_remembered(url: str) -> None:
    known = store(url, "fraud", 0)
    fill(known, 0, 500, state=b"a long history" * 10)
    flooded = store(url, "fraud", 1_000)
    for start in range(10_000, 16_000, 500):
        fill(flooded, start, start + 500)
    with redis.Redis.from_url(url) as client:
        left = [key.decode().rpartition(":c")[2] for key in client.scan_iter("fraud:{0}:c:*", count=1_000)]
    assert len(left) <= 1_000
    assert sum(int(number) < 500 for number in left) >= 450


@pytest.mark.service("redis")
def test_what_another_stream_has_in_the_same_redis_is_neither_counted_nor_touched(url: str) -> None:
    fill(store(url, "other", 0), 0, 3_000)
    ours = store(url, "fraud", 1_000)
    fill(ours, 0, 900)
    with redis.Redis.from_url(url) as client:
        before = len([*client.scan_iter("fraud:{0}:c:*", count=1_000)])
        for start in range(10_000, 14_000, 500):
            fill(ours, start, start + 500)
        assert before == 900
        assert len([*client.scan_iter("fraud:{0}:c:*", count=1_000)]) <= 1_200
        assert len([*client.scan_iter("other:{0}:c:*", count=1_000)]) == 3_000


@pytest.mark.service("redis")
def test_without_a_bound_all_are_remembered(url: str) -> None:
    unbounded = store(url, "fraud", 0)
    fill(unbounded, 0, 3_000)
    assert unbounded.forgotten == 0
