"""Scenarios: how fraud changes in the course of a simulation.

An old regime and a new one, and a scenario that says on each day how far the second has taken the place of
the first:

- the **old** one: large amounts, compromised terminals, stolen cards used for several times the usual amount;
- the **new** one: stolen cards are tried out at night, a few small amounts within minutes, at fake merchants
  that were not there before, and compromised terminals become rarer. Customers, meanwhile, take to buying
  large things now and then, so that what used to give frauds away no longer does. A model that learnt the old
  regime is wrong in both directions, and the labels tell;
- the **furtive** one, to which frauds creep: the same frauds, as many as ever, for a fraction of the usual
  amount, while customers take to large things as well. On the way there, nothing is new but the amounts.

Terminals already compromised and cards already stolen when the new regime begins stay so to their end, four
and two weeks later.
"""

from dataclasses import dataclass, fields, replace
from typing import Final, Literal, get_args

Scenario = Literal["stationary", "sudden", "gradual", "incremental", "recurring"]
SCENARIOS: Final[tuple[Scenario, ...]] = get_args(Scenario)

LARGE_AMOUNT: Final = 220.0
"""In the old regime nobody spends more, but for frauds by large amounts."""
_RAMP_DAYS: Final = 28


@dataclass(frozen=True, kw_only=True)
class Regime:
    """What fraudsters and customers do at a time."""

    large_share: float
    """Of transactions: fraud by a large amount."""
    large_from: float = LARGE_AMOUNT
    """Smallest of those amounts."""
    terminal_share: float
    """Of terminals: compromised at any moment, every transaction there being fraud."""
    card_share: float
    """Of customers: card data stolen at any moment, a third of their transactions being fraud."""
    card_factor: float = 5.0
    """How many times the usual amount is taken from a stolen card."""
    testing_share: float
    """Of transactions: small amounts that try a stolen card out."""
    large_purchase_share: float
    """Of transactions: legitimate, and several times the customer's usual amount."""


OLD: Final = Regime(
    large_share=0.0015, terminal_share=0.005, card_share=0.011, testing_share=0.0, large_purchase_share=0.0
)
NEW: Final = Regime(
    large_share=0.0, terminal_share=0.002, card_share=0.0, testing_share=0.009, large_purchase_share=0.008
)
FURTIVE: Final = replace(OLD, large_from=2.0, card_factor=0.2, large_purchase_share=0.008)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Which regime rules when.

    Parameters
    ----------
    scenario
        ``stationary``: the old one for ever. ``sudden``: the new one from a day on. ``gradual``: the new one
        takes over in the course of four weeks. ``incremental``: the old one turns into the furtive one in as
        many. ``recurring``: the old and the new one take turns.
    change_day
        The day, counted from 0, on which the new regime begins; for ``recurring``, also the length of a turn.
    size
        How much of the change comes about, up to 1 for all of it.

    Examples
    --------
    >>> [Schedule(scenario="recurring", change_day=2).weight(day) for day in range(6)]
    [0.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    """

    scenario: Scenario
    change_day: int
    size: float = 1.0

    def weight(self, day: int) -> float:
        """Return how far the new regime has taken over on `day`: 0 not at all, 1 wholly."""
        return self.size * self._course(day)

    def _course(self, day: int) -> float:
        match self.scenario:
            case "stationary":
                return 0.0
            case "sudden":
                return float(day >= self.change_day)
            case "gradual" | "incremental":
                return min(1.0, max(0.0, (day - self.change_day) / _RAMP_DAYS))
            case "recurring":
                return float(day // self.change_day % 2 == 1)

    def regime(self, day: int) -> Regime:
        """Return what rules on `day`: a mixture of the two in proportion to :meth:`weight`."""
        weight, new = self.weight(day), FURTIVE if self.scenario == "incremental" else NEW
        return Regime(
            **{
                field.name: (1 - weight) * getattr(OLD, field.name) + weight * getattr(new, field.name)
                for field in fields(Regime)
            }
        )
