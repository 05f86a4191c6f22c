import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from stream.adapters.metrics import Metrics
from stream.errors import AccessError, FencedError
from stream.records import Record
from stream.settings import Settings
from stream.worker import host
from stream.worker.host import Host

OVERTAKEN = range(100, 200)
"""Batches that a rebalance has overtaken."""


class Listed(Host):
    """A host that lists what is done, and in which order."""

    def __init__(
        self,
        *,
        overlapping: bool,
        fails_at: int | None = None,
        breaks_at: int | None = None,
        fenced_at: int | None = None,
        unsettled_at: int | None = None,
    ) -> None:
        super().__init__("score", "transactions", Settings(), Metrics(CollectorRegistry()))
        self.overlapping = overlapping
        self.done: list[str] = []
        self.second_begun = threading.Event()
        self._fails_at = fails_at
        self._breaks_at = breaks_at
        self._fenced_at = fenced_at
        self._unsettled_at = unsettled_at

    def assign(self, partitions: Iterable[int]) -> None:
        assert partitions == [0]

    def read(self, batch: Sequence[Record]) -> Any:
        self.done.append(f"read {batch}")
        return batch

    def handle(self, read: Any) -> Any:
        if read == self._breaks_at:
            raise MemoryError("broken here")
        if read == self._fenced_at:
            raise FencedError("another has it")
        self.done.append(f"handle {read}")
        if read == 1:
            self.second_begun.set()
        return read

    def forget(self, read: Any) -> None:
        self.done.append(f"forget {read}")

    def commit(self, worked: Any) -> Any:
        self.done.append(f"commit {worked}")
        return worked

    def settle(self, outcome: Any) -> Any:
        if outcome == self._unsettled_at:
            raise FencedError("another has it")
        self.done.append(f"settle {outcome}")
        return outcome

    def launch(self, outcome: Any) -> None:
        self.done.append(f"launch {outcome}")

    def conclude(self, outcome: Any) -> Any:
        if outcome == 0 and self.overlapping:
            assert self.second_begun.wait(60), "the next batch waits for the one before"
        if outcome == self._fails_at:
            raise MemoryError("broken here")
        self.done.append(f"conclude {outcome}")
        return outcome

    def observe(self, reports: Sequence[Any]) -> None:
        self.done += [f"observe {report}" for report in reports]


class Broker:
    """Stands for what is drawn: numbers stand for batches."""

    def __init__(self) -> None:
        self.waiting: list[list[Any]] = []
        """What is drawn next, and after that."""
        self.acknowledged: list[int] = []
        self.drawn = 0
        """How often."""

    def draw(self, _app: object, seconds: float) -> list[Any]:
        self.drawn += 1
        if not self.waiting:
            time.sleep(seconds)
            return []
        return [SimpleNamespace(records=number) for number in self.waiting.pop(0)]


class _Number(int):
    """A batch's records, which are none."""

    count = 1

    def __len__(self) -> int:
        return self.count


@pytest.fixture(autouse=True, params=[False, True], ids=["small", "full"])
def full(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Say whether batches hold as many records as they may."""
    is_full: bool = request.param
    monkeypatch.setattr(_Number, "count", Settings().batch_records if is_full else 1)
    return is_full


@pytest.fixture(autouse=True)
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    """Return what batches are drawn of, in their order."""
    broker = Broker()
    monkeypatch.setattr(host, "acknowledge", lambda _app, batch: broker.acknowledged.append(batch.records))
    monkeypatch.setattr(host, "overtaken", lambda _app, batch: batch.records in OVERTAKEN)
    monkeypatch.setattr(host, "draw", broker.draw)
    return broker


async def until(listed: Listed, come: Callable[[], object]) -> None:
    """Wait for what the role's thread brings about."""
    async with asyncio.timeout(60):
        while not come():
            # Whoever asked the role's thread for something would have it end what it is about.
            await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.001)
    await listed.run(lambda: None)


