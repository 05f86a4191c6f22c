"""The alert budget on simulated streams of scores: what it spends, and that it does so again the same way."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import exp
from typing import Final

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.clock import HOUR_MS
from stream.errors import SnapshotError
from stream.pipeline.budget import Ledger
from stream.pipeline.decision import Asked

Floats = NDArray[np.float64]
Make = Callable[[np.random.Generator, Floats], Floats]
"""Log-odds of the champion, from the transactions' times in days."""

START: Final = 17_500 * 24  # a Wednesday
COLD: Final = 0.3
DAYS: Final = 56
BATCH: Final = 500


@dataclass
class Stream:
    """A partition's transactions with the scores of some models."""

    hours: NDArray[np.int64]
    scores: Floats
    versions: tuple[str, ...] = ("a-1",)

    def asked(self, start: int, stop: int | None = None) -> Asked:
        hours, scores = self.hours[start:stop], self.scores[start:stop]
        n = len(hours)
        return Asked(hours * HOUR_MS, np.ones(n), scores, self.versions, np.ones(n, dtype=np.bool_))


def weekly(rng: np.random.Generator, per_day: float, days: int = DAYS, weekend: float = 2.0) -> Floats:
    """Return times in days: few at night, many on weekends."""
    hour = np.arange(days * 24)
    by_hour = 1 + 0.9 * np.sin((hour % 24 - 8) / 24 * 2 * np.pi)
    expected = np.where(hour // 24 % 7 >= 5, weekend, 1.0) * by_hour
    counts = rng.poisson(expected / expected.mean() * per_day / 24)
    return np.repeat(hour, counts) / 24


def usual(rng: np.random.Generator, days: Floats) -> Floats:
    """Return log-odds of which one in a hundred stands out."""
    fraud = rng.random(len(days)) < 0.01
    return np.where(fraud, rng.normal(-1, 2.5, len(days)), rng.normal(-6, 1.2, len(days)))


def drifting(rng: np.random.Generator, days: Floats) -> Floats:
    return usual(rng, days) + days / 20 + 1.2 * np.sin(days / 18 * 2 * np.pi)


def jumping(rng: np.random.Generator, days: Floats) -> Floats:
    """Return what a young model says whose every snapshot has a scale of its own."""
    return usual(rng, days) + np.cumsum(rng.normal(0, 0.2, 3 * DAYS + 1))[(days * 3).astype(int)]


def tied(rng: np.random.Generator, days: Floats) -> Floats:
    return np.round(usual(rng, days) * 1.5) / 1.5


def coming_of_age(rng: np.random.Generator, days: Floats) -> Floats:
    return np.where(days < 6, -5.0, usual(rng, days) + 1)


def stream(make: Make, per_day: float, seed: int, times: Floats | None = None) -> Stream:
    rng = np.random.default_rng(seed)
    days = weekly(rng, per_day) if times is None else times
    return Stream(START + np.round(days * 24).astype(np.int64), chances(make(rng, days))[:, None])


def chances(log_odds: Floats) -> Floats:
    scores: Floats = 1 / (1 + np.exp(-log_odds))
    return scores


def alerts_by_day(ledger: Ledger, one: Stream, days: int = DAYS) -> NDArray[np.int64]:
    thresholds = [ledger.thresholds(one.asked(n, n + BATCH)) for n in range(0, len(one.hours), BATCH)]
    alerted = one.scores[:, 0] >= np.concatenate(thresholds)
    return np.bincount((one.hours[alerted] - START) // 24, minlength=days)


@pytest.mark.parametrize("partitions", [1, 8])
@pytest.mark.parametrize("budget", [5, 100, 1000])
@pytest.mark.parametrize("make", [usual, drifting, jumping, tied])
def test_after_a_week_the_budget_is_met_whatever_the_scores_do(
    make: Make, budget: int, partitions: int
) -> None:
    by_day = np.zeros(DAYS, dtype=np.int64)
    for partition in range(partitions):
        one = stream(make, 9_500 / partitions, seed=10 + partition)
        by_day += alerts_by_day(Ledger(budget / partitions, COLD), one)
    assert by_day[7:].mean() == pytest.approx(budget, rel=0.1)
    weeks = by_day[7:].reshape(-1, 7).mean(axis=1)
    # Five alerts over eight partitions: chance alone moves a week by a fifth.
    assert weeks.max() < (2.5 if budget == 5 else 1.5) * budget


@pytest.mark.parametrize("partitions", [1, 8])
def test_in_a_calm_stream_the_mean_of_weeks_is_within_three_per_cent(partitions: int) -> None:
    by_day = sum(
        alerts_by_day(Ledger(100 / partitions, COLD), stream(usual, 9_500 / partitions, seed))
        for seed in range(partitions)
    )
    assert np.mean(by_day[7:]) == pytest.approx(100, rel=0.03)


def test_bursts_do_not_break_the_budget() -> None:
    rng = np.random.default_rng(3)
    calm = weekly(rng, 9_500)
    attacks = np.repeat(rng.choice(np.arange(10, DAYS, 5), 6, replace=False) + 0.5, 3_000)
    times = np.sort(np.concatenate([calm, attacks]))
    one = stream(usual, 0, 4, times)
    burst = (one.hours[:, None] == (START + np.unique(attacks) * 24)[None, :]).any(axis=1)
    one.scores[burst & (rng.random(len(times)) < 0.5), 0] = 0.97
    by_day = alerts_by_day(Ledger(100, COLD), one)
    assert by_day[7:].mean() == pytest.approx(100, rel=0.1)
    # 1,500 transactions that nothing tells apart, within an hour: no more than some days' alerts.
    assert by_day.max() < 400


def test_a_swap_finds_the_right_threshold_at_once() -> None:
    first = stream(usual, 9_500, 5)
    served, shadow = first.scores[:, 0], chances(np.log(first.scores[:, 0]) / 3)
    half = int(np.searchsorted(first.hours, START + 24 * 28))
    ledger = Ledger(100, COLD)
    before = Stream(first.hours[:half], np.column_stack([served, shadow])[:half], ("a-1", "b-1"))
    after = Stream(first.hours[half:], np.column_stack([shadow, served])[half:], ("b-1", "a-1"))
    by_day = alerts_by_day(ledger, before) + alerts_by_day(ledger, after)
    unswapped = alerts_by_day(Ledger(100, COLD), first)
    assert by_day[28:].tolist() == pytest.approx(unswapped[28:].tolist(), rel=0.2)


def test_a_champion_that_nobody_has_seen_score_begins_with_the_fixed_threshold() -> None:
    ledger = Ledger(100, COLD)
    one = stream(usual, 9_500, 6)
    half = int(np.searchsorted(one.hours, START + 24 * 28))
    alerts_by_day(ledger, Stream(one.hours[:half], one.scores[:half]))
    new = Stream(one.hours[half:], one.scores[half:], ("z-1",))
    assert ledger.thresholds(new.asked(0, 1)).tolist() == [COLD]


@pytest.mark.parametrize("score", [0.0, 0.005, 0.29, 0.31, 0.9999, 1.0])
def test_a_model_that_says_the_same_to_everybody_alerts_on_next_to_nobody(score: float) -> None:
    one = Stream(START + np.arange(20_000) // 400, np.full((20_000, 1), score))
    by_day = alerts_by_day(Ledger(100, COLD), one, 3)
    # Above the fixed threshold it takes an eighth of a day's alerts to see that nothing is told apart.
    assert by_day.sum() <= (13 if score >= COLD else 0)


def test_a_model_that_comes_of_age_overdraws_by_less_than_its_budget() -> None:
    by_day = alerts_by_day(Ledger(100, COLD), stream(coming_of_age, 9_500, 7))
    assert by_day[:6].sum() == 0
    assert by_day[6:8].max() < 300
    assert by_day[6:20].mean() == pytest.approx(100, rel=0.15)


def test_half_of_a_stream_at_most_is_alerted_however_large_the_budget() -> None:
    one = stream(usual, 60, 8)
    assert alerts_by_day(Ledger(1_000, COLD), one)[7:].mean() < 0.6 * 60


def test_the_first_day_is_the_fixed_thresholds() -> None:
    one = stream(usual, 9_500, 9)
    thresholds = Ledger(1_000, COLD).thresholds(one.asked(0, 5_000))
    assert set(thresholds[one.hours[:5_000] < START + 24].tolist()) == {COLD}


@given(
    cuts=st.lists(st.integers(0, 400), max_size=12),
    budget=st.sampled_from([3.0, 100.0, 2_000.0]),
    seed=st.integers(0, 2**32 - 1),
)
def test_how_a_stream_is_cut_and_where_it_is_handed_over_changes_nothing(
    cuts: list[int], budget: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    # Out of order, with gaps, and with event times that are plainly wrong.
    hours = START + np.cumsum(rng.integers(0, 2, 400)) + rng.integers(-3, 3, 400)
    hours[rng.random(400) < 0.02] += int(rng.integers(-500, 500))
    one = Stream(hours, chances(rng.normal(-4, 2, (400, 2))), ("a-1", "b-1"))
    new = rng.random(400) < 0.9

    def asked(start: int, stop: int) -> Asked:
        return one.asked(start, stop)._replace(new=new[start:stop])

    whole = Ledger(budget, COLD)
    at_once = whole.thresholds(asked(0, 400))
    pieces, owner = [], Ledger(budget, COLD)
    borders = [0, *sorted(cuts), 400]
    for start, stop in pairwise(borders):
        pieces.append(owner.thresholds(asked(start, stop)))
        packed, owner = owner.pack(), Ledger(budget, COLD)
        owner.unpack(packed)
    assert np.concatenate(pieces)[new].tolist() == at_once[new].tolist()
    assert owner.pack() == whole.pack()
    assert owner.spent == whole.spent


@given(budgets=st.lists(st.integers(1, 2_000), min_size=2, max_size=2).map(sorted), seed=st.integers(0, 99))
def test_on_the_same_scores_a_larger_budget_never_has_a_higher_threshold(
    budgets: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    hours = START + np.arange(1_500) // 60
    scores = chances(np.round(rng.normal(-5, 1, (1_500, 1)), 1))
    small, large = (Ledger(budget, 0.001) for budget in budgets)
    # Nothing reaches the first day's threshold, so that no alert given bends the comparison.
    scores = np.minimum(scores, 0.0009)
    for ledger in (small, large):
        ledger.thresholds(Stream(hours, scores).asked(0))
    assert large.spent.threshold <= small.spent.threshold


def test_what_was_decided_before_is_not_counted_again() -> None:
    one = stream(usual, 9_500, 11)
    ledger = Ledger(100, COLD)
    ledger.thresholds(one.asked(0, 30_000))
    before = ledger.pack()
    again = one.asked(25_000, 30_000)
    thresholds = ledger.thresholds(again._replace(new=np.zeros(5_000, dtype=np.bool_)))
    assert ledger.pack() == before
    assert set(thresholds.tolist()) == {ledger.spent.threshold}


def test_late_and_absurd_event_times_do_not_move_the_clock() -> None:
    steady, disturbed = Ledger(100, COLD), Ledger(100, COLD)
    one = stream(usual, 2_000, 12)
    hours = one.hours.copy()
    hours[1_000::1_000] += 300 * 24  # one at a time
    hours[500::1_000] -= 40 * 24
    for ledger, times in ((steady, one.hours), (disturbed, hours)):
        ledger.thresholds(Stream(times, one.scores).asked(0))
    assert disturbed.spent.last_day == pytest.approx(steady.spent.last_day, abs=3)
    assert disturbed.spent.threshold == pytest.approx(steady.spent.threshold, rel=0.05)


def test_a_silence_of_weeks_is_a_silence_of_a_day() -> None:
    long, short = Ledger(100, COLD), Ledger(100, COLD)
    one = stream(usual, 2_000, 13)
    half = len(one.hours) // 2
    for ledger, silence in ((long, 30 * 24), (short, 24)):
        ledger.thresholds(one.asked(0, half))
        later = Stream(one.hours[half:] + silence, one.scores[half:])
        ledger.thresholds(later.asked(0, 2))
    assert long.spent == short.spent


def test_what_is_spent_is_told_for_the_last_whole_day() -> None:
    ledger = Ledger(24, COLD)
    assert ledger.spent == (24, 0, COLD)
    hours, scores = START + np.arange(485) // 10, np.where(np.arange(485) % 10 == 0, 0.5, 0.01)
    alerted = scores >= ledger.thresholds(Stream(hours, scores[:, None]).asked(0))
    day = (hours >= START + 24) & (hours < START + 48)
    assert ledger.spent.last_day == alerted[day].sum() > 0


def test_an_account_takes_some_kilobytes() -> None:
    one = stream(usual, 9_500, 14)
    four = Stream(one.hours, np.repeat(one.scores, 4, axis=1), ("a-1", "b-1", "c-1", "d-1"))
    ledger = Ledger(100, COLD)
    ledger.thresholds(four.asked(0))
    assert len(ledger.pack()) < 1_000 + 4 * 2_000


def test_nothing_stored_is_a_new_account() -> None:
    ledger = Ledger(100, COLD)
    ledger.unpack(b"")
    assert ledger.pack() == Ledger(100, COLD).pack()


def test_a_damaged_or_foreign_account_is_refused_with_what_to_do() -> None:
    with pytest.raises(SnapshotError, match=r"damaged .*: delete its key"):
        Ledger(100, COLD).unpack(b"\x93nonsense")
    foreign = b"\x9d\x02" + Ledger(100, COLD).pack()[2:]
    with pytest.raises(SnapshotError, match="layout 2, this version reads 1: delete its key"):
        Ledger(100, COLD).unpack(foreign)


def test_the_stored_bytes_are_those_that_were_documented() -> None:
    ledger = Ledger(100, COLD)
    hours = np.array([START, START, START + 1, START + 1])
    ledger.thresholds(Stream(hours, np.full((4, 1), 0.5)).asked(0))
    (*account, histograms) = msgspec.msgpack.decode(ledger.pack())
    # The clock follows when a second transaction says so; then a tie of everybody, which ends all alerts.
    above = 1 / (1 + exp(-0.05))
    assert account == [1, START + 1, START + 1, [3], 1, [3], 0, 0, 0.0, pytest.approx(above), ["a-1"], [1]]
    decayed = int(3 * 16_384 * 0.5 ** (1 / 48))
    assert histograms == [[0] * 200 + [decayed + 16_384] + [0] * 199]
