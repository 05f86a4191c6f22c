"""What every feature store promises (``stream.ports``): the in-memory one, Redis, and a Redis Cluster's node.

The twin that tests and backtests run on passes the same suite as the real thing, so that it cannot lie. The
cluster's node refuses whatever touches two hash slots at once.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from itertools import count
from threading import Barrier
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.adapters.memory import InMemoryStore
from stream.adapters.redis_store import RedisStore
from stream.adapters.retention import CHECKPOINTS_KEPT
from stream.errors import FencedError, StateLostError
from stream.ports import FitterStore, LearnerStore, Progress, RiskKey, ScorerStore, Tenure, Token
from tests.services.process import free_port
from tests.services.redis_server import RedisServer
from tests.services.waiting import eventually

Store = InMemoryStore | RedisStore
OpenStore = Callable[..., Store]
"""Opens an empty store; keyword arguments are its times to live."""

EXAMPLES = settings(
    max_examples=60,
    # A store of its own for each example, from a factory that the examples share.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
DAY = timedelta(days=1)

_NUMBERS = count(1)

# What an upstream may call its customers: also what has a meaning in a key.
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64)


@pytest.fixture(scope="module")
def _cluster_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a Redis Cluster's only node."""
    server = RedisServer(
        tmp_path_factory.mktemp("cluster"), "--cluster-enabled", "yes", "--cluster-port", str(free_port())
    )
    try:
        with redis.Redis.from_url(server.url) as client:
            client.execute_command("CLUSTER", "ADDSLOTS", *range(16_384))
            eventually(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"))
        yield server.url
    finally:
        server.stop()


@pytest.fixture(
    params=[
        "memory",
        pytest.param("redis", marks=pytest.mark.service("redis")),
        pytest.param("cluster", marks=pytest.mark.service("redis")),
    ]
)
def open_store(request: pytest.FixtureRequest) -> Iterator[OpenStore]:
    if request.param == "memory":
        yield InMemoryStore
        return
    url = request.getfixturevalue("redis_url" if request.param == "redis" else "_cluster_url")
    with ExitStack() as stores:
        yield _redis_stores(url, stores)


@pytest.fixture
def store(open_store: OpenStore) -> Store:
    return open_store()


def _redis_stores(url: str, stores: ExitStack) -> OpenStore:
    def make(pending_ttl: timedelta = DAY, state_ttl: timedelta = DAY) -> RedisStore:
        store = RedisStore(
            url, namespace=f"contract{next(_NUMBERS)}", pending_ttl=pending_ttl, state_ttl=state_ttl
        )
        stores.callback(store.close)
        return store

    return make


def _empty(store: Store) -> None:
    if isinstance(store, InMemoryStore):
        store.flush()
        return
    with store._redis.doing("emptying the store") as client:
        client.flushdb()


def _pass_for(scorer: ScorerStore, learner: LearnerStore, fitter: FitterStore, progress: Progress) -> None:
    """Take a store for each of what it is; only a type checker looks."""


def test_an_open_store_is_ready_for_all_it_serves(store: Store) -> None:
    _pass_for(store, store, store, store)
    store.check()
    store.check()


class TestScorer:
    def test_a_new_partition_stands_before_its_first_offset(self, store: Store) -> None:
        assert store.take_partition(2).watermark == -1
        assert store.transactions_done(3) == {0: -1, 1: -1, 2: -1}

    def test_loads_what_was_committed_and_nothing_else(self, store: Store) -> None:
        tenure = store.take_partition(0)
        store.commit(tenure, 1, {"c1": b"one", "c2": b"two"}, {"t1": b"first", "t2": b"second"})
        loaded = store.load(0, ["c2", "c3"], ["x"], ["c1", "c2"], ["t3", "t1"])
        assert loaded == ([b"two", None], [None], [None, None], {"t1": b"first"}, 0, 0)

    def test_loads_nothing_when_asked_for_nothing(self, store: Store) -> None:
        assert store.load(0, [], [], [], []) == ([], [], [], {}, 0, 0)

    def test_an_identifier_may_be_asked_for_twice(self, store: Store) -> None:
        store.commit(store.take_partition(0), 0, {"c1": b"one"}, {"t1": b"first"})
        loaded = store.load(0, ["c1", "c0", "c1"], ["x", "x"], [], ["t1", "t1"])
        assert (loaded.customers, loaded.pending) == ([b"one", None, b"one"], {"t1": b"first"})
        assert loaded.terminal_risks == [None, None]

    def test_a_partition_does_not_see_anothers_customers(self, store: Store) -> None:
        store.commit(store.take_partition(0), 0, {"c1": b"one"}, {"t1": b"first"})
        assert store.load(1, ["c1"], [], [], ["t1"]) == ([None], [], [], {}, 0, 0)

    @EXAMPLES
    @given(
        customers=st.dictionaries(IDS, st.binary(max_size=300), max_size=8),
        pending=st.dictionaries(IDS, st.binary(max_size=300), max_size=8),
    )
    def test_returns_any_bytes_under_any_identifier(
        self, open_store: OpenStore, customers: dict[str, bytes], pending: dict[str, bytes]
    ) -> None:
        store = open_store()
        store.commit(store.take_partition(0), 0, customers, pending)
        assert store.load(0, [*customers], [], [], [*pending]) == (
            [*customers.values()],
            [],
            [],
            pending,
            0,
            0,
        )
        assert store.find_pending([*pending], 1) == pending

    def test_a_ledger_is_kept_with_the_commit_that_brought_it(self, store: Store) -> None:
        tenure = store.take_partition(1)
        assert tenure.ledger == b""
        tenure = store.commit(tenure, 499, {"c1": b"one"}, {"t1": b"first"}, b"\x00ledger\xff")
        assert tenure.ledger == b"\x00ledger\xff"
        tenure = store.commit(tenure, 999, {}, {})
        assert tenure.ledger == store.take_partition(1).ledger == b"\x00ledger\xff"
        assert store.take_partition(0).ledger == b""
        assert store.load(1, ["c1"], [], [], ["t1"]) == ([b"one"], [], [], {"t1": b"first"}, 0, 0)

    def test_a_ledger_is_not_written_by_a_repeated_or_refused_commit(self, store: Store) -> None:
        tenure = store.take_partition(0)
        store.commit(tenure, 7, {}, {}, b"first")
        store.commit(tenure, 7, {}, {}, b"repeated")
        successor = store.take_partition(0)
        assert successor.ledger == b"first"
        with pytest.raises(FencedError):
            store.commit(tenure, 9, {}, {}, b"zombie")
        with pytest.raises(StateLostError):
            store.commit(successor._replace(watermark=8), 9, {}, {}, b"from beyond")
        assert store.take_partition(0).ledger == b"first"

    def test_lineups_are_kept_with_the_commit_that_brought_them(self, store: Store) -> None:
        first, second = {"0123456789ab": b"\x94one"}, {"ba9876543210": b"\x94two\xff"}
        assert store.find_lineups([]) == store.find_lineups(range(3)) == {}
        tenure = store.commit(store.take_partition(1), 0, {"c1": b"one"}, {"t1": b"first"}, b"", first)
        tenure = store.commit(tenure, 1, {}, {"t2": b"second"}, b"ledger", first | second)
        store.commit(store.take_partition(2), 0, {}, {"t3": b"third"}, lineups=first)
        assert store.find_lineups([1]) == store.find_lineups(range(3)) == first | second
        assert (store.find_lineups([0]), store.find_lineups([2])) == ({}, first)
        assert store.load(1, ["c1"], [], [], ["t1", "t2"]).pending == {"t1": b"first", "t2": b"second"}
        store.take_partition(1)
        with pytest.raises(FencedError):
            store.commit(tenure, 2, {}, {}, b"", {"aaaaaaaaaaaa": b"zombie"})
        assert store.find_lineups([1]) == first | second

    def test_a_commit_moves_the_watermark(self, store: Store) -> None:
        tenure = store.commit(store.take_partition(1), 499, {}, {})
        assert tenure.watermark == 499
        assert store.transactions_done(2) == {0: -1, 1: 499}
        assert store.commit(tenure, 999, {}, {}).watermark == 999

    def test_a_commit_takes_the_largest_batch(self, store: Store) -> None:
        customers = {f"c{i}": b"s" * 250 for i in range(5_000)}
        pending = {f"t{i}": b"p" * 170 for i in range(5_000)}
        store.commit(store.take_partition(0), 4_999, customers, pending)
        assert store.load(0, [*customers], [], [], [*pending]) == (
            [*customers.values()],
            [],
            [],
            pending,
            0,
            0,
        )

    def test_repeating_a_commit_succeeds_and_changes_nothing(self, store: Store) -> None:
        tenure = store.take_partition(0)
        first = store.commit(tenure, 7, {"c1": b"one"}, {"t1": b"first"})
        assert store.commit(tenure, 7, {"c1": b"other"}, {"t1": b"other", "t2": b"new"}) == first
        assert store.load(0, ["c1"], [], [], ["t1", "t2"]) == ([b"one"], [], [], {"t1": b"first"}, 0, 0)
        assert store.transactions_done(1) == {0: 7}

    @pytest.mark.parametrize("watermark", [3, 7])
    def test_a_redelivered_batch_leaves_the_watermark(self, store: Store, watermark: int) -> None:
        tenure = store.commit(store.take_partition(0), 7, {"c1": b"one"}, {})
        assert store.commit(tenure, watermark, {}, {"t1": b"again"}) == tenure
        assert store.load(0, ["c1"], [], [], ["t1"]) == ([b"one"], [], [], {"t1": b"again"}, 0, 0)
        assert store.transactions_done(1) == {0: 7}

    def test_whoever_takes_over_finds_where_the_other_stood(self, store: Store) -> None:
        first = store.commit(store.take_partition(0), 41, {"c1": b"one"}, {})
        second = store.take_partition(0)
        assert second.watermark == 41
        assert second.token > first.token

    @pytest.mark.parametrize("watermark", [7, 9], ids=["redelivered", "new"])
    def test_a_worker_that_was_replaced_writes_nothing(self, store: Store, watermark: int) -> None:
        zombie = store.commit(store.take_partition(0), 7, {"c1": b"one"}, {})
        store.take_partition(0)
        with pytest.raises(FencedError, match=r"^partition 0 has been taken over: token 1 .* newest is 2;"):
            store.commit(zombie, watermark, {"c1": b"zombie"}, {"t1": b"zombie"})
        assert store.load(0, ["c1"], [], [], ["t1"]) == ([b"one"], [], [], {}, 0, 0)
        assert store.transactions_done(1) == {0: 7}

    def test_repeating_the_commit_of_a_worker_that_was_replaced_is_refused(self, store: Store) -> None:
        tenure = store.take_partition(0)
        store.commit(tenure, 7, {}, {})
        store.take_partition(0)
        with pytest.raises(FencedError):
            store.commit(tenure, 7, {}, {})

    @pytest.mark.parametrize("watermark", [2, 5, 9])
    def test_a_tenure_from_before_the_stored_watermark_is_refused(self, store: Store, watermark: int) -> None:
        tenure = store.take_partition(0)
        early = store.commit(tenure, 3, {}, {})
        store.commit(early, 7, {"c1": b"one"}, {})
        with pytest.raises(FencedError, match=r"partition 0 stands at offset 7 .* not at 3"):
            store.commit(early, watermark, {"c1": b"late"}, {"t1": b"late"})
        assert store.load(0, ["c1"], [], [], ["t1"]) == ([b"one"], [], [], {}, 0, 0)

    @pytest.mark.parametrize("watermark", [5, 6, 9])
    def test_a_tenure_from_beyond_the_stored_watermark_is_refused(self, store: Store, watermark: int) -> None:
        """So it is when the store has lost its latest writes, in a fail-over say."""
        tenure = store.commit(store.take_partition(0), 5, {}, {})
        with pytest.raises(StateLostError, match=r"partition 0: it stands at offset 5, after 8 had"):
            store.commit(tenure._replace(watermark=8), watermark, {}, {"t1": b"record"})
        assert store.find_pending(["t1"], 1) == {}

    def test_a_commit_without_having_taken_the_partition_is_refused(self, store: Store) -> None:
        with pytest.raises(StateLostError, match="partition 0: of token 1 nothing is left"):
            store.commit(Tenure(0, Token(1), -1), 0, {}, {})

    def test_a_token_from_beyond_the_newest_is_one_that_the_store_has_lost(self, store: Store) -> None:
        tenure = store.take_partition(0)
        with pytest.raises(StateLostError, match="partition 0: of token 2 only an older one, 1, is left"):
            store.commit(tenure._replace(token=Token(2)), 0, {}, {"t1": b"record"})
        assert store.find_pending(["t1"], 1) == {}

    def test_a_commit_of_nothing_only_asks_whether_the_tenure_stands(self, store: Store) -> None:
        fresh = store.take_partition(0)
        assert store.commit(fresh, -1, {}, {}) == fresh
        assert store.transactions_done(1) == {0: -1}
        tenure = store.commit(fresh, 7, {}, {}, b"ledger")
        assert store.commit(tenure, 7, {}, {}) == tenure
        store.take_partition(0)
        with pytest.raises(FencedError):
            store.commit(tenure, 7, {}, {})

    def test_partitions_are_taken_one_by_one(self, store: Store) -> None:
        tenure = store.take_partition(0)
        store.take_partition(1)
        store.take_learner()
        assert store.commit(tenure, 0, {}, {}).watermark == 0

    def test_what_is_under_way_tells_its_result_later(self, store: Store) -> None:
        tenure = store.take_partition(0)
        under_way = store.begin_commit(tenure, 7, {"c1": b"one"}, {"t1": b"first"}, b"ledger")
        eventually(lambda: store.transactions_done(1) == {0: 7})
        loading = store.begin_load(0, ["c1", "c2"], ["x"], ["c1"], ["t1"])
        tenure = under_way.result()
        assert (tenure.watermark, tenure.ledger) == (7, b"ledger")
        assert loading.result() == ([b"one", None], [None], [None], {"t1": b"first"}, 0, 0)
        assert store.commit(tenure, 8, {}, {}).watermark == 8

    def test_what_is_under_way_tells_its_refusal_later(self, store: Store) -> None:
        tenure = store.take_partition(0)
        store.take_partition(0)
        zombie = store.begin_commit(tenure, 7, {"c1": b"zombie"}, {})
        with pytest.raises(FencedError, match="token 1 was presented, the newest is 2"):
            zombie.result()
        lost = store.begin_commit(Tenure(1, Token(1), -1), 7, {}, {})
        with pytest.raises(StateLostError, match="partition 1: of token 1 nothing is left"):
            lost.result()
        assert store.load(0, ["c1"], [], [], []).customers == [None]

    def test_a_result_is_told_once(self, store: Store) -> None:
        tenure = store.take_partition(0)
        under_way, loading = store.begin_commit(tenure, 7, {}, {}), store.begin_load(0, [], [], [], [])
        under_way.result()
        loading.abandon()
        for over in (under_way, loading):
            over.abandon()
            with pytest.raises(RuntimeError, match="before, or given up"):
                over.result()

    def test_a_commit_whose_result_was_given_up_may_be_repeated(self, store: Store) -> None:
        tenure = store.take_partition(0)
        store.begin_commit(tenure, 7, {"c1": b"one"}, {}).abandon()
        assert store.commit(tenure, 7, {"c1": b"one"}, {}).watermark == 7
        assert store.load(0, ["c1"], [], [], []).customers == [b"one"]

    def test_of_workers_racing_for_a_partition_one_writes_on(self, store: Store) -> None:
        workers = 8
        start = Barrier(workers)

        def work(number: int) -> Token | None:
            start.wait()
            tenure = store.take_partition(0)
            try:
                for _ in range(20):
                    customers = {f"c{number}": b"%d" % tenure.watermark}
                    tenure = store.commit(tenure, tenure.watermark + 1, customers, {})
            except FencedError:
                return None
            return tenure.token

        with ThreadPoolExecutor(workers) as pool:
            finished = [token for token in pool.map(work, range(workers)) if token is not None]
        newest = store.take_partition(0)
        assert max(finished) == newest.token - 1
        assert newest.watermark >= 19


class TestLearner:
    def test_a_new_learner_stands_before_its_first_label(self, store: Store) -> None:
        _, watermark = store.take_learner()
        assert watermark == store.labels_done() == -1

    def test_finds_pending_records_in_whichever_partition(self, store: Store) -> None:
        for partition in range(3):
            store.commit(store.take_partition(partition), 0, {}, {f"t{partition}": b"in %d" % partition})
        found = store.find_pending(["t0", "t1", "t2", "t9"], 3)
        assert found == {"t0": b"in 0", "t1": b"in 1", "t2": b"in 2"}
        assert store.find_pending(["t2"], 2) == {}
        assert store.find_pending([], 3) == {}

    def test_finds_what_was_committed(self, store: Store) -> None:
        token, _ = store.take_learner()
        risks: dict[RiskKey, bytes] = {("terminal", "x"): b"shop", ("customer", "x"): b"person"}
        store.commit_labels(token, 4, risks, {"t1": b"fraud"})
        assert store.find_risks([*risks, ("terminal", "y")]) == risks
        assert store.find_verdicts(["t1", "t2"]) == {"t1": b"fraud"}
        assert store.find_risks([]) == {}
        assert store.find_verdicts([]) == {}

    def test_scorers_of_every_partition_load_the_risks(self, store: Store) -> None:
        token, _ = store.take_learner()
        store.commit_labels(token, 4, {("terminal", "x"): b"shop", ("customer", "c1"): b"person"}, {})
        for partition in range(3):
            loaded = store.load(partition, ["c1"], ["c1", "x"], ["x", "c1"], [])
            assert loaded == ([None], [None, b"shop"], [None, b"person"], {}, 0, 0)

    def test_a_commit_takes_the_largest_batch(self, store: Store) -> None:
        token, _ = store.take_learner()
        risks: dict[RiskKey, bytes] = {("terminal", f"x{i}"): b"r" * 90 for i in range(10_000)}
        verdicts = {f"t{i}": b"v" * 20 for i in range(5_000)}
        store.commit_labels(token, 4_999, risks, verdicts)
        assert store.find_risks([*risks]) == risks
        assert store.find_verdicts([*verdicts]) == verdicts

    def test_the_watermark_only_moves_forward(self, store: Store) -> None:
        token, _ = store.take_learner()
        for watermark, stands in [(10, 10), (10, 10), (4, 10), (11, 11)]:
            store.commit_labels(token, watermark, {}, {"t1": b"%d" % watermark})
            assert store.labels_done() == stands
        assert store.take_learner()[1] == 11

    def test_repeating_a_commit_changes_nothing(self, store: Store) -> None:
        token, _ = store.take_learner()
        for _ in range(2):
            store.commit_labels(token, 4, {("terminal", "x"): b"shop"}, {"t1": b"fraud"})
            assert store.find_risks([("terminal", "x")]) == {("terminal", "x"): b"shop"}
            assert store.find_verdicts(["t1"]) == {"t1": b"fraud"}
            assert store.labels_done() == 4

    def test_a_learner_that_was_replaced_writes_nothing(self, store: Store) -> None:
        zombie, _ = store.take_learner()
        store.commit_labels(zombie, 3, {("terminal", "x"): b"shop"}, {})
        store.publish(zombie, b"roster", {"m1": b"model"})
        store.save_checkpoint(zombie, b"checkpoint")
        store.take_learner()
        writes: list[Callable[[], object]] = [
            lambda: store.commit_labels(zombie, 9, {("terminal", "x"): b"zombie"}, {"t1": b"zombie"}),
            lambda: store.commit_labels(zombie, 3, {("terminal", "x"): b"zombie"}, {}),
            lambda: store.publish(zombie, b"zombie", {"m1": b"zombie", "m2": b"zombie"}),
            lambda: store.save_checkpoint(zombie, b"zombie"),
        ]
        for write in writes:
            with pytest.raises(FencedError, match=r"^the learner's role has been taken over: token 1 "):
                write()
        assert store.find_risks([("terminal", "x")]) == {("terminal", "x"): b"shop"}
        assert store.find_verdicts(["t1"]) == {}
        assert (store.labels_done(), store.roster()) == (3, b"roster")
        assert (store.snapshot("m1"), store.snapshot("m2")) == (b"model", None)
        assert store.load(0, [], [], [], []).roster_revision == 1
        assert list(store.checkpoints()) == [b"checkpoint"]

    def test_labels_are_not_committed_behind_a_watermark_that_was_lost(self, store: Store) -> None:
        """So it is when the store has lost its latest writes: what comes after must not hide the hole."""
        token, _ = store.take_learner()
        store.commit_labels(token, 3, {}, {}, -1)
        store.commit_labels(token, 5, {}, {}, 3)
        store.commit_labels(token, 5, {}, {}, 3)  # the answer was lost
        with pytest.raises(StateLostError, match=r"learner's role: it stands at offset 5, after 7 had"):
            store.commit_labels(token, 9, {("terminal", "x"): b"shop"}, {"t1": b"fraud"}, 7)
        assert store.find_risks([("terminal", "x")]) == {}
        assert store.find_verdicts(["t1"]) == {}
        assert store.labels_done() == 5

    def test_a_commit_of_no_labels_only_asks_whether_the_role_is_held(self, store: Store) -> None:
        token, watermark = store.take_learner()
        store.commit_labels(token, watermark, {}, {}, watermark)
        assert store.labels_done() == -1
        store.take_learner()
        with pytest.raises(FencedError):
            store.commit_labels(token, watermark, {}, {}, watermark)


class TestLost:
    def test_whoever_held_anything_in_a_store_that_was_emptied_is_told(self, store: Store) -> None:
        tenure = store.commit(store.take_partition(0), 5, {"c1": b"one"}, {"t1": b"first"})
        token, _ = store.take_learner()
        fitter = store.take_fitter()
        store.commit_labels(token, 3, {("terminal", "x"): b"shop"}, {})
        _empty(store)
        writes: dict[str, Callable[[], object]] = {
            "partition 0": lambda: store.commit(tenure, 6, {"c1": b"two"}, {}),
            "the learner's role": lambda: store.commit_labels(token, 4, {}, {"t1": b"fraud"}, 3),
            "the fitter's role": lambda: store.offer(fitter, b"model"),
        }
        for whose, write in writes.items():
            with pytest.raises(StateLostError, match=f"lost state of {whose}: of token 1 nothing is left"):
                write()
        for write in (
            lambda: store.publish(token, b"roster", {"m1": b"model"}),
            lambda: store.save_checkpoint(token, b"checkpoint"),
        ):
            with pytest.raises(StateLostError):
                write()
        assert store.load(0, ["c1"], ["x"], [], ["t1"]) == ([None], [None], [], {}, 0, 0)
        assert (store.labels_done(), store.offered(0), list(store.checkpoints())) == (-1, None, [])
        assert store.take_partition(0).watermark == -1


class TestModels:
    def test_there_is_no_roster_before_the_first(self, store: Store) -> None:
        assert store.roster() is None
        assert store.snapshot("m1") is None
        assert store.load(0, [], [], [], []).roster_revision == 0

    def test_a_published_roster_is_read_with_its_snapshots(self, store: Store) -> None:
        token, _ = store.take_learner()
        revision = store.publish(token, b"roster", {"m1": b"one", "m2": b""})
        assert revision > 0
        assert store.roster() == b"roster"
        assert [store.snapshot(name) for name in ("m1", "m2", "m3")] == [b"one", None, None]
        assert store.load(3, ["c1"], ["x"], [], ["t1"]) == ([None], [None], [], {}, revision, 0)

    def test_every_roster_has_a_revision_of_its_own(self, store: Store) -> None:
        token, _ = store.take_learner()
        revisions = [store.publish(token, b"roster", {}) for _ in range(3)]
        assert revisions == sorted(set(revisions))
        assert store.load(0, [], [], [], []).roster_revision == revisions[-1]

    def test_a_retired_snapshot_stays_readable_for_those_half_way_through_loading_it(
        self, store: Store
    ) -> None:
        token, _ = store.take_learner()
        store.publish(token, b"first", {"m1": b"one", "m2": b"two"})
        store.publish(token, b"second", {"m2": b"two, later"})
        assert store.roster() == b"second"
        assert (store.snapshot("m1"), store.snapshot("m2")) == (b"one", b"two, later")

    def test_a_retired_snapshot_may_come_back(self, store: Store) -> None:
        token, _ = store.take_learner()
        for names in (["m1"], ["m2"], ["m1", "m2"], ["m1"]):
            store.publish(token, b"roster", {name: name.encode() for name in names})
            assert [store.snapshot(name) for name in names] == [name.encode() for name in names]

    def test_checkpoints_come_newest_first_and_only_the_last_few(self, store: Store) -> None:
        token, _ = store.take_learner()
        assert list(store.checkpoints()) == []
        saved = [b"checkpoint %d" % number for number in range(CHECKPOINTS_KEPT + 2)]
        for number, checkpoint in enumerate(saved, start=1):
            store.save_checkpoint(token, checkpoint)
            assert list(store.checkpoints()) == saved[:number][::-1][:CHECKPOINTS_KEPT]

    def test_a_checkpoint_may_be_large(self, store: Store) -> None:
        token, _ = store.take_learner()
        checkpoint = bytes(range(256)) * 4 * 16_384
        store.save_checkpoint(token, checkpoint)
        assert next(store.checkpoints()) == checkpoint

    def test_checkpoints_outlive_the_learner_that_saved_them(self, store: Store) -> None:
        token, _ = store.take_learner()
        store.save_checkpoint(token, b"its")
        successor, _ = store.take_learner()
        assert list(store.checkpoints()) == [b"its"]
        store.save_checkpoint(successor, b"mine")
        assert list(store.checkpoints()) == [b"mine", b"its"]


class TestFitter:
    def test_nothing_is_offered_before_the_first_offer(self, store: Store) -> None:
        assert store.offered(0) is None
        store.take_fitter()
        assert store.offered(0) is None

    def test_the_last_offer_is_read_until_it_is_known(self, store: Store) -> None:
        token = store.take_fitter()
        first = store.offer(token, b"first")
        assert first > 0
        assert store.offered(0) == (first, b"first")
        assert store.offered(first) is None
        second = store.offer(token, b"second")
        assert second > first
        assert store.offered(0) == store.offered(first) == (second, b"second")
        assert store.offered(second) is None

    def test_a_revision_that_is_ahead_is_not_taken_for_the_one_there_is(self, store: Store) -> None:
        """A learner may know an offer that a Redis which lost writes has forgotten."""
        revision = store.offer(store.take_fitter(), b"first")
        assert store.offered(revision + 5) == (revision, b"first")

    def test_offering_the_same_again_changes_nothing(self, store: Store) -> None:
        token = store.take_fitter()
        revision = store.offer(token, b"first")
        assert store.offer(token, b"first") == revision
        assert store.offer(store.take_fitter(), b"first") == revision
        assert store.offered(revision) is None

    def test_an_offer_may_be_large_and_hold_any_bytes(self, store: Store) -> None:
        offer = bytes(range(256)) * 4 * 1_024
        revision = store.offer(store.take_fitter(), offer)
        assert store.offered(0) == (revision, offer)

    def test_a_fitter_that_was_replaced_offers_nothing(self, store: Store) -> None:
        zombie = store.take_fitter()
        revision = store.offer(zombie, b"first")
        store.take_fitter()
        for offer in (b"zombie", b"first"):
            with pytest.raises(FencedError, match=r"^the fitter's role has been taken over: token 1 "):
                store.offer(zombie, offer)
        assert store.offered(0) == (revision, b"first")

    def test_a_fitter_does_not_fence_off_the_learner(self, store: Store) -> None:
        learner, _ = store.take_learner()
        store.offer(store.take_fitter(), b"first")
        store.publish(learner, b"roster", {"m1": b"one"})
        assert store.roster() == b"roster"


class TestOrders:
    def test_orders_are_numbered_and_read_until_they_are_known(self, store: Store) -> None:
        assert store.orders(0) == {}
        assert [store.order(b"first"), store.order(b"second"), store.order(b"first")] == [1, 2, 3]
        assert store.orders(0) == {1: b"first", 2: b"second", 3: b"first"}
        assert store.orders(2) == {3: b"first"}
        assert store.orders(3) == {}

    def test_orders_of_several_at_once_are_all_kept(self, store: Store) -> None:
        with ThreadPoolExecutor(8) as pool:
            numbers = [*pool.map(lambda n: store.order(b"%d" % n), range(40))]
        assert sorted(numbers) == list(range(1, 41))
        assert sorted(store.orders(0).values()) == sorted(b"%d" % n for n in range(40))
        assert list(store.orders(0)) == list(range(1, 41))

    def test_an_answer_is_read_once_it_was_given(self, store: Store) -> None:
        number = store.order(b"first")
        assert store.answered(number) is None
        store.answer(number, "größer als zuvor")
        store.answer(number, "größer als zuvor")
        assert store.answered(number) == "größer als zuvor"


def test_what_is_not_written_any_more_is_forgotten_in_its_time(open_store: OpenStore) -> None:
    brief = timedelta(milliseconds=40)
    short_pending, short_state = (
        open_store(pending_ttl=brief, state_ttl=DAY),
        open_store(pending_ttl=DAY, state_ttl=brief),
    )
    for store in (short_pending, short_state):
        store.commit(store.take_partition(0), 5, {"c1": b"state"}, {"t1": b"record"})
        store.commit_labels(store.take_learner()[0], 6, {("terminal", "x"): b"shop"}, {"t1": b"fraud"})
    eventually(lambda: not short_pending.load(0, [], [], [], ["t1"]).pending)
    eventually(lambda: not short_pending.find_verdicts(["t1"]))
    eventually(lambda: not short_state.load(0, ["c1"], [], [], []).customers[0])
    eventually(lambda: not short_state.find_risks([("terminal", "x")]))
    assert short_pending.load(0, ["c1"], ["x"], [], []).customers == [b"state"]
    assert short_pending.find_risks([("terminal", "x")]) == {("terminal", "x"): b"shop"}
    assert short_state.load(0, [], [], [], ["t1"]).pending == {"t1": b"record"}
    assert short_state.find_verdicts(["t1"]) == {"t1": b"fraud"}
    for store in (short_pending, short_state):
        assert (store.transactions_done(1), store.labels_done()) == ({0: 5}, 6)


class _Worker:
    """A scorer reduced to its bookkeeping: it counts each customer's transactions, and all of them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.tenure = store.take_partition(0)

    def process(self, log: list[str], start: int, stop: int, *, answers_lost: int = 0) -> None:
        """Count the records of `log` from `start` to before `stop`, some of them for the second time."""
        new = [(offset, log[offset]) for offset in range(start, stop) if offset > self.tenure.watermark]
        stored = self.store.load(0, [customer for _, customer in new], [], [], []).customers
        counts = {customer: int(one or b"0") for (_, customer), one in zip(new, stored, strict=True)}
        ledger = b"%d" % (int(self.tenure.ledger or b"0") + len(new))
        for _, customer in new:
            counts[customer] += 1
        states = {customer: b"%d" % number for customer, number in counts.items()}
        pending = {f"t{offset}": customer.encode() for offset, customer in new}
        tenure = self.tenure
        for _ in range(1 + answers_lost):
            self.tenure = self.store.commit(tenure, stop - 1, states, pending, ledger)


@EXAMPLES
@given(data=st.data())
def test_every_transaction_counts_once_whatever_is_killed_repeated_or_redelivered(
    open_store: OpenStore, data: st.DataObject
) -> None:
    store = open_store()
    log = data.draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=30))
    owner, zombies = _Worker(store), list[_Worker]()
    position = 0
    while position < len(log):
        fault = data.draw(st.sampled_from(["none", "none", "lost answers", "redelivery", "takeover"]))
        if fault == "takeover":
            zombies.append(owner)
            owner = _Worker(store)
        # Kafka delivers again from the last acknowledged offset, which may lie before the watermark.
        start = data.draw(st.integers(0, position)) if fault in ("redelivery", "takeover") else position
        stop = data.draw(st.integers(start + 1, min(start + 8, len(log))))
        for zombie in zombies:
            with pytest.raises(FencedError):
                zombie.process(log, position, len(log))
        owner.process(log, start, stop, answers_lost=2 if fault == "lost answers" else 0)
        position = max(position, stop)
    naive = {customer: b"%d" % log.count(customer) for customer in log}
    assert store.load(0, [*naive], [], [], []).customers == [*naive.values()]
    assert store.find_pending([f"t{i}" for i in range(len(log))], 1) == {
        f"t{i}": customer.encode() for i, customer in enumerate(log)
    }
    assert store.transactions_done(1) == {0: len(log) - 1}
    assert store.take_partition(0).ledger == b"%d" % len(log)


SMALL_IDS = st.sampled_from(["a", "b", "c"])
VALUES = st.binary(max_size=3)
TURNS = st.integers(0, 5)
"""Whose tenure or token: the newest is 0."""
RISK_KEYS = st.tuples(st.sampled_from(["terminal", "customer"]), SMALL_IDS)
OPERATIONS = st.one_of(
    st.tuples(st.just("take_partition"), st.integers(0, 2)),
    st.tuples(
        st.just("commit"),
        TURNS,
        st.integers(-2, 4),
        st.dictionaries(SMALL_IDS, VALUES),
        st.dictionaries(SMALL_IDS, VALUES),
        VALUES,
    ),
    st.tuples(st.just("take_learner")),
    st.tuples(
        st.just("commit_labels"),
        TURNS,
        st.integers(0, 9),
        st.dictionaries(RISK_KEYS, VALUES),
        st.dictionaries(SMALL_IDS, VALUES),
    ),
    st.tuples(st.just("publish"), TURNS, VALUES, st.dictionaries(SMALL_IDS, VALUES)),
    st.tuples(st.just("save_checkpoint"), TURNS, VALUES),
)


class _Client:
    """Whoever uses a store: keeps every tenure and token it was ever given."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.tenures = [store.take_partition(0)]
        self.tokens = [store.take_learner()[0]]

    def do(self, name: str, *arguments: Any) -> object:
        """Do one thing; return what came of it, and everything that is stored afterwards."""
        try:
            answer: object = getattr(self, name)(*arguments)
        except FencedError as error:
            answer = str(error)
        return answer, self._everything()

    def take_partition(self, partition: int) -> Tenure:
        self.tenures.append(self.store.take_partition(partition))
        return self.tenures[-1]

    def commit(
        self, turn: int, step: int, customers: dict[str, bytes], pending: dict[str, bytes], ledger: bytes
    ) -> Tenure:
        tenure = self.tenures[-1 - turn % len(self.tenures)]
        watermark = max(0, tenure.watermark + step)
        self.tenures.append(self.store.commit(tenure, watermark, customers, pending, ledger))
        return self.tenures[-1]

    def take_learner(self) -> tuple[Token, int]:
        taken = self.store.take_learner()
        self.tokens.append(taken[0])
        return taken

    def commit_labels(
        self, turn: int, watermark: int, risks: dict[RiskKey, bytes], verdicts: dict[str, bytes]
    ) -> None:
        self.store.commit_labels(self._token(turn), watermark, risks, verdicts)

    def publish(self, turn: int, roster: bytes, snapshots: dict[str, bytes]) -> int:
        return self.store.publish(self._token(turn), roster, snapshots)

    def save_checkpoint(self, turn: int, checkpoint: bytes) -> None:
        self.store.save_checkpoint(self._token(turn), checkpoint)

    def _token(self, turn: int) -> Token:
        return self.tokens[-1 - turn % len(self.tokens)]

    def _everything(self) -> object:
        ids = ["a", "b", "c"]
        risks: list[RiskKey] = [*(("terminal", id_) for id_ in ids), *(("customer", id_) for id_ in ids)]
        return (
            [self.store.load(partition, ids, ids, ids, ids) for partition in range(3)],
            self.store.find_pending(ids, 3).keys(),
            self.store.find_verdicts(ids),
            self.store.find_risks(risks),
            self.store.roster(),
            [self.store.snapshot(id_) for id_ in ids],
            list(self.store.checkpoints()),
            self.store.transactions_done(3),
            self.store.labels_done(),
        )


@EXAMPLES
@given(operations=st.lists(OPERATIONS, max_size=15))
def test_any_sequence_of_operations_does_what_it_does_in_memory(
    open_store: OpenStore, operations: list[tuple[Any, ...]]
) -> None:
    mine, twins = _Client(open_store()), _Client(InMemoryStore())
    for operation in operations:
        assert mine.do(*operation) == twins.do(*operation), operation
