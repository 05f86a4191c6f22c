"""What is stored of a customer or terminal, in words."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal

from stream.adapters.redis_store import RedisStore
from stream.clock import DAY_MS
from stream.features.customer import HOUR_PARTS, CustomerState, unpack_customers
from stream.features.risk import RiskRecord, unpack_risks
from stream.ports import RiskKey
from stream.settings import Settings


def describe(settings: Settings, kind: Literal["customer", "terminal"], name: str) -> list[str]:
    """Return what is stored, a line each; empty when nothing is.

    Raises
    ------
    InfrastructureError
        Redis does not answer.
    """
    store = RedisStore.of(settings)
    try:
        tokens = settings.tokens
        name = tokens.customer(name) if kind == "customer" else tokens.identifier(name)
        key: RiskKey = (kind, name)
        lines = []
        for partition in range(settings.partitions if kind == "customer" else 0):
            stored = store.load(partition, [name], [], [], []).customers
            for row in unpack_customers([state for state in stored if state is not None]):
                lines += _customer(CustomerState.of(row), partition)
        for record in unpack_risks([*store.find_risks([key]).values()]):
            lines += _risk(record)
        return lines
    finally:
        store.close()


def _customer(state: CustomerState, partition: int) -> list[str]:
    counts, sums = state.day_counts, state.day_sums
    facts = {
        "partition": partition,
        "transactions seen": state.seen,
        "last transaction": _moment(state.last_event_time),
        "usual amount": f"{state.usual:.2f}, give or take {state.spread**0.5:.2f}",
        f"until {_day(state.day)}": f"{counts[0]} that day, {sum(counts[:7])} in 7 days, {sum(counts)} in 30",
        "amounts": f"{sum(sums[:7]) / 100:.2f} in 7 days, {sum(sums) / 100:.2f} in 30",
        "high amounts": f"{sum(state.high_counts)} in 14 days",
        "largest amount": f"{max(state.max_ratios) / 1000:.1f} times the usual in 14 days",
    }
    if state.last_high:
        facts["last high amount"] = _moment(state.last_high)
    if any(state.hour_parts):
        hours, habits = 24 // HOUR_PARTS, sum(state.hour_parts)
        shares = (f"{n * hours:02d} h {count / habits:.0%}" for n, count in enumerate(state.hour_parts))
        facts["hours, UTC"] = ", ".join(shares)
    kinds = {"countries": state.countries, "categories": state.categories, "channels": state.channels}
    if any(kinds.values()):
        # Two may share a bit of the set.
        facts["seen at least"] = ", ".join(f"{known.bit_count()} {kind}" for kind, known in kinds.items())
    return _lines(facts)


def _risk(record: RiskRecord) -> list[str]:
    facts = {
        "labels": f"{sum(record.labels)} in the 30 days until {_day(record.day)}",
        "frauds reported": f"{sum(record.frauds[:7])} in 7 days, {sum(record.frauds)} in 30",
    }
    if record.last_fraud:
        ratio = record.last_ratio / 1000
        facts["last fraud"] = f"{_moment(record.last_fraud)}, {ratio:.1f} times the usual amount"
    if record.recent > 1:
        labels = record.recent.bit_length() - 1
        facts["last labels"] = f"{record.recent.bit_count() - 1} of {labels} frauds, those explained left out"
    if record.run:
        facts["frauds in a row"] = f"{record.run} since {_moment(record.run_start)}"
    return _lines(facts)


def _lines(facts: Mapping[str, object]) -> list[str]:
    return [f"{name:<20} {fact}" for name, fact in facts.items()]


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _day(days: int) -> str:
    return datetime.fromtimestamp(days * DAY_MS / 1000, UTC).strftime("%Y-%m-%d")
