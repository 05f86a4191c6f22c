"""What swaps did to a stream, by the scores as they were read: who answered, and how long that took."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

MOST_EXCESS_MS: Final = 100.0
"""By which the slowest transaction about a swap may exceed the usual second's slowest."""
_HALF_SECOND: Final = 0.5


class Seen(NamedTuple):
    """A score as the reader saw it."""

    number: int
    """Of its transaction."""
    partition: int
    moment: float
    """Monotonic, seconds."""
    version: str
    snapshot: int


def swapping(
    seen: Sequence[Seen], measured: Sequence[Seen], latencies: NDArray[np.float64], rate: float
) -> dict[str, Any]:
    """Return what there was to see of swaps.

    Parameters
    ----------
    seen
        Every answer, in the order of reading.
    measured
        First answers to the transactions that count, in that order.
    latencies
        Of `measured`, in milliseconds.
    rate
        Transactions a second.

    Returns
    -------
    dict
        ``swaps``: changes of the champion, in the partition that saw fewest, among `measured`;
        ``changes_by_partition``: those of each partition, in all that was seen; ``of_two_versions``:
        transactions that more than one model answered; ``usual_slowest_ms``: the median, over the seconds
        without a swap, of the second's slowest; ``swap_excess_ms``: by how much the slowest of those due
        within half a second of each change exceeded it; ``quiet_seconds``, ``quiet_over``: the seconds
        without, and how many of them exceeded it by more than `MOST_EXCESS_MS`.
    """
    versions: dict[int, set[str]] = {}
    for one in seen:
        versions.setdefault(one.number, set()).add(one.version)
    changed = _changes(measured)
    swaps = min(map(len, changed.values()), default=0)
    due = np.array([one.number for one in measured]) / rate
    about = [_near(due, [numbers[swap] / rate for numbers in changed.values()]) for swap in range(swaps)]
    slowest = [float(latencies[some].max()) for some in about]
    seconds = np.floor(due - due.min()).astype(np.int64) if len(due) else np.zeros(0, np.int64)
    every = [number / rate for numbers in changed.values() for number in numbers]
    loud = set(seconds[_near(due, every)].tolist())
    quiet = [float(latencies[seconds == one].max()) for one in sorted({*seconds.tolist()} - loud)]
    usual = float(np.median(quiet)) if quiet else float("nan")
    return {
        "swaps": swaps,
        "changes_by_partition": {
            str(partition): len(numbers) for partition, numbers in _changes(seen).items()
        },
        "of_two_versions": sum(len(some) > 1 for some in versions.values()),
        "usual_slowest_ms": usual,
        "swap_excess_ms": [one - usual for one in slowest],
        "quiet_seconds": len(quiet),
        "quiet_over": sum(one > usual + MOST_EXCESS_MS for one in quiet),
    }


def _changes(seen: Sequence[Seen]) -> dict[int, list[int]]:
    """Return, of each partition, the transactions that another model answered than the one before them."""
    serving: dict[int, str] = {}
    changes: dict[int, list[int]] = {}
    for one in seen:
        before = changes.setdefault(one.partition, [])
        if serving.get(one.partition, one.version) != one.version:
            before.append(one.number)
        serving[one.partition] = one.version
    return changes


def _near(due: NDArray[np.float64], moments: Sequence[float]) -> NDArray[np.bool_]:
    """Tell which transactions were due within half a second of one of the moments."""
    near = np.zeros(len(due), bool)
    for moment in moments:
        near |= np.abs(due - moment) <= _HALF_SECOND
    return near
