"""Rivals: other ways to live with a change, on the features, labels and delays of the same stream.

From the change on; before it, all of them serve what the first champion says.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.drift.observed import DELAY_DAYS, Observed
from stream.batch.fit import fit
from stream.batch.window import TrainingSet
from stream.clock import DAY_MS, HOUR_MS
from stream.features.catalogue import FEATURE_NAMES
from stream.models.compiled import CompiledModel
from stream.models.lessons import EVERY_VIEW, Lessons
from stream.models.online import OnlineModel
from stream.models.recipes import recipe

_SNAPSHOT_LABELS: Final = 1_000
_SEED: Final = 40_000
WINDOW_DAYS: Final = 28
WEEK_DAYS: Final = 7


def oracle(seen: Observed, changes: Sequence[int]) -> NDArray[np.float64]:
    """Know the day of each change: begin anew on what came after, and serve that as soon as it can speak.

    Until it can, for the first labels are a week late, what served before goes on.
    """
    scores = seen.alone.copy()
    model, since, begun, unpublished = _fresh(0), 0, -1, 0
    compiled: CompiledModel | None = None
    for day, labels, transactions in _hours(seen):
        due = sum(day >= change for change in changes) - 1
        if due > begun:
            begun, model = due, _fresh(due)
            since = int(np.searchsorted(seen.day, changes[due]))
        if begun < 0:
            continue
        known = slice(max(labels.start, since), max(labels.stop, since))
        _teach(model, seen, known)
        unpublished += known.stop - known.start
        if model.ready and (compiled is None or unpublished >= _SNAPSHOT_LABELS):
            compiled, unpublished = model.compile(), 0
        if compiled is not None:
            scores[transactions] = compiled.predict(seen.features[transactions])
    return scores


def weekly(seen: Observed, begin_day: int) -> NDArray[np.float64]:
    """Begin the same recipe anew every week, on the labels of the last four."""

    def grow(window: slice, number: int) -> CompiledModel:
        model = _fresh(number)
        _teach(model, seen, window)
        return model.compile()

    return _refitted(seen, begin_day, grow)


def lightgbm(seen: Observed, begin_day: int) -> NDArray[np.float64]:
    """Fit LightGBM every week on the labels of the last four."""

    def grow(window: slice, number: int) -> CompiledModel:
        rows = seen.features[window].astype(np.float32)
        known = (seen.event_time[window] + DELAY_DAYS * DAY_MS).tolist()
        return fit(TrainingSet(rows, seen.is_fraud[window], 1.0, known[0], known[-1]), _SEED + number)

    return _refitted(seen, begin_day, grow)


def _refitted(
    seen: Observed, begin_day: int, grow: Callable[[slice, int], CompiledModel]
) -> NDArray[np.float64]:
    scores, day = seen.alone.copy(), seen.day
    for number, first in enumerate(range(begin_day, seen.days, WEEK_DAYS)):
        known = first - DELAY_DAYS
        window = slice(*np.searchsorted(day, [known - WINDOW_DAYS, known]).tolist())
        served = slice(*np.searchsorted(day, [first, first + WEEK_DAYS]).tolist())
        scores[served] = grow(window, number).predict(seen.features[served])
    return scores


def _fresh(number: int) -> OnlineModel:
    return recipe("ensemble").build(_SEED + 1_000 * number, FEATURE_NAMES)


def _teach(model: OnlineModel, seen: Observed, rows: slice) -> None:
    count = rows.stop - rows.start
    if count > 0:
        names = seen.names(rows.start, rows.stop)
        model.learn_rows(Lessons(names, seen.features[rows], seen.is_fraud[rows], [EVERY_VIEW] * count))


def _hours(seen: Observed) -> Iterator[tuple[int, slice, slice]]:
    """Yield for each hour its day, the labels that come, and the transactions that follow them."""
    times = seen.event_time
    begin = times[0] // DAY_MS * DAY_MS
    hours = np.arange(begin, times[-1] + HOUR_MS, HOUR_MS)
    done = np.searchsorted(times, hours)
    matured = np.searchsorted(times, hours - DELAY_DAYS * DAY_MS, "right")
    labelled = 0
    for number, hour in enumerate(hours.tolist()):
        end = int(done[number + 1]) if number + 1 < len(hours) else len(times)
        yield (
            (hour - int(begin)) // DAY_MS,
            slice(labelled, int(matured[number])),
            slice(int(done[number]), end),
        )
        labelled = int(matured[number])
