import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stream.columns import Transactions
from stream.features.catalogue import FEATURE_NAMES, SCHEMA, WIDTH
from stream.pipeline.lineup import lineup_of
from stream.pipeline.pending import PendingBatch
from stream.pipeline.signs import glance_at
from stream.records import Transaction

FIELDS = ("country", "merchant_category", "channel")


def scored(names: list[str]) -> PendingBatch:
    random = np.random.default_rng(len(names))
    count = len(names)
    return PendingBatch(
        names,
        lineup_of(SCHEMA, ("a-1", "b-1"), WIDTH),
        random.integers(0, 2, (count, WIDTH)).astype("<f4"),
        random.random((count, 2)),
        1,
        random.random(count),
        np.arange(count),
        random.random(count),
        ["c1"] * count,
        ["m1"] * count,
        5,
        {},
    )


def transaction(name: str, there: tuple[bool, bool, bool]) -> Transaction:
    values = (
        value if is_there else None for value, is_there in zip(("DE", "5411", "pos"), there, strict=True)
    )
    country, category, channel = values
    return Transaction(
        transaction_id=name,
        event_time=1,
        customer_id="c1",
        terminal_id="m1",
        amount=1.0,
        country=country,
        merchant_category=category,
        channel=channel,
    )


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=9), st.data())
def test_what_is_missing_of_each_is_seen(there: list[tuple[bool, bool, bool]], data: st.DataObject) -> None:
    transactions = {f"t{n}": transaction(f"t{n}", some) for n, some in enumerate(there)}
    names = list(transactions)
    if names and data.draw(st.booleans(), "some of them, in any order"):
        names = data.draw(st.lists(st.sampled_from(names), unique=True))
    batch = scored(names)
    glance = glance_at(batch, Transactions.of(list(transactions.values())))
    assert glance.flags[:, 3:].tolist() == [
        [getattr(transactions[name], field) is None for field in FIELDS] for name in names
    ]
    assert glance.flags.dtype == bool
    assert glance.flags[:, 0].tolist() == (batch.scores[:, 0] >= batch.thresholds).tolist()
    new_terminal, past = (FEATURE_NAMES.index(one) for one in ("new_terminal", "customer_count_30d"))
    assert glance.flags[:, 1].tolist() == (batch.features[:, new_terminal] > 0).tolist()
    assert glance.flags[:, 2].tolist() == (batch.features[:, past] == 0).tolist()
    assert glance.models == ("a-1", "b-1")
    assert glance.features is batch.features
