"""How a store tells a worker that another one writes now (Kleppmann 2017, ch. 8: fencing tokens)."""

from stream.errors import FencedError, StateLostError
from stream.ports import Tenure


def fenced(whose: str, token: int, newest: int | None) -> FencedError | StateLostError:
    """Describe a token that is not the newest; `newest` is None where the store has none at all.

    Tokens only grow, so an older one, or none, is no other worker's doing.

    Examples
    --------
    >>> raise fenced("partition 3", 5, 6)
    Traceback (most recent call last):
    stream.errors.FencedError: partition 3 has been taken over: token 5 was presented, the newest is 6; nothing was written, forget what is cached of it and stop
    >>> raise fenced("partition 3", 5, None)
    Traceback (most recent call last):
    stream.errors.StateLostError: Redis has lost state of partition 3: of token 5 nothing is left; nothing was written, and the start anew looks at what there is
    """  # noqa: E501 -- the line of a traceback
    if newest is None or newest < token:
        left = "nothing" if newest is None else f"only an older one, {newest},"
        return _lost(whose, f"of token {token} {left} is left")
    return FencedError(
        f"{whose} has been taken over: token {token} was presented, the newest is {newest}; nothing was"
        " written, forget what is cached of it and stop"
    )


def elsewhere(tenure: Tenure, stored: int) -> FencedError | StateLostError:
    """Describe a partition whose watermark is not where its owner left it.

    Examples
    --------
    >>> from stream.ports import Token
    >>> raise elsewhere(Tenure(3, Token(5), 999), 499)
    Traceback (most recent call last):
    stream.errors.StateLostError: Redis has lost state of partition 3: it stands at offset 499, after 999 had been stored; nothing was written, and the start anew looks at what there is
    """  # noqa: E501 -- the line of a traceback
    if stored < tenure.watermark:
        return behind(f"partition {tenure.partition}", tenure.watermark, stored)
    return FencedError(
        f"partition {tenure.partition} stands at offset {stored} in the feature store, not at"
        f" {tenure.watermark}; nothing was written, forget what is cached of it and take it again"
    )


def behind(whose: str, known: int, stored: int) -> StateLostError:
    """Describe a watermark that has gone back, which no writer moves it."""
    return _lost(whose, f"it stands at offset {stored}, after {known} had been stored")


def _lost(whose: str, how: str) -> StateLostError:
    return StateLostError(
        f"Redis has lost state of {whose}: {how}; nothing was written, and the start anew looks at what"
        " there is"
    )