def run(listed: Listed, broker: Broker, *draws: Sequence[int], assigned: bool = True) -> None:
    """Let partitions be assigned, and all be drawn that is there."""

    async def main() -> None:
        async def crash(_error: BaseException) -> None:
            return

        listed.app.crash = crash
        await listed.run(lambda: None)
        broker.waiting = [[_Number(number) for number in one] for one in draws]
        if assigned:
            await listed._on_assigned({("transactions", 0)})
        await until(listed, lambda: not (assigned and broker.waiting) or listed.fatal is not None)
        assert await listed._rest(60)

    asyncio.run(main())
    listed.close()


def each(*batches: int) -> list[list[int]]:
    return [[number] for number in batches]


def test_what_remains_of_a_batch_goes_on_beside_the_next_and_is_acknowledged_in_order(
    broker: Broker,
) -> None:
    listed = Listed(overlapping=True)
    run(listed, broker, *each(0, 1, 2, 3))
    assert listed.fatal is None
    assert broker.acknowledged == [0, 1, 2, 3]
    assert listed.done.index("handle 1") < listed.done.index("conclude 0") < listed.done.index("launch 1")
    assert listed.done.index("settle 0") < listed.done.index("commit 1")
    assert [one for one in listed.done if one.startswith("observe")] == [f"observe {n}" for n in range(4)]


def test_a_full_batch_is_worked_on_while_the_next_is_looked_up_and_the_last_is_stored(
    broker: Broker, full: bool
) -> None:
    listed = Listed(overlapping=True)
    listed.second_begun.set()
    run(listed, broker, *each(0, 1, 2))
    assert broker.acknowledged == [0, 1, 2]
    steps = [one for one in listed.done if not one.startswith(("conclude", "observe"))]
    if full:
        assert steps == [
            "read 0",
            *("read 1", "handle 0", "commit 0"),
            *("read 2", "handle 1", "settle 0", "commit 1", "launch 0"),
            *("handle 2", "settle 1", "commit 2", "launch 1"),
            *("settle 2", "launch 2"),
        ]
    else:
        each_step = ("read", "handle", "commit", "settle", "launch")
        assert steps == [f"{step} {n}" for n in range(3) for step in each_step]


