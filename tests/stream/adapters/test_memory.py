from datetime import timedelta

import pytest

from stream.adapters.memory import InMemoryEmitter, InMemoryStore
from stream.adapters.retention import RETIRED_SNAPSHOT_TTL
from stream.clock import ManualClock
from stream.ports import Burst, Emitter, Outgoing

MINUTE = timedelta(minutes=1)
ONE, TWO = Outgoing("scores", b"c1", b"1"), Outgoing("alerts", b"c1", b"2")


def test_values_live_as_long_as_they_were_promised_and_no_longer() -> None:
    clock = ManualClock()
    store = InMemoryStore(pending_ttl=2 * MINUTE, state_ttl=MINUTE, clock=clock)
    store.commit(store.take_partition(0), 0, {"c1": b"state"}, {"t1": b"record"})
    clock.advance(59_999)
    assert store.load(0, ["c1"], [], [], ["t1"]) == ([b"state"], [], [], {"t1": b"record"}, 0, 0)
    clock.advance(1)
    assert store.load(0, ["c1"], [], [], ["t1"]) == ([None], [], [], {"t1": b"record"}, 0, 0)
    clock.advance(60_000)
    assert store.find_pending(["t1"], 1) == {}


def test_writing_again_begins_the_time_to_live_anew() -> None:
    clock = ManualClock()
    store = InMemoryStore(state_ttl=MINUTE, clock=clock)
    tenure = store.take_partition(0)
    for offset, customers in enumerate([["c1", "c2"], ["c1"], ["c3"]]):
        tenure = store.commit(tenure, offset, dict.fromkeys(customers, b"state"), {})
        clock.advance(30_000)
    assert store.load(0, ["c1", "c2", "c3"], [], [], []).customers == [None, None, b"state"]
    clock.advance(-1)
    assert store.load(0, ["c1", "c2", "c3"], [], [], []).customers == [b"state", None, b"state"]


def test_what_has_expired_takes_no_memory() -> None:
    clock = ManualClock()
    store = InMemoryStore(pending_ttl=MINUTE, clock=clock)
    tenure = store.take_partition(0)
    for offset in range(100):
        tenure = store.commit(tenure, offset, {}, {"always": b"record", f"t{offset}": b"record"})
        clock.advance(20_000)
    assert [*store._partitions[0].pending._entries] == ["t97", "t98", "always", "t99"]


def test_without_times_to_live_nothing_is_forgotten() -> None:
    clock = ManualClock()
    store = InMemoryStore(clock=clock)
    store.commit(store.take_partition(0), 0, {"c1": b"state"}, {"t1": b"record"})
    clock.advance(10**12)
    assert store.load(0, ["c1"], [], [], ["t1"]) == ([b"state"], [], [], {"t1": b"record"}, 0, 0)


def test_a_retired_snapshot_goes_after_some_minutes() -> None:
    clock = ManualClock()
    store = InMemoryStore(clock=clock)
    token, _ = store.take_learner()
    store.publish(token, b"first", {"m1": b"one"})
    store.publish(token, b"second", {"m2": b"two"})
    clock.advance(RETIRED_SNAPSHOT_TTL // timedelta(milliseconds=1) - 1)
    assert store.snapshot("m1") == b"one"
    clock.advance(1)
    assert (store.snapshot("m1"), store.snapshot("m2")) == (None, b"two")


def test_an_emitter_keeps_everything_in_order() -> None:
    memory = InMemoryEmitter()
    emitter: Emitter = memory
    emitter.emit([ONE, TWO])
    emitter.emit(record for record in [TWO])
    assert memory.emitted == [ONE, TWO, TWO]
    assert memory.on("alerts") == [TWO, TWO]


def test_an_emitter_keeps_what_was_sent_when_it_settles() -> None:
    emitter = InMemoryEmitter()
    emitter.send([Burst("scores", [b"c0"], [b"0"])])
    emitter.send([Burst("scores", [b"c1", None], [b"1", b"3"]), Burst("alerts", [b"c1"], [b"2"])])
    assert emitter.emitted == []
    emitter.settle()
    emitter.settle()
    assert emitter.emitted == [ONE, Outgoing("scores", None, b"3"), TWO]


def test_an_emitter_keeps_nothing_of_what_could_not_be_made() -> None:
    emitter = InMemoryEmitter()
    with pytest.raises(ZeroDivisionError):
        emitter.emit(ONE if 1 // number else TWO for number in (1, 0))
    assert emitter.emitted == []
