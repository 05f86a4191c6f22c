import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream import kernel
from stream.clock import DAY_MS, HOUR_MS
from stream.columns import Transactions
from stream.features import cohort
from stream.features.cohort import observe_all
from stream.features.customer import STATE, CustomerState, observe
from stream.features.packing import Rows
from stream.features.risk import RISK
from stream.records import Transaction

START = 1_700_000_000_000

moves = st.one_of(
    st.integers(0, 3 * HOUR_MS),
    st.integers(-40 * DAY_MS, 40 * DAY_MS),
    st.integers(-31, 31).map(lambda days: days * DAY_MS),
    st.integers(-25, 25).map(lambda hours: hours * HOUR_MS),
)
amounts = st.one_of(st.sampled_from([0.0, 5e-324, 0.01, 0.125, 12.345, 1e12]), st.floats(0, 1e6))
kinds = st.sampled_from([None, "DE", "FR", "US"])


@st.composite
def batches(draw: st.DrawFn) -> list[list[Transaction]]:
    """Draw the batches of a partition: some customers often, others once, in order or not."""
    customers = draw(st.integers(1, 40))
    stream, now = [], START
    for size in draw(st.lists(st.integers(1, 50), min_size=1, max_size=3)):
        batch = []
        for n in range(size):
            now += draw(moves) if n % 7 == 0 else n * 60_000
            batch.append(
                Transaction(
                    transaction_id=f"t{n}",
                    event_time=max(now, 1),
                    customer_id=f"c{draw(st.integers(0, customers))}",
                    terminal_id=f"m{draw(st.integers(0, 300))}",
                    amount=draw(amounts),
                    country=draw(kinds),
                    merchant_category=draw(kinds),
                    channel=draw(kinds),
                )
            )
        stream.append(batch)
    return stream


def one_by_one(states: list[CustomerState], places: list[int], batch: list[Transaction]) -> list[list[float]]:
    return [list(observe(states[place], one)) for place, one in zip(places, batch, strict=True)]


ways = pytest.mark.parametrize(
    ("few", "compiled"),
    [(1, False), (20, False), pytest.param(20, True, marks=pytest.mark.service("kernel"))],
)


@ways
@given(stream=batches())
def test_many_at_once_are_described_as_one_by_one_to_the_last_bit(
    few: int, compiled: bool, stream: list[list[Transaction]]
) -> None:
    names = sorted({one.customer_id for batch in stream for one in batch})
    rows: Rows = np.zeros(len(names), STATE)
    states = [CustomerState() for _ in names]
    with pytest.MonkeyPatch.context() as patch, kernel.using(compiled):
        patch.setattr(cohort, "_FEW", few)
        for batch in stream:
            places = [names.index(one.customer_id) for one in batch]
            expected = one_by_one(states, places, batch)
            assert observe_all(rows, np.array(places), Transactions.of(batch)).tolist() == expected
    assert [CustomerState.of(row) for row in rows] == states
    assert rows.tobytes() == np.array([state.row() for state in states], STATE).tobytes()


@ways
def test_counts_stop_where_they_do_one_by_one(
    few: int, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cohort, "_FEW", few)
    full = CustomerState(
        day_sums=[10**17 - 5] * 30,
        hour_counts=[65_535] * 24,
        day_counts=[65_534] * 30,
        high_counts=[65_535] * 14,
        hour_parts=[127] * 8,
        seen=2**32 - 1,
        usual=1.0,
        hour=START // HOUR_MS,
    )
    rows = np.array([full.row()], STATE)
    for n in range(3):
        one = Transaction(
            transaction_id="t", event_time=START + n, customer_id="c", terminal_id="m", amount=1e12
        )
        with kernel.using(compiled):
            described = observe_all(rows, np.array([0]), Transactions.of([one]))
        assert described.tolist() == [list(observe(full, one))]
    assert CustomerState.of(rows[0]) == full


@ways
def test_nobody_is_no_trouble(few: int, compiled: bool) -> None:
    del few
    with kernel.using(compiled):
        described = observe_all(np.zeros(0, STATE), np.zeros(0, np.int64), Transactions.of([]))
    assert described.shape == (0, 18)


@pytest.mark.service("kernel")
def test_the_kernel_reads_rows_as_they_are_laid_out() -> None:
    assert STATE.itemsize == kernel.features.STATE_BYTES
    assert RISK.itemsize == kernel.features.RISK_BYTES
