"""A plan is a simulation that `fraudstream simulate` understands."""

from pathlib import Path
from typing import Any

import pytest

from producers.commands import simulate
from producers.scenarios import SCENARIOS
from stream.demo.command import demo
from stream.demo.plan import Plan


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("transactions", [1, 500, 30_000, 300_000])
def test_the_simulator_takes_every_plan(scenario: str, transactions: int, tmp_path: Path) -> None:
    plan = Plan.of(transactions, scenario, seed=3)
    name, *arguments = plan.arguments(str(tmp_path / "summary.json"))
    assert name == simulate.name

    understood: dict[str, Any] = simulate.make_context(name, arguments).params

    assert understood["transactions"] == transactions
    assert understood["scenario"] == scenario
    assert understood["seed"] == 3
    assert understood["change_day"] == plan.change_day


@pytest.mark.parametrize("transactions", [30_000, 100_000, 300_000])
def test_however_many_transactions_they_fill_the_same_months(transactions: int) -> None:
    plan = Plan.of(transactions, "sudden", 7)

    assert plan.days == 120
    assert plan.change_day == 60
    assert plan.customers * plan.days * 2 == pytest.approx(transactions, rel=0.01)


def test_there_is_time_for_about_as_many_alerts_as_there_are_frauds() -> None:
    assert Plan.of(300_000, "sudden", 7).alert_budget == pytest.approx(25)
    assert Plan.of(30_000, "sudden", 7).alert_budget == pytest.approx(2.5)
    assert Plan.of(1, "sudden", 7).alert_budget > 0


def test_fraud_that_does_not_change_has_no_day_of_change() -> None:
    plan = Plan.of(30_000, "stationary", 7)

    assert plan.change_day is None
    assert not any(argument.startswith("--change-day") for argument in plan.arguments("x"))


def test_the_command_offers_the_simulators_scenarios() -> None:
    option = next(option for option in demo.params if option.name == "scenario")

    assert tuple(option.type.choices) == SCENARIOS  # type: ignore[attr-defined]
