import asyncio
import threading
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from stream.adapters.metrics import Metrics
from stream.records import Record
from stream.settings import Settings
from stream.worker import host
from stream.worker.host import Host

OVERTAKEN = range(100, 200)
"""Batches that a rebalance has overtaken."""


class Listed(Host):
    """A host that lists what is done, and in which order."""

    def __init__(
        self, *, overlapping: bool, fails_at: int | None = None, breaks_at: int | None = None
    ) -> None:
        super().__init__("score", "transactions", Settings(), Metrics(CollectorRegistry()))
        self.overlapping = overlapping
        self.done: list[str] = []
        self.second_begun = threading.Event()
        self._fails_at = fails_at
        self._breaks_at = breaks_at
        self._assigned.set()

    def assign(self, partitions: Iterable[int]) -> None:
        raise NotImplementedError

    def handle(self, batch: Sequence[Record]) -> Any:
        if batch == self._breaks_at:
            raise MemoryError("broken here")
        self.done.append(f"handle {batch}")
        if batch == 1:
            self.second_begun.set()
        return batch

    def conclude(self, outcome: Any) -> Any:
        if outcome == 0 and self.overlapping:
            assert self.second_begun.wait(60), "the next batch waits for the one before"
        if outcome == self._fails_at:
            raise MemoryError("broken here")
        self.done.append(f"conclude {outcome}")
        return outcome

    def observe(self, reports: Sequence[Any]) -> None:
        self.done += [f"observe {report}" for report in reports]


@pytest.fixture(autouse=True)
def acknowledged(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the batches that were acknowledged, in their order."""
    batches: list[int] = []
    monkeypatch.setattr(host, "acknowledge", lambda _app, batch: batches.append(batch))
    monkeypatch.setattr(host, "overtaken", lambda _app, batch: batch in OVERTAKEN)
    monkeypatch.setattr(host, "take", lambda _app, batch: batch)
    monkeypatch.setattr(host, "let_in", lambda _app: None)
    return batches


def run(listed: Listed, batches: Sequence[int]) -> None:
    async def main() -> None:
        async def crash(_error: BaseException) -> None:
            return

        listed.app.crash = crash
        await listed.run(lambda: None)
        for batch in batches:
            listed.accept(batch)  # type: ignore[arg-type]  # a number stands for a batch
        assert await listed._rest(60)

    asyncio.run(main())
    listed.close()


def test_what_remains_of_a_batch_goes_on_beside_the_next_and_is_acknowledged_in_order(
    acknowledged: list[int],
) -> None:
    listed = Listed(overlapping=True)
    run(listed, range(4))
    assert listed.fatal is None
    assert acknowledged == [0, 1, 2, 3]
    assert listed.done.index("handle 1") < listed.done.index("conclude 0")
    assert [one for one in listed.done if one.startswith("observe")] == [f"observe {n}" for n in range(4)]


def test_without_overlapping_a_batch_begins_when_the_one_before_has_been_observed(
    acknowledged: list[int],
) -> None:
    listed = Listed(overlapping=False)
    run(listed, range(3))
    assert acknowledged == [0, 1, 2]
    assert listed.done == [f"{step} {n}" for n in range(3) for step in ("handle", "conclude", "observe")]


@pytest.mark.parametrize("overlapping", [False, True])
def test_what_could_not_be_concluded_is_not_acknowledged_and_nothing_behind_it(
    acknowledged: list[int], overlapping: bool
) -> None:
    listed = Listed(overlapping=overlapping, fails_at=1)
    run(listed, range(5))
    assert acknowledged == [0]
    assert isinstance(listed.fatal, MemoryError)
    assert "handle 3" not in listed.done


def test_what_a_rebalance_has_overtaken_and_what_comes_while_nothing_is_assigned_is_left_alone(
    acknowledged: list[int],
) -> None:
    listed = Listed(overlapping=True)
    run(listed, [100, 0, 101, 1])
    assert acknowledged == [0, 1]

    listed = Listed(overlapping=True)
    listed._assigned.clear()
    run(listed, [2])
    assert (listed.done, acknowledged) == ([], [0, 1])


def test_after_a_batch_that_failed_none_begins_though_it_was_handed_over_before(
    acknowledged: list[int],
) -> None:
    """The next one's watermark would pass over it, and nothing would ever bring it back."""
    listed = Listed(overlapping=True, breaks_at=2)
    run(listed, [0, 1, 2, 3, 4])
    assert isinstance(listed.fatal, MemoryError)
    assert acknowledged == [0, 1]
    assert "handle 3" not in listed.done


def test_a_host_that_rests_begins_with_nothing(acknowledged: list[int]) -> None:
    async def main() -> None:
        listed = Listed(overlapping=True)
        listed._resting = True
        assert await listed._rest(60)
        listed.accept(0)  # type: ignore[arg-type]
        assert await listed._rest(60)
        assert listed.done == []
        listed.close()

    asyncio.run(main())
    assert acknowledged == []


def test_where_records_gather_more_is_let_in_once_for_all_batches_of_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    let_in: list[int] = []
    monkeypatch.setattr(host, "let_in", lambda _app: let_in.append(len(gathering.done) // 3))
    gathering = Listed(overlapping=False)
    gathering.gather_seconds = 5.0

    async def main() -> None:
        due: list[Any] = []
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "call_later", lambda seconds, call: due.append((seconds, call)))

        async def work_on(*batches: int) -> None:
            for batch in batches:
                gathering.accept(batch)  # type: ignore[arg-type]  # a number stands for a batch
            await gathering.run(lambda: None)

        await work_on()
        await work_on(0, 1, 2)
        assert let_in == []
        for seconds, call in [one for one in due if one[1] == gathering._gathered]:
            assert seconds == 5.0
            call()
        assert let_in == [3]
        # And for what comes then, again.
        due.clear()
        await work_on(3)
        assert [call for _, call in due].count(gathering._gathered) == 1
        assert await gathering._rest(60)

    asyncio.run(main())
    gathering.close()
