"""The simulator: the same stream every time, with crime as its scenario says."""

import hashlib
from collections import Counter, defaultdict
from datetime import UTC, datetime
from itertools import islice, pairwise
from statistics import median
from typing import Any

import numpy as np
import pytest

from producers.scenarios import LARGE_AMOUNT, NEW, OLD, SCENARIOS, Schedule
from producers.simulator import (
    COMPROMISED_DAYS,
    FAKE_MERCHANT_DAYS,
    STOLEN_DAYS,
    Kind,
    Simulated,
    Simulator,
    as_recorded,
)
from stream.clock import DAY_MS, HOUR_MS
from stream.decoding import decode_transactions
from stream.errors import SettingsError
from stream.records import DeadLetterReason, Record, encode

START = datetime(2025, 1, 1, tzinfo=UTC)
START_MS = 1_735_689_600_000


def simulate(**options: Any) -> list[Simulated]:
    return list(Simulator(**{"customers": 200, "terminals": 400, "days": 40} | options))


def digest(stream: list[Simulated]) -> str:
    return hashlib.sha256(
        b"\n".join(encode(row.transaction) + row.kind.encode() for row in stream)
    ).hexdigest()


@pytest.fixture(scope="module")
def sudden() -> list[Simulated]:
    return simulate(customers=500, terminals=1000, days=120, scenario="sudden", change_day=60)


def day_of(row: Simulated) -> int:
    return (row.transaction.event_time - START_MS) // DAY_MS


def test_the_same_seed_gives_the_same_stream_and_another_another() -> None:
    assert digest(simulate(scenario="gradual")) == digest(simulate(scenario="gradual"))
    assert digest(simulate()) != digest(simulate(seed=8))


def test_scenarios_share_their_stream_until_the_change() -> None:
    stationary, changing = simulate(), simulate(scenario="sudden", change_day=20)
    until = [sum(day_of(row) < 20 for row in stream) for stream in (stationary, changing)]
    assert until[0] == until[1]
    assert stationary[: until[0]] == changing[: until[0]]
    assert stationary != changing


def test_a_longer_stream_begins_with_the_shorter_one() -> None:
    short = simulate(days=5)
    assert simulate(days=9)[: len(short)] == short


def test_the_stream_is_in_event_order_within_its_days_with_unique_ids(sudden: list[Simulated]) -> None:
    times = [row.transaction.event_time for row in sudden]
    assert all(a <= b for a, b in pairwise(times))
    assert START_MS <= times[0] < START_MS + DAY_MS
    assert times[-1] < START_MS + 120 * DAY_MS
    assert len({row.transaction.transaction_id for row in sudden}) == len(sudden)


def test_every_transaction_is_accepted_by_the_pipeline(sudden: list[Simulated]) -> None:
    places = [
        Record("transactions", 0, offset, 0, row.transaction.customer_id.encode(), encode(row.transaction))
        for offset, row in enumerate(sudden[:20_000])
    ]
    decoded = decode_transactions(places, START_MS + 365 * DAY_MS)
    assert not decoded.dead_letters
    assert decoded.records == [row.transaction for row in sudden[:20_000]]


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("customers", [150, 1000])
def test_frauds_are_about_one_percent_whatever_the_population(scenario: Any, customers: int) -> None:
    stream = simulate(customers=customers, terminals=2 * customers, days=80, scenario=scenario)
    share = sum(row.is_fraud for row in stream) / len(stream)
    assert 0.008 <= share <= 0.015


def test_frauds_are_as_frequent_at_the_beginning_as_later() -> None:
    stream = simulate(customers=1000, terminals=2000, days=60)
    first = [row.is_fraud for row in stream if day_of(row) < 15]
    last = [row.is_fraud for row in stream if day_of(row) >= 45]
    assert sum(first) / len(first) == pytest.approx(sum(last) / len(last), rel=0.35)


def test_nobody_but_fraudsters_pays_large_amounts_in_the_old_regime() -> None:
    large = [row for row in simulate(days=60) if row.transaction.amount > LARGE_AMOUNT]
    assert len(large) > 10
    assert all(row.is_fraud for row in large)


