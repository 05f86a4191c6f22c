"""Streams for the models to learn from."""

import random
from collections.abc import Callable, Iterator

import pytest

NAMES = ("amount", "ratio", "flag", "constant")

Example = tuple[str, dict[str, float], bool]
Stream = Callable[..., Iterator[Example]]


def _stream(count: int, seed: int = 1, fraud_rate: float = 0.1) -> Iterator[Example]:
    """Yield id, features and verdict: frauds have larger amounts, and the flag more often."""
    rng = random.Random(seed)
    for number in range(count):
        y = rng.random() < fraud_rate
        x = {
            "amount": rng.lognormvariate(3.0 + 1.5 * y, 1.0),
            "ratio": rng.gauss(1.0 + y, 0.5),
            "flag": float(rng.random() < (0.7 if y else 0.2)),
            "constant": 4.0,
        }
        yield f"t{seed}-{number}", x, y


@pytest.fixture
def names() -> tuple[str, ...]:
    return NAMES


@pytest.fixture
def stream() -> Stream:
    return _stream
