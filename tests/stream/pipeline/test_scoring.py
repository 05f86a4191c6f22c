from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.columns import Transactions
from stream.features.catalogue import FEATURE_NAMES, RATIO, WIDTH
from stream.features.customer import STATE, pack_customers, unpack_customers
from stream.features.risk import RiskRecord, pack_risks, unpack_risk_rows
from stream.models.compiled import Constant, Linear
from stream.pipeline.budget import Ledger
from stream.pipeline.decision import ByCost, ByThreshold, Decider
from stream.pipeline.pending import Pending
from stream.pipeline.scoring import BatchState, ScoredBatch, Served, score_batch
from stream.records import Alert, Transaction

pytestmark = pytest.mark.usefixtures("both_ways")

NOW = 1_700_000_000_000
(NEW,) = pack_customers(np.zeros(1, STATE))
CALM = Served("calm-1", 3, Constant(0.01))


def ratio_model() -> Served:
    """Make a model that is alarmed by amounts above three times the usual."""
    weight = np.zeros(WIDTH)
    weight[RATIO] = 4.0
    mean = np.zeros(WIDTH)
    mean[RATIO] = 3.0
    return Served("ratio-1", 9, Linear(mean, np.ones(WIDTH), weight, 0.0))


def transaction(name: str, *, customer: str = "c1", amount: float = 10.0, minutes: int = 0) -> Transaction:
    return Transaction(
        transaction_id=name,
        event_time=NOW + minutes * 60_000,
        customer_id=customer,
        terminal_id="m1",
        amount=amount,
    )


class Memory:
    """What a store knows, and a cache remembers, from one batch to the next."""

    def __init__(self) -> None:
        self.customers: dict[str, bytes] = {}
        """Packed states."""
        self.terminal = self.customer = RiskRecord()
        """What is known of every terminal, and of every customer."""

    def of(self, transactions: Transactions) -> BatchState:
        state = BatchState.nothing(transactions)
        for name, place in state.customers.places.items():
            if name in self.customers:
                state.customers.rows[place] = unpack_customers([self.customers[name]])[0]
        terminal, customer = unpack_risk_rows(pack_risks([self.terminal, self.customer]))
        state.terminals.rows[:] = terminal
        state.customer_risks[:] = customer
        return state


def score(
    transactions: list[Transaction],
    *models: Served,
    memory: Memory | None = None,
    decider: Decider = ByThreshold(0.5),  # noqa: B008 - it cannot change
    pending: Mapping[str, Pending] | None = None,
    done: frozenset[str] = frozenset(),
) -> ScoredBatch:
    memory = memory or Memory()
    columns = Transactions.of(transactions)
    state = memory.of(columns)._replace(pending=pending or {}, done=done)
    scored = score_batch(columns, state, models or (CALM,), decider, NOW + 1)
    packed = pack_customers(state.customers.rows)
    kept = memory.customers
    changed = {name: packed[state.customers.places[name]] for name in scored.changed}
    assert all(
        packed[place] == kept.get(name, NEW)
        for name, place in state.customers.places.items()
        if name not in changed
    )
    memory.customers = kept | changed
    return scored


def feature(batch: ScoredBatch, name: str, transaction_id: str) -> float:
    return float(batch.scored.pendings()[transaction_id].vector[FEATURE_NAMES.index(name)])


def test_each_transaction_sees_those_before_it_in_the_batch() -> None:
    batch = score([transaction("a"), transaction("b", minutes=1), transaction("c", customer="c2")])
    counts = [feature(batch, "customer_count_1d", name) for name in "abc"]
    assert counts == [0, 1, 0]


def test_the_champion_decides_and_every_challenger_scores_in_shadow() -> None:
    batch = score([transaction("a")], CALM, ratio_model())
    pending = batch.scored.pendings()["a"]
    assert pending.models == ("calm-1", "ratio-1")
    assert pending.scores[0] == np.float32(0.01)
    assert pending.snapshot == 3
    assert pending.decision == "allow"