def test_every_transaction_at_a_compromised_terminal_is_fraud_for_four_weeks() -> None:
    stream = simulate(customers=500, terminals=1000, days=80)
    days = defaultdict(list)
    for row in stream:
        if row.kind is Kind.COMPROMISED_TERMINAL:
            days[row.transaction.terminal_id].append(day_of(row))
    assert len(days) > 10
    spells = {terminal: (min(hit), max(hit)) for terminal, hit in days.items()}
    assert all(
        row.is_fraud
        for row in stream
        if (spell := spells.get(row.transaction.terminal_id))
        and spell[0] <= day_of(row) <= spell[1]
        and spell[1] - spell[0] < COMPROMISED_DAYS
    )
    once = [last - first for first, last in spells.values() if last - first < COMPROMISED_DAYS]
    assert max(once) > COMPROMISED_DAYS // 2


def test_a_third_of_a_stolen_cards_transactions_are_five_times_the_usual() -> None:
    simulator = Simulator(customers=1000, terminals=2000, days=60)
    stolen = [row for row in simulator if row.kind is Kind.STOLEN_CARD]
    usual = simulator._population.mean_amount
    ratio = [row.transaction.amount / usual[int(row.transaction.customer_id[1:])] for row in stolen]
    assert float(np.mean(ratio)) == pytest.approx(5, rel=0.1)
    by_customer = defaultdict(list)
    for row in stolen:
        by_customer[row.transaction.customer_id].append(day_of(row))
    spans = [max(days) - min(days) for days in by_customer.values()]
    assert sum(span < STOLEN_DAYS for span in spans) > 0.9 * len(spans)