def test_a_batch_that_is_fenced_off_while_it_is_stored_leaves_the_next_to_be_done(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejoins: list[object] = []
    monkeypatch.setattr(host, "rejoin", rejoins.append)
    listed = Listed(overlapping=True, unsettled_at=1)
    listed.second_begun.set()
    run(listed, broker, [0, 1, 2], [3])
    assert broker.acknowledged == [0, 2, 3]
    assert "launch 1" not in listed.done
    assert len(rejoins) == 1


def test_without_overlapping_a_batch_begins_when_the_one_before_has_been_observed(broker: Broker) -> None:
    listed = Listed(overlapping=False)
    run(listed, broker, *each(0, 1, 2))
    assert broker.acknowledged == [0, 1, 2]
    steps = ("read", "handle", "commit", "settle", "launch", "conclude", "observe")
    assert listed.done == [f"{step} {n}" for n in range(3) for step in steps]


def test_what_is_drawn_of_several_partitions_is_worked_on_one_after_the_other(broker: Broker) -> None:
    listed = Listed(overlapping=False)
    run(listed, broker, [0, 1], [], [100, 2])
    assert broker.acknowledged == [0, 1, 2]


@pytest.mark.parametrize("overlapping", [False, True])
def test_what_could_not_be_concluded_is_not_acknowledged_and_nothing_behind_it(
    broker: Broker, overlapping: bool, full: bool
) -> None:
    listed = Listed(overlapping=overlapping, fails_at=1)
    run(listed, broker, *each(0, 1, 2, 3, 4))
    assert broker.acknowledged == [0]
    assert isinstance(listed.fatal, MemoryError)
    assert ("handle 4" if overlapping and full else "handle 3") not in listed.done
    assert "launch 2" not in listed.done


def test_what_a_rebalance_has_overtaken_is_left_alone(broker: Broker) -> None:
    listed = Listed(overlapping=True)
    run(listed, broker, *each(100, 0, 101, 1))
    assert broker.acknowledged == [0, 1]


def test_while_nothing_is_assigned_nothing_is_drawn(broker: Broker) -> None:
    listed = Listed(overlapping=True)
    run(listed, broker, [2], assigned=False)
    assert (listed.done, broker.acknowledged, broker.drawn) == ([], [], 0)


def test_after_a_batch_that_failed_none_begins_though_it_was_drawn_with_it(
    broker: Broker, full: bool
) -> None:
    """The next one's watermark would pass over it, and nothing would ever bring it back."""
    listed = Listed(overlapping=True, breaks_at=2)
    run(listed, broker, [0], [1, 2, 3], [4])
    assert isinstance(listed.fatal, MemoryError)
    # One that was still being stored is stored, and comes again to be answered.
    assert broker.acknowledged == ([0] if full else [0, 1])
    assert "handle 3" not in listed.done


def test_a_batch_that_is_fenced_off_leaves_those_of_other_partitions_to_be_done(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    rejoins: list[object] = []
    monkeypatch.setattr(host, "rejoin", rejoins.append)
    listed = Listed(overlapping=True, fenced_at=2)
    run(listed, broker, [0, 1, 2, 3])
    assert broker.acknowledged == [0, 1, 3]
    assert len(rejoins) == 1


def test_once_records_may_not_be_read_the_process_ends(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_app: object, _seconds: float) -> list[Any]:
        broker.waiting.clear()
        raise AccessError("no right to read")

    monkeypatch.setattr(host, "draw", refuse)
    listed = Listed(overlapping=True)
    run(listed, broker, [0])
    assert isinstance(listed.fatal, AccessError)


def test_partitions_that_are_taken_away_and_come_back_are_drawn_by_one(broker: Broker) -> None:
    async def main() -> None:
        listed = Listed(overlapping=True)
        await listed.run(lambda: None)
        for _ in range(3):
            await listed._on_assigned({("transactions", 0)})
            await listed._on_assigned({("transactions", 0)})
            await listed._on_revoked(None, set())
            assert await listed.run(lambda: listed._drawing) is False
            drawn = broker.drawn
            await asyncio.sleep(2 * host.DRAW_SECONDS)
            assert broker.drawn == drawn
        broker.waiting = [[_Number(7)]]
        await listed._on_assigned({("transactions", 0)})
        await until(listed, lambda: not broker.waiting)
        assert await listed._rest(60)
        listed.close()

    asyncio.run(main())
    assert broker.acknowledged == [7]


def test_a_host_that_rests_begins_with_nothing(broker: Broker) -> None:
    listed = Listed(overlapping=True)
    listed._resting = True
    broker.waiting = [[_Number(0)]]

    async def main() -> None:
        await listed.run(lambda: None)
        await listed._on_assigned({("transactions", 0)})
        assert await listed._rest(60)

    asyncio.run(main())
    listed.close()
    assert (listed.done, broker.drawn) == ([], 0)


def test_where_records_gather_the_next_are_drawn_after_a_while_unless_a_batch_was_full(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Number, "count", 1)
    gathering = Listed(overlapping=False)
    gathering.gather_seconds = 5.0
    full = gathering.settings.batch_records

    class Full(int):
        def __len__(self) -> int:
            return full

    async def main() -> None:
        due: list[Any] = []
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "call_later", lambda seconds, call: due.append((seconds, call)))

        def going_on() -> list[Any]:
            return [one for one in due if one[1] == gathering._go_on_drawing]

        await gathering.run(lambda: None)
        broker.waiting = [[Full(0)], [], [_Number(1)], [_Number(2)]]
        await gathering._on_assigned({("transactions", 0)})
        for expected in ([0, 1], [0, 1, 2]):
            await until(gathering, going_on)
            assert [n for n in range(9) if f"handle {n}" in gathering.done] == expected
            (after, call), *others = going_on()
            assert (after, others) == (5.0, [])
            due.clear()
            call()
        assert await gathering._rest(60)

    asyncio.run(main())
    gathering.close()
