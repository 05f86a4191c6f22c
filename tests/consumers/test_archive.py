"""The archive's files, and what a crash or a rebalance leaves of them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from consumers import archive as module
from consumers.archive import Archive
from consumers.stopping import Stop
from stream.clock import DAY_MS, ManualClock
from stream.records import Label, Record
from tests.consumers.made import T0, ListSubscription, make_score, placed


class Bench:
    """An archive over a folder, run over lists of records."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = ManualClock(T0)

    def archive(self, *batches: list[Record], **options: Any) -> tuple[Archive, Any]:
        subscription = ListSubscription(batches)

        def subscribe(**callbacks: Callable[[], None]) -> Any:
            subscription.on_revoked, subscription.on_lost = callbacks["on_revoked"], callbacks["on_lost"]
            return subscription

        names = {"scores": "scores", "labels": "labels"}
        return Archive(self.folder, subscribe, clock=self.clock, **names, **options), subscription

    def run(self, *batches: list[Record], **options: Any) -> Any:
        archive, subscription = self.archive(*batches, **options)
        archive.run(Stop())
        return subscription

    def rows(self, series: str = "scores") -> list[dict[str, Any]]:
        table = ds.dataset(self.folder / series, format="parquet", partitioning="hive").to_table()
        return sorted(table.to_pylist(), key=lambda row: (row["partition"], row["offset"]))

    def offsets(self) -> list[int]:
        return [row["offset"] for row in self.rows()]

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*.parquet"))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def scores(offsets: range, days: int = 1) -> list[Record]:
    return [
        placed(make_score(f"t{n}", event_time=T0 + n % days * DAY_MS), n, topic="scores") for n in offsets
    ]


def test_scores_are_filed_whole_under_their_day(bench: Bench) -> None:
    bench.run(scores(range(1)))
    (name,) = bench.files()
    assert name.startswith(f"scores/date=2018-04-01/scores-0-{0:020}-{0:020}-")
    (row,) = bench.rows()
    assert (row["transaction_id"], row["amount"], row["score"]) == ("t0", 12.5, 0.75)
    assert row["event_time"].timestamp() * 1000 == T0
    assert row["features"] == [1.0, 2.5]
    assert row["shadow"] == [("forest-1", 0.25)]
    assert (row["partition"], row["offset"]) == (0, 0)
    assert str(row["date"]) == "2018-04-01"


def test_labels_are_filed_under_the_day_they_became_known(bench: Bench) -> None:
    label = Label(transaction_id="t", is_fraud=True, source="chargeback", label_time=T0 + 3 * DAY_MS)
    bench.run([placed(label, 5, topic="labels")])
    (row,) = bench.rows("labels")
    assert (row["transaction_id"], row["is_fraud"], row["source"]) == ("t", True, "chargeback")
    assert str(row["date"]) == "2018-04-04"


def test_what_is_filed_is_committed(bench: Bench) -> None:
    subscription = bench.run(scores(range(10)), scores(range(10, 15)))
    assert bench.offsets() == list(range(15))
    assert subscription.committed == {("scores", 0): 15}


def test_files_are_written_after_so_many_records(bench: Bench) -> None:
    bench.run(scores(range(10)), scores(range(10, 20)), scores(range(20, 25)), roll_records=10)
    assert len(bench.files()) == 3
    assert bench.offsets() == list(range(25))


def test_files_are_written_after_so_long(bench: Bench) -> None:
    archive, subscription = bench.archive(roll_ms=1_000)
    filed: list[int] = []

    def batches(_size: int, stop: Stop) -> Iterator[list[Record]]:
        yield scores(range(5))
        bench.clock.advance(999)
        yield []
        filed.append(len(bench.files()))
        bench.clock.advance(1)
        yield []
        filed.append(len(bench.files()))
        stop.ask()

    subscription.batches = batches
    archive.run(Stop())
    assert filed == [0, 1]


def test_foreign_records_are_passed_over_and_committed(bench: Bench) -> None:
    subscription = bench.run([*scores(range(2)), placed(b"nonsense", 2, topic="scores")])
    assert bench.offsets() == [0, 1]
    assert subscription.committed == {("scores", 0): 3}


def test_a_crash_between_filing_and_committing_leaves_each_record_in_one_file(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, subscription = bench.archive()
    archive.hold(scores(range(20), days=3))
    with monkeypatch.context() as patch:
        patch.setattr(subscription, "commit", _crash)
        with pytest.raises(SystemExit):
            archive.roll()
    assert bench.offsets() == list(range(20))

    # The same records come again, cut otherwise: the first file holds fewer of them, and of fewer days.
    bench.run(scores(range(1), days=3), scores(range(1, 30), days=3), roll_records=1)
    assert bench.offsets() == list(range(30))


def test_a_crash_in_the_middle_of_filing_leaves_each_record_in_one_file(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = module._write
    calls: list[Path] = []

    def write_two(path: Path, *arguments: Any) -> None:
        calls.append(path)
        if len(calls) == 3:
            raise SystemExit
        written(path, *arguments)

    archive, _ = bench.archive()
    archive.hold(scores(range(20), days=4))
    with monkeypatch.context() as patch:
        patch.setattr(module, "_write", write_two)
        with pytest.raises(SystemExit):
            archive.roll()
    assert len(bench.files()) == 2

    bench.run(scores(range(20), days=4))
    assert bench.offsets() == list(range(20))


def test_an_unfinished_file_is_no_part_of_the_archive(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.run(scores(range(5)))
    archive, _ = bench.archive()
    archive.hold(scores(range(5, 10)))
    with monkeypatch.context() as patch:
        patch.setattr(module.pq, "write_table", _half)
        with pytest.raises(SystemExit):
            archive.roll()
    assert bench.offsets() == list(range(5))


def test_files_whose_commit_a_rebalance_overtook_are_withdrawn(bench: Bench) -> None:
    archive, subscription = bench.archive()
    archive.hold(scores(range(10)))
    # Meanwhile another has taken over, and filed the same.
    bench.run(scores(range(12)))
    subscription.overtaken = True
    archive.roll()
    assert bench.offsets() == list(range(12))
    assert archive.filed == 0


def test_partitions_given_back_are_filed_first(bench: Bench) -> None:
    archive, subscription = bench.archive()
    archive.hold(scores(range(10)))
    subscription.on_revoked()
    assert bench.offsets() == list(range(10))
    assert subscription.committed == {("scores", 0): 10}


def test_what_was_held_of_lost_partitions_is_dropped(bench: Bench) -> None:
    archive, subscription = bench.archive()
    archive.hold(scores(range(10)))
    subscription.on_lost()
    archive.roll()
    assert bench.files() == []
    assert subscription.committed == {}


def test_earlier_files_of_a_partition_are_never_touched(bench: Bench) -> None:
    bench.run(scores(range(10)))
    before = bench.files()
    bench.run(scores(range(10, 20)))
    assert set(before) < set(bench.files())
    assert bench.offsets() == list(range(20))


def _crash() -> bool:
    raise SystemExit


def _half(_table: Any, file: Any, **_: Any) -> None:
    file.write(b"PAR1")
    raise SystemExit
