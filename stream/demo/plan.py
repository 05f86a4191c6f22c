"""The plan: what a demo simulates, sized so that the story can be told."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Self

DEFAULT_TRANSACTIONS: Final = 300_000
START: Final = datetime(2025, 1, 1, tzinfo=UTC)

_DAYS: Final = 120
_PER_CUSTOMER_AND_DAY: Final = 2
"""What the simulator's customers do on average."""
_FEWEST_CUSTOMERS: Final = 20
_FRAUD_SHARE: Final = 0.01
"""About what the simulator makes: the demo's analysts have time for as many alerts as there are frauds."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One simulation, and the topic that it goes to."""

    transactions: int
    customers: int
    terminals: int
    days: int
    """About; the simulation ends with its last transaction."""
    change_day: int | None
    """Counted from 0: when fraud changes, or first changes; None when it does not."""
    scenario: str
    seed: int
    alert_budget: float
    """Alerts a day."""
    label_delay: str = "3d"
    label_cadence: str = "1d"
    bad_records: float = 0.0005
    """Share of transactions that are sent as something unreadable."""
    in_flight: int = 4_000
    """Most transactions published and not yet scored: enough to keep the scorer busy, and latency low."""

    @classmethod
    def of(cls, transactions: int, scenario: str, seed: int) -> Self:
        """Size a simulation: some months, of as many customers as that takes.

        Parameters
        ----------
        transactions
            How many there are to be.
        scenario, seed
            As of `fraudstream simulate`.

        Examples
        --------
        >>> plan = Plan.of(240_000, "sudden", 7)
        >>> plan.customers, plan.days, str(plan.change_date)
        (1000, 120, '2025-03-02')
        """
        customers = max(_FEWEST_CUSTOMERS, round(transactions / _DAYS / _PER_CUSTOMER_AND_DAY))
        days = max(1, round(transactions / customers / _PER_CUSTOMER_AND_DAY))
        parts = {"sudden": 2, "gradual": 2, "incremental": 2, "recurring": 4}.get(scenario)
        return cls(
            transactions=transactions,
            customers=customers,
            terminals=2 * customers,
            days=days,
            change_day=None if parts is None else max(1, days // parts),
            alert_budget=_FRAUD_SHARE * transactions / days,
            scenario=scenario,
            seed=seed,
        )

    @property
    def change_date(self) -> date | None:
        """When fraud changes, or first changes; None when it does not."""
        return None if self.change_day is None else (START + timedelta(days=self.change_day)).date()

    def arguments(self, summary: str) -> tuple[str, ...]:
        """Return the arguments of `fraudstream` that carry it out and leave a summary in a file."""
        change = () if self.change_day is None else (f"--change-day={self.change_day}",)
        return (
            "simulate",
            f"--transactions={self.transactions}",
            f"--seed={self.seed}",
            f"--customers={self.customers}",
            f"--terminals={self.terminals}",
            f"--scenario={self.scenario}",
            f"--start={START:%Y-%m-%d}",
            *change,
            f"--bad-records={self.bad_records}",
            f"--label-delay={self.label_delay}",
            f"--label-cadence={self.label_cadence}",
            f"--in-flight={self.in_flight}",
            f"--summary={summary}",
        )

    def sentence(self) -> str:
        """Say what is going to happen."""
        changes = {
            "stationary": "fraud stays as it is",
            "sudden": f"on {self.change_date} fraud changes overnight",
            "gradual": f"from {self.change_date} on fraud changes bit by bit",
            "incremental": f"from {self.change_date} on frauds creep to small amounts",
            "recurring": f"from {self.change_date} on fraud changes to and fro",
        }
        return (
            f"{self.transactions:,} transactions of {self.customers:,} customers, about {self.days} simulated"
            f" days from {START:%Y-%m-%d}; labels after {self.label_delay}; {changes[self.scenario]}"
            f" (seed {self.seed})"
        )
