"""How many pending records are read at once: side by side, with the same results as one by one."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from stream.clock import DAY_MS, HOUR_MS
from stream.pipeline.lineup import Lineup
from stream.pipeline.pending import LAYOUT, Pending
from stream.pipeline.pending_packing import FLOAT, SMALL, USUAL, front_type, named_lineup, unpack_pending

_FEW: Final = 8
"""Records that are sooner read one by one."""

Bytes = NDArray[np.uint8]
Places = NDArray[np.intp]


def unpack_pendings(packed: Mapping[str, bytes], lineups: Mapping[str, Lineup]) -> dict[str, Pending]:
    """Decode stored pending records, each as :func:`~stream.pipeline.pending_packing.unpack_pending` does.

    Parameters
    ----------
    packed
        As stored, by transaction id.
    lineups
        Those that are known, by name.

    Raises
    ------
    SnapshotError
        One is not a pending record of this layout, or of none of the `lineups`.
    """
    names = [*packed]
    records = [*packed.values()]
    several: defaultdict[str, list[int]] = defaultdict(list)
    for place, record in enumerate(records):
        several[named_lineup(record)].append(place)
    opened: list[Pending | None] = [None] * len(records)
    for name, places in several.items():
        if name in lineups and len(places) >= _FEW:
            found = _open([records[place] for place in places], lineups[name])
            for place, pending in zip(places, found, strict=True):
                opened[place] = pending
    # What is left is rare, or is no pending record: then this says why.
    return {
        name: unpack_pending(record, lineups) if pending is None else pending
        for name, record, pending in zip(names, records, opened, strict=True)
    }


def _open(records: Sequence[bytes], lineup: Lineup) -> Sequence[Pending | None]:
    """Read records of one lineup; None for those with reasons, and for all where one is damaged."""
    nothing = [None] * len(records)
    width = lineup.width
    front = front_type(len(lineup.models), width)
    sizes = np.array([len(one) for one in records])
    if (sizes < front.itemsize).any():
        return nothing
    raw = b"".join(records)
    flat = np.frombuffer(raw, np.uint8)
    ends = np.cumsum(sizes)
    begins = ends - sizes
    fronts = flat[begins[:, None] + np.arange(front.itemsize)].view(front)[:, 0]
    kinds = _kinds(fronts["kinds"])
    small, whole = kinds[:, :width] == SMALL, kinds[:, :width] == FLOAT
    smalls, wholes = small.sum(axis=1), whole.sum(axis=1)
    bodies = begins + front.itemsize
    floats = bodies + smalls
    customers = floats + 4 * wholes
    terminals = customers + fronts["customer"]
    lasts = terminals + fronts["terminal"]
    if (fronts["layout"] != LAYOUT).any() or kinds[:, width:].any() or (lasts > ends).any():
        return nothing
    event_times, scored_at = _times(fronts["event_time"]), _times(fronts["scored_at"])
    amounts, thresholds, scores = fronts["amount"], fronts["threshold"], fronts["scores"]
    features = np.where(kinds[:, :width] == USUAL, np.frombuffer(lineup.usual, "<f4"), np.float32(0.0))
    for column, own in enumerate((amounts, event_times % DAY_MS / HOUR_MS)[:width]):
        unsaid = np.flatnonzero(np.isnan(features[:, column]))
        with np.errstate(over="ignore"):  # what is too large for a float32 is refused below
            features[unsaid, column] = own[unsaid]
    # By places: with a mask it takes numpy several times as long.
    each = features.reshape(-1)
    each[np.flatnonzero(small)] = flat[_side_by_side(bodies, smalls)]
    each[np.flatnonzero(whole)] = flat[_side_by_side(floats, wholes, 4)[:, None] + np.arange(4)].view("<f4")[
        :, 0
    ]
    numbers = (features, amounts, thresholds, scores)
    if not all(np.isfinite(one).all() for one in numbers):
        return nothing
    kept, size = features.tobytes(), 4 * width
    try:
        return [
            None
            if last < end
            else Pending(
                LAYOUT,
                lineup.feature_schema,
                kept[n * size : (n + 1) * size],
                lineup.models,
                tuple(said),
                snapshot,
                threshold,
                event_time,
                amount,
                raw[customer:terminal].decode(),
                raw[terminal:last].decode(),
                time,
            )
            for n, (said, snapshot, threshold, event_time, amount, customer, terminal, last, end, time) in (
                enumerate(
                    zip(
                        scores.tolist(),
                        fronts["snapshot"].tolist(),
                        thresholds.tolist(),
                        event_times.tolist(),
                        amounts.tolist(),
                        customers.tolist(),
                        terminals.tolist(),
                        lasts.tolist(),
                        ends.tolist(),
                        scored_at.tolist(),
                        strict=True,
                    )
                )
            )
        ]
    except UnicodeDecodeError:
        return nothing


def _kinds(packed: Bytes) -> Bytes:
    """Tell how each feature is stored; (n, bytes) to (n, four to a byte)."""
    kinds: Bytes = packed[:, :, None] >> np.array([0, 2, 4, 6], np.uint8) & np.uint8(3)
    return kinds.reshape(len(packed), -1)


def _times(six: Bytes) -> NDArray[np.int64]:
    eight = np.zeros((len(six), 8), np.uint8)
    eight[:, :6] = six
    times: NDArray[np.int64] = eight.view("<i8")[:, 0]
    return times


def _side_by_side(begins: Places, counts: Places, size: int = 1) -> Places:
    """Return where values lie of which each record has some in a row, record after record."""
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    places: Places = np.repeat(begins, counts) + size * number
    return places
