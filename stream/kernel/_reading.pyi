import numpy as np
from numpy.typing import NDArray

from stream.records import Record

def read(
    batch: list[Record],
    earliest: int,
    latest: int,
    most_bytes: int,
    careful: bool,
    event_times: NDArray[np.int64],
    amounts: NDArray[np.float64],
) -> tuple[
    list[str],
    list[str],
    list[str],
    list[str | None],
    list[str | None],
    list[str | None],
    list[int],
]: ...
