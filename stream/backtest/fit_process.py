"""The fit's own process: a backtest hands it the rows, waits for the model, and so stays in order."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from types import TracebackType
from typing import Self

from stream.batch.fit import fit
from stream.batch.window import TrainingSet
from stream.models.boosted import Boosted


class FitProcess:
    """Fits in another process, as production does, which is started by the first fit and kept.

    It is spawned, not forked: a fork would inherit locks that this process's threads hold.
    """

    def __init__(self) -> None:
        # Nothing is started before there is work.
        self._pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))

    def __call__(self, sample: TrainingSet, seed: int) -> Boosted:
        """Return what :func:`~stream.batch.fit.fit` returns there."""
        return self._pool.submit(fit, sample, seed).result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)
