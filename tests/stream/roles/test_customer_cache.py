import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.features.customer import STATE
from stream.features.packing import Rows
from stream.roles.customer_cache import CustomerCache

pytestmark = pytest.mark.usefixtures("both_ways")


def rows(*seen: int) -> Rows:
    some: Rows = np.zeros(len(seen), STATE)
    some["seen"] = seen
    return some


@given(st.lists(st.lists(st.integers(0, 12), unique=True, max_size=6), max_size=30), st.integers(0, 10))
def test_it_keeps_those_used_last_as_they_were_put(batches: list[list[int]], most: int) -> None:
    cache, model, count = CustomerCache(), dict[str, int](), 0
    for batch in batches:
        names = [f"c{number}" for number in batch]
        cache.put(names, rows(*range(count, count + len(names))), most)
        for name in names:
            model.pop(name, None)
            model[name] = count
            count += 1
        while len(model) > most:
            del model[next(iter(model))]
        everybody = [f"c{number}" for number in range(13)]
        assert (cache.find(everybody) >= 0).tolist() == [name in model for name in everybody]
        assert cache.get(cache.find(list(model)))["seen"].tolist() == list(model.values())
        assert len(cache) == len(model)


def test_it_grows_with_those_who_come_and_what_was_taken_stays_as_it_was() -> None:
    cache = CustomerCache()
    cache.put(["first"], rows(7), 5_000)
    first = cache.get(cache.find(["first"]))
    cache.put([f"c{n}" for n in range(3_000)], rows(*range(3_000)), 5_000)
    assert first["seen"] == cache.get(cache.find(["first"]))["seen"] == 7
    assert cache.get(cache.find(["c0", "c2999"]))["seen"].tolist() == [0, 2_999]
