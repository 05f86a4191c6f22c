from typing import Final

import numpy as np
from numpy.typing import NDArray

STATE_BYTES: Final[int]
RISK_BYTES: Final[int]

def observe(
    rows: NDArray[np.uint8],
    places: NDArray[np.int64],
    times: NDArray[np.int64],
    amounts: NDArray[np.float64],
    terminals: list[str],
    countries: list[str | None],
    categories: list[str | None],
    channels: list[str | None],
    described: NDArray[np.float64],
) -> None: ...
def describe_risks(
    rows: NDArray[np.uint8],
    places: NDArray[np.int64],
    times: NDArray[np.int64],
    shares: NDArray[np.float64],
    described: NDArray[np.float64],
) -> None: ...
def number(names: list[str], of: NDArray[np.int64]) -> dict[str, int]: ...
def find(places: dict[str, int], names: list[str], found: NDArray[np.int64]) -> None: ...
def renew(places: dict[str, int], names: list[str], free: list[int], taken: NDArray[np.int64]) -> None: ...
def evict(places: dict[str, int], count: int, free: list[int]) -> None: ...
def states_are_whole(rows: NDArray[np.uint8]) -> bool: ...
def risks_are_whole(rows: NDArray[np.uint8], recents: int) -> bool: ...
