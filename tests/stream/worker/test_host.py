import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, NamedTuple

import pytest
from prometheus_client import CollectorRegistry

from stream.adapters.metrics import Metrics
from stream.records import Record
from stream.settings import Settings
from stream.worker import host
from stream.worker.host import Host


class Event(NamedTuple):
    """A record batch as Faust hands it over."""

    value: int


class Stream:
    def __init__(self, batches: int) -> None:
        self._batches = batches

    async def events(self) -> AsyncIterator[Event]:
        for number in range(self._batches):
            yield Event(number)


class Listed(Host):
    """A host that lists what is done, and in which order."""

    def __init__(self, *, overlapping: bool, fails_at: int | None = None) -> None:
        super().__init__("score", "transactions", Settings(), Metrics(CollectorRegistry()))
        self.overlapping = overlapping
        self.done: list[str] = []
        self.second_begun = threading.Event()
        self._fails_at = fails_at
        self._assigned.set()

    def assign(self, partitions: Iterable[int]) -> None:
        raise NotImplementedError

    def handle(self, batch: Sequence[Record]) -> Any:
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

    def observe(self, report: Any) -> None:
        self.done.append(f"observe {report}")

    async def die(self, error: BaseException) -> None:
        self.fatal = error


@pytest.fixture(autouse=True)
def acknowledged(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the batches that were acknowledged, in their order."""
    events: list[int] = []
    monkeypatch.setattr(host, "acknowledge", lambda event: events.append(event.value))
    monkeypatch.setattr(host, "overtaken", lambda _event: False)
    monkeypatch.setattr(host, "take", lambda event: event.value)
    monkeypatch.setattr(host, "let_in", lambda _app: None)
    return events


def run(listed: Listed, batches: int) -> None:
    async def consume() -> None:
        await listed.consume(Stream(batches))
        async with listed._turn:
            await listed._concluded()

    asyncio.run(consume())
    listed.close()


def test_what_remains_of_a_batch_goes_on_beside_the_next_and_is_acknowledged_in_order(
    acknowledged: list[int],
) -> None:
    listed = Listed(overlapping=True)
    run(listed, 4)
    assert listed.fatal is None
    assert acknowledged == [0, 1, 2, 3]
    assert listed.done.index("handle 1") < listed.done.index("conclude 0")
    assert [one for one in listed.done if one.startswith("observe")] == [f"observe {n}" for n in range(4)]


def test_without_overlapping_a_batch_begins_when_the_one_before_has_been_observed(
    acknowledged: list[int],
) -> None:
    listed = Listed(overlapping=False)
    run(listed, 3)
    assert acknowledged == [0, 1, 2]
    assert listed.done == [f"{step} {n}" for n in range(3) for step in ("handle", "conclude", "observe")]


@pytest.mark.parametrize("overlapping", [False, True])
def test_what_could_not_be_concluded_is_not_acknowledged_and_nothing_behind_it(
    acknowledged: list[int], overlapping: bool
) -> None:
    listed = Listed(overlapping=overlapping, fails_at=1)
    run(listed, 5)
    assert acknowledged == [0]
    assert isinstance(listed.fatal, MemoryError)
    assert "handle 3" not in listed.done
