"""The pending records that a role reads, opened with the lineups that they name."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from stream.pipeline.lineup import Lineup, unpack_lineup
from stream.pipeline.pending import Pending
from stream.pipeline.pending_opening import unpack_pendings
from stream.pipeline.pending_packing import named_lineup
from stream.roles.patience import Patience


class LineupStore(Protocol):
    """Where lineups are kept."""

    def find_lineups(self, partitions: Iterable[int]) -> dict[str, bytes]:
        """Find all lineups that were ever committed in these partitions, by name."""
        ...


class PendingReader:
    """Opens pending records; asks for the lineups when it meets one that is new to it.

    Parameters
    ----------
    store
        Has the lineups.
    patience
        With the store.
    """

    def __init__(self, store: LineupStore, patience: Patience) -> None:
        self._store = store
        self._patience = patience
        self._lineups: dict[str, Lineup] = {}

    def open(self, packed: Mapping[str, bytes], partitions: Iterable[int]) -> dict[str, Pending]:
        """Open pending records, by transaction id, that lay in some of the `partitions`.

        Raises
        ------
        SnapshotError
            One is damaged, or of another layout; or its lineup is, or is not stored.
        """
        if not {named_lineup(record) for record in packed.values()} <= self._lineups.keys():
            stored = self._patience(self._store.find_lineups, partitions)
            self._lineups = {
                name: self._lineups.get(name) or unpack_lineup(bytes.fromhex(name), lineup)
                for name, lineup in stored.items()
            } | self._lineups
        return unpack_pendings(packed, self._lineups)
