"""Undersampling: which of the legitimate transactions a model is shown, and what that does to its scores."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Share = TypeVar("Share", float, NDArray[np.float64])


def place(transaction_id: str, salt: int) -> float:
    """Return where a legitimate transaction stands in the draw, in [0, 1).

    A classifier that is shown a tenth of the legitimate transactions is shown those under 0.1: a larger
    sample holds every smaller one.

    Parameters
    ----------
    transaction_id
        Decides alone, with the salt: so that a replay, a restart and a backtest draw the same sample.
    salt
        Different salts draw independent samples. At least 0, less than 2**64.

    Notes
    -----
    A keyed BLAKE2b, about 1 µs. A checksum such as CRC-32 is linear: two salts would draw samples that are
    the same or disjoint, and runs of neighbouring ids would be kept or left out together.

    Examples
    --------
    >>> sum(place(str(number), salt=7) < 0.05 for number in range(10_000))
    494
    """
    digest = blake2b(transaction_id.encode(), digest_size=8, key=salt.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "little") / 2.0**64


def places(transaction_ids: Iterable[str], salt: int) -> NDArray[np.float64]:
    """Return :func:`place` of many; shape (n,)."""
    key = salt.to_bytes(8, "little")
    digests = [blake2b(name.encode(), digest_size=8, key=key).digest() for name in transaction_ids]
    return np.frombuffer(b"".join(digests), "<u8") / 2.0**64


def keeps(transaction_id: str, negative_rate: float, salt: int) -> bool:
    """Say whether a legitimate transaction belongs to the sample of this share of them, in (0, 1]."""
    return negative_rate >= 1.0 or place(transaction_id, salt) < negative_rate


def corrected(share: Share, negative_rate: float) -> Share:
    """Turn the share of frauds in the sample into the probability of fraud in the stream.

    Parameters
    ----------
    share
        One, or an array of them, in [0, 1].
    negative_rate
        Share of the legitimate transactions that was in the sample, in (0, 1].

    Notes
    -----
    On log-odds it is a shift by log(`negative_rate`): ranks and contributions stay as they are.

    Examples
    --------
    Of 1,000 transactions 10 are frauds; of the others a tenth was shown, so that the sample has 99 of them:

    >>> round(corrected(10 / (10 + 99), 0.1), 9)
    0.01

    References
    ----------
    Dal Pozzolo, Caelen, Johnson & Bontempi (2015), Calibrating Probability with Undersampling for Unbalanced
    Classification, equation 4.
    """
    return negative_rate * share / (negative_rate * share - share + 1.0)


def sampled(probability: float, negative_rate: float) -> float:
    """Turn a probability of fraud in the stream into the share of frauds in the sample: undo `corrected`.

    Examples
    --------
    >>> round(corrected(sampled(0.005, 0.2), 0.2), 9)
    0.005
    """
    return probability / (probability + negative_rate * (1.0 - probability))
