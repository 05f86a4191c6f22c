"""Python's garbage collector, set for a process that makes and drops small records for months."""

import gc
from typing import Final

THRESHOLDS: Final = (20_000, 20, 10)
"""Allocations between two looks at the youngest objects; looks between two at older ones, and at all."""


def calm_collector() -> None:
    """Keep the collector away from what will never be garbage. Call it once everything is imported.

    What the imports have made stays as long as the process: frozen, it is never walked again. Records and
    states hold no cycles and go by their reference counts alone, so there is little to find, and rarely: a
    tenth of a backtest's time went into looking. What does lie in cycles, a Faust event say, waits for the
    next look, some ten thousand objects at the most.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
