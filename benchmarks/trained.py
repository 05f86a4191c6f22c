"""Models that have learnt: the default champion with two challengers in shadow, and the risk records."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, NamedTuple

from benchmarks.site import Site
from producers.simulator import Simulated, Simulator
from stream.clock import DAY_MS
from stream.ports import LearnerStore, RiskKey
from stream.records import Label, encode
from stream.registry.snapshot import decode_roster
from stream.settings import Settings
from tests.services.pipeline import Pipeline
from tests.services.uninterrupted import Uninterrupted

CHALLENGERS: Final = ("logistic", "forest")
START: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""Long ago: no stream of a benchmark reaches the present, beyond which times are refused."""
_DELAY_MS: Final = 7 * DAY_MS
_BLOCK: Final = 5_000


class Trained(NamedTuple):
    """What a learner has come to, as it lies in the store."""

    roster: bytes
    snapshots: dict[str, bytes]
    risks: dict[RiskKey, bytes]

    def publish(self, store: LearnerStore) -> None:
        """Put it into a store, in place of the models there."""
        token, _ = store.take_learner()
        keys = iter(self.risks)
        while some := list(islice(keys, _BLOCK)):
            store.commit_labels(token, -1, {key: self.risks[key] for key in some}, {})
        store.publish(token, self.roster, self.snapshots)

    def deploy(self, site: Site, name: str, **settings: Any) -> Settings:
        """Return settings of a pipeline whose scorers begin with it."""
        made = site.deployment(name, challengers=CHALLENGERS, **settings)
        with Pipeline(made) as pipeline:
            self.publish(pipeline.store)
        return made


def train(simulated: Iterator[Simulated], labels: int, *, seed: int) -> Trained:
    """Score transactions and learn from their labels, through the roles as a backtest does.

    Parameters
    ----------
    simulated
        A stream, of which the first `labels` are taken.
    labels
        How many.
    seed
        Of the models.
    """
    whole = Uninterrupted(Settings(challengers=CHALLENGERS, seed=seed))
    waiting: Sequence[Simulated] = ()
    while some := list(islice(simulated, min(_BLOCK, labels))):
        labels -= len(some)
        whole.score([one.transaction for one in some])
        whole.learn([label_of(one) for one in waiting])
        waiting = some
    whole.learn([label_of(one) for one in waiting])
    sealed = whole.store.roster()
    assert sealed is not None
    snapshots = {
        member.key: whole.store.snapshot(member.key) for member in decode_roster(sealed, None).members
    }
    risks: dict[RiskKey, bytes] = {("terminal", name): risk for name, risk in whole.risks("terminal").items()}
    risks |= {("customer", name): risk for name, risk in whole.risks("customer").items()}
    return Trained(sealed, {key: value for key, value in snapshots.items() if value is not None}, risks)


def simulator(customers: int, *, seed: int) -> Iterator[Simulated]:
    """Return a stream without end."""
    return iter(Simulator(customers=customers, terminals=2 * customers, seed=seed, start=START, days=None))


def label_of(one: Simulated) -> Label:
    """Return the label of a transaction, as it comes a week later."""
    return Label(
        transaction_id=one.transaction.transaction_id,
        is_fraud=one.is_fraud,
        source="chargeback" if one.is_fraud else "settlement",
        label_time=one.transaction.event_time + _DELAY_MS,
    )


def keyed(one: Simulated) -> tuple[bytes, bytes]:
    """Return a transaction as it lies on its topic."""
    return one.transaction.customer_id.encode(), encode(one.transaction)