def test_an_alert_says_why_with_the_customers_usual_beside_it() -> None:
    memory = Memory()
    score([transaction(f"t{n}", minutes=n) for n in range(20)], memory=memory)
    batch = score([transaction("large", amount=50.0, minutes=30)], ratio_model(), memory=memory)
    assert batch.scored.pendings()["large"].decision == "alert"
    name, value, contribution, text = batch.scored.pendings()["large"].reasons[0]
    assert (name, value) == ("amount_ratio", 5.0)
    assert contribution == 8.0
    assert text == "amount 50.00, 5.0 times the customer's usual 10.00"


def test_an_alert_of_a_model_without_an_opinion_gives_a_reason_too() -> None:
    batch = score([transaction("a", amount=50.0)], Served("bold-1", 1, Constant(0.9)))
    assert batch.scored.pendings()["a"].decision == "alert"
    ((name, value, contribution, text),) = batch.scored.pendings()["a"].reasons
    assert (name, value, contribution) == ("amount", 50.0, 0.0)
    assert text == "amount 50.00"


def test_what_is_to_be_said_of_the_amount_is_said_once() -> None:
    names = ("amount", "amount_ratio", "amount_zscore", "hour_of_day")
    weight = np.zeros(WIDTH)
    weight[[FEATURE_NAMES.index(name) for name in names]] = (0.1, 0.4, 0.2, 0.3)
    model = Linear(np.full(WIDTH, -1.0), np.ones(WIDTH), weight, 1_000.0)
    batch = score([transaction("a", amount=50.0)], Served("sure-1", 1, model))
    found = [name for name, *_ in batch.scored.pendings()["a"].reasons]
    pushes = dict(zip(FEATURE_NAMES, model.contributions(matrix(batch).astype(np.float64))[0], strict=True))
    strongest = max(names[:3], key=lambda name: pushes[name])
    assert sorted(found) == sorted([strongest, "hour_of_day"])


def test_an_alert_that_every_feature_spoke_against_names_the_one_that_did_least() -> None:
    weight = np.full(WIDTH, -0.5)
    weight[RATIO] = -0.1
    model = Linear(np.full(WIDTH, -1.0), np.ones(WIDTH), weight, 1_000.0)
    batch = score([transaction("a")], Served("sure-1", 1, model))
    assert batch.scored.pendings()["a"].decision == "alert"
    (reason,) = batch.scored.pendings()["a"].reasons
    assert (
        reason[0]
        == max(zip(model.contributions(matrix(batch).astype(np.float64))[0], FEATURE_NAMES, strict=True))[1]
    )
    assert reason[2] < 0


def test_an_answer_that_expired_and_is_an_alert_again_gives_its_reasons() -> None:
    batch = score([transaction("old")], Served("bold-1", 1, Constant(0.9)), done=frozenset({"old"}))
    (answer,) = batch.answers.records()
    assert isinstance(answer, Alert)
    assert answer.reasons


def test_each_transaction_keeps_the_threshold_that_it_was_decided_by() -> None:
    large, small = transaction("large", amount=1_000.0), transaction("small", amount=1.0)
    batch = score([large, small], decider=ByCost(5.0, 1.0))
    assert [(p.threshold, p.decision) for p in batch.scored.pendings().values()] == [
        (0.005, "alert"),
        (2.0, "allow"),
    ]
    assert batch.scored.pendings()["large"].reasons
    assert not batch.scored.pendings()["small"].reasons


def test_a_budget_counts_what_is_new_once() -> None:
    ledger = Ledger(100, 0.3)
    first = score([transaction("a"), transaction("a"), transaction("b")], decider=ledger)
    counted = ledger.pack()
    score([transaction("a"), transaction("b")], pending=first.scored.pendings(), decider=ledger)
    score([transaction("a")], done=frozenset({"a"}), decider=ledger)
    assert ledger.pack() == counted
    alike = Ledger(100, 0.3)
    score([transaction("a"), transaction("b")], decider=alike)
    assert alike.pack() == counted


