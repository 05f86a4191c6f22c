"""Recorded files, however they were written."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from stream.adapters import recorded
from stream.adapters.recorded import RecordedFile
from stream.decoding import decode_transactions
from stream.errors import SettingsError
from stream.recording import Recorded, RecordingError
from stream.records import DeadLetterReason, Record, Transaction

START = 1_522_540_831_000


def columns(rows: int = 3, **changed: Any) -> dict[str, Any]:
    return {
        "transaction_id": list(range(rows)),
        "event_time": pa.array([START + 1000 * row for row in range(rows)]),
        "customer_id": pa.array([596] * rows, pa.int32()),
        "terminal_id": [f"00{row}" for row in range(rows)],
        "amount": [57.16] * rows,
        "is_fraud": [row % 2 == 1 for row in range(rows)],
    } | changed


def parquet(folder: Path, content: dict[str, Any], **options: Any) -> Path:
    path = folder / "recorded.parquet"
    pq.write_table(pa.table(content), path, **options)
    return path


def csv(folder: Path, text: str) -> Path:
    path = folder / "recorded.csv"
    path.write_text(text)
    return path


EXPECTED = [
    Recorded(
        Transaction(
            transaction_id=str(row),
            event_time=START + 1000 * row,
            customer_id="596",
            terminal_id=f"00{row}",
            amount=57.16,
        ),
        row % 2 == 1,
    )
    for row in range(3)
]


def test_parquet_is_read_with_numbers_as_text_for_identifiers(tmp_path: Path) -> None:
    file = RecordedFile(parquet(tmp_path, columns()))
    assert list(file) == EXPECTED
    assert file.rows == 3


def test_csv_reads_the_same_and_keeps_leading_zeros(tmp_path: Path) -> None:
    path = tmp_path / "recorded.csv"
    pyarrow.csv.write_csv(pa.table(columns()), path)
    file = RecordedFile(path)
    assert list(file) == EXPECTED
    assert file.rows is None


def test_a_file_can_be_read_again(tmp_path: Path) -> None:
    file = RecordedFile(parquet(tmp_path, columns()))
    assert list(file) == list(file) == EXPECTED


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        (pa.array([START, START + 1000, START + 2000]), "ms"),
        (pa.array([START // 1000 + row for row in range(3)], pa.int32()), "s"),
        (pa.array([START / 1000 + row for row in range(3)]), "s"),
        (pa.array([float(START + 1000 * row) for row in range(3)]), "ms"),
        (pa.array([START * 1000 + 1_000_000 * row for row in range(3)], pa.timestamp("us")), "ms"),
        (pa.array([START + 1000 * row for row in range(3)], pa.timestamp("ms", "UTC")), "s"),
        (
            pa.array(
                [
                    datetime.fromtimestamp(START / 1000 + row, timezone(timedelta(hours=2)))
                    for row in range(3)
                ],
                pa.timestamp("ns", "+02:00"),
            ),
            "ms",
        ),
        ([f"2018-04-01T00:00:3{row}Z" for row in (1, 2, 3)], "ms"),
        ([f"2018-04-01 02:00:3{row}+02:00" for row in (1, 2, 3)], "ms"),
        ([f"2018-04-01 00:00:3{row}" for row in (1, 2, 3)], "ms"),
        ([f"2018-04-01 00:00:3{row}.000250" for row in (1, 2, 3)], "ms"),
        ([str(START + 1000 * row) for row in range(3)], "ms"),
        ([f"{START // 1000 + row}.0" for row in range(3)], "s"),
        (pa.array([f"2018-04-01T00:00:3{row}Z" for row in (1, 2, 3)]).dictionary_encode(), "ms"),
        (pa.array([f"2018-04-01T00:00:3{row}Z" for row in (1, 2, 3)], pa.large_string()), "ms"),
    ],
)
def test_every_usual_way_to_write_a_time_is_read(tmp_path: Path, times: Any, unit: Any) -> None:
    file = RecordedFile(parquet(tmp_path, columns(event_time=times)), time_unit=unit)
    assert list(file) == EXPECTED


def test_dates_are_midnight_utc(tmp_path: Path) -> None:
    path = parquet(tmp_path, columns(event_time=pa.array([datetime(2018, 4, 1, tzinfo=UTC).date()] * 3)))
    assert {row.transaction.event_time for row in RecordedFile(path)} == {1_522_540_800_000}


def test_seconds_taken_for_milliseconds_are_noticed(tmp_path: Path) -> None:
    path = parquet(tmp_path, columns(event_time=[START // 1000 + row for row in range(3)]))
    with pytest.raises(RecordingError, match="in 1970; if it holds seconds, say --time-unit s"):
        list(RecordedFile(path))


@pytest.mark.parametrize(
    "truths",
    [
        [False, True, False],
        [0, 1, 0],
        ["0", "1", "0"],
        ["false", "TRUE", "No"],
        [0.0, 1.0, 0.0],
    ],
)
def test_every_usual_way_to_write_a_truth_is_read(tmp_path: Path, truths: list[Any]) -> None:
    assert list(RecordedFile(parquet(tmp_path, columns(is_fraud=truths)))) == EXPECTED


def test_an_unknown_truth_gets_no_label(tmp_path: Path) -> None:
    path = parquet(tmp_path, columns(is_fraud=[None, True, None]))
    assert [row.is_fraud for row in RecordedFile(path)] == [None, True, None]


@pytest.mark.parametrize("amounts", [pa.array([Decimal("57.16")] * 3), pa.array(["57.16"] * 3)])
def test_amounts_are_read_from_decimals_and_text(tmp_path: Path, amounts: pa.Array) -> None:
    assert list(RecordedFile(parquet(tmp_path, columns(amount=amounts)))) == EXPECTED


def test_columns_of_other_names_are_mapped_and_the_rest_is_ignored(tmp_path: Path) -> None:
    content = columns(TX_FRAUD_SCENARIO=[0, 1, 0])
    content["TX_AMOUNT"] = content.pop("amount")
    content["TX_FRAUD"] = content.pop("is_fraud")
    file = RecordedFile(parquet(tmp_path, content), columns={"amount": "TX_AMOUNT", "is_fraud": "TX_FRAUD"})
    assert list(file) == EXPECTED


def test_optional_fields_are_read_where_there_are_any(tmp_path: Path) -> None:
    path = parquet(tmp_path, columns(currency=["EUR", None, "GBP"], mcc=[5411.0, None, 5812.0]))
    rows = [row.transaction for row in RecordedFile(path, columns={"merchant_category": "mcc"})]
    assert [row.currency for row in rows] == ["EUR", None, "GBP"]
    assert [row.merchant_category for row in rows] == ["5411", None, "5812"]
    assert [row.country for row in rows] == [None] * 3


def test_an_empty_cell_of_a_csv_is_nothing_and_a_country_called_na_is_one(tmp_path: Path) -> None:
    path = csv(
        tmp_path,
        "transaction_id,event_time,customer_id,terminal_id,amount,is_fraud,country,currency\n"
        "1,2018-04-01T00:00:31Z,NA,null,1.5,,NA,\n",
    )
    (row,) = RecordedFile(path)
    assert row.is_fraud is None
    assert (row.transaction.country, row.transaction.currency) == ("NA", None)
    assert (row.transaction.customer_id, row.transaction.terminal_id) == ("NA", "null")


def test_without_labels_no_truth_is_needed(tmp_path: Path) -> None:
    content = columns()
    del content["is_fraud"]
    assert [row.is_fraud for row in RecordedFile(parquet(tmp_path, content), labelled=False)] == [None] * 3


@pytest.mark.parametrize("field", ["transaction_id", "event_time", "amount", "is_fraud"])
def test_a_missing_column_is_named_with_what_there_is(tmp_path: Path, field: str) -> None:
    content = columns()
    content["odd"] = content.pop(field)
    with pytest.raises(
        SettingsError, match=f"has no column '{field}' for {field}; it has .*odd: .*--column {field}=NAME"
    ):
        RecordedFile(parquet(tmp_path, content))


def test_a_mapping_to_nothing_is_refused(tmp_path: Path) -> None:
    path = parquet(tmp_path, columns())
    with pytest.raises(SettingsError, match="no column 'TX' for amount"):
        RecordedFile(path, columns={"amount": "TX"})
    with pytest.raises(SettingsError, match="'amonut' is not a field to map a column to"):
        RecordedFile(path, columns={"amonut": "amount"})
    with pytest.raises(SettingsError, match="no column 'ccy' for currency"):
        RecordedFile(path, columns={"currency": "ccy"})


def test_a_file_that_is_none_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"there is no file .*none\.parquet"):
        RecordedFile(tmp_path / "none.parquet")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(SettingsError, match=r"notes\.txt is neither \.parquet nor \.csv"):
        RecordedFile(tmp_path / "notes.txt")
    (tmp_path / "torn.parquet").write_text("PAR1 but no more")
    with pytest.raises(SettingsError, match=r"torn\.parquet cannot be read as Parquet"):
        RecordedFile(tmp_path / "torn.parquet")
    with pytest.raises(SettingsError, match="cannot be read as CSV"):
        RecordedFile(csv(tmp_path, ""))


@pytest.mark.parametrize("field", ["transaction_id", "event_time", "customer_id", "terminal_id", "amount"])
def test_a_row_without_what_it_needs_is_named(tmp_path: Path, field: str) -> None:
    content = columns()
    content[field] = pa.array([*pa.array(content[field]).to_pylist()[:2], None])
    with pytest.raises(RecordingError, match=f"column '{field}' .* has nothing in row 3"):
        list(RecordedFile(parquet(tmp_path, content)))


@pytest.mark.parametrize(
    ("field", "values", "complaint"),
    [
        ("amount", ["1.0", "much", "2.0"], "'amount' of .* of type string is not a number: .*much"),
        ("event_time", ["2018-04-01", "soon", "2018-04-02"], "is not a time: .*soon"),
        ("event_time", [True, False, True], "of type bool is not a time"),
        ("is_fraud", ["yes", "maybe", "no"], "is not true or false: 'maybe' is neither"),
        ("is_fraud", [0, 2, 1], "'2' is neither true nor false"),
        ("customer_id", [1.5, 2.0, 3.0], "is not text: "),
    ],
)
def test_a_column_of_the_wrong_kind_is_named(
    tmp_path: Path, field: str, values: list[Any], complaint: str
) -> None:
    path = parquet(tmp_path, columns(**{field: values}))
    with pytest.raises(RecordingError, match=complaint):
        list(RecordedFile(path))


def test_a_mapped_column_of_the_wrong_kind_is_named_by_both_names(tmp_path: Path) -> None:
    path = parquet(tmp_path, columns(TX=["a", "b", "c"]))
    with pytest.raises(RecordingError, match=r"column 'TX' of .* \(read as amount\) of type string is not"):
        list(RecordedFile(path, columns={"amount": "TX"}))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("amount", -1.0, DeadLetterReason.INVALID_AMOUNT),
        ("amount", float("nan"), DeadLetterReason.INVALID_AMOUNT),
        ("customer_id", "x" * 65, DeadLetterReason.INVALID_FIELD),
        ("event_time", 1, DeadLetterReason.INVALID_TIME),
    ],
)
def test_a_row_that_the_pipeline_would_refuse_comes_with_its_bytes_and_without_a_truth(
    tmp_path: Path, field: str, value: Any, reason: DeadLetterReason
) -> None:
    bad, *good = RecordedFile(
        parquet(tmp_path, columns(**{field: [value, *pa.array(columns()[field]).to_pylist()[1:]]}))
        if field != "customer_id"
        else parquet(tmp_path, columns(customer_id=[value, "596", "596"]))
    )
    assert bad.is_fraud is None
    assert bad.raw is not None
    place = Record("transactions", 0, 0, START, bad.transaction.customer_id.encode(), bad.raw)
    assert [letter.reason for letter in decode_transactions([place], START).dead_letters] == [reason]
    assert good == EXPECTED[1:]


def test_rows_come_in_event_order_and_equal_times_in_the_files_order(tmp_path: Path) -> None:
    path = parquet(
        tmp_path, columns(5, event_time=[START + offset for offset in (5000, 1000, 5000, 1000, 3000)])
    )
    assert [row.transaction.transaction_id for row in RecordedFile(path)] == ["1", "3", "4", "0", "2"]


@pytest.mark.parametrize("group", [3, 7, 100])
def test_a_row_may_be_out_of_order_by_the_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    monkeypatch.setattr(recorded, "SORTING_ROWS", 10)
    times = list(range(60))
    times.insert(35, times.pop(25))  # ten rows late
    times.insert(5, times.pop(14))  # nine rows early
    path = parquet(tmp_path, columns(60, event_time=[START + time for time in times]), row_group_size=group)
    rows = list(RecordedFile(path))
    assert [row.transaction.event_time - START for row in rows] == list(range(60))
    assert sorted(int(row.transaction.transaction_id) for row in rows) == list(range(60))


def test_a_row_further_out_of_order_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded, "SORTING_ROWS", 10)
    path = parquet(tmp_path, columns(60, event_time=[START + time for time in [*range(1, 60), 0]]))
    with pytest.raises(
        RecordingError, match=r"more than 10 rows after one of .*; sort the file by 'event_time'"
    ):
        list(RecordedFile(path))


def test_a_csv_of_many_blocks_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "_CSV_BLOCK_BYTES", 256)
    path = tmp_path / "recorded.csv"
    pyarrow.csv.write_csv(pa.table(columns(100)), path)
    assert [row.transaction.transaction_id for row in RecordedFile(path)] == [str(row) for row in range(100)]


def test_a_csv_that_breaks_off_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "_CSV_BLOCK_BYTES", 256)
    path = tmp_path / "recorded.csv"
    pyarrow.csv.write_csv(pa.table(columns(100)), path)
    path.write_text(path.read_text() + "1,2\n")
    with pytest.raises(RecordingError, match=r"cannot be read on: .*Expected 6 columns, got 2"):
        list(RecordedFile(path))


def test_a_compressed_csv_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recorded.csv.gz"
    with pa.CompressedOutputStream(str(path), "gzip") as stream:
        pyarrow.csv.write_csv(pa.table(columns()), stream)
    assert list(RecordedFile(path)) == EXPECTED


def test_an_empty_file_holds_nothing(tmp_path: Path) -> None:
    assert list(RecordedFile(parquet(tmp_path, columns(0, terminal_id=pa.array([], pa.string()))))) == []
