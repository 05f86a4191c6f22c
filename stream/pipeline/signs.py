"""Signs: what scored batches show of the population, labels of their arrival; events of what has fired."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from stream.clock import DAY_MS, SECOND_MS
from stream.columns import Transactions
from stream.drift.arrival import Arrival, ArrivalSign
from stream.drift.population import Glance, Sign
from stream.features.catalogue import FEATURE_NAMES
from stream.pipeline.pending import PendingBatch
from stream.records import Label, ModelEvent

if TYPE_CHECKING:  # with it comes River, which a scorer has no use for
    from stream.pipeline.learning import Joined

_NEW_TERMINAL: Final = FEATURE_NAMES.index("new_terminal")
_PAST: Final = FEATURE_NAMES.index("customer_count_30d")


def glance_at(scored: PendingBatch, transactions: Transactions) -> Glance:
    """Return a batch as the population's watch sees it.

    Parameters
    ----------
    scored
        What was scored for the first time.
    transactions
        Those among which they are; nearly always the same ones.
    """
    columns: Iterable[Sequence[str | None]]
    columns = (transactions.countries, transactions.categories, transactions.channels)
    if scored.names != transactions.names:
        places = {name: place for place, name in enumerate(transactions.names)}
        some = [places[name] for name in scored.names]
        columns = ([one[place] for place in some] for one in columns)
    scores = np.asarray(scored.scores, np.float64)
    flags: NDArray[np.bool_] = np.column_stack(
        [
            scores[:, 0] >= scored.thresholds,
            scored.features[:, _NEW_TERMINAL] > 0,
            scored.features[:, _PAST] == 0,
            *(_missing(column) for column in columns),
        ]
    )
    return Glance(scored.event_times, scored.features, scores, scored.lineup.models, flags)


def _missing(column: Sequence[str | None]) -> NDArray[np.bool_]:
    # By way of bytes: a list of so many booleans takes numpy twice as long.
    return np.frombuffer(bytes([one is None for one in column]), np.bool_)


def event_of(sign: Sign, champion: str, now_ms: int) -> ModelEvent:
    """Say on ``model-events`` that a signal has fired."""
    value, usual, allowed = sign.departure
    about = f" of {sign.about}" if sign.about else ""
    detail = f"{sign.signal}{about}: {value:.3g} in a day, where {usual:.3g} was usual"
    evidence: dict[str, float | int | str] = {
        "signal": sign.signal,
        "value": value,
        "usual": usual,
        "allowed": allowed,
    }
    if sign.about:
        evidence["feature"] = sign.about
    return ModelEvent(
        kind="signal",
        model_version=champion,
        detail=detail,
        evidence=evidence,
        label_offset=-1,
        event_time=(sign.day + 1) * DAY_MS,
        recorded_at=now_ms,
    )


def arrivals_of(
    joined: Iterable["Joined"], corrections: Collection[int], given_up: Iterable[Label]
) -> Iterator[Arrival]:
    """Yield labels as the watch on their arrival sees them.

    Parameters
    ----------
    joined
        Those that found their transactions.
    corrections
        The offsets of those that contradicted earlier ones.
    given_up
        Those that found none.
    """
    for label in given_up:
        yield Arrival(label.source, label.label_time, None, label.is_fraud, corrected=False)
    corrected = frozenset(corrections)
    for one in joined:
        label = one.label
        delay = label.label_time - one.pending.event_time
        yield Arrival(label.source, label.label_time, delay, label.is_fraud, one.offset in corrected)


def event_of_arrival(sign: ArrivalSign, champion: str, label_offset: int, now_ms: int) -> ModelEvent:
    """Say on ``model-events`` that a signal of the labels' arrival has fired."""
    value, usual, allowed = sign.departure
    shown = [_in_words(sign, figure) for figure in (value, usual)]
    return ModelEvent(
        kind="signal",
        model_version=champion,
        detail=f"labels of {sign.source}: {sign.signal} {shown[0]}, where {shown[1]} was usual",
        evidence={
            "signal": sign.signal,
            "source": sign.source,
            "value": value,
            "usual": usual,
            "allowed": allowed,
        },
        label_offset=label_offset,
        event_time=(sign.day + 1) * DAY_MS,
        recorded_at=now_ms,
    )


def _in_words(sign: ArrivalSign, figure: float) -> str:
    if sign.signal.startswith("delay_"):
        return f"{figure * SECOND_MS / DAY_MS:.3g} days"
    return f"{figure:.3g}"
