"""Answers: what a record batch was answered, as columns, beside what its transactions turned out to be."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stream.pipeline.pending import Pending
from stream.recording import Recorded

UNKNOWN: Final = -1
"""The truth of a transaction that never gets a label."""


class Answers(NamedTuple):
    """Columns of shape (n,), in the order in which the transactions were scored.

    A transaction that was refused, or was in the recording before, has no row.
    """

    pendings: Sequence[Pending]
    event_time: NDArray[np.int64]
    """Milliseconds since 1970."""
    amount: NDArray[np.float64]
    truth: NDArray[np.int8]
    """1 for a fraud, 0 for none, `UNKNOWN` when the recording does not say."""
    alert: NDArray[np.bool_]
    threshold: NDArray[np.float64]
    models: tuple[str, ...]
    """The champion first. A record batch is scored by one set of models."""
    scores: NDArray[np.float64]
    """Shape (n, models)."""

    @classmethod
    def of(cls, records: Sequence[Recorded], pendings: Mapping[str, Pending]) -> Self:
        """Put together what one record batch was answered; about 2 µs a transaction.

        Parameters
        ----------
        records
            The batch. Of several with one id, the first is the one that was scored.
        pendings
            The answers by transaction id.
        """
        truths = {one.transaction.transaction_id: one.is_fraud for one in reversed(records)}
        rows = list(pendings.values())
        count = len(rows)
        models = rows[0].models if rows else ()
        return cls(
            rows,
            np.fromiter((row.event_time for row in rows), np.int64, count),
            np.fromiter((row.amount for row in rows), np.float64, count),
            np.fromiter(
                (UNKNOWN if (truth := truths[name]) is None else truth for name in pendings), np.int8, count
            ),
            np.fromiter((row.decision == "alert" for row in rows), np.bool_, count),
            np.fromiter((row.threshold for row in rows), np.float64, count),
            models,
            np.array([row.scores for row in rows]).reshape(count, len(models)),
        )
