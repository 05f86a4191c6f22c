"""What a scorer does while the store is at work on the batch before."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.adapters.memory import InMemoryEmitter, InMemoryStore
from stream.adapters.topics import TopicNames
from stream.clock import ManualClock
from stream.errors import FencedError, InfrastructureError, StateLostError
from stream.records import Record, Transaction, encode
from stream.roles.learner import LearnerPolicy, LearnerRole
from stream.roles.patience import Patience, Waits
from stream.roles.scorer import Committed, ScorerPolicy, ScorerRole
from stream.roles.steps import Begun, Read

NOW = 1_700_000_000_000
TOPICS = TopicNames()
T = TypeVar("T")
Stream = list[list[tuple[int, int, int]]]


class Late(Generic[T]):
    """Does what it is to do when its result is asked for."""

    def __init__(self, do: Callable[[], T]) -> None:
        self._do = do
        self.abandoned = False

    def result(self) -> T:
        return self._do()

    def abandon(self) -> None:
        self.abandoned = True


class SlowStore(InMemoryStore):
    """Looks at once for what it is asked for, and stores what it was given when somebody waits for it.

    So whatever could overtake a commit that is underway does.
    """

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[Any] = []
        self.load_erasures = 0
        self.customers: list[Any] = []
        """Whose states each load was to find."""

    def begin_load(self, *asked: Any) -> Any:
        found = self.load(*asked)._replace(erasures=self.load_erasures)
        self.customers.append(asked[1])
        self.loads.append(Late(lambda: found))
        return self.loads[-1]

    def begin_commit(self, *effects: Any) -> Any:
        return Late(lambda: self.commit(*effects))


class World:
    def __init__(self, store: InMemoryStore, customer_cache: int = 100) -> None:
        self.store = store
        self.emitter = InMemoryEmitter()
        self.waits = Waits.alike(
            Patience(threading.Event(), lambda _: None, first_pause=0.001, longest_pause=0.002)
        )
        clock = ManualClock(NOW)
        learner = LearnerRole(store, self.emitter, TOPICS, clock, LearnerPolicy(), None, self.waits)
        learner.start()
        self.emitter.emitted.clear()
        policy = ScorerPolicy(customer_cache=customer_cache)
        self.scorer = ScorerRole(store, self.emitter, TOPICS, clock, policy, None, self.waits)
        self.scorer.assign(0)
        self.scorer.assign(1)

    def emit(self, committed: Committed) -> None:
        self.scorer.launch(committed)
        self.scorer.emit(committed)

    def overlapping(self, batches: Sequence[list[Record]]) -> None:
        """Work as the host does on full batches."""
        scorer, ahead = self.scorer, list[Read]()
        underway = list[Begun]()
        for batch in [*batches, None]:
            if batch is not None:
                ahead.append(scorer.read(batch))
            while len(ahead) > (batch is not None):
                worked = scorer.work_on(ahead.pop(0))
                settled = [scorer.settle(one) for one in underway]
                underway = [scorer.commit(worked)]
                for one in settled:
                    self.emit(one)
        for last in underway:
            self.emit(scorer.settle(last))

    def stored(self) -> list[Any]:
        customers, names = [f"c{n}" for n in range(5)], [f"t{n}" for n in range(13)]
        return [
            (found.customers, found.pending)
            for found in (self.store.load(partition, customers, [], [], names) for partition in (0, 1))
        ]


def records(stream: Stream) -> list[list[Record]]:
    """Return the batches of a stream: by batch, partition, customer and transaction of each record."""
    offsets, batches = [0, 0], []
    for number, batch in enumerate(stream):
        partition = batch[0][0]
        some = []
        for place, (_, customer, transaction) in enumerate(batch):
            one = Transaction(
                transaction_id=f"t{transaction}",
                event_time=NOW + 60_000 * (10 * number + place),
                customer_id=f"c{customer}",
                terminal_id=f"m{customer}",
                amount=10.0 + transaction,
            )
            key = one.customer_id.encode()
            some.append(Record(TOPICS.transactions, partition, offsets[partition], NOW, key, encode(one)))
            offsets[partition] += 1
        batches.append(some)
    return batches


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4), st.integers(0, 12)), min_size=1, max_size=5),
        min_size=2,
        max_size=8,
    ),
    st.sampled_from([0, 1, 2, 100]),
)
def test_batches_that_overlap_come_to_what_they_come_to_one_after_the_other(
    stream: Stream, customer_cache: int
) -> None:
    batches = records(stream)
    alone, together = World(InMemoryStore(), customer_cache), World(SlowStore(), customer_cache)
    for batch in batches:
        alone.scorer.handle(batch)
    together.overlapping(batches)
    assert together.emitter.emitted == alone.emitter.emitted
    assert together.stored() == alone.stored()


def commit(world: World, batch: list[Record]) -> Begun:
    return world.scorer.commit(world.scorer.work_on(world.scorer.read(batch)))


def test_a_batch_is_asked_for_while_those_before_it_are_worked_on_and_stored() -> None:
    world = World(store := SlowStore())
    first, second, third = records([[(0, 0, 0)], [(0, 1, 1)], [(0, 0, 2), (0, 1, 3)]])
    underway = commit(world, first)
    ahead = world.scorer.read(second)
    last = world.scorer.read(third)
    # The states of those in the batches before will be remembered by then.
    assert store.customers == [["c0"], ["c1"], []]
    worked = world.scorer.work_on(ahead)
    world.scorer.settle(underway)
    underway = world.scorer.commit(worked)
    worked = world.scorer.work_on(last)
    world.scorer.settle(underway)
    world.scorer.settle(world.scorer.commit(worked))
    assert len(store.loads) == 3


def test_a_transaction_that_is_about_to_be_stored_is_not_asked_for_too_soon() -> None:
    world = World(store := SlowStore())
    first, second = records([[(0, 0, 0)], [(0, 0, 0)]])
    underway = commit(world, first)
    read = world.scorer.read(second)
    assert len(store.loads) == 1
    world.scorer.work_on(read)
    assert len(store.loads) == 2
    assert world.scorer.settle(underway).report.records == 1


def test_who_was_to_be_remembered_and_is_not_is_asked_for_once_they_are_stored() -> None:
    world = World(store := SlowStore(), customer_cache=0)
    first, second = records([[(0, 0, 0)], [(0, 0, 1)]])
    underway = commit(world, first)
    read = world.scorer.read(second)
    worked = world.scorer.work_on(read)
    assert store.customers == [["c0"], [], ["c0"]]
    assert worked.state.customers.rows["seen"].tolist() == [2]
    world.scorer.settle(underway)


def test_one_that_was_fenced_off_while_it_was_stored_takes_the_next_with_it() -> None:
    world = World(store := SlowStore())
    first, second, third = records([[(0, 0, 0)], [(0, 1, 1)], [(0, 1, 2)]])
    underway = commit(world, first)
    worked = world.scorer.work_on(world.scorer.read(second))
    ahead = world.scorer.read(third)
    store.take_partition(0)
    with pytest.raises(FencedError):
        world.scorer.settle(underway)
    with pytest.raises(FencedError, match="not ours"):
        world.scorer.commit(worked)
    with pytest.raises(FencedError, match="not ours"):
        world.scorer.work_on(ahead)
    assert store.loads[-1].abandoned
    assert world.stored() == World(InMemoryStore()).stored()


def test_what_could_not_be_stored_is_not_remembered_either(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(store := SlowStore())
    first, second = records([[(0, 0, 0)], [(0, 0, 1)]])
    underway = commit(world, first)

    def lost(*_: object) -> Any:
        raise StateLostError("lost")

    monkeypatch.setattr(store, "commit", lost)
    with pytest.raises(StateLostError):
        world.scorer.settle(underway)
    world.scorer.read(second)
    assert store.customers == [["c0"], ["c0"]]


def test_who_is_erased_is_forgotten_though_what_came_before_was_asked_for() -> None:
    world = World(store := SlowStore())
    first, second = records([[(0, 0, 0)], [(0, 0, 1)]])
    world.scorer.settle(commit(world, first))
    underway = commit(world, second)
    (third,) = records([[(0, 0, 2)]])
    read = world.scorer.read([one._replace(offset=2) for one in third])
    found = store.loads[-1].result()
    store.loads[-1]._do = lambda: found._replace(erasures=found.erasures + 1)
    store.load_erasures = found.erasures + 1
    worked = world.scorer.work_on(read)
    # Read anew, once what was being stored was there.
    assert store.customers[-1] == ["c0"]
    assert worked.state.customers.rows["seen"].tolist() == [3]
    world.scorer.settle(underway)


def test_what_was_read_and_is_not_to_be_worked_on_is_given_up() -> None:
    world = World(store := SlowStore())
    (batch,) = records([[(0, 0, 0)]])
    world.scorer.forget(world.scorer.read(batch))
    assert store.loads[-1].abandoned
    world.scorer.read(batch)
    assert len(store.loads) == 2


def test_what_fails_underway_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    world, alone = World(store := SlowStore()), World(InMemoryStore())
    (batch,) = records([[(0, 0, 0), (0, 1, 1)]])

    def away(*_: object) -> Any:
        raise InfrastructureError("away")

    monkeypatch.setattr(store, "begin_load", lambda *_: Late(away))
    monkeypatch.setattr(store, "begin_commit", away)
    world.scorer.handle(batch)
    alone.scorer.handle(batch)
    assert world.emitter.emitted == alone.emitter.emitted
    assert world.stored() == alone.stored()
