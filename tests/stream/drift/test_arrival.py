import pickle
from collections import deque
from collections.abc import Iterable, Iterator

import numpy as np
import pytest

from producers.simulator import Simulator
from stream.clock import DAY_MS
from stream.drift.arrival import ALL, SIGNALS, SOURCES, Arrival, Arrivals, ArrivalSign
from stream.records import LabelSource

START = 20_002
"""A Monday: chargebacks and analysts work on weekdays."""
CHANGE = 50


def day(
    number: int,
    *,
    sources: tuple[LabelSource, ...] = ("analyst", "chargeback", "settlement"),
    slower: float = 1.0,
    frauds: float = 1.0,
    corrected: float = 0.01,
    unmatched: float = 0.005,
) -> list[Arrival]:
    """Return what arrives in a day, in the order of its label times."""
    random = np.random.default_rng(number)
    weekend = number % 7 >= 5
    some: list[Arrival] = []
    share: dict[LabelSource, float] = {"analyst": 0.3, "chargeback": 1.0, "settlement": 0.0}
    count = {"analyst": 0 if weekend else 80, "chargeback": 15 if weekend else 40, "settlement": 300}
    delay = {"analyst": 0.7, "chargeback": 12.0, "settlement": 30.0}
    for source in sources:
        more = frauds if source == "chargeback" else 1.0
        for _ in range(random.poisson(count[source] * more)):
            late = delay[source] * slower
            late *= random.lognormal(0, 0.5) if source != "settlement" else 1.0
            some.append(
                Arrival(
                    source,
                    (START + number) * DAY_MS + int(random.integers(DAY_MS)),
                    None if random.random() < unmatched else round(late * DAY_MS),
                    bool(random.random() < share[source] * (frauds if source == "analyst" else 1.0)),
                    bool(random.random() < corrected),
                )
            )
    return sorted(some, key=lambda one: one.label_time)


CALM = [day(number) for number in range(CHANGE)]


def watched(days: Iterable[list[Arrival]]) -> tuple[Arrivals, list[ArrivalSign]]:
    arrivals = Arrivals()
    return arrivals, [sign for one in days for sign in arrivals.observe(one)]


def fired(*changed: list[Arrival]) -> list[tuple[str, str, int]]:
    """Return what fires when calm weeks are followed by these days and another."""
    after = [*changed, day(CHANGE + len(changed), sources=("settlement",))]
    return [(sign.signal, sign.source, sign.day - START) for sign in watched([*CALM, *after])[1]]


def test_calm_weeks_with_their_weekends_show_nothing() -> None:
    arrivals, signs = watched(day(number) for number in range(80))
    assert signs == []
    assert {signal for signal, _ in arrivals.figures} == set(SIGNALS)
    assert {source for _, source in arrivals.figures} == set(SOURCES)
    assert arrivals.ended == START + 78


def several(count: int, **how: object) -> list[list[Arrival]]:
    return [day(number, **how) for number in range(CHANGE, CHANGE + count)]  # type: ignore[arg-type]


def test_delays_that_double_are_noticed_of_each_source_within_half_a_week() -> None:
    signs = fired(*several(4, slower=2.0))
    assert {sign[:2] for sign in signs} == {
        (signal, source)
        for signal in ("delay_p50", "delay_p95")
        for source in ("analyst", "chargeback", "settlement")
    }
    assert len(signs) == 6
    # What always took thirty days shows at once.
    assert ("delay_p95", "settlement", CHANGE) in signs


@pytest.mark.parametrize("source", ["analyst", "chargeback", "settlement"])
def test_a_source_that_stops_is_noticed_on_the_day(source: LabelSource) -> None:
    others = tuple(one for one in ("analyst", "chargeback", "settlement") if one != source)
    signs = fired(*several(1, sources=others))
    assert ("silent_days", source, CHANGE) in signs
    assert ("labels", source, CHANGE) not in signs


def test_three_times_as_many_frauds_are_noticed_within_three_days() -> None:
    signs = fired(*several(3, frauds=3.0))
    assert {sign[:2] for sign in signs} == {
        ("labels", "chargeback"),
        ("fraud_share", "analyst"),
        ("fraud_share", ALL),
    }
    assert ("labels", "chargeback", CHANGE) in signs


