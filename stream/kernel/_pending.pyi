import numpy as np
from numpy.typing import NDArray

def pack(
    features: NDArray[np.uint32],
    usual: NDArray[np.uint32],
    scores: NDArray[np.float32],
    event_times: NDArray[np.int64],
    amounts: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    customers: list[str],
    terminals: list[str],
    begin: bytes,
    scored_at: int,
    snapshot: int,
) -> list[bytes]: ...
