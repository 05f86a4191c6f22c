"""The scores that a backtest served, as a Parquet file."""

from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from stream.backtest.run import Scored
from stream.pipeline.pending import Pending


class ScoreFile:
    """Writes scores to Parquet as they come: transaction_id, event_time, score, model_version, and more.

    Parameters
    ----------
    path
        Written under a temporary name beside it, and put in place when everything is in it.
    """

    _SCHEMA = pa.schema(
        [
            ("transaction_id", pa.string()),
            ("event_time", pa.timestamp("ms", tz="UTC")),
            ("score", pa.float64()),
            ("model_version", pa.dictionary(pa.int32(), pa.string())),
            ("snapshot", pa.int32()),
            ("decision", pa.dictionary(pa.int32(), pa.string())),
        ]
    )

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        self._rows: list[tuple[str, Pending]] = []
        self._writer = pq.ParquetWriter(self._partial, self._SCHEMA)

    def add(self, scored: Scored) -> None:
        """Add a step's answers."""
        self._rows += scored.items()
        if len(self._rows) >= 100_000:  # noqa: PLR2004 - a row group of about a megabyte
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()
        if kind is None:
            self._partial.replace(self._path)
        else:
            self._partial.unlink()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        columns = [
            [name for name, _ in rows],
            [pending.event_time for _, pending in rows],
            [pending.scores[0] for _, pending in rows],
            [pending.models[0] for _, pending in rows],
            [pending.snapshot for _, pending in rows],
            [pending.decision for _, pending in rows],
        ]
        arrays = [pa.array(values, type_.type) for values, type_ in zip(columns, self._SCHEMA, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._SCHEMA))
