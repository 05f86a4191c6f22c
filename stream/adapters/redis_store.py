"""The feature store in Redis: customers, pending records, risk, verdicts, models, and who may write them.

Keys, layout and guarantees are described in ``docs/redis-format.md``.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from itertools import chain
from typing import Any, Final, TypeVar, cast

from stream.adapters.fencing import behind, elsewhere, fenced
from stream.adapters.redis_connection import Exchange, RedisAccess, RedisConnection
from stream.adapters.redis_generations import Asked, RedisGenerations
from stream.adapters.redis_keys import FitterKeys, LearnerKeys, OperatorKeys, PartitionKeys
from stream.adapters.redis_wire import command, pairs, plain, prefixed
from stream.adapters.remembering import Remembering
from stream.adapters.retention import RETIRED_SNAPSHOT_TTL
from stream.clock import Clock, wall_clock
from stream.errors import AccessError, FencedError, InfrastructureError, StateLostError
from stream.ports import Loaded, RiskKey, Tenure, Token
from stream.registry.seal import SEAL_BYTES
from stream.registry.snapshot import MOST_BYTES, MOST_ROSTER_BYTES
from stream.settings import Settings

_STAGED_TTL: Final = timedelta(minutes=10)
"""How long an upload may take before what it left behind is forgotten."""
_READY_TTL: Final = timedelta(minutes=1)
_MARGIN_SECONDS: Final = 1.0
"""Between our clock's saying that a key has expired and Redis's."""

K = TypeVar("K")


class RedisStore:
    """A feature store in one Redis.

    It is a :class:`~stream.ports.ScorerStore`, a :class:`~stream.ports.LearnerStore`, a
    :class:`~stream.ports.FitterStore`, an :class:`~stream.ports.OperatorStore` and a
    :class:`~stream.ports.Progress`. May be shared by threads.

    Parameters
    ----------
    url
        ``redis://``, ``rediss://`` (TLS) or ``unix://``.
    namespace
        First part of every key.
    pending_ttl
        How long pending records and verdicts are kept after they were last written; up to a quarter longer.
    state_ttl
        How long customers' states and risk records are kept after they were last written.
    most_remembered
        Customers' states that are kept, and as many risk records; beyond, the shortest go. 0: all are kept.
    timeout_seconds
        Longest wait for a connection, for a request to be sent and for each piece of its answer.
    clock
        The present: by it a generation of pending records or verdicts is begun, and removed.
    access
        Who logs in, and what is trusted where `url` is ``rediss://``.

    Raises
    ------
    SettingsError
        `url` is not one. That nobody answers there is found by the first call.

    Notes
    -----
    A batch costs one round trip to load and one to commit. CPU time with Redis 7.0 and the kernel, 2,000
    transactions in a batch, 4,000 risk records of 60 bytes, states of 250 for a tenth of them to load and six
    tenths to write, pending records of 115 and five generations: Redis takes 3.6 to 4.9 µs a transaction
    to load and 3.8 to 5.8 to commit, we 0.6 to 1.0 and 0.6 to 0.9, on a machine that does other work too.
    """

    def __init__(
        self,
        url: str,
        *,
        namespace: str,
        pending_ttl: timedelta,
        state_ttl: timedelta,
        most_remembered: int = 0,
        timeout_seconds: float = 5.0,
        clock: Clock = wall_clock,
        access: RedisAccess | None = None,
    ) -> None:
        self._redis = RedisConnection(url, timeout_seconds=timeout_seconds, access=access)
        self._namespace = namespace
        self._state_ttl_ms = _milliseconds(state_ttl)
        self._learner = LearnerKeys(namespace)
        self._fitter = FitterKeys(namespace)
        self._operator = OperatorKeys(namespace)
        self._ready_key = f"{namespace}:ready"
        self._generations = RedisGenerations(self._redis, _milliseconds(pending_ttl), clock)
        self._customers = Remembering(self._redis, namespace, "customers", most_remembered)
        self._risks = Remembering(self._redis, namespace, "risk records", most_remembered)
        self._retired: deque[tuple[float, str]] = deque()
        """When snapshots are past their time, and their keys."""
        self._scorer_commit = self._redis.script("generations.lua", "scorer_commit.lua")
        self._learner_commit = self._redis.script("generations.lua", "learner_commit.lua")
        self._publish = self._redis.script("publish.lua")
        self._checkpoint = self._redis.script("checkpoint.lua")
        self._offer = self._redis.script("offer.lua")

    @classmethod
    def of(cls, settings: Settings) -> "RedisStore":
        """Return the store that `settings` ask for.

        Raises
        ------
        SettingsError
            Its URL is none, or a file that they name cannot be read.
        """
        return cls(
            settings.redis,
            namespace=settings.namespace,
            pending_ttl=timedelta(days=settings.pending_days),
            state_ttl=timedelta(days=settings.state_days),
            most_remembered=settings.most_remembered,
            access=RedisAccess.of(settings),
        )

    def __repr__(self) -> str:
        return f"RedisStore({self._redis.place!r}, namespace={self._namespace!r})"

    @property
    def forgotten(self) -> int:
        """States and risk records that this store has forgotten as there were too many."""
        return self._customers.forgotten + self._risks.forgotten

    def check(self) -> None:
        """Return if Redis answers and takes writes.

        Raises
        ------
        InfrastructureError
            It does not: away, loading, full, a replica, ...
        """
        with self._redis.doing("checking the feature store") as client:
            client.set(self._ready_key, b"1", px=_milliseconds(_READY_TTL))

    def require_rights(self, calls: Sequence[tuple[str, ...]], remedy: str) -> None:
        """Return if our user may make all of these calls; none is made.

        Raises
        ------
        AccessError
            Some are refused: how many, the first one, and `remedy`, a clause.
        InfrastructureError
            Redis is away, slow or refusing.
        """
        refused = self._redis.rehearse("asking for our rights", calls)
        if refused:
            raise AccessError(
                f"our user lacks rights at Redis at {self._redis.place}, for {len(refused)} of {len(calls)}"
                f" kinds of calls, the first being {refused[0]}; {remedy}"
            )

    def close(self) -> None:
        """Close every connection."""
        self._redis.close()

    # The scorer's side.

    def take_partition(self, partition: int) -> Tenure:
        """Take a partition over; see :class:`~stream.ports.ScorerStore`."""
        keys = PartitionKeys(self._namespace, partition)
        with (
            self._redis.doing(f"taking partition {partition}") as client,
            client.pipeline(transaction=True) as pipe,
        ):
            pipe.incr(keys.fence)
            pipe.mget([keys.watermark, keys.ledger])
            pipe.hgetall(keys.generations)
            token, (watermark, ledger), generations = pipe.execute()
        self._generations.know(keys.generations, generations)
        return Tenure(partition, Token(token), _offset(watermark), ledger or b"")

    def load(
        self,
        partition: int,
        customers: Sequence[str],
        terminal_risks: Sequence[str],
        customer_risks: Sequence[str],
        transactions: Sequence[str],
    ) -> Loaded:
        """Read what a batch needs; see :class:`~stream.ports.ScorerStore`."""
        return self.begin_load(partition, customers, terminal_risks, customer_risks, transactions).result()

    def begin_load(
        self,
        partition: int,
        customers: Sequence[str],
        terminal_risks: Sequence[str],
        customer_risks: Sequence[str],
        transactions: Sequence[str],
    ) -> Exchange[Loaded]:
        """Begin to read what a batch needs; see :class:`~stream.ports.ScorerStore`."""
        keys, learner = PartitionKeys(self._namespace, partition), self._learner
        what = f"loading a batch of partition {partition}"
        pending = self._generations.lookup(what, transactions, keys.generations, keys.pending)
        terminals = len(terminal_risks)

        def finish(answers: list[Any]) -> Loaded:
            *found, (_, *states), (revision, erasures, *records) = answers
            return Loaded(
                customers=states,
                terminal_risks=records[:terminals],
                customer_risks=records[terminals:],
                pending=pending.found(found),
                roster_revision=int(revision or 0),
                erasures=int(erasures or 0),
            )

        # Not a transaction: the halves lie in two slots, and neither needs the other's moment.
        commands = [
            *pending.commands(),
            # MGET wants at least one key, hence the watermark.
            command(plain(["MGET", keys.watermark]), prefixed(keys.customer, customers)),
            command(
                plain(["MGET", learner.revision, learner.erasures]),
                prefixed(learner.terminal_risk, terminal_risks),
                prefixed(learner.customer_risk, customer_risks),
            ),
        ]
        return self._redis.begin(what, commands, finish)

    def commit(
        self,
        tenure: Tenure,
        watermark: int,
        customers: Mapping[str, bytes],
        pending: Mapping[str, bytes],
        ledger: bytes = b"",
        lineups: Mapping[str, bytes] | None = None,
    ) -> Tenure:
        """Write a batch's effects in one atomic step; see :class:`~stream.ports.ScorerStore`."""
        return self.begin_commit(tenure, watermark, customers, pending, ledger, lineups).result()

    def begin_commit(
        self,
        tenure: Tenure,
        watermark: int,
        customers: Mapping[str, bytes],
        pending: Mapping[str, bytes],
        ledger: bytes = b"",
        lineups: Mapping[str, bytes] | None = None,
    ) -> Exchange[Tenure]:
        """Begin to write a batch's effects; see :class:`~stream.ports.ScorerStore`."""
        keys = PartitionKeys(self._namespace, tenure.partition)
        now = self._generations.turn(keys.generations)
        lineups = lineups or {}
        generations = keys.pending((now.current, *now.expired))
        numbers = (
            *(tenure.token, tenure.watermark, watermark, self._state_ttl_ms, self._generations.backstop_ms),
            *(now.current, now.until_ms, len(now.expired), len(lineups), len(customers)),
        )
        script = self._scorer_commit
        written = bool(pending)

        def finish(answers: list[Any]) -> Tenure:
            match answers[0]:
                case [b"done", int(stored)]:
                    self._generations.turned(keys.generations, now, written=written)
                    self._customers.make_room(stored)
                    return tenure._replace(
                        watermark=max(watermark, tenure.watermark), ledger=ledger or tenure.ledger
                    )
                case [b"elsewhere", stored]:
                    raise elsewhere(tenure, int(stored))
                case answer:
                    raise _fenced(f"partition {tenure.partition}", tenure.token, answer)

        request = command(
            plain(["EVALSHA", script.sha, str(5 + len(generations) + len(customers))]),
            plain([keys.fence, keys.watermark, keys.ledger, keys.lineups, keys.generations, *generations]),
            prefixed(keys.customer, customers),
            plain([*map(str, numbers), ledger, *map(str, now.expired)]),
            pairs(lineups),
            plain(customers.values()),
            pairs(pending),
        )
        what = f"committing partition {tenure.partition} up to offset {watermark}"
        return self._redis.begin(what, [request], finish, script)

    def find_lineups(self, partitions: Iterable[int]) -> dict[str, bytes]:
        """Find the lineups of these partitions; see :class:`~stream.ports.ScorerStore`."""
        with (
            self._redis.doing("finding lineups") as client,
            client.pipeline(transaction=False) as pipe,
        ):
            for partition in partitions:
                pipe.hgetall(PartitionKeys(self._namespace, partition).lineups)
            return {name.decode(): lineup for lineups in pipe.execute() for name, lineup in lineups.items()}

    def roster(self) -> bytes | None:
        """Read the roster of active models; None before the first."""
        return self._get("reading the roster", self._learner.roster, MOST_ROSTER_BYTES + SEAL_BYTES)

    def snapshot(self, key: str) -> bytes | None:
        """Read a snapshot named by the roster; None when it has been replaced meanwhile."""
        return self._get(f"reading snapshot {key}", self._learner.snapshot(key), MOST_BYTES + SEAL_BYTES)

    # The learner's side.

    def take_learner(self) -> tuple[Token, int]:
        """Take the learner's role over; see :class:`~stream.ports.LearnerStore`."""
        with (
            self._redis.doing("taking the learner's role") as client,
            client.pipeline(transaction=True) as pipe,
        ):
            pipe.incr(self._learner.fence)
            pipe.get(self._learner.watermark)
            pipe.hgetall(self._learner.generations)
            token, watermark, generations = pipe.execute()
        self._generations.know(self._learner.generations, generations)
        return Token(token), _offset(watermark)

    def find_pending(self, transactions: Sequence[str], partitions: int) -> dict[str, bytes]:
        """Find pending records in whichever partition; see :class:`~stream.ports.LearnerStore`."""
        each = [PartitionKeys(self._namespace, partition) for partition in range(partitions)]
        pending = Asked(transactions, {keys.generations: keys.pending for keys in each})
        return self._generations.search(f"finding pending records in {partitions} partitions", pending)

    def find_verdicts(self, transactions: Sequence[str]) -> dict[str, bytes]:
        """Find what labels have said so far of each transaction."""
        verdicts = Asked(transactions, {self._learner.generations: self._learner.verdicts})
        return self._generations.search("finding verdicts", verdicts)

    def find_risks(self, keys: Sequence[RiskKey]) -> dict[RiskKey, bytes]:
        """Find risk records."""
        return self._find("finding risk records", keys, self._learner.risks(keys))

    def commit_labels(
        self,
        token: Token,
        watermark: int,
        risks: Mapping[RiskKey, bytes],
        verdicts: Mapping[str, bytes],
        known: int = -1,
    ) -> None:
        """Write a label batch's effects in one atomic step; see :class:`~stream.ports.LearnerStore`."""
        keys = self._learner
        now = self._generations.turn(keys.generations)
        answer = self._redis.run(
            self._learner_commit,
            f"committing labels up to offset {watermark}",
            [
                *(keys.fence, keys.watermark, keys.generations),
                *keys.verdicts((now.current, *now.expired)),
                *keys.risks([*risks]),
            ],
            [
                token,
                watermark,
                known,
                self._state_ttl_ms,
                self._generations.backstop_ms,
                now.current,
                now.until_ms,
                len(now.expired),
                len(risks),
                *now.expired,
                *risks.values(),
                *_flat(verdicts),
            ],
        )
        match answer:
            case [b"done", int(stored)]:
                self._generations.turned(keys.generations, now, written=bool(verdicts))
                self._risks.make_room(stored)
            case [b"behind", stored]:
                raise behind("the learner's role", known, int(stored))
            case _:
                raise _fenced("the learner's role", token, answer)

    def publish(self, token: Token, roster: bytes, snapshots: Mapping[str, bytes]) -> int:
        """Make `roster` the active one; see :class:`~stream.ports.LearnerStore`.

        `snapshots` are all that the roster names: the others are retired.
        """
        what = "publishing a roster"
        keys = self._learner
        staged = {keys.staged(token, name): value for name, value in snapshots.items()}
        with self._redis.doing(what) as client, client.pipeline(transaction=False) as pipe:
            # Read outside of the script, and still right inside: only the holder of the token changes it.
            pipe.smembers(keys.snapshot_names)
            # What has expired goes when it is touched. Redis itself looks at some hundred keys a second:
            # among millions of pending records it would come upon megabytes of snapshots hours later.
            if expired := self._expired():
                pipe.touch(*expired)
            for key, value in staged.items():
                pipe.set(key, value, px=_milliseconds(_STAGED_TTL))
            names = {name.decode() for name in pipe.execute()[0]}
        answer = self._redis.run(
            self._publish,
            what,
            [
                keys.fence,
                keys.roster,
                keys.revision,
                keys.snapshot_names,
                *staged,
                *(keys.snapshot(name) for name in snapshots),
                *(keys.snapshot(name) for name in sorted(names - snapshots.keys())),
            ],
            [token, roster, _milliseconds(RETIRED_SNAPSHOT_TTL), *snapshots],
        )
        match answer:
            case [b"done", int(revision)]:
                until = time.monotonic() + RETIRED_SNAPSHOT_TTL.total_seconds() + _MARGIN_SECONDS
                self._retired.extend((until, keys.snapshot(name)) for name in names - snapshots.keys())
                return revision
            case _:
                raise _refused(what, "the learner's role", token, answer)

    def _expired(self) -> list[str]:
        """Return the snapshots that are past their time, once."""
        expired = []
        while self._retired and self._retired[0][0] < time.monotonic():
            expired.append(self._retired.popleft()[1])
        return expired

    def save_checkpoint(self, token: Token, checkpoint: bytes) -> None:
        """Store a checkpoint as the newest; see :class:`~stream.ports.LearnerStore`."""
        what = "saving a checkpoint"
        keys = self._learner
        staged = keys.staged(token, "checkpoint")
        with self._redis.doing(what) as client:
            client.set(staged, checkpoint, px=_milliseconds(_STAGED_TTL))
        answer = self._redis.run(self._checkpoint, what, [keys.fence, staged, *keys.checkpoints], [token])
        if answer != [b"done"]:
            raise _refused(what, "the learner's role", token, answer)

    def checkpoints(self) -> Iterator[bytes]:
        """Yield the stored checkpoints, newest first; each is read when it is asked for."""
        for key in self._learner.checkpoints:
            checkpoint = self._get("reading a checkpoint", key)
            if checkpoint is not None:
                yield checkpoint

    # Between the fitter and the learner.

    def take_fitter(self) -> Token:
        """Take the fitter's role over; see :class:`~stream.ports.FitterStore`."""
        with self._redis.doing("taking the fitter's role") as client:
            return Token(client.incr(self._fitter.fence))

    def offer(self, token: Token, snapshot: bytes) -> int:
        """Store a snapshot for the learner; see :class:`~stream.ports.FitterStore`."""
        keys = self._fitter
        answer = self._redis.run(
            self._offer, "offering a model", [keys.fence, keys.offer, keys.revision], [token, snapshot]
        )
        match answer:
            case [b"done", int(revision)]:
                return revision
            case _:
                raise _fenced("the fitter's role", token, answer)

    def offered(self, known: int) -> tuple[int, bytes] | None:
        """Read what a fitter has offered last; see :class:`~stream.ports.LearnerStore`."""
        keys = self._fitter
        what = "looking for an offered model"
        if int(self._get(what, keys.revision) or 0) == known:
            return None
        with self._redis.doing(what) as client, client.pipeline(transaction=True) as pipe:
            pipe.get(keys.revision)
            pipe.getrange(keys.offer, 0, MOST_BYTES + SEAL_BYTES)
            revision, offer = pipe.execute()
        return (int(revision), offer) if revision and offer else None

    # Between operators and the learner.

    def order(self, order: bytes) -> int:
        """Leave an order; see :class:`~stream.ports.OperatorStore`."""
        with self._redis.doing("leaving an order") as client:
            while True:
                number = max(self.orders(0), default=0) + 1
                # Whoever was quicker has the number.
                if client.hsetnx(self._operator.orders, str(number), order):
                    return number

    def orders(self, known: int) -> dict[int, bytes]:
        """Read the orders after a number; see :class:`~stream.ports.LearnerStore`."""
        with self._redis.doing("looking for orders") as client:
            found = cast("dict[bytes, bytes]", client.hgetall(self._operator.orders))
        return {
            number: order for number, order in sorted((int(n), o) for n, o in found.items()) if number > known
        }

    def answer(self, number: int, answer: str) -> None:
        """Say what became of an order; see :class:`~stream.ports.LearnerStore`."""
        with self._redis.doing("answering an order") as client:
            client.hset(self._learner.answers, str(number), answer)

    def answered(self, number: int) -> str | None:
        """Read what became of an order; see :class:`~stream.ports.OperatorStore`."""
        with self._redis.doing("looking for an answer") as client:
            found = cast("bytes | None", client.hget(self._learner.answers, str(number)))
        return None if found is None else found.decode()

    # Progress.

    def transactions_done(self, partitions: int) -> dict[int, int]:
        """Return for each partition the offset of the last transaction stored, or -1."""
        with (
            self._redis.doing("reading the pipeline's progress") as client,
            client.pipeline(transaction=False) as pipe,
        ):
            for partition in range(partitions):
                pipe.get(PartitionKeys(self._namespace, partition).watermark)
            return dict(enumerate(map(_offset, pipe.execute())))

    def labels_done(self) -> int:
        """Return the offset of the last label stored, or -1."""
        return _offset(self._get("reading the learner's progress", self._learner.watermark))

    def _get(self, what: str, key: str, most_bytes: int | None = None) -> bytes | None:
        """Read a value; of one that is larger than allowed only so much that this shows."""
        with self._redis.doing(what) as client:
            if most_bytes is not None:
                return cast("bytes", client.getrange(key, 0, most_bytes)) or None
            # redis-py types the answers for clients that decode them; ours does not.
            return cast("bytes | None", client.get(key))

    def _find(self, what: str, asked: Sequence[K], keys: list[str]) -> dict[K, bytes]:
        if not keys:
            return {}
        with self._redis.doing(what) as client:
            return _found(asked, cast("list[bytes | None]", client.mget(keys)))


def _found(asked: Iterable[K], values: Iterable[bytes | None]) -> dict[K, bytes]:
    return {key: value for key, value in zip(asked, values, strict=True) if value is not None}


def _flat(values: Mapping[str, bytes]) -> Iterator[str | bytes]:
    return chain.from_iterable(values.items())


def _offset(stored: bytes | None) -> int:
    return -1 if stored is None else int(stored)


def _milliseconds(duration: timedelta) -> int:
    """Redis refuses a TTL of zero, and what lives for less than a millisecond may live for one."""
    return max(1, duration // timedelta(milliseconds=1))


def _fenced(whose: str, token: int, answer: Any) -> FencedError | StateLostError:
    newest = answer[1]
    return fenced(whose, token, None if newest == b"none" else int(newest))


def _refused(
    what: str, whose: str, token: int, answer: Any
) -> FencedError | StateLostError | InfrastructureError:
    if answer == [b"lost"]:
        return InfrastructureError(
            f"{what} failed: what had been uploaded for it is gone from Redis, or it went through and the"
            " answer was lost; do it again"
        )
    return _fenced(whose, token, answer)
