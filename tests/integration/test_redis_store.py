"""What is true of the feature store in Redis alone: its keys, its times to live, its size, its failures."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import Any

import pytest
import redis

from stream.adapters import redis_store
from stream.adapters.redis_connection import Exchange
from stream.adapters.redis_store import RedisStore
from stream.adapters.retention import RETIRED_SNAPSHOT_TTL
from stream.clock import DAY_MS, Clock, ManualClock, wall_clock
from stream.errors import FencedError, InfrastructureError, SnapshotError, StateLostError
from stream.registry.seal import SEAL_BYTES
from stream.registry.snapshot import MOST_ROSTER_BYTES, decode_roster
from tests.services.redis_server import RedisServer
from tests.services.waiting import eventually

pytestmark = pytest.mark.service("redis")

NOW = 1_750_000_000_000
PENDING_TTL = timedelta(days=35)
STATE_TTL = timedelta(days=60)
GENERATIONS = {b"fraud:{3}:g", b"fraud:{3}:p:1", b"fraud:{learner}:g", b"fraud:{learner}:v:1"}
Open = Callable[..., RedisStore]


@pytest.fixture
def open_store() -> Iterator[Open]:
    with ExitStack() as stores:

        def make(
            url: str,
            *,
            timeout_seconds: float = 5.0,
            pending_ttl: timedelta = PENDING_TTL,
            clock: Clock = lambda: NOW,
        ) -> RedisStore:
            store = RedisStore(
                url,
                namespace="fraud",
                pending_ttl=pending_ttl,
                state_ttl=STATE_TTL,
                timeout_seconds=timeout_seconds,
                clock=clock,
            )
            stores.callback(store.close)
            return store

        yield make


@pytest.fixture
def store(open_store: Open, redis_url: str) -> RedisStore:
    return open_store(redis_url)


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with redis.Redis.from_url(redis_url) as client:
        yield client


class TestFormat:
    """The golden keys and values of docs/redis-format.md, read as another client would read them."""

    def test_what_a_scorer_writes(self, store: RedisStore, client: Any) -> None:
        lineups = {"0123456789ab": b"\x94lineup"}
        store.commit(
            *(
                store.take_partition(3),
                41,
                {"c1": b"\x93state"},
                {"t1": b"\x02record"},
                b"\x9dledger",
                lineups,
            )
        )
        assert _hashes(client) == {
            b"fraud:{3}:m": {b"0123456789ab": b"\x94lineup"},
            b"fraud:{3}:g": {b"1": b"%d" % (NOW + 35 * DAY_MS + 35 * DAY_MS // 4)},
            b"fraud:{3}:p:1": {b"t1": b"\x02record"},
        }
        assert _strings(client) == {
            b"fraud:{3}:f": b"1",
            b"fraud:{3}:w": b"41",
            b"fraud:{3}:b": b"\x9dledger",
            b"fraud:{3}:c:c1": b"\x93state",
        }

    def test_what_the_learner_writes(self, store: RedisStore, client: Any) -> None:
        store.take_learner()
        token, _ = store.take_learner()
        store.commit_labels(
            token, 9, {("terminal", "x"): b"shop", ("customer", "x"): b"person"}, {"t1": b"v"}
        )
        assert _hashes(client) == {
            b"fraud:{learner}:g": {b"1": b"%d" % (NOW + 35 * DAY_MS + 35 * DAY_MS // 4)},
            b"fraud:{learner}:v:1": {b"t1": b"v"},
        }
        assert _strings(client) == {
            b"fraud:{learner}:f": b"2",
            b"fraud:{learner}:w": b"9",
            b"fraud:{learner}:t:x": b"shop",
            b"fraud:{learner}:c:x": b"person",
        }

    def test_what_models_leave(self, store: RedisStore, client: Any) -> None:
        token, _ = store.take_learner()
        store.publish(token, b"roster", {"m1": b"one", "m2": b"two"})
        for number in range(5):
            store.save_checkpoint(token, b"%d" % number)
        assert client.smembers("fraud:{learner}:s") == {b"m1", b"m2"}
        client.delete("fraud:{learner}:s")
        assert _strings(client) == {
            b"fraud:{learner}:f": b"1",
            b"fraud:{learner}:r": b"roster",
            b"fraud:{learner}:n": b"1",
            b"fraud:{learner}:s:m1": b"one",
            b"fraud:{learner}:s:m2": b"two",
            b"fraud:{learner}:k:0": b"4",
            b"fraud:{learner}:k:1": b"3",
            b"fraud:{learner}:k:2": b"2",
        }

    def test_what_the_fitter_writes(self, store: RedisStore, client: Any) -> None:
        token = store.take_fitter()
        store.offer(token, b"FSS1first")
        store.offer(token, b"FSS1second")
        assert _strings(client) == {
            b"fraud:{fitter}:f": b"1",
            b"fraud:{fitter}:o": b"FSS1second",
            b"fraud:{fitter}:n": b"2",
        }

    def test_only_what_grows_expires(self, store: RedisStore, client: Any) -> None:
        store.commit(store.take_partition(3), 41, {"c1": b"state"}, {"t1": b"record"}, b"ledger")
        token, _ = store.take_learner()
        store.commit_labels(
            token, 9, {("terminal", "x"): b"shop", ("customer", "x"): b"person"}, {"t1": b"v"}
        )
        store.publish(token, b"roster", {"m1": b"one"})
        store.save_checkpoint(token, b"checkpoint")
        store.offer(store.take_fitter(), b"offer")
        expiring = {key for key in client.scan_iter() if client.pttl(key) != -1}
        for ttl, keys in [
            (STATE_TTL, {b"fraud:{3}:c:c1", b"fraud:{learner}:t:x", b"fraud:{learner}:c:x"}),
            (PENDING_TTL * 1.5, GENERATIONS),
        ]:
            expiring -= keys
            for key in keys:
                assert ttl - timedelta(minutes=1) < timedelta(milliseconds=client.pttl(key)) <= ttl
        assert expiring == set()

    def test_writing_again_begins_the_time_to_live_anew(self, store: RedisStore, client: Any) -> None:
        keys = [b"fraud:{3}:c:c1", b"fraud:{learner}:t:x", *GENERATIONS]
        tenure, (token, _) = store.take_partition(3), store.take_learner()
        for offset in range(2):
            tenure = store.commit(tenure, offset, {"c1": b"state"}, {"t1": b"record"})
            store.commit_labels(token, offset, {("terminal", "x"): b"shop"}, {"t1": b"v"})
            assert min(client.pttl(key) for key in keys) > 60_000
            for key in keys:
                client.pexpire(key, 60_000)

    def test_a_retired_snapshot_is_given_some_minutes_and_one_that_comes_back_is_kept(
        self, store: RedisStore, client: Any
    ) -> None:
        token, _ = store.take_learner()
        store.publish(token, b"first", {"m1": b"one", "m2": b"two"})
        store.publish(token, b"second", {"m2": b"two"})
        left = timedelta(milliseconds=client.pttl("fraud:{learner}:s:m1"))
        assert RETIRED_SNAPSHOT_TTL - timedelta(minutes=1) < left <= RETIRED_SNAPSHOT_TTL
        assert client.pttl("fraud:{learner}:s:m2") == -1
        store.publish(token, b"third", {"m1": b"one"})
        assert client.pttl("fraud:{learner}:s:m1") == -1
        assert client.smembers("fraud:{learner}:s") == {b"m1"}

    def test_retired_snapshots_go_though_redis_would_not_come_upon_them(
        self, open_store: Open, redis_server: Callable[..., RedisServer], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(redis_store, "RETIRED_SNAPSHOT_TTL", timedelta(milliseconds=1))
        server = redis_server("--enable-debug-command", "yes")
        store = open_store(server.url)
        with redis.Redis.from_url(server.url) as client:
            client.execute_command("DEBUG", "SET-ACTIVE-EXPIRE", "0")
            token, _ = store.take_learner()
            for number in range(100):
                store.publish(token, b"roster", {f"m{number}": b"snapshot"})

            def kept() -> int:
                store.publish(token, b"roster", {"m99": b"snapshot"})
                return client.dbsize()

            # The fence, the roster, its revision, the set of names, and the one snapshot.
            eventually(lambda: kept() == 5, describe=lambda: f"{client.keys()} {client.dbsize()}")
            assert store.snapshot("m99") == b"snapshot"

    def test_what_a_replaced_learner_uploaded_is_not_left_for_ever(
        self, store: RedisStore, client: Any
    ) -> None:
        zombie, _ = store.take_learner()
        token, _ = store.take_learner()
        store.publish(token, b"roster", {"m1": b"one"})
        with pytest.raises(FencedError):
            store.publish(zombie, b"zombie", {"m1": b"zombie"})
        with pytest.raises(FencedError):
            store.save_checkpoint(zombie, b"zombie")
        left_over = client.keys("*:x:*")
        assert len(left_over) == 2
        assert all(0 < client.pttl(key) <= 600_000 for key in left_over)
        assert client.pttl("fraud:{learner}:s:m1") == -1

    def test_a_stored_value_costs_at_most_128_bytes_more_than_itself(
        self, store: RedisStore, client: Any
    ) -> None:
        """As MEMORY USAGE counts it, whatever the allocator; names as long as those of the recorded data."""
        pending = {str(1_000_000 + i): b"p" * 124 for i in range(1_000)}
        store.commit(store.take_partition(3), 999, {"4711": b"s" * 250}, pending)
        assert client.memory_usage("fraud:{3}:c:4711") <= 250 + 128
        assert client.memory_usage("fraud:{3}:p:1", samples=0) <= 1_000 * (124 + 128)


class TestGenerations:
    """Pending records lie with those of their time, and go with them."""

    def test_a_record_is_kept_for_its_time_and_at_most_a_quarter_longer(
        self, open_store: Open, redis_url: str, client: Any
    ) -> None:
        clock = ManualClock(NOW)
        store = open_store(redis_url, clock=clock)
        tenure, (token, _) = store.take_partition(3), store.take_learner()
        days: list[int] = []
        for day in range(100):
            tenure = store.commit(tenure, day, {}, {f"t{day}": b"record"})
            store.commit_labels(token, day, {}, {f"t{day}": b"v"})
            ids = [f"t{n}" for n in range(day + 1)]
            found = store.load(3, [], [], [], ids).pending
            assert found == store.find_pending(ids, 4)
            assert found.keys() == store.find_verdicts(ids).keys()
            assert {f"t{n}" for n in range(max(0, day - 34), day + 1)} <= found.keys()
            days.append(len(found))
            clock.advance(DAY_MS)
        assert max(days) <= 35 * 5 / 4 + 1
        assert client.hlen("fraud:{3}:g") == len(client.keys("fraud:{3}:p:*")) <= 6

    def test_what_was_written_last_is_what_is_found(self, open_store: Open, redis_url: str) -> None:
        clock = ManualClock(NOW)
        store = open_store(redis_url, clock=clock)
        tenure, (token, _) = store.take_partition(3), store.take_learner()
        for number in range(4):
            tenure = store.commit(tenure, number, {}, {"t1": b"%d" % number})
            store.commit_labels(token, number, {}, {"t1": b"%d" % number})
            assert store.load(3, [], [], [], ["t1", "t2"]).pending == {"t1": b"%d" % number}
            assert store.find_verdicts(["t1"]) == {"t1": b"%d" % number}
            clock.advance(10 * DAY_MS)

    def test_whoever_reads_finds_generations_that_others_have_begun_since(
        self, open_store: Open, redis_url: str
    ) -> None:
        clock = ManualClock(NOW)
        writer, reader, loader = (
            open_store(redis_url, clock=clock),
            open_store(redis_url),
            open_store(redis_url),
        )
        tenure, (token, _) = writer.take_partition(3), writer.take_learner()
        for number in range(8):
            tenure = writer.commit(tenure, number, {}, {f"t{number}": b"record", "t": b"%d" % number})
            writer.commit_labels(token, number, {}, {"t": b"%d" % number})
            ids = [f"t{number}", "t"]
            found = {f"t{number}": b"record", "t": b"%d" % number}
            assert loader.load(3, [], [], [], ids).pending == found
            assert reader.find_pending(ids, 4) == reader.load(3, [], [], [], ids).pending == found
            assert reader.find_verdicts(ids) == {"t": b"%d" % number}
            clock.advance(10 * DAY_MS)

    def test_clocks_that_differ_lose_and_hide_nothing(self, open_store: Open, redis_url: str) -> None:
        ahead, behind = ManualClock(NOW + DAY_MS), ManualClock(NOW)
        stores = [open_store(redis_url, clock=ahead), open_store(redis_url, clock=behind)]
        for number in range(45):
            store = stores[number % 2]
            ids = [f"t{n}" for n in range(number + 1)]
            tenure = store.take_partition(3)
            store.commit(tenure, number, {}, {"t": b"%d" % number, f"t{number}": b"record"})
            for one in stores:
                found = one.find_pending([*ids, "t"], 4)
                assert found.pop("t") == b"%d" % number
                assert {f"t{n}" for n in range(max(0, number - 33), number + 1)} <= found.keys()
            ahead.advance(DAY_MS)
            behind.advance(DAY_MS)

    @pytest.mark.parametrize("wrong", [-400 * DAY_MS, -DAY_MS, DAY_MS])
    def test_a_clock_that_was_wrong_for_a_while_removes_nothing_early(
        self, open_store: Open, redis_url: str, wrong: int
    ) -> None:
        clock = ManualClock(NOW)
        store = open_store(redis_url, clock=clock)
        tenure = store.commit(store.take_partition(3), 0, {}, {"t0": b"record", "t": b"0"})
        clock.advance(wrong)
        tenure = store.commit(tenure, 1, {}, {"t1": b"record", "t": b"1"})
        clock.advance(-wrong)
        tenure = store.commit(tenure, 2, {}, {"t2": b"record", "t": b"2"})
        found = {"t0": b"record", "t2": b"record", "t": b"2"}
        # What a clock of last year has written is last year's to this one.
        found |= {"t1": b"record"} if wrong > -DAY_MS * 35 else {}
        assert store.find_pending(["t0", "t1", "t2", "t"], 4) == found

    def test_a_clock_that_leaps_ahead_of_that_of_redis_removes_nothing(
        self, open_store: Open, redis_url: str
    ) -> None:
        clock = ManualClock(wall_clock())
        store = open_store(redis_url, clock=clock)
        tenure = store.commit(store.take_partition(3), 0, {}, {"t0": b"record"})
        clock.advance(400 * DAY_MS)
        tenure = store.commit(tenure, 1, {}, {"t1": b"record"})
        clock.advance(-400 * DAY_MS)
        store.commit(tenure, 2, {}, {"t2": b"record"})
        assert store.find_pending(["t0", "t1", "t2"], 4).keys() == {"t0", "t1", "t2"}

    @pytest.mark.parametrize(("first", "then"), [(35, 70), (70, 35), (35, 36)])
    def test_where_the_time_is_changed_each_record_is_kept_as_it_was_promised(
        self, open_store: Open, redis_url: str, first: int, then: int
    ) -> None:
        clock = ManualClock(NOW)
        for days in (first, then):
            store = open_store(redis_url, clock=clock, pending_ttl=timedelta(days=days))
            tenure = store.take_partition(3)
            store.commit(tenure, tenure.watermark + 1, {}, {f"of {days}": b"record"})
            clock.advance(1)
        ids = [f"of {first}", f"of {then}"]
        gone = {}
        for day in range(100):
            found = store.find_pending(ids, 4)
            for name in ids:
                if name not in found:
                    gone.setdefault(name, day)
            tenure = store.take_partition(3)
            store.commit(tenure, tenure.watermark, {}, {})
            clock.advance(DAY_MS)
        for days in (first, then):
            assert days <= gone[f"of {days}"] <= days * 5 / 4 + 2

    def test_a_commit_of_nothing_removes_what_is_over(
        self, open_store: Open, redis_url: str, client: Any
    ) -> None:
        clock = ManualClock(NOW)
        store = open_store(redis_url, clock=clock)
        tenure, (token, _) = store.take_partition(3), store.take_learner()
        tenure = store.commit(tenure, 0, {}, {"t1": b"record"})
        store.commit_labels(token, 0, {}, {"t1": b"v"})
        clock.advance(44 * DAY_MS)
        store.commit(tenure, 0, {}, {})
        store.commit_labels(token, 0, {}, {}, 0)
        assert client.keys("*:p:*") == client.keys("*:v:*") == client.keys("*:g") == []

    def test_a_full_redis_still_removes_what_is_over(
        self, open_store: Open, redis_server: Callable[..., RedisServer]
    ) -> None:
        server, clock = redis_server("--maxmemory-policy", "noeviction"), ManualClock(NOW)
        store = open_store(server.url, clock=clock)
        tenure = store.commit(store.take_partition(3), 0, {}, {"t1": b"record"})
        clock.advance(44 * DAY_MS)
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory", 100_000)
            with pytest.raises(InfrastructureError, match="is full"):
                store.commit(tenure, 1, {}, {"t2": b"record"})
            assert store.find_pending(["t1", "t2"], 4) == {"t1": b"record"}
            store.commit(tenure, 0, {}, {})
            assert store.find_pending(["t1", "t2"], 4) == {}


class TestFailure:
    def test_scripts_that_redis_forgot_are_sent_again(self, store: RedisStore, client: Any) -> None:
        tenure, (token, _) = store.take_partition(0), store.take_learner()
        for offset in range(2):
            client.script_flush()
            tenure = store.commit(tenure, offset, {}, {"t1": b"%d" % offset})
            client.script_flush()
            assert store.load(0, [], [], [], ["t1"]).pending == {"t1": b"%d" % offset}
            store.commit_labels(token, offset, {}, {})
            store.publish(token, b"roster", {"m1": b"one"})
            store.save_checkpoint(token, b"%d" % offset)
        assert store.find_pending(["t1"], 1) == {"t1": b"1"}
        assert list(store.checkpoints()) == [b"1", b"0"]

    def test_a_connection_that_was_cut_while_idle_is_not_noticed(
        self, store: RedisStore, client: Any
    ) -> None:
        tenure = store.take_partition(0)
        for offset in range(3):
            client.client_kill_filter(_type="normal", skipme=True)
            tenure = store.commit(tenure, offset, {}, {})
        assert store.transactions_done(1) == {0: 2}

    def test_goes_on_when_redis_comes_back(
        self, open_store: Open, redis_server: Callable[..., RedisServer]
    ) -> None:
        server = redis_server()
        store = open_store(server.url)
        store.take_partition(0)
        server.stop()
        for _ in range(3):
            with pytest.raises(InfrastructureError, match=r"taking partition 0 failed: .* is away; start it"):
                store.take_partition(0)
        server.start()
        assert store.take_partition(0).watermark == -1

    def test_a_redis_that_lost_its_data_refuses_the_commits_of_before(
        self, store: RedisStore, client: Any
    ) -> None:
        tenure = store.commit(store.take_partition(0), 5, {}, {})
        client.flushdb()
        with pytest.raises(StateLostError, match="of token 1 nothing is left"):
            store.commit(tenure, 6, {"c1": b"state"}, {})
        store.take_partition(0)
        with pytest.raises(StateLostError, match="stands at offset -1, after 5 had been stored"):
            store.commit(tenure, 6, {"c1": b"state"}, {})
        assert store.load(0, ["c1"], [], [], []).customers == [None]

    def test_a_hung_redis_is_given_up_in_time(
        self, open_store: Open, redis_server: Callable[..., RedisServer]
    ) -> None:
        server = redis_server()
        store = open_store(server.url, timeout_seconds=0.2)
        tenure = store.take_partition(0)
        with redis.Redis.from_url(server.url) as client:
            client.client_pause(60_000, all=True)
            with pytest.raises(InfrastructureError, match=r"did not answer within 0\.2 s"):
                store.commit(tenure, 0, {"c1": b"state"}, {})

    def test_a_script_that_redis_forgets_is_sent_again_for_a_commit_under_way(
        self, store: RedisStore, client: Any
    ) -> None:
        tenure = store.take_partition(0)
        for offset in range(2):
            client.script_flush()
            under_way = store.begin_commit(tenure, offset, {"c1": b"%d" % offset}, {"t1": b"record"})
            tenure = under_way.result()
            assert store.load(0, ["c1"], [], [], []).customers == [b"%d" % offset]

    @pytest.mark.parametrize("what", ["committing", "loading"])
    def test_a_connection_that_is_lost_before_the_result_is_an_error_and_not_used_again(
        self, open_store: Open, redis_server: Callable[..., RedisServer], what: str
    ) -> None:
        server = redis_server()
        store = open_store(server.url)
        tenure = store.take_partition(0)
        begin: dict[str, Callable[[], Exchange[object]]] = {
            "committing": lambda: store.begin_commit(tenure, 7, {"c1": b"state"}, {}),
            "loading": lambda: store.begin_load(0, ["c1"], [], [], ["t1"]),
        }
        server.process.pause()
        under_way = begin[what]()
        server.process.kill()
        with pytest.raises(InfrastructureError, match=rf"{what} .* failed: .* is away"):
            under_way.result()
        with pytest.raises(InfrastructureError, match=rf"{what} .* failed: .* is away"):
            begin[what]()
        assert _in_use(store) == 0
        server.start()
        assert store.commit(store.take_partition(0), 7, {"c1": b"state"}, {}).watermark == 7

    def test_a_result_that_does_not_come_in_time_is_never_taken_for_another(
        self, open_store: Open, redis_server: Callable[..., RedisServer]
    ) -> None:
        server = redis_server()
        store = open_store(server.url, timeout_seconds=0.5)
        tenure = store.take_partition(0)
        server.process.pause()
        loading = store.begin_load(0, ["c1"], [], [], ["t1"])
        with pytest.raises(InfrastructureError, match=r"loading .* did not answer within 0\.5 s"):
            loading.result()
        server.process.resume()
        assert store.commit(tenure, 7, {"c1": b"state"}, {}).watermark == 7

    @pytest.mark.parametrize("how", ["given up", "forgotten", "half read"])
    def test_a_result_that_nobody_reads_is_never_taken_for_anothers(
        self, open_store: Open, redis_server: Callable[..., RedisServer], how: str
    ) -> None:
        server = redis_server()
        store = open_store(server.url)
        tenure = store.take_partition(0)
        server.process.pause()
        loading = store.begin_load(0, ["c1"], [], [], ["t1"])
        match how:
            case "given up":
                loading.abandon()
            case "half read":
                connection: Any = loading._connection
                connection.read_response = _interrupted
                with pytest.raises(KeyboardInterrupt):
                    loading.result()
                del connection.read_response
        del loading
        assert _in_use(store) == 0
        # Its answer comes only when somebody else waits for one.
        with ThreadPoolExecutor(1) as beside:
            committing = beside.submit(store.commit, tenure, 7, {"c1": b"state"}, {})
            eventually(lambda: _in_use(store) == 1, describe="somebody waits")
            server.process.resume()
            assert committing.result().watermark == 7

    def test_a_refusal_among_answers_leaves_the_connection_fit(self, store: RedisStore, client: Any) -> None:
        store.take_partition(3)
        client.set("fraud:{3}:g", b"no hash")
        connections = client.info("stats")["total_connections_received"]
        for _ in range(3):
            with pytest.raises(InfrastructureError, match=r"loading .* refused \(WRONGTYPE"):
                store.load(3, ["c1"], [], [], ["t1"])
        client.delete("fraud:{3}:g")
        assert store.load(3, ["c1"], [], [], ["t1"]).customers == [None]
        assert client.info("stats")["total_connections_received"] == connections
        assert _in_use(store) == 0

    def test_a_full_redis_refuses_whole_batches_and_takes_them_later(
        self, open_store: Open, redis_server: Callable[..., RedisServer]
    ) -> None:
        server = redis_server("--maxmemory-policy", "noeviction")
        store = open_store(server.url)
        tenure, (token, _) = store.take_partition(0), store.take_learner()
        store.publish(token, b"first", {"m1": b"one"})
        pending = {f"t{i}": b"p" * 170 for i in range(500)}
        writes: list[Callable[[], object]] = [
            store.check,
            lambda: store.commit(tenure, 499, {"c1": b"state"}, pending),
            lambda: store.commit_labels(token, 9, {("terminal", "x"): b"shop"}, {"t1": b"v"}),
            lambda: store.publish(token, b"second", {"m2": b"two"}),
            lambda: store.publish(token, b"second", {}),
            lambda: store.save_checkpoint(token, b"checkpoint"),
        ]
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory", 100_000)
            for write in writes:
                with pytest.raises(InfrastructureError, match="is full; raise its maxmemory"):
                    write()
            assert store.load(0, ["c1"], ["x"], [], [*pending]) == ([None], [None], [], {}, 1, 0)
            assert (store.roster(), store.snapshot("m1")) == (b"first", b"one")
            assert client.pttl("fraud:{learner}:s:m1") == -1
            assert (store.transactions_done(1), store.labels_done()) == ({0: -1}, -1)
            client.config_set("maxmemory", 0)
            for write in writes:
                write()
        assert store.load(0, [], [], [], [*pending]).pending == pending

    def test_redis_filling_up_in_the_middle_of_a_batch_does_not_split_it(
        self, open_store: Open, redis_server: Callable[..., RedisServer]
    ) -> None:
        server = redis_server("--maxmemory-policy", "noeviction")
        store = open_store(server.url)
        tenure = store.take_partition(0)
        with redis.Redis.from_url(server.url) as client:
            client.config_set("maxmemory", client.info("memory")["used_memory"] + 2_000_000)
            with suppress(InfrastructureError):
                for batch in range(100):
                    pending = {f"t{batch}-{i}": b"p" * 170 for i in range(500)}
                    tenure = store.commit(tenure, tenure.watermark + 500, {}, pending)
            assert 0 < batch < 99
            assert store.transactions_done(1) == {0: tenure.watermark}
            assert client.hlen("fraud:{0}:p:1") == tenure.watermark + 1

    def test_an_upload_that_is_gone_when_it_is_needed_changes_nothing(
        self, store: RedisStore, client: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        token, _ = store.take_learner()
        store.publish(token, b"first", {"m1": b"one"})
        store.save_checkpoint(token, b"checkpoint")
        run = store._redis.run

        def lose_uploads_and_run(*arguments: Any) -> Any:
            client.delete(*client.scan_iter("*:x:*"))
            return run(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(store._redis, "run", lose_uploads_and_run)
            with pytest.raises(InfrastructureError, match=r"publishing a roster failed: .*; do it again"):
                store.publish(token, b"second", {"m1": b"newer", "m2": b"two"})
            with pytest.raises(InfrastructureError, match=r"saving a checkpoint failed: .*; do it again"):
                store.save_checkpoint(token, b"newer")
        assert (store.roster(), store.snapshot("m1"), store.snapshot("m2")) == (b"first", b"one", None)
        assert list(store.checkpoints()) == [b"checkpoint"]
        assert store.publish(token, b"second", {"m1": b"newer"}) == 2

    def test_a_read_only_replica_refuses_every_write_and_can_be_read(
        self, open_store: Open, redis_server: Callable[..., RedisServer]
    ) -> None:
        primary, replica = redis_server("--repl-diskless-sync-delay", "0"), redis_server()
        at_primary, store = open_store(primary.url), open_store(replica.url)
        tenure, (token, _) = at_primary.take_partition(0), at_primary.take_learner()
        tenure = at_primary.commit(tenure, 7, {"c1": b"state"}, {})
        with redis.Redis.from_url(replica.url) as client:
            client.replicaof("127.0.0.1", primary.port)
            eventually(lambda: client.info("replication")["master_link_status"] == "up")
        eventually(lambda: store.transactions_done(1) == {0: 7})
        assert store.load(0, ["c1"], [], [], []).customers == [b"state"]
        writes: list[Callable[[], object]] = [
            store.check,
            lambda: store.take_partition(0),
            lambda: store.commit(tenure, 8, {}, {}),
            lambda: store.commit_labels(token, 9, {}, {}),
            lambda: store.publish(token, b"roster", {}),
            lambda: store.save_checkpoint(token, b"checkpoint"),
        ]
        for write in writes:
            with pytest.raises(InfrastructureError, match="is a read-only replica; point FRAUD_REDIS at"):
                write()

    def test_a_wrong_password_is_said_and_not_shown(
        self, open_store: Open, redis_server: Callable[..., RedisServer]
    ) -> None:
        server = redis_server()
        with redis.Redis.from_url(server.url) as client:
            client.config_set("requirepass", "correct-horse")
        for user in ("", ":hunter2@"):
            store = open_store(f"redis://{user}127.0.0.1:{server.port}/0")
            with pytest.raises(InfrastructureError, match="check FRAUD_REDIS_USER and") as caught:
                store.check()
            assert "hunter2" not in str(caught.value)
        open_store(f"redis://:correct-horse@127.0.0.1:{server.port}/0").check()


def _strings(client: Any) -> dict[bytes, bytes]:
    return {key: client.get(key) for key in client.scan_iter() if client.type(key) == b"string"}


def _interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def _in_use(store: RedisStore) -> int:
    return len(store._redis._client.connection_pool._in_use_connections)


def _hashes(client: Any) -> dict[bytes, dict[bytes, bytes]]:
    return {key: client.hgetall(key) for key in client.scan_iter() if client.type(key) == b"hash"}


def test_of_a_value_that_is_too_large_only_so_much_is_read_that_this_shows(redis_url: str) -> None:
    store = RedisStore(
        redis_url, namespace="large", pending_ttl=timedelta(days=1), state_ttl=timedelta(days=1)
    )
    with redis.Redis.from_url(redis_url) as client:
        client.set("large:{learner}:r", bytes(5 * MOST_ROSTER_BYTES))
    roster = store.roster()
    store.close()
    assert roster is not None
    assert len(roster) == MOST_ROSTER_BYTES + SEAL_BYTES + 1
    with pytest.raises(SnapshotError, match="more than the"):
        decode_roster(roster, None)
