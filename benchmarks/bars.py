"""Bars: what a benchmark must show, held against what it has shown."""

from collections.abc import Sequence
from typing import Literal, NamedTuple


class Bar(NamedTuple):
    """One figure and its bar."""

    name: str
    value: float
    least_or_most: Literal["at least", "at most"]
    bar: float

    @property
    def met(self) -> bool:
        """Whether it is met; a figure that is no number meets none."""
        return self.value >= self.bar if self.least_or_most == "at least" else self.value <= self.bar


def hold(bars: Sequence[Bar]) -> bool:
    """Print each figure beside its bar, and tell whether all are met."""
    for bar in bars:
        verdict = "met" if bar.met else "MISSED"
        print(f"{bar.name:26} {bar.value:12,.2f}   {bar.least_or_most} {bar.bar:,g}: {verdict}")
    return all(bar.met for bar in bars)
