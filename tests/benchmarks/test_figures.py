"""What the benchmarks of speed make of what they have seen."""

from itertools import islice
from math import nan

import msgspec
import pytest

from benchmarks.bars import Bar
from benchmarks.growth import spread
from benchmarks.latency import figures_of, together
from benchmarks.swaps import Seen
from benchmarks.tables import put
from benchmarks.trained import simulator


def test_a_latency_counts_from_when_the_transaction_was_due() -> None:
    # Ten a second from moment 100; the third was held back for a second, and with it those behind it.
    moments = [100.01, 100.11, 101.21, 101.31]
    seen = [Seen(number, 0, moment, "a-1", 1) for number, moment in enumerate(moments)]
    result = figures_of(seen, {"began": 100.0, "sent": 4, "latest_ms": 0.0}, rate=10, warm_up=0.1)
    assert result["answered"] == 3
    assert result["unanswered"] == 0
    assert result["p50_ms"] == pytest.approx(1_010)
    assert result["max_ms"] == pytest.approx(1_010)
    [second] = result["seconds"]
    assert second["max_ms"] == result["max_ms"]


def test_rounds_are_held_by_their_medians_and_by_the_worst_that_happened() -> None:
    rounds = []
    for late, unanswered, versions in ((0.01, 0, "ab"), (0.03, 1, "abc"), (0.5, 0, "ab")):
        seen = [Seen(number, 0, number / 10 + late, one, 1) for number, one in enumerate(versions)]
        sent = {"began": 0.0, "sent": len(seen) + unanswered, "latest_ms": 1000 * late}
        rounds.append(figures_of(seen, sent, rate=10, warm_up=0.0) | {"swaps_apart": unanswered})
    result = together(rounds)
    assert result["p50_ms"] == pytest.approx(30)
    assert (result["answered"], result["unanswered"]) == (7, 1)
    assert (result["swaps"], result["swaps_apart"], len(result["swap_excess_ms"])) == (1, 1, 4)
    assert result["generator_latest_ms"] == 500
    assert result["rounds"] == rounds


def test_swaps_are_counted_from_the_champions_that_answered_in_each_partition() -> None:
    champions = {0: ["a", "b", "b", "a"], 1: ["a", "a", "b", "b"]}
    seen = [
        Seen(2 * number + partition, partition, 1.0, version, 1)
        for partition, versions in champions.items()
        for number, version in enumerate(versions)
    ]
    result = figures_of(seen, {"began": 0.0, "sent": 9, "latest_ms": 0.0}, rate=100, warm_up=0.0)
    assert result["swaps"] == 1
    assert result["unanswered"] == 1


def stream(seconds: int, swaps: dict[int, float]) -> list[Seen]:
    """Return ten scores a second, each after 10 ms; swaps by number, held up for so long."""
    version, seen = 0, []
    for number in range(10 * seconds):
        version += number in swaps
        moment = number / 10 + 0.01 + swaps.get(number, 0.0)
        seen.append(Seen(number, number % 2, moment, f"a-{version}", 1))
    return seen


def test_what_waited_for_a_swap_is_held_against_the_usual_seconds_slowest() -> None:
    seen = stream(20, {52: 0.3, 155: 0.05})
    slow = [one._replace(moment=one.moment + 0.2) if one.number == 123 else one for one in seen]
    result = figures_of(slow, {"began": 0.0, "sent": 200, "latest_ms": 0.0}, rate=10, warm_up=2.0)
    assert result["usual_slowest_ms"] == pytest.approx(10)
    assert result["swap_excess_ms"] == pytest.approx([300, 50])
    assert result["changes_by_partition"] == {"0": 2, "1": 2}
    assert result["of_two_versions"] == 0
    # The second change reached one partition at 15.5 s, the other at 15.6 s: two seconds are near it.
    assert (result["quiet_seconds"], result["quiet_over"]) == (14, 1)


def test_a_transaction_that_two_models_answered_is_counted() -> None:
    seen = stream(4, {})
    again = [*seen, seen[3], seen[5]._replace(version="b-1")]
    result = figures_of(again, {"began": 0.0, "sent": 40, "latest_ms": 0.0}, rate=10, warm_up=1.0)
    assert result["of_two_versions"] == 1
    assert (result["answered"], result["unanswered"]) == (30, 0)


def test_a_figure_that_is_no_number_meets_no_bar() -> None:
    assert Bar("x", 2.0, "at least", 2.0).met
    assert not Bar("x", nan, "at least", 2.0).met
    assert not Bar("x", nan, "at most", 2.0).met


def test_spread_transactions_belong_to_copies_of_their_own_customers() -> None:
    some = list(islice(simulator(10, seed=7), 500))
    records = list(spread(some, base=10, size=100, seed=1))
    customers = [msgspec.json.decode(value)["customer_id"] for _, value in records]
    assert [key.decode() for key, _ in records] == customers
    assert all(
        int(copy[1:]) % 10 == int(one.transaction.customer_id[1:])
        for copy, one in zip(customers, some, strict=True)
    )
    assert len(set(customers)) > 80


def test_a_table_takes_the_place_of_the_one_between_its_marks() -> None:
    page = "before\n<!-- a -->\nold\n<!-- /a -->\n<!-- b -->\n<!-- /b -->\n"
    assert put(page, "b", r"\1 new") == page.replace("<!-- /b -->", "\\1 new\n<!-- /b -->")
    assert "old" not in put(page, "a", "new")