@pytest.mark.parametrize(
    ("name", "signal"), [("corrected", "corrected_share"), ("unmatched", "unmatched_share")]
)
def test_labels_that_contradict_or_find_no_transaction_are_noticed(name: str, signal: str) -> None:
    signs = fired(*several(1, **{name: 0.6}))
    assert {sign[1:] for sign in signs if sign[0] == signal} == {
        (source, CHANGE) for source in ("analyst", "chargeback", "settlement")
    }


def test_what_goes_on_is_said_once() -> None:
    assert sum(sign[:2] == ("delay_p50", "settlement") for sign in fired(*several(10, slower=2.0))) == 1


def test_days_without_any_label_count_as_such_once_there_is_another() -> None:
    arrivals, signs = watched(CALM)
    assert signs == []
    signs = arrivals.observe(day(CHANGE + 5))
    assert ("silent_days", "settlement", START + CHANGE) in {sign[:2] + sign[3:] for sign in signs}
    far = arrivals.observe(day(CHANGE + 40_000))
    assert arrivals.ended == START + CHANGE + 5 + 28
    assert {sign.signal for sign in far} == {"silent_days"}


def test_a_label_with_a_wrong_time_ends_no_day() -> None:
    wrong = Arrival("analyst", (START + 4_000) * DAY_MS, 0, is_fraud=True, corrected=False)
    arrivals, signs = watched([*CALM, [wrong] * 10, day(CHANGE), day(CHANGE + 1)])
    assert signs == []
    assert arrivals.ended == START + CHANGE


def test_a_label_that_comes_late_counts_in_the_day_that_is_on() -> None:
    one, two = (Arrivals() for _ in range(2))
    some = [
        Arrival("analyst", n * DAY_MS, 0, is_fraud=False, corrected=False) for n in (1, 2) for _ in range(30)
    ]
    one.observe(some)
    two.observe([*some[:-20], some[0], *some[-20:]])
    assert one.figures["labels", "analyst"] == two.figures["labels", "analyst"] - 1 == 30


def test_of_few_labels_only_their_number_is_said_until_some_days_make_enough() -> None:
    few = [day(number, sources=("chargeback",))[:10] for number in range(9)]
    assert {signal for signal, _ in watched(few[:5])[0].figures} == {"labels", "silent_days"}
    arrivals, _ = watched(few)
    assert {signal for signal, _ in arrivals.figures} == set(SIGNALS)
    assert arrivals.figures["labels", "chargeback"] == 10


def test_a_delay_is_told_to_within_a_few_per_cent() -> None:
    arrivals = Arrivals()
    for n in range(100):
        arrivals.observe([Arrival("chargeback", DAY_MS, (n + 1) * DAY_MS, is_fraud=True, corrected=False)])
    arrivals.observe([Arrival("chargeback", 2 * DAY_MS, 0, is_fraud=True, corrected=False)] * 20)
    assert arrivals.figures["delay_p50", "chargeback"] == pytest.approx(50 * 86_400, rel=0.03)
    assert arrivals.figures["delay_p95", "chargeback"] == pytest.approx(95 * 86_400, rel=0.03)


def test_whoever_is_killed_and_goes_on_ends_in_the_same_bits() -> None:
    some = [one for number in range(35) for one in day(number)]
    whole = Arrivals()
    signs = whole.observe(some)
    pieces: Arrivals = Arrivals()
    pieced = []
    for start in range(0, len(some), 3_333):
        pieces = pickle.loads(pickle.dumps(pieces))  # noqa: S301 - our own
        pieced += pieces.observe(some[start : start + 3_333])
    assert pieced == signs
    assert bits(pieces) == bits(whole)


def bits(state: object) -> object:
    """Return what an object is made of, comparable also where a figure is missing."""
    match state:
        case dict():
            return {name: bits(value) for name, value in state.items()}
        case list() | deque():
            return [bits(value) for value in state]
        case float():
            return state.hex()
        case _ if hasattr(state, "__dict__"):
            return bits(vars(state))
    return state


def simulated(seed: int, transactions: int) -> Iterator[Arrival]:
    for transaction, is_fraud, _ in Simulator(
        customers=1_000, terminals=2_000, seed=seed, days=None, transactions=transactions
    ):
        source: LabelSource = "chargeback" if is_fraud else "settlement"
        late = 7 * DAY_MS
        yield Arrival(source, transaction.event_time + late, late, is_fraud, corrected=False)


def test_a_simulated_stream_that_does_not_change_shows_nothing() -> None:
    assert Arrivals().observe(simulated(101, 100_000)) == []