def test_after_the_change_cards_are_tried_out_at_night_at_merchants_never_seen_before(
    sudden: list[Simulated],
) -> None:
    before = {row.transaction.terminal_id for row in sudden if day_of(row) < 60}
    tests = [row for row in sudden if row.kind is Kind.CARD_TESTING]
    assert len(tests) > 200
    assert min(day_of(row) for row in tests) == 60
    assert not {row.transaction.terminal_id for row in tests} & before
    assert max(row.transaction.amount for row in tests) <= 5
    hours = {(row.transaction.event_time % DAY_MS) // HOUR_MS for row in tests}
    assert hours <= {1, 2, 3, 4, 5}
    days = defaultdict(set)
    for row in tests:
        days[row.transaction.terminal_id].add(day_of(row))
    assert max(max(active) - min(active) for active in days.values()) < FAKE_MERCHANT_DAYS


def test_after_the_change_a_large_amount_no_longer_means_fraud(sudden: list[Simulated]) -> None:
    def precision(rows: list[Simulated]) -> float:
        large = [row.is_fraud for row in rows if row.transaction.amount > LARGE_AMOUNT]
        return sum(large) / len(large)

    assert precision([row for row in sudden if day_of(row) < 60]) == 1.0
    assert precision([row for row in sudden if day_of(row) >= 60 + STOLEN_DAYS]) < 0.1


def test_old_frauds_fade_when_the_new_regime_begins(sudden: list[Simulated]) -> None:
    late = Counter(row.kind for row in sudden if day_of(row) >= 60 + STOLEN_DAYS)
    assert late[Kind.LARGE_AMOUNT] == late[Kind.STOLEN_CARD] == 0
    assert late[Kind.COMPROMISED_TERMINAL] > 0


@pytest.mark.parametrize(
    ("scenario", "weights"),
    [
        ("stationary", [0, 0, 0, 0, 0]),
        ("sudden", [0, 1, 1, 1, 1]),
        ("gradual", [0, 0, 0.5, 1, 1]),
        ("incremental", [0, 0, 0.5, 1, 1]),
        ("recurring", [0, 1, 0, 1, 0]),
    ],
)
def test_a_schedule_says_how_far_the_new_regime_has_come(scenario: Any, weights: list[float]) -> None:
    schedule = Schedule(scenario=scenario, change_day=14)
    assert [schedule.weight(day) for day in (0, 14, 28, 42, 56)] == weights


def test_regimes_mix_in_proportion() -> None:
    schedule = Schedule(scenario="gradual", change_day=14)
    assert schedule.regime(0) == OLD
    assert schedule.regime(100) == NEW
    assert schedule.regime(28).testing_share == pytest.approx(NEW.testing_share / 2)


def test_a_change_can_come_about_in_part() -> None:
    schedule = Schedule(scenario="sudden", change_day=14, size=0.25)
    assert schedule.regime(13) == OLD
    assert schedule.regime(14).testing_share == pytest.approx(NEW.testing_share / 4)


@pytest.mark.parametrize("size", [0, 1.5])
def test_a_change_by_no_share_is_refused(size: float) -> None:
    with pytest.raises(SettingsError, match="change_size"):
        Simulator(change_size=size)


def test_the_same_frauds_creep_to_small_amounts() -> None:
    stream = simulate(days=90, scenario="incremental", change_day=30)
    assert [row.kind for row in stream] == [row.kind for row in simulate(days=90)]
    amounts = defaultdict(list)
    for row in stream:
        amounts[row.kind, day_of(row) // 15].append(row.transaction.amount)
    for kind in (Kind.LARGE_AMOUNT, Kind.STOLEN_CARD):
        before, between, after = (median(amounts[kind, part]) for part in (1, 2, 5))
        assert before > 10 * after
        assert between > 5 * after


def test_transactions_bound_the_stream_exactly_and_place_the_change_half_way() -> None:
    stream = simulate(days=None, transactions=30_000, scenario="sudden")
    assert len(stream) == 30_000
    first_test = next(index for index, row in enumerate(stream) if row.kind is Kind.CARD_TESTING)
    assert 0.45 < first_test / 30_000 < 0.55


def test_a_stream_without_end_goes_on() -> None:
    endless = Simulator(customers=50, terminals=50, days=None)
    assert endless.expected_days is None
    assert day_of(list(islice(endless, 30_000))[-1]) > 200


def test_the_expected_rate_is_the_mean_rate() -> None:
    simulator = Simulator(customers=300, terminals=300, days=50)
    assert len(list(simulator)) / 50 == pytest.approx(simulator.expected_per_day, rel=0.03)


@pytest.mark.parametrize("customers", [1, 3])
def test_the_smallest_populations_live(customers: int) -> None:
    stream = simulate(customers=customers, terminals=1, days=300, scenario="recurring")
    assert {row.transaction.terminal_id for row in stream if row.kind is not Kind.CARD_TESTING} == {"T0"}


@pytest.mark.parametrize("name", ["customers", "terminals", "days", "transactions", "change_day"])
def test_nothing_can_be_less_than_one(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name}=0: a simulation needs at least 1"):
        Simulator(**{name: 0})  # type: ignore[arg-type]


def test_a_start_without_zone_is_refused() -> None:
    with pytest.raises(SettingsError, match="give it a zone"):
        Simulator(start=datetime(2025, 1, 1))  # noqa: DTZ001 - that is the point


def test_bad_records_take_the_place_of_transactions_and_get_no_label() -> None:
    stream = simulate(customers=500, terminals=500)
    spoilt = list(as_recorded(stream, bad_share=0.05))
    assert [row.transaction for row in spoilt] == [row.transaction for row in stream]
    bad = [row for row in spoilt if row.raw is not None]
    assert len(bad) / len(spoilt) == pytest.approx(0.05, rel=0.1)
    assert all(row.is_fraud is None for row in bad)
    assert spoilt == list(as_recorded(stream, bad_share=0.05))
    assert all(row.raw is None for row in as_recorded(stream))


def test_bad_records_are_refused_for_every_reason_that_there_is() -> None:
    bad = [row for row in as_recorded(simulate(days=5), bad_share=1.0) if row.raw is not None]
    places = [
        Record("transactions", 0, offset, 0, row.transaction.customer_id.encode(), row.raw)
        for offset, row in enumerate(bad)
    ]
    decoded = decode_transactions(places, START_MS + 365 * DAY_MS)
    assert not decoded.records
    reasons = {letter.reason for letter in decoded.dead_letters}
    assert reasons == set(DeadLetterReason) - {
        DeadLetterReason.UNMATCHED_LABEL,
        DeadLetterReason.CONTESTED_LABEL,
        DeadLetterReason.LABEL_RATE,
        # Refused without a key alone: with one it is no bad record.
        DeadLetterReason.CARD_NUMBER,
    }
