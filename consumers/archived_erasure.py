"""Removing a customer from the archive: its Parquet files are written anew without them."""

from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from consumers.archive import write_table


class ErasedRows(NamedTuple):
    """What was removed."""

    scores: int
    labels: int


def erase_archived(folder: Path, customers: AbstractSet[str], transactions: AbstractSet[str]) -> ErasedRows:
    """Remove all scores of a customer from an archive, and the labels of their transactions.

    Parameters
    ----------
    folder
        The archive's. Archivers may go on meanwhile: each file is replaced at once, under its own name.
    customers
        The identifiers that the customer has had.
    transactions
        Identifiers of theirs that are known already, which need not be archived.

    Notes
    -----
    Every file is looked at, only those in which there was something are written. One with nothing left goes.
    """
    scores = 0
    known = set(transactions)
    for path in sorted((folder / "scores").glob("date=*/*.parquet")):
        table = pq.read_table(path, partitioning=None)
        theirs = pc.is_in(table["customer_id"], pa.array(sorted(customers), pa.string()))
        known.update(table.filter(theirs)["transaction_id"].to_pylist())
        scores += _keep(path, table, theirs)
    labels = 0
    for path in sorted((folder / "labels").glob("date=*/*.parquet")):
        table = pq.read_table(path, partitioning=None)
        theirs = pc.is_in(table["transaction_id"], pa.array(sorted(known), pa.string()))
        labels += _keep(path, table, theirs)
    return ErasedRows(scores, labels)


def _keep(path: Path, table: pa.Table, theirs: pa.ChunkedArray) -> int:
    """Write a file anew without some rows; return how many these were."""
    left = table.filter(pc.invert(theirs))
    gone = int(table.num_rows - left.num_rows)
    if gone and left.num_rows:
        write_table(path, left)
    elif gone:
        path.unlink()
    return gone
