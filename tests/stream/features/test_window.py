from hypothesis import given
from hypothesis import strategies as st

from stream.features.window import advance, total

SIZE = 8


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 5)), max_size=60), st.integers(0, 50))
def test_a_window_counts_what_a_naive_recount_counts(events: list[tuple[int, int]], now: int) -> None:
    buckets, newest = [0] * SIZE, 0
    for bucket, count in events:
        if bucket > newest:
            advance(buckets, bucket - newest)
            newest = bucket
        if newest - bucket < SIZE:
            buckets[newest - bucket] += count

    for width in (1, 3, SIZE):
        kept = range(max(newest - SIZE + 1, 0), newest + 1)
        naive = sum(n for b, n in _kept(events) if now - width < b <= now and b in kept)
        assert total(buckets, newest - now, width) == naive


def _kept(events: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Drop what came so late that its bucket had left the window already."""
    newest, kept = 0, []
    for bucket, count in events:
        newest = max(newest, bucket)
        if newest - bucket < SIZE:
            kept.append((bucket, count))
    return kept


@given(st.integers(0, 30))
def test_advancing_in_steps_is_advancing_at_once(steps: int) -> None:
    once, stepwise = [3, 1, 4, 1, 5], [3, 1, 4, 1, 5]
    advance(once, steps)
    for _ in range(steps):
        advance(stepwise, 1)
    assert once == stepwise
