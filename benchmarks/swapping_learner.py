"""A learner that swaps its champion more often than it has reason to: the real one, its gate gives in.

    python -m benchmarks.swapping_learner LABELS

The gate compares champion and challengers as always, on the same labels and at the same price, and once in
LABELS labels lets the best challenger through whatever came of it. All that follows is the product's own:
roster and snapshots are published, scorers change over between two batches, the swap goes out on
``model-events``.
"""

import sys
from typing import Any

from stream.evaluation.prequential import PrequentialWindow
from stream.registry.gate import Verdict
from stream.registry.swap import Case
from stream.settings import load_settings
from stream.worker import run_worker

_best = Case._best  # noqa: SLF001 - a fault is built in where the decision falls
_yielded = 0


def _yielding(
    self: Case, window: PrequentialWindow, *given: Any, **more: Any
) -> tuple[str | None, Verdict | None]:
    global _yielded  # noqa: PLW0603 - one learner is one process
    best, verdict = _best(self, window, *given, **more)
    if best is None or verdict is None:
        return best, verdict
    due = window.added - _yielded >= int(sys.argv[1])
    if due:
        _yielded = window.added
    return best, verdict._replace(passed=due, lower=max(verdict.lower, 0.0) if due else verdict.lower)


if __name__ == "__main__":
    Case._best = _yielding  # type: ignore[method-assign]  # noqa: SLF001
    run_worker(load_settings())
