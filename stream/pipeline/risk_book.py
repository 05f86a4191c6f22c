"""A risk book: the risk records that a batch of labels changes."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from stream.features.catalogue import FEATURE_NAMES
from stream.features.packing import put
from stream.features.risk import EXPLAINED_RATIO, RISK, pack_risk_rows, unpack_risk_rows
from stream.features.risk_labels import RiskLabels, learn_labels
from stream.pipeline.pending import Pending
from stream.ports import RiskKey
from stream.records import Label

_RATIO: Final = FEATURE_NAMES.index("amount_ratio")
_ZSCORE: Final = FEATURE_NAMES.index("amount_zscore")
_EXPLAINED_ZSCORE: Final = 3.0


class RiskNote(NamedTuple):
    """A label that is to be counted for the terminal and the customer of its transaction."""

    label: Label
    pending: Pending
    corrects: bool = False
    """Whether it contradicts one that was counted."""


class RiskBook:
    """Counts labels.

    Parameters
    ----------
    notes
        In the order of their offsets.
    """

    def __init__(self, notes: Sequence[RiskNote]) -> None:
        self._notes = notes
        keys: list[RiskKey] = [("terminal", one.pending.terminal_id) for one in notes]
        keys += [("customer", one.pending.customer_id) for one in notes]
        self._places: dict[RiskKey, int] = {}
        place = self._places.setdefault
        self._whose = [place(key, len(self._places)) for key in keys]

    @property
    def keys(self) -> list[RiskKey]:
        """Of the records that change, each once."""
        return [*self._places]

    def count(self, stored: Mapping[RiskKey, bytes]) -> dict[RiskKey, bytes]:
        """Make the labels part of the records.

        Parameters
        ----------
        stored
            The records that there are already, of `keys`.

        Returns
        -------
        dict[RiskKey, bytes]
            All of `keys`, for the store.

        Raises
        ------
        SnapshotError
            What is stored is not a risk record.
        """
        if not self._notes:
            return {}
        rows = np.zeros(len(self._places), RISK)
        rows["recent"] = 1
        put(rows, [self._places[key] for key in stored], unpack_risk_rows([*stored.values()]))
        labels = [one.label for one in self._notes]
        pendings = [one.pending for one in self._notes]
        features = np.frombuffer(b"".join(one.features for one in pendings), "<f4")
        features = features.reshape(len(pendings), -1)
        ratio = features[:, _RATIO].astype(np.float64)
        of_each = RiskLabels(
            np.array([one.is_fraud for one in labels]),
            np.array([one.label_time for one in labels], np.int64),
            np.array([one.event_time for one in pendings], np.int64),
            ratio,
            (ratio >= EXPLAINED_RATIO) | (features[:, _ZSCORE] >= _EXPLAINED_ZSCORE),
            np.array([one.corrects for one in self._notes]),
        )
        twice = RiskLabels._make(np.concatenate([column, column]) for column in of_each)
        learn_labels(rows, np.array(self._whose, np.intp), twice)
        return dict(zip(self._places, pack_risk_rows(rows), strict=True))
