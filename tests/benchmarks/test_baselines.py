"""The baselines do the job that they are said to do, on real services."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from uuid import uuid4

import msgspec
import pytest
import redis

from benchmarks.baselines.aggregates import DAY_MS, describe
from benchmarks.site import Growth, Keyed, Site
from benchmarks.throughput import BASELINES
from benchmarks.trained import keyed, simulator
from tests.services.kafka_server import QUICK_JAVA
from tests.services.topic_reader import read_topic
from tests.services.waiting import eventually

_COUNT = 200


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site(QUICK_JAVA) as made:
        yield made


@pytest.fixture(scope="module")
def backlog() -> list[Keyed]:
    return [keyed(one) for one in islice(simulator(20, seed=7), _COUNT)]


def _answered(site: Site, baseline: str, records: Sequence[Keyed]) -> tuple[str, list[dict[str, object]]]:
    """Let a baseline answer them; return the name it worked under, and its answers."""
    place = site.place(f"{baseline}-{uuid4().hex[:8]}")
    module, arguments = BASELINES[baseline]
    site.publish(place.transactions, records)
    with Growth(place.broker, place.scores) as grown, site.baseline(place, module, *arguments) as process:
        eventually(lambda: process.returncode is not None or grown() >= len(records), 60, process.tail)
    assert f"answered {len(records)}" in process.tail()
    answers = read_topic(place.broker, place.scores, len(records))
    return place.name, [json.loads(answer.value or b"") for answer in answers]


@pytest.mark.service("kafka")
@pytest.mark.service("redis")
@pytest.mark.parametrize("baseline", ["vanilla", "bare"])
def test_every_transaction_is_scored_and_kept_for_its_label(
    site: Site, backlog: list[Keyed], baseline: str
) -> None:
    name, answers = _answered(site, baseline, backlog)
    asked = [msgspec.json.decode(value) for _, value in backlog]
    assert [answer["transaction_id"] for answer in answers] == [one["transaction_id"] for one in asked]
    assert len({answer["score"] for answer in answers}) > _COUNT // 2
    with redis.Redis.from_url(site.redis.url, decode_responses=True) as client:
        for answer in answers:
            kept = client.get(f"{name}:pending:{answer['transaction_id']}")
            assert json.loads(str(kept))["score"] == answer["score"]
        for customer in {one["customer_id"] for one in asked}:
            stored = client.hget(f"{name}:customer:{customer}", "count")
            assert float(str(stored)) == sum(one["customer_id"] == customer for one in asked)


@pytest.mark.service("kafka")
@pytest.mark.service("redis")
def test_the_limit_sends_every_transaction_back(site: Site, backlog: list[Keyed]) -> None:
    _, answers = _answered(site, "limit", backlog)
    assert answers == [msgspec.json.decode(value) for _, value in backlog]


def test_a_sum_has_decayed_to_a_third_after_its_window() -> None:
    _, after = describe(10.0, 0, {}, {})
    stored = {name: str(value) for name, value in after.items()}
    features, _ = describe(30.0, 7 * DAY_MS, stored, {"transactions": "4", "frauds": "1"})
    assert features["count_7d"] == pytest.approx(1 / 2.718, rel=1e-3)
    assert features["mean_7d"] == pytest.approx(10.0)
    assert (features["amount_ratio"], features["days_since_last"]) == (3.0, 7.0)
    assert features["terminal_risk"] == 0.25