def test_a_transaction_that_was_scored_before_gets_its_first_answer_and_changes_nothing() -> None:
    memory = Memory()
    first = score([transaction("a")], memory=memory)
    again = score([transaction("a")], ratio_model(), memory=memory, pending=first.scored.pendings())
    assert again.answers.records() == first.answers.records()
    assert not again.scored.pendings()
    assert not again.changed


def test_a_transaction_twice_in_a_batch_counts_once() -> None:
    memories = Memory(), Memory()
    once = score([transaction("a"), transaction("b", minutes=5)], memory=memories[0])
    again = transaction("a", customer="c2", amount=99.0)
    twice = score([transaction("a"), again, transaction("b", minutes=5)], memory=memories[1])
    assert [one.transaction_id for one in twice.answers.records()] == ["a", "a", "b"]
    assert twice.scored.pendings() == once.scored.pendings()
    assert memories[0].customers == memories[1].customers


def test_one_that_is_done_but_not_pending_any_more_is_answered_and_changes_nothing() -> None:
    memory = Memory()
    score([transaction("before")], memory=memory)
    batch = score([transaction("old", minutes=1)], memory=memory, done=frozenset({"old"}))
    assert [one.transaction_id for one in batch.answers.records()] == ["old"]
    assert not batch.scored.pendings()
    assert not batch.changed


def test_one_that_is_done_is_described_by_what_is_stored_and_one_after_it_too() -> None:
    memory = Memory()
    score([transaction("old"), transaction("before", minutes=1)], memory=memory)
    again, fresh = transaction("old"), transaction("fresh", minutes=2)
    both = score([again, again, fresh], memory=memory, done=frozenset({"old"}))
    assert [one.transaction_id for one in both.answers.records()] == ["old", "old", "fresh"]
    assert both.changed == ["c1"]
    counts = FEATURE_NAMES.index("customer_count_1d")
    assert [one.features[counts] for one in both.answers.records()] == [2, 2, 2]


def test_what_is_known_of_terminal_and_customer_is_among_the_features() -> None:
    terminal = RiskRecord(day=NOW // 86_400_000, run=2, run_start=NOW - 86_400_000)
    terminal.frauds[0] = terminal.labels[0] = 2
    customer = RiskRecord(day=NOW // 86_400_000, last_fraud=NOW - 2 * 86_400_000)
    customer.frauds[3] = 1
    memory = Memory()
    memory.terminal, memory.customer = terminal, customer
    batch = score([transaction("a")], memory=memory)
    assert feature(batch, "terminal_fraud_run", "a") == 2
    assert feature(batch, "terminal_frauds_7d", "a") == 2
    assert feature(batch, "customer_frauds_30d", "a") == 1
    assert feature(batch, "customer_days_since_fraud", "a") == 2


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8), st.integers(0, 2**32 - 1))
def test_how_a_stream_is_cut_into_batches_changes_nothing(cuts: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    stream = [
        transaction(
            f"t{n}", customer=f"c{random.integers(3)}", amount=float(random.integers(1, 99)), minutes=n
        )
        for n in range(sum(cuts))
    ]
    memories = Memory(), Memory()
    whole = score(stream, ratio_model(), CALM, memory=memories[0])
    pieces, start = {}, 0
    for size in cuts:
        pieces.update(
            score(stream[start : start + size], ratio_model(), CALM, memory=memories[1]).scored.pendings()
        )
        start += size
    assert pieces == whole.scored.pendings()
    assert memories[0].customers == memories[1].customers


def test_an_empty_batch_is_no_trouble() -> None:
    batch = score([])
    assert (batch.answers.records(), batch.scored.pendings(), batch.changed) == ([], {}, [])


def matrix(batch: ScoredBatch) -> NDArray[np.float32]:
    return np.array([pending.vector for pending in batch.scored.pendings().values()])


def test_features_are_finite_whatever_comes() -> None:
    extremes = [
        transaction("a", amount=0.0),
        transaction("b", amount=1e12),
        transaction("c", amount=1e-9),
        transaction("d", minutes=-10_000_000),
        transaction("e", minutes=10_000_000),
    ]
    assert np.isfinite(matrix(score(extremes))).all()
