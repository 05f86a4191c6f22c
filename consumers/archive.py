"""The archive: scores and labels as Parquet files, by day, each record in exactly one of them."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from consumers.decoder import Decoder
from consumers.stopping import Stop
from consumers.subscription import Subscription
from stream.clock import Clock
from stream.decoding import label_called
from stream.records import Label, Record, Score
from stream.tokens import NO_TOKENS, Tokens

BATCH_RECORDS: Final = 5_000
_TIME: Final = pa.timestamp("ms", tz="UTC")
_PLACE: Final = (("partition", pa.int32()), ("offset", pa.int64()))

SCORES: Final = pa.schema(
    [
        ("transaction_id", pa.string()),
        ("event_time", _TIME),
        ("customer_id", pa.string()),
        ("terminal_id", pa.string()),
        ("amount", pa.float64()),
        ("score", pa.float64()),
        ("decision", pa.string()),
        ("threshold", pa.float64()),
        ("model_version", pa.string()),
        ("snapshot", pa.int64()),
        ("feature_schema", pa.string()),
        ("features", pa.list_(pa.float32())),
        ("shadow", pa.map_(pa.string(), pa.float64())),
        ("scored_at", _TIME),
        *_PLACE,
    ]
)
LABELS: Final = pa.schema(
    [
        ("transaction_id", pa.string()),
        ("is_fraud", pa.bool_()),
        ("source", pa.string()),
        ("label_time", _TIME),
        *_PLACE,
    ]
)


@dataclass(frozen=True)
class Series:
    """One kind of record in the archive."""

    folder: str
    """Its folder: ``scores`` or ``labels``."""
    schema: pa.Schema
    time_field: str
    """Whose day a record is filed under."""
    decoder: Decoder[Any]


@dataclass
class _Chunk:
    """Records of one partition that are not filed yet."""

    start: int
    """Offset of the first, whether it could be decoded or not."""
    last: Record
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    """By day."""


class Archive:
    """Files scores and labels under ``FOLDER/scores/date=2018-04-01/`` and ``FOLDER/labels/date=.../``.

    Parameters
    ----------
    folder
        Where; made when missing. Several archivers of one consumer group may share it.
    subscription_to
        Makes the subscription to both topics, given its `on_revoked` and `on_lost`.
    scores, labels
        The topics' names.
    clock
        The present.
    tokens
        What identifiers are called: labels have them as their source calls them, scores as the stream does.
    roll_records
        Records in memory after which they are filed, at about 1 KB each.
    roll_ms
        Age of the oldest record in memory after which they are filed.

    Notes
    -----
    A file is named by topic, partition, the first and last offset of its chunk, and its writer. It is written
    beside its place, flushed to disk, and renamed; offsets are committed after that. When the process dies in
    between, whoever reads on starts at the same offset, removes what had been filed from there, and files it
    again. A topic that was made anew counts from 0 again: give it another folder.
    """

    def __init__(
        self,
        folder: Path,
        subscription_to: Callable[..., Subscription],
        *,
        scores: str,
        labels: str,
        clock: Clock,
        tokens: Tokens = NO_TOKENS,
        roll_records: int = 50_000,
        roll_ms: int = 60_000,
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._tokens = tokens
        self._roll_records = roll_records
        self._roll_ms = roll_ms
        self._series = {
            scores: Series("scores", SCORES, "event_time", Decoder(Score)),
            labels: Series("labels", LABELS, "label_time", Decoder(Label)),
        }
        self._writer = uuid4().hex[:8]
        self._chunks: dict[tuple[str, int], _Chunk] = {}
        self._begun: set[tuple[str, int]] = set()
        """Partitions whose leftovers have been removed since they were assigned."""
        self._held = 0
        self._oldest_ms = 0
        self.filed = 0
        self._subscription = subscription_to(on_revoked=self._give_back, on_lost=self._drop)

    @property
    def foreign(self) -> int:
        """Records passed over because they were neither scores nor labels."""
        return sum(series.decoder.foreign for series in self._series.values())

    def run(self, stop: Stop, *, idle_seconds: float | None = None) -> None:
        """File records until told to stop, or until none have come for `idle_seconds`."""
        idle_since = self._clock()
        with self._subscription as subscription:
            for batch in subscription.batches(BATCH_RECORDS, stop):
                now = self._clock()
                self.hold(batch)
                if self._held >= self._roll_records or (
                    self._chunks and now - self._oldest_ms >= self._roll_ms
                ):
                    self.roll()
                if batch or not subscription.joined:
                    idle_since = now
                elif idle_seconds is not None and now - idle_since >= idle_seconds * 1000:
                    break
            self.roll()

    def hold(self, batch: Iterable[Record]) -> None:
        """Decode records and hold them in memory."""
        for record in batch:
            if not self._chunks:
                self._oldest_ms = self._clock()
            place = record.topic, record.partition
            if place not in self._begun:
                self._begun.add(place)
                self._remove_leftovers(record)
            chunk = self._chunks.get(place)
            if chunk is None:
                chunk = self._chunks[place] = _Chunk(record.offset, record)
            chunk.last = record
            self._held += 1
            series = self._series[record.topic]
            decoded = series.decoder(record)
            if isinstance(decoded, Label):
                decoded = label_called(decoded, self._tokens)
            if decoded is not None:
                row = msgspec.structs.asdict(decoded)
                row |= {"partition": record.partition, "offset": record.offset}
                chunk.rows[_day(row[series.time_field])].append(row)

    def roll(self) -> None:
        """File what is held, and commit it."""
        written = []
        for (topic, partition), chunk in self._chunks.items():
            series = self._series[topic]
            name = f"{topic}-{partition}-{chunk.start:020}-{chunk.last.offset:020}-{self._writer}.parquet"
            for day, rows in chunk.rows.items():
                path = self._folder / series.folder / f"date={day}" / name
                _write(path, rows, series.schema)
                written.append(path)
            self._subscription.done(chunk.last)
        if self._subscription.commit():
            self.filed += sum(len(rows) for chunk in self._chunks.values() for rows in chunk.rows.values())
        else:
            # Somebody else reads all this from where we began, and files it.
            for path in written:
                path.unlink(missing_ok=True)
        self._forget()

    def _remove_leftovers(self, first: Record) -> None:
        """Remove what was filed from `first` on: it was not committed, or this would not come again."""
        name = f"{first.topic}-{first.partition}-{first.offset:020}-*.parquet"
        for pattern in (f"date=*/{name}", f"date=*/.{name}"):
            for leftover in (self._folder / self._series[first.topic].folder).glob(pattern):
                leftover.unlink(missing_ok=True)

    def _give_back(self) -> None:
        self.roll()
        self._begun.clear()

    def _drop(self) -> None:
        self._forget()
        self._begun.clear()

    def _forget(self) -> None:
        self._chunks.clear()
        self._held = 0


def _write(path: Path, rows: Sequence[dict[str, Any]], schema: pa.Schema) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, pa.Table.from_pylist(list(_columns(rows, schema)), schema=schema))


def write_table(path: Path, table: pa.Table) -> None:
    """Write a file of the archive: in its place and on the disk when this returns, or not there at all."""
    # Readers of the folder pass over names that begin with a dot.
    unfinished = path.with_name(f".{path.name}")
    with unfinished.open("wb") as file:
        pq.write_table(table, file, compression="zstd")
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # the name itself must outlive a power cut too, before its offsets are committed
    finally:
        os.close(descriptor)


def _columns(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> Iterator[dict[str, Any]]:
    names = schema.names
    for row in rows:
        columns = {name: row[name] for name in names}
        if "shadow" in columns:
            columns["shadow"] = list(columns["shadow"].items())
        yield columns


def _day(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, tz=UTC):%Y-%m-%d}"
