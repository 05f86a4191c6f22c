import numpy as np
from numpy.typing import NDArray

def pack(
    rows: NDArray[np.uint8], order: NDArray[np.int32], layout: int, head: int, marks: int
) -> list[bytes]: ...
def unpack(
    packed: list[bytes],
    order: NDArray[np.int32],
    layout: int,
    head: int,
    marks: int,
    rows: NDArray[np.uint8],
) -> int: ...
