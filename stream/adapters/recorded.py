"""A file of recorded transactions, Parquet or CSV, read as a recording.

The file's columns are those of a :class:`~stream.records.Transaction` and ``is_fraud``, under their own names
or others given by a mapping; what else it holds is ignored. Read piece by piece: memory does not grow with
the file.
"""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from stream.adapters.recorded_columns import TimeUnit, as_milliseconds, as_number, as_text, as_truth, plain
from stream.decoding import EARLIEST_EVENT_MS
from stream.errors import SettingsError
from stream.recording import Recorded, RecordingError
from stream.records import Transaction, encode

TRUTH: Final = "is_fraud"
_REQUIRED: Final = ("transaction_id", "event_time", "customer_id", "terminal_id", "amount")
_OPTIONAL: Final = ("currency", "channel", "country", "merchant_category")
FIELDS: Final = (*_REQUIRED, *_OPTIONAL, TRUTH)
"""What a file's columns can be mapped to."""
SORTING_ROWS: Final = 65_536
"""How far out of event-time order a row may be, in rows: so many are kept to be sorted."""

_CSV_BLOCK_BYTES: Final = 4 * 1024 * 1024


class RecordedFile:
    """Transactions and their truth, from a Parquet or a CSV file.

    Parameters
    ----------
    path
        Ends in .parquet, .pq or .csv (also .csv.gz and other compressions that Arrow knows).
    columns
        The file's name of a field, where it has another: ``{"amount": "TX_AMOUNT"}``.
    time_unit
        What an ``event_time`` of numbers counts since 1970: milliseconds or seconds. Timestamps and ISO 8601
        text say so themselves; without a zone they are UTC.
    labelled
        Whether the truth is read; without it, no transaction ever gets a label.

    Raises
    ------
    SettingsError
        There is no such file, it is neither Parquet nor CSV, or a column is missing.

    Notes
    -----
    Identifiers are text: a number becomes its digits, and a CSV keeps its leading zeros.

    Rows come out in event-time order, equal times in the file's order. A row may be out of order by up to
    `SORTING_ROWS` rows; beyond that the file is refused while it is read, since sorting it would take it
    whole into memory.

    A row that the pipeline would refuse, such as one with a negative amount, comes with the bytes to publish
    in `Recorded.raw` and without a truth: a replay shows it to the pipeline, a backtest leaves it out.

    Takes about 1.5 µs a row.
    """

    rows: int | None
    """How many rows the file holds; None when only reading it would tell."""

    def __init__(
        self,
        path: Path | str,
        *,
        columns: Mapping[str, str] | None = None,
        time_unit: TimeUnit = "ms",
        labelled: bool = True,
    ) -> None:
        self._path = Path(path)
        self._time_unit: TimeUnit = time_unit
        unknown = sorted(set(columns or {}) - set(FIELDS))
        if unknown:
            raise SettingsError(
                f"{unknown[0]!r} is not a field to map a column to; these are: {', '.join(FIELDS)}"
            )
        mapping = dict(columns or {})
        present, self.rows = self._open()
        needed = [*_REQUIRED, *([TRUTH] if labelled else [])]
        # An optional field is read when the file has it, and must be there when it was asked for by name.
        wanted = [*needed, *(f for f in _OPTIONAL if f in mapping or f in present)]
        self._columns = {field: mapping.get(field, field) for field in wanted}
        for field, column in self._columns.items():
            if column not in present:
                raise SettingsError(
                    f"{self._path} has no column {column!r} for {field}; it has {', '.join(present)}:"
                    f" name the right one with --column {field}=NAME"
                    + (", or read it without labels" if field == TRUTH else "")
                )

    def __iter__(self) -> Iterator[Recorded]:
        """Read the file from its beginning.

        Raises
        ------
        RecordingError
            A row has no identifier, or no time; a column is not what its field needs; or the rows are too
            far out of order. One sentence with what to do.
        """
        first_row = itertools.count(1, SORTING_ROWS)
        tables = (
            self._normalised(batch, row) for batch, row in zip(self._batches(), first_row, strict=False)
        )
        for table in self._in_event_order(tables):
            yield from _rows(table)

    def _open(self) -> tuple[list[str], int | None]:
        try:
            if self._is_parquet():
                with pq.ParquetFile(self._path) as file:
                    return file.schema_arrow.names, file.metadata.num_rows
            with pyarrow.csv.open_csv(self._path, read_options=_csv_blocks()) as reader:
                return reader.schema.names, None
        except FileNotFoundError:
            raise SettingsError(f"there is no file {self._path}") from None
        except (pa.ArrowException, OSError) as error:
            kind = "Parquet" if self._is_parquet() else "CSV"
            raise SettingsError(f"{self._path} cannot be read as {kind}: {_first_line(error)}") from error

    def _is_parquet(self) -> bool:
        endings = [ending.lower() for ending in self._path.suffixes[-2:]]
        if endings[-1:] in ([".parquet"], [".pq"]):
            return True
        if ".csv" in endings:
            return False
        raise SettingsError(f"{self._path} is neither .parquet nor .csv; rename it to what it is")

    def _batches(self) -> Iterator[pa.Table]:
        """Yield tables of `SORTING_ROWS` rows, the last one shorter, with our names for the columns."""
        rest: list[pa.RecordBatch] = []
        held = 0
        for batch in self._read():
            rest.append(batch)
            held += batch.num_rows
            if held >= SORTING_ROWS:
                table = pa.Table.from_batches(rest)
                while held >= SORTING_ROWS:
                    yield table.slice(0, SORTING_ROWS)
                    table = table.slice(SORTING_ROWS)
                    held = table.num_rows
                rest = table.to_batches()
        if held:
            yield pa.Table.from_batches(rest)

    def _read(self) -> Iterator[pa.RecordBatch]:
        names = list(self._columns)
        columns = list(self._columns.values())
        try:
            if self._is_parquet():
                with pq.ParquetFile(self._path) as file:
                    for batch in file.iter_batches(SORTING_ROWS, columns=columns):
                        yield batch.select(columns).rename_columns(names)
                return
            # All as text: types guessed from the first block break on a later one, and eat leading zeros.
            convert = pyarrow.csv.ConvertOptions(
                include_columns=columns,
                column_types=dict.fromkeys(columns, pa.string()),
                null_values=[""],  # and not NA, which is a country
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            )
            with pyarrow.csv.open_csv(
                self._path, read_options=_csv_blocks(), convert_options=convert
            ) as reader:
                for batch in reader:
                    yield batch.rename_columns(names)
        except (pa.ArrowException, OSError) as error:
            raise RecordingError(f"{self._path} cannot be read on: {_first_line(error)}") from error

    def _normalised(self, table: pa.Table, first_row: int) -> pa.Table:
        """Give every column the type of its field: text, int64 milliseconds, float64, bool."""
        columns = {}
        for field in table.column_names:
            column = table.column(field)
            try:
                columns[field] = self._column(field, column)
            except pa.ArrowException as error:
                raise RecordingError(
                    f"{self._where(field)} of type {column.type} is not {_WANTED[field]}:"
                    f" {_first_line(error)}"
                ) from error
            if field in _REQUIRED and columns[field].null_count:
                row = first_row + pc.index(columns[field].is_null(), value=True).as_py()
                raise RecordingError(
                    f"{self._where(field)} has nothing in row {row}; every transaction needs one:"
                    " fill it in or leave the row out"
                )
        return pa.table(columns)

    def _column(self, field: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
        column = plain(column)
        match field:
            case "event_time":
                return as_milliseconds(column, self._time_unit)
            case "amount":
                return as_number(column)
            case "is_fraud":
                return as_truth(column)
            case _:
                return as_text(column)

    def _in_event_order(self, tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
        """Sort rows within a window of two tables; the rest of the file must be in order."""
        latest: int | None = None
        held: pa.Table | None = None
        for table in itertools.chain(tables, [None]):
            ready, held = _merge(held, table)
            if ready is None:
                continue
            earliest, last = (ready["event_time"][place].as_py() for place in (0, -1))
            if latest is not None and earliest < latest:
                raise RecordingError(
                    f"{self._path} has a row of time {earliest} more than {SORTING_ROWS} rows after one of"
                    f" {latest}; sort the file by {self._columns['event_time']!r} first"
                )
            latest = last
            yield ready

    def _where(self, field: str) -> str:
        column = self._columns[field]
        return f"column {column!r} of {self._path}" + ("" if column == field else f" (read as {field})")


_WANTED: Final = {
    **dict.fromkeys(FIELDS, "text"),
    "event_time": "a time: timestamps, ISO 8601 text, or numbers counted since 1970",
    "amount": "a number",
    TRUTH: "true or false",
}


def _merge(held: pa.Table | None, table: pa.Table | None) -> tuple[pa.Table | None, pa.Table | None]:
    """Return what can be given out, sorted, and what is to be held back until the next table is seen."""
    if table is not None and not _is_sorted(table):
        table = _sorted(table)
    if held is None or table is None:
        return held, table
    if held["event_time"][-1].as_py() <= table["event_time"][0].as_py():
        return held, table
    both = _sorted(pa.concat_tables([held, table]))
    return both.slice(0, held.num_rows), both.slice(held.num_rows)


def _is_sorted(table: pa.Table) -> bool:
    times = table["event_time"].combine_chunks()
    return bool(pc.all(pc.less_equal(times[:-1], times[1:])).as_py())


def _sorted(table: pa.Table) -> pa.Table:
    # Arrow's sort is stable: equal times keep the file's order.
    return table.take(pc.sort_indices(table["event_time"])).combine_chunks()


def _rows(table: pa.Table) -> Iterator[Recorded]:
    truths = table[TRUTH].to_pylist() if TRUTH in table.column_names else itertools.repeat(None)
    optional = [name for name in _OPTIONAL if name in table.column_names]
    required = [table[name].to_pylist() for name in _REQUIRED]
    if not optional:
        for identifier, event_time, customer, terminal, amount, truth in zip(*required, truths, strict=False):
            transaction = Transaction(
                transaction_id=identifier,
                event_time=event_time,
                customer_id=customer,
                terminal_id=terminal,
                amount=amount,
            )
            yield _checked(transaction, truth)
        return
    names = (*_REQUIRED, *optional)
    values = [*required, *(table[name].to_pylist() for name in optional)]
    for *row, truth in zip(*values, truths, strict=False):
        yield _checked(Transaction(**dict(zip(names, row, strict=True))), truth)


_DECODER: Final = msgspec.json.Decoder(Transaction)


def _checked(transaction: Transaction, is_fraud: bool | None) -> Recorded:
    """Judge a transaction as the pipeline will: by what its bytes decode to."""
    value = encode(transaction)
    try:
        _DECODER.decode(value)
    except msgspec.ValidationError:
        return Recorded(transaction, None, value)
    if transaction.event_time < EARLIEST_EVENT_MS:
        return Recorded(transaction, None, value)
    return Recorded(transaction, is_fraud)


def _csv_blocks() -> Any:
    return pyarrow.csv.ReadOptions(block_size=_CSV_BLOCK_BYTES)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
