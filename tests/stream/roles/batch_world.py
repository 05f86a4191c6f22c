"""A store with scored transactions, for what the fitter and the learner do with their labels."""

import json
import threading
from collections.abc import Callable

import numpy as np

from stream.adapters.memory import InMemoryEmitter, InMemoryStore
from stream.adapters.topics import TopicNames
from stream.batch.window import TrainingSet
from stream.clock import DAY_MS, ManualClock
from stream.features.catalogue import FEATURE_NAMES, SCHEMA, WIDTH
from stream.models.boosted import Boosted
from stream.models.compiled import Constant
from stream.pipeline.learning import LearningPolicy
from stream.records import Record
from stream.registry.snapshot import Roster, SnapshotInfo, decode_roster, decode_snapshot, encode_snapshot
from stream.roles.fitter import FitterPolicy, FitterReport, FitterRole
from stream.roles.learner import LearnerPolicy, LearnerReport, LearnerRole
from stream.roles.patience import Patience, Waits
from stream.roles.scorer import ScorerPolicy, ScorerRole

NOW = 1_700_000_000_000
TOPICS = TopicNames()
KEY = b"a key of sixteen"
POLICY = FitterPolicy(every_ms=DAY_MS, window_days=30, min_frauds=10, negative_rate=0.5, partitions=2)
LEARNING = LearnerPolicy(
    learning=LearningPolicy(champion="logistic", challengers=(), snapshot_labels=50, window_labels=400),
    partitions=2,
    label_grace_ms=60_000,
    snapshot_ms=30_000,
)
AMOUNT = FEATURE_NAMES.index("amount")


class World:
    """A store in which transactions are scored on two partitions, ten minutes apart, every tenth a fraud."""

    def __init__(self) -> None:
        self.store = InMemoryStore()
        self.emitter = InMemoryEmitter()
        self.clock = ManualClock(NOW + 100 * DAY_MS)
        self.stop = threading.Event()
        self.waits = Waits.alike(Patience(self.stop, lambda _: None, first_pause=0.0, longest_pause=0.0))

    def learner(self, policy: LearnerPolicy = LEARNING, key: bytes | None = KEY) -> LearnerRole:
        role = LearnerRole(self.store, self.emitter, TOPICS, self.clock, policy, key, self.waits)
        role.start()
        return role

    def fitter(
        self,
        policy: FitterPolicy = POLICY,
        fit: Callable[[TrainingSet, int], Boosted] | None = None,
        key: bytes | None = KEY,
    ) -> FitterRole:
        role = FitterRole(self.store, self.clock, policy, key, self.waits, fit or by_amount)
        role.start()
        return role

    def score(self, start: int, end: int) -> ScorerRole:
        scorer = ScorerRole(
            self.store, self.emitter, TOPICS, self.clock, ScorerPolicy(skip_gaps=True), KEY, self.waits
        )
        for partition in (0, 1):
            scorer.assign(partition)
            mine = [transaction(n, partition) for n in range(start, end) if n % 2 == partition]
            if mine:
                scorer.handle(mine)
        return scorer

    def roster(self) -> Roster:
        sealed = self.store.roster()
        assert sealed is not None
        return decode_roster(sealed, KEY)

    def versions(self) -> list[str]:
        return [member.version for member in self.roster().members]

    def last_score(self) -> dict[str, object]:
        scored: dict[str, object] = json.loads(self.emitter.on("scores")[-1].value)
        return scored

    def offered(self) -> SnapshotInfo:
        offered = self.store.offered(0)
        assert offered is not None
        return decode_snapshot(offered[1], KEY, SCHEMA)[0]


def transaction(n: int, partition: int) -> Record:
    value = {
        "transaction_id": f"t{n}",
        "event_time": NOW + n * 600_000,
        "customer_id": f"c{n % 6}",
        "terminal_id": f"m{n % 5}",
        "amount": 500.0 + n % 3 if n % 10 == 0 else 20.0 + n % 7,
    }
    return Record("transactions", partition, n, NOW, f"c{n % 6}".encode(), json.dumps(value).encode())


def label(n: int, *, fraud: bool | None = None, offset: int | None = None) -> Record:
    value = {
        "transaction_id": f"t{n}",
        "is_fraud": n % 10 == 0 if fraud is None else fraud,
        "source": "chargeback",
        "label_time": NOW + 7 * DAY_MS + n * 600_000,
    }
    place = n if offset is None else offset
    return Record("labels", 0, place, NOW, f"t{n}".encode(), json.dumps(value).encode())


def labels(start: int, end: int) -> list[Record]:
    return [label(n) for n in range(start, end)]


def by_amount(sample: TrainingSet, _seed: int) -> Boosted:
    """Fit one split that tells the frauds of this traffic; quicker than LightGBM, and as exact."""
    return Boosted(
        feature=np.array([AMOUNT, -1, -1], np.int32),
        threshold=np.array([100.0, 0.0, 0.0]),
        child=np.array([1, 0, 0], np.int32),
        value=np.array([0.0, -4.0, 4.0]),
        roots=np.array([0], np.int32),
        intercept=float(len(sample.y)) * 1e-6,
        negative_rate=sample.negative_rate,
    )


RIGHT = by_amount(TrainingSet(np.zeros((1, 1), "f4"), np.array([True]), 0.5, 0, 1), 7)


def offer(world: World, model: Boosted | Constant | None = None, **changed: object) -> bytes:
    """Offer a model, and return it sealed."""
    described: dict[str, object] = {
        "model_version": "lightgbm",
        "snapshot": 1,
        "recipe": "lightgbm",
        "parents": (),
        "feature_schema": SCHEMA,
        "features": WIDTH,
        "label_offset": 5,
        "river_version": "0",
        "metrics": {"learned": 90.0, "frauds_learned": 10.0, "first_label_time": 1.0},
        "parameters": {"num_leaves": 15},
    }
    key = changed.pop("key", KEY)
    info = SnapshotInfo(**described | changed)  # type: ignore[arg-type]
    sealed = encode_snapshot(info, model or Constant(0.25), key)  # type: ignore[arg-type]
    raw(world, sealed)
    return sealed


def raw(world: World, sealed: bytes) -> None:
    """Offer whatever it is."""
    world.store.offer(world.store.take_fitter(), sealed)


def kinds(report: LearnerReport | None) -> list[tuple[str, str]]:
    assert report is not None
    return [(event.kind, event.model_version) for event in report.events]


def fitted_at(report: FitterReport) -> list[tuple[int, bool]]:
    """Return at which label each fit was made, and whether that was for an alarm."""
    return [((done.fitted_to_ms - NOW) // 600_000 - 7 * 144, done.on_alarm) for done in report.fits]
