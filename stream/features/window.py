"""A window: counts in equal buckets of event time, newest first, so that a state has a fixed size.

A window of `w` buckets seen at bucket `b` covers the buckets `b - w + 1 .. b`: the current one, still
filling, and the `w - 1` before it. A late event falls into the bucket of its own time, and is judged by the
window that ends there, not by what came after it.
"""


def advance(buckets: list[int], by: int) -> None:
    """Move a window forward in place: `by` empty buckets come in at the front, as many fall off the end.

    Examples
    --------
    >>> buckets = [5, 3, 1]
    >>> advance(buckets, 1)
    >>> buckets
    [0, 5, 3]
    >>> advance(buckets, 99)
    >>> buckets
    [0, 0, 0]
    """
    size = len(buckets)
    if by >= size:
        buckets[:] = [0] * size
    else:
        del buckets[size - by :]
        buckets[:0] = [0] * by


def total(buckets: list[int], age: int, width: int) -> int:
    """Sum the window of `width` buckets that ends `age` buckets before the newest.

    A negative `age` lies in the future of the newest bucket: what is left of the window is summed.

    Examples
    --------
    >>> total([4, 2, 1, 7], age=0, width=2), total([4, 2, 1, 7], age=1, width=2)
    (6, 3)
    >>> total([4, 2, 1, 7], age=-1, width=2)  # one bucket on: the 4 is the older half now
    4
    """
    end = age + width
    if end <= 0:
        return 0
    return sum(buckets[max(0, age) : end])
