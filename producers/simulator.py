"""The simulator: a seeded stream of card transactions whose frauds are known, and can change.

In the manner of Le Borgne, Siblini, Lebichot, Bontempi (2022), *Reproducible Machine Learning for Credit Card
Fraud Detection*, ch. 3: customers have a place, habits and terminals within reach, and three kinds of fraud
are committed. Ours differs in that frauds are as frequent on the first day as later, that their frequency
does not depend on the size of the population, and that :mod:`producers.scenarios` may change them.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from producers.bad_records import spoil
from producers.population import Floats, Indices, Population, settle
from producers.scenarios import LARGE_AMOUNT, Regime, Scenario, Schedule
from stream.clock import DAY_MS
from stream.errors import SettingsError
from stream.recording import Recorded
from stream.records import Transaction

DEFAULT_START: Final = datetime(2025, 1, 1, tzinfo=UTC)
DEFAULT_DAYS: Final = 90

_CHANGE_DAY: Final = 45
"""When fraud changes in a stream without end."""

COMPROMISED_DAYS: Final = 28
STOLEN_DAYS: Final = 14
FAKE_MERCHANT_DAYS: Final = 12
_CARD_FRAUD_SHARE: Final = 1 / 3
_FAKE_MERCHANTS: Final = 4
"""Fake merchants at any moment; one is replaced every three days."""
_TESTS_PER_CARD: Final = 3
_NIGHT_MS: Final = (3_600_000, 5 * 3_600_000)
_TEST_SPREAD_MS: Final = 10 * 60_000
_NOON_MS: Final = DAY_MS / 2
_DAY_SPREAD_MS: Final = 20_000_000
_CENT: Final = 2


class Kind(StrEnum):
    """What lies behind a transaction."""

    LEGITIMATE = "legitimate"
    LARGE_AMOUNT = "large_amount"
    COMPROMISED_TERMINAL = "compromised_terminal"
    STOLEN_CARD = "stolen_card"
    CARD_TESTING = "card_testing"


_KINDS: Final = tuple(Kind)


class Simulated(NamedTuple):
    """A transaction and the truth about it."""

    transaction: Transaction
    is_fraud: bool
    kind: Kind


class _Day(NamedTuple):
    """Transactions of one day, in no order yet; arrays of shape (n,)."""

    customer: Indices
    terminal: Indices
    amount: Floats
    time_ms: Indices
    """Since midnight."""
    kind: Indices
    """Index into `_KINDS`."""


class Simulator:
    """A stream of transactions, the same for the same parameters to the last bit.

    Parameters
    ----------
    customers, terminals
        Size of the population. A customer makes two transactions a day on average.
    seed
        Of all randomness.
    start
        Midnight before the first transaction, with its zone.
    days
        After how many the stream ends; None for no such end.
    transactions
        After how many the stream ends; None for no such end.
    scenario
        How fraud changes.
    change_day
        See :class:`~producers.scenarios.Schedule`; by default half-way, for ``recurring`` a quarter of the
        way, and 45 in a stream without end.
    change_size
        How much of the change comes about, up to 1 for all of it.

    Raises
    ------
    SettingsError
        A number is too small, or `start` has no zone.

    Notes
    -----
    Generated day by day: memory holds the population and one day. About 3 µs a transaction. Frauds are 0.8
    to 1.5 % of a long stream of a few hundred customers or more.

    Identifiers: transactions ``s<seed>-<number>``, customers ``C<number>``, terminals ``T<number>``.

    Examples
    --------
    >>> simulator = Simulator(customers=10, terminals=20, days=2)
    >>> first = next(iter(simulator))
    >>> first.transaction.transaction_id, first.kind.value
    ('s7-0', 'legitimate')
    """

    def __init__(
        self,
        *,
        customers: int = 1000,
        terminals: int = 2000,
        seed: int = 7,
        start: datetime = DEFAULT_START,
        days: int | None = DEFAULT_DAYS,
        transactions: int | None = None,
        scenario: Scenario = "stationary",
        change_day: int | None = None,
        change_size: float = 1.0,
    ) -> None:
        for name, value in {
            "customers": customers,
            "terminals": terminals,
            "days": days,
            "transactions": transactions,
            "change_day": change_day,
        }.items():
            if value is not None and value < 1:
                raise SettingsError(f"{name}={value}: a simulation needs at least 1")
        if not 0 < change_size <= 1:
            raise SettingsError(f"change_size={change_size}: give a share above 0, up to 1 for all of it")
        if start.tzinfo is None:
            raise SettingsError(f"start={start.isoformat()}: give it a zone, such as Z")
        self._seed = seed
        self._start_ms = round(start.timestamp() * 1000)
        self._population = settle(customers, terminals, np.random.default_rng([seed, 0]))
        self._days = days
        self._transactions = transactions
        if change_day is None:
            parts = 4 if scenario == "recurring" else 2
            change_day = max(1, round((self.expected_days or 2 * _CHANGE_DAY) / parts))
        self._schedule = Schedule(scenario=scenario, change_day=change_day, size=change_size)

    @property
    def expected_days(self) -> float | None:
        """About how many days the stream lasts; None when it has no end."""
        ends: list[float] = [] if self._days is None else [self._days]
        if self._transactions is not None:
            ends.append(self._transactions / self.expected_per_day)
        return min(ends, default=None)

    @property
    def expected_per_day(self) -> float:
        """Mean number of transactions a day."""
        return float(self._population.daily_rate.sum())

    def __iter__(self) -> Iterator[Simulated]:
        """Simulate from the first day, in event-time order."""
        return islice(self._endless(), self._transactions)

    def _endless(self) -> Iterator[Simulated]:
        number = 0
        for day in self._simulate():
            yield from self._named(day, number)
            number += len(day.customer)

    def _simulate(self) -> Iterator[_Day]:
        """Yield day after day, in order of time, times since 1970."""
        population = self._population
        crimes = _Crimes(population, self._seed, self._schedule)
        day = 0
        while self._days is None or day < self._days:
            # A generator per day: what happens on a day does not depend on how many draws came before.
            rng = np.random.default_rng([self._seed, 1, day])
            regime = self._schedule.regime(day)
            happened = crimes.commit(day, _ordinary_day(population, rng), regime, rng)
            order = np.argsort(happened.time_ms, kind="stable")
            yield _Day(
                happened.customer[order],
                happened.terminal[order],
                happened.amount[order],
                happened.time_ms[order] + self._start_ms + day * DAY_MS,
                happened.kind[order],
            )
            day += 1

    def _named(self, day: _Day, number: int) -> Iterator[Simulated]:
        population = self._population
        known = day.terminal < population.terminals
        place = np.where(known, day.terminal, 0)
        # A fake merchant sells "digital goods" from abroad.
        countries = np.where(known, population.country[place], "GB").tolist()
        categories = np.where(known, population.category[place], "5815").tolist()
        channels = np.where(known, population.channel[place], "online").tolist()
        columns = (column.tolist() for column in day)
        rows = zip(*columns, countries, categories, channels, strict=True)
        for index, (customer, terminal, amount, time, kind, country, category, channel) in enumerate(
            rows, number
        ):
            yield Simulated(
                Transaction(
                    transaction_id=f"s{self._seed}-{index}",
                    event_time=time,
                    customer_id=f"C{customer}",
                    terminal_id=f"T{terminal}",
                    amount=amount,
                    currency="EUR",
                    channel=channel,
                    country=country,
                    merchant_category=category,
                ),
                kind != 0,
                _KINDS[kind],
            )


def as_recorded(stream: Iterable[Simulated], *, bad_share: float = 0.0, seed: int = 7) -> Iterator[Recorded]:
    """Make a recording of a simulation.

    Parameters
    ----------
    stream
        What was simulated.
    bad_share
        Of transactions that are sent as something the pipeline cannot read; these get no label.
    seed
        Decides which, and how they are spoilt.
    """
    rng = np.random.default_rng([seed, 2])
    for transaction, is_fraud, _ in stream:
        if bad_share and rng.random() < bad_share:
            yield Recorded(transaction, None, spoil(transaction, rng))
        else:
            yield Recorded(transaction, is_fraud)


def _ordinary_day(population: Population, rng: np.random.Generator) -> _Day:
    """Draw a day without crime."""
    counts = rng.poisson(population.daily_rate)
    customer = np.repeat(np.arange(population.customers), counts)
    mean = population.mean_amount[customer]
    amount = rng.normal(mean, mean / 2)
    # Whoever would pay nothing pays anything up to twice the usual; whoever would pay too much, the usual.
    amount = np.where(amount <= 0, rng.uniform(0, 2 * mean), amount)
    amount = np.where(amount > LARGE_AMOUNT, mean, amount)
    time = rng.normal(_NOON_MS, _DAY_SPREAD_MS, len(customer)) % DAY_MS
    return _Day(
        customer,
        population.choose_terminals(customer, rng),
        np.maximum(amount.round(_CENT), 0.01),
        time.astype(np.int64),
        np.zeros(len(customer), dtype=np.int64),
    )


class _Crimes:
    """Who is being defrauded, from day to day.

    Crime did not begin with the simulation: what was compromised or stolen in the weeks before the first day
    is as well, so that a stationary stream is stationary from its beginning.
    """

    def __init__(self, population: Population, seed: int, schedule: Schedule) -> None:
        self._population = population
        self._terminals = _Spells(population.visited, COMPROMISED_DAYS)
        self._cards = _Spells(np.arange(population.customers), STOLEN_DAYS)
        for day in range(-COMPROMISED_DAYS, 0):
            self._strike(schedule.regime(0), np.random.default_rng([seed, 3, day + COMPROMISED_DAYS]))

    def commit(self, day: int, ordinary: _Day, regime: Regime, rng: np.random.Generator) -> _Day:
        """Return the day as it was with crime."""
        self._strike(regime, rng)
        customer, terminal, amount, _, kind = ordinary
        chance = rng.random((3, len(customer)))
        usual = self._population.mean_amount[customer]

        large = chance[0] < regime.large_share
        amount = np.where(large, regime.large_from * (1 + rng.exponential(0.5, len(customer))), amount)
        kind = np.where(large, _KINDS.index(Kind.LARGE_AMOUNT), kind)

        bought = (kind == 0) & (chance[1] < regime.large_purchase_share)
        amount = np.where(bought, usual * rng.uniform(3, 8, len(customer)) + LARGE_AMOUNT / 2, amount)

        stolen = (kind == 0) & self._cards.hit(customer) & (chance[2] < _CARD_FRAUD_SHARE)
        amount = np.where(stolen, amount * regime.card_factor, amount)
        kind = np.where(stolen, _KINDS.index(Kind.STOLEN_CARD), kind)

        kind = np.where(self._terminals.hit(terminal), _KINDS.index(Kind.COMPROMISED_TERMINAL), kind)
        committed = ordinary._replace(amount=amount.round(_CENT), kind=kind)
        tests = self._card_tests(
            day, rng.poisson(regime.testing_share * len(customer) / _TESTS_PER_CARD), rng
        )
        return _Day(*(np.concatenate(columns) for columns in zip(committed, tests, strict=True)))

    def _strike(self, regime: Regime, rng: np.random.Generator) -> None:
        self._terminals.strike(regime.terminal_share, rng)
        self._cards.strike(regime.card_share, rng)

    def _card_tests(self, day: int, cards: int, rng: np.random.Generator) -> _Day:
        """Try some cards out, a few times each within minutes, at merchants that nobody else knows."""
        count = cards * _TESTS_PER_CARD
        newest = day // (FAKE_MERCHANT_DAYS // _FAKE_MERCHANTS)
        fake = self._population.terminals + newest + rng.integers(0, _FAKE_MERCHANTS, cards)
        begin = rng.integers(*_NIGHT_MS, cards)
        return _Day(
            np.repeat(rng.integers(0, self._population.customers, cards), _TESTS_PER_CARD),
            np.repeat(fake, _TESTS_PER_CARD),
            rng.uniform(0.5, 5, count).round(_CENT),
            np.repeat(begin, _TESTS_PER_CARD) + rng.integers(0, _TEST_SPREAD_MS, count),
            np.full(count, _KINDS.index(Kind.CARD_TESTING), dtype=np.int64),
        )


class _Spells:
    """Which of some candidates are struck at the moment; each stays so for a fixed number of days."""

    def __init__(self, candidates: Indices, days: int) -> None:
        self._candidates = candidates
        self._days = days
        self._until: dict[int, int] = {}
        self._today = 0
        self._owed = 0.0
        self._struck: NDArray[np.bool_] = np.zeros(int(candidates.max()) + 1, dtype=bool)

    def strike(self, share: float, rng: np.random.Generator) -> None:
        """Go on to the next day, striking as many as keep `share` of the candidates struck."""
        self._today += 1
        self._until = {one: until for one, until in self._until.items() if until > self._today}
        # Fractions are carried over, so that a small population has its share of crime in the long run.
        self._owed += share * len(self._candidates) / self._days
        count = int(self._owed)
        self._owed -= count
        for one in rng.choice(self._candidates, min(count, len(self._candidates)), replace=False).tolist():
            self._until[one] = self._today + self._days
        self._struck[:] = False
        self._struck[list(self._until)] = True

    def hit(self, who: Indices) -> NDArray[np.bool_]:
        """Return which of `who`, shape (n,), are struck."""
        return self._struck[who]
