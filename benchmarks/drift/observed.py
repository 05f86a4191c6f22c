"""Observed: what the pipeline made of a simulated stream, transaction by transaction."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any, Final, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from producers.scenarios import Scenario
from producers.simulator import Simulator, as_recorded
from stream.backtest.answers import Answers
from stream.backtest.run import Backtest
from stream.clock import DAY_MS
from stream.features.catalogue import WIDTH
from stream.garbage import calm_collector
from stream.recording import Recorded
from stream.settings import Settings

DELAY_DAYS: Final = 7
"""Every label comes so many days after its transaction."""


class Observed(NamedTuple):
    """Arrays of shape (n,), in the order in which transactions were scored."""

    seed: int
    event_time: NDArray[np.int64]
    is_fraud: NDArray[np.bool_]
    features: NDArray[np.float64]
    """Shape (n, width)."""
    served: NDArray[np.float64]
    alone: NDArray[np.float64]
    """What the first champion said, which learns on whoever serves."""
    events: list[dict[str, Any]]
    days: int

    @property
    def day(self) -> NDArray[np.int64]:
        """Days since the stream began."""
        begin = self.event_time[0] // DAY_MS
        days: NDArray[np.int64] = self.event_time // DAY_MS - begin
        return days

    def names(self, begin: int, end: int) -> list[str]:
        """Return the transactions' ids."""
        return [f"s{self.seed}-{number}" for number in range(begin, end)]


def simulated(
    scenario: Scenario, seed: int, days: int, change_day: int, size: float = 1.0, rare: int = 1
) -> Iterator[Recorded]:
    """Simulate 1,000 customers, some 2,000 transactions a day, of which one in a hundred is a fraud.

    With `rare`, so many times as many of both, and one in so many of the frauds: as many as before.
    """
    simulator = Simulator(
        customers=1_000 * rare,
        terminals=2_000 * rare,
        seed=seed,
        days=days,
        scenario=scenario,
        change_day=change_day,
        change_size=size,
    )
    for one in as_recorded(iter(simulator)):
        if not one.is_fraud or crc32(one.transaction.transaction_id.encode()) % rare == 0:
            yield one


def observe(records: Iterable[Recorded], seed: int, days: int, settings: Settings) -> Observed:
    """Run the pipeline over a stream: its roles, in event-time order, labels by the hour."""
    calm_collector()
    run = Backtest(settings)
    seen: list[Answers] = []
    features: list[NDArray[np.float32]] = []

    def keep(answers: Answers) -> None:
        if len(answers.pendings):
            packed = b"".join(pending.features for pending in answers.pendings)
            features.append(np.frombuffer(packed, "<f4").reshape(-1, WIDTH))
            seen.append(answers._replace(pendings=()))

    summary = run.run(
        records,
        timedelta(days=DELAY_DAYS),
        timedelta(hours=1),
        on_answers=keep,
    )
    first = f"{settings.champion}-1"
    return Observed(
        seed,
        np.concatenate([one.event_time for one in seen]),
        np.concatenate([one.truth for one in seen]) == 1,
        np.concatenate(features).astype(np.float64),
        np.concatenate([one.scores[:, 0] for one in seen]),
        np.concatenate([one.scores[:, one.models.index(first)] for one in seen]),
        summary.events,
        days,
    )
