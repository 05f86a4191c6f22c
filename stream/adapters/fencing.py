"""How a store tells a worker that another one writes now (Kleppmann 2017, ch. 8: fencing tokens)."""

from stream.errors import FencedError
from stream.ports import Tenure


def fenced(whose: str, token: int, newest: int | str) -> FencedError:
    """Describe a token that is not the newest.

    Examples
    --------
    >>> raise fenced("partition 3", 5, 6)
    Traceback (most recent call last):
    stream.errors.FencedError: partition 3 has been taken over: token 5 was presented, the newest is 6; nothing was written, forget what is cached of it and stop
    """  # noqa: E501 -- the line of a traceback
    return FencedError(
        f"{whose} has been taken over: token {token} was presented, the newest is {newest}; nothing was"
        " written, forget what is cached of it and stop"
    )


def elsewhere(tenure: Tenure, stored: int) -> FencedError:
    """Describe a partition whose watermark is not where its owner left it."""
    return FencedError(
        f"partition {tenure.partition} stands at offset {stored} in the feature store, not at"
        f" {tenure.watermark}; nothing was written, forget what is cached of it and take it again"
    )
