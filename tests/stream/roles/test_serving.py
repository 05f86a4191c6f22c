"""What is served while new models are being loaded beside."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from stream.adapters.memory import InMemoryEmitter, InMemoryStore
from stream.adapters.topics import TopicNames
from stream.clock import ManualClock
from stream.errors import InfrastructureError, StateLostError
from stream.pipeline.learning import LearningPolicy
from stream.registry.snapshot import decode_roster
from stream.roles.learner import LearnerPolicy, LearnerRole
from stream.roles.patience import Patience, Waits
from stream.roles.serving import Serving

TOPICS = TopicNames("")
WAITS = Waits.alike(Patience(threading.Event(), lambda _: None, first_pause=0.001))


class Later(Executor):
    """Runs what it was handed when it is told to."""

    def __init__(self) -> None:
        self._due: list[Callable[[], None]] = []

    def submit(self, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(call(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - as an executor does
                future.set_exception(error)

        self._due.append(run)
        return future

    def run(self) -> int:
        """Run it all; return how much there was."""
        due, self._due = self._due, []
        for call in due:
            call()
        return len(due)


@pytest.fixture
def store() -> InMemoryStore:
    return InMemoryStore()


@pytest.fixture
def later() -> Later:
    return Later()


@pytest.fixture
def serving(store: InMemoryStore, later: Later) -> Serving:
    publish(store, "logistic")
    serving = Serving(store, None, WAITS, later)
    serving.follow(1)
    return serving


def publish(store: InMemoryStore, champion: str) -> None:
    policy = LearnerPolicy(LearningPolicy(champion=champion, challengers=()))
    LearnerRole(store, InMemoryEmitter(), TOPICS, ManualClock(0), policy, None, WAITS).start()


def versions(serving: Serving) -> list[str]:
    return [served.version for served in serving.models]


def test_the_first_models_are_waited_for(serving: Serving, later: Later) -> None:
    assert versions(serving) == ["logistic-1"]
    assert later.run() == 0


def test_others_are_loaded_beside_and_changed_over_to_once_they_are_there(
    serving: Serving, store: InMemoryStore, later: Later
) -> None:
    publish(store, "tree")
    serving.follow(2)
    serving.follow(2)
    assert versions(serving) == ["logistic-1"]
    assert later.run() == 1, "each is loaded once"
    assert versions(serving) == ["logistic-1"], "only a batch changes over"
    serving.follow(2)
    assert versions(serving) == ["tree-1"]
    assert later.run() == 0


def test_what_was_published_while_others_were_being_loaded_is_loaded_after_them(
    serving: Serving, store: InMemoryStore, later: Later
) -> None:
    publish(store, "tree")
    serving.follow(2)
    later.run()
    publish(store, "forest")
    serving.follow(3)
    assert versions(serving) == ["tree-1"]
    serving.follow(3)
    later.run()
    serving.follow(3)
    assert versions(serving) == ["forest-1"]


def test_models_that_are_refused_are_not_asked_for_again(
    serving: Serving, store: InMemoryStore, later: Later, caplog: pytest.LogCaptureFixture
) -> None:
    token, _ = store.take_learner()
    store.publish(token, b"nonsense", {})
    serving.follow(2)
    later.run()
    serving.follow(2)
    serving.follow(2)
    assert later.run() == 0
    assert versions(serving) == ["logistic-1"]
    assert "models of revision 2 refused, still serving logistic-1" in caplog.text


def test_a_store_that_is_away_is_asked_until_it_answers(
    serving: Serving, store: InMemoryStore, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(store, "tree")
    answers = iter([InfrastructureError("Redis is away"), InfrastructureError("still"), store.roster()])

    def roster() -> bytes | None:
        answer = next(answers)
        if isinstance(answer, InfrastructureError):
            raise answer
        return answer

    monkeypatch.setattr(store, "roster", roster)
    serving.follow(2)
    later.run()
    serving.follow(2)
    assert versions(serving) == ["tree-1"]


def test_a_roster_that_is_gone_is_lost_state(
    serving: Serving, store: InMemoryStore, later: Later, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "roster", lambda: None)
    serving.follow(2)
    later.run()
    with pytest.raises(StateLostError, match="lost the roster"):
        serving.follow(2)


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def test_a_batch_may_be_held_back_for_new_models(store: InMemoryStore, thread: ThreadPoolExecutor) -> None:
    publish(store, "logistic")
    serving = Serving(store, None, WAITS, thread, patience_seconds=60.0)
    serving.follow(1)
    publish(store, "tree")
    serving.follow(2)
    assert versions(serving) == ["tree-1"]


def test_an_older_roster_that_somebody_puts_back_is_refused(
    serving: Serving, store: InMemoryStore, later: Later, caplog: pytest.LogCaptureFixture
) -> None:
    before, snapshots = published(store)
    publish(store, "tree")
    serving.follow(2)
    later.run()
    serving.follow(2)
    assert versions(serving) == ["tree-1"]

    put_back(store, before, snapshots)
    serving.follow(3)
    later.run()
    serving.follow(3)
    assert versions(serving) == ["tree-1"]
    assert "refused, still serving tree-1: the roster is an older one, " in caplog.text

    publish(store, "logistic")
    serving.follow(4)
    later.run()
    serving.follow(4)
    assert versions(serving) == ["logistic-1"], "what is published anew is followed"


def test_a_genuine_snapshot_under_the_key_of_another_is_refused(
    serving: Serving, store: InMemoryStore, later: Later, caplog: pytest.LogCaptureFixture
) -> None:
    _, (old,) = published(store)
    publish(store, "tree")
    roster, (key,) = published(store)
    put_back(store, roster, {key: store.snapshot(old) or b""})
    serving.follow(2)
    later.run()
    serving.follow(2)
    assert versions(serving) == ["logistic-1"]
    assert f"the snapshot {key} is not the one that the roster names" in caplog.text


def published(store: InMemoryStore) -> tuple[bytes, dict[str, bytes]]:
    """Return the roster, and the snapshots that it names."""
    roster = store.roster()
    assert roster is not None
    keys = [member.key for member in decode_roster(roster, None).members]
    return roster, {key: store.snapshot(key) or b"" for key in keys}


def put_back(store: InMemoryStore, roster: bytes, snapshots: dict[str, bytes]) -> None:
    """Do what somebody can who may write to the store, and has no key."""
    token, _ = store.take_learner()
    store.publish(token, roster, snapshots)
