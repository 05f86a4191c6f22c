import numpy as np
from numpy.typing import NDArray

def leaves(
    x: NDArray[np.float64],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float64],
    child: NDArray[np.int32],
    roots: NDArray[np.int32],
    found: NDArray[np.int64],
) -> None: ...
def sums(
    x: NDArray[np.float64],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float64],
    child: NDArray[np.int32],
    roots: NDArray[np.int32],
    value: NDArray[np.float64],
    weight: NDArray[np.float64],
    summed: NDArray[np.float64],
) -> None: ...
def pushes(
    x: NDArray[np.float64],
    feature: NDArray[np.int32],
    threshold: NDArray[np.float64],
    child: NDArray[np.int32],
    roots: NDArray[np.int32],
    depth: int,
    value: NDArray[np.float64],
    weight: NDArray[np.float64],
    nodes: NDArray[np.int32],
    pushed: NDArray[np.float64],
) -> None: ...
def add_weights(
    x: NDArray[np.float64],
    edges: NDArray[np.float64],
    edge_start: NDArray[np.int64],
    start: NDArray[np.int64],
    weight: NDArray[np.float64],
    first: NDArray[np.int32],
    second: NDArray[np.int32],
    width: NDArray[np.int64],
    cross_start: NDArray[np.int64],
    cross_weight: NDArray[np.float64],
    intercept: float,
    placed: NDArray[np.int64],
    log_odds: NDArray[np.float64],
) -> None: ...
