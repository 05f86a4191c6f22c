import gc
import weakref
from collections.abc import Iterator

import pytest

from stream.garbage import THRESHOLDS, calm_collector


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


class _Knot:
    def __init__(self) -> None:
        self.itself = self


def test_what_is_there_is_never_walked_again() -> None:
    calm_collector()
    assert gc.get_freeze_count() > 10_000


def test_cycles_are_still_found() -> None:
    calm_collector()
    found = weakref.ref(_Knot())
    kept = [[] for _ in range(THRESHOLDS[0] + 1)]
    assert found() is None
    assert len(kept) > THRESHOLDS[0]
