from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

def write(
    names: list[str],
    event_times: NDArray[np.int64],
    customers: list[str],
    terminals: list[str],
    amounts: NDArray[np.float64],
    scores: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    features: NDArray[np.float32],
    joints: list[bytes],
    encode: Callable[[object], bytes],
    written: list[bytes],
) -> None: ...
