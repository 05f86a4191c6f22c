"""The names of the keys in Redis (``docs/redis-format.md``): short, as most customers have one.

The part in braces is Redis Cluster's hash tag: keys that are written together carry the same one, so that
each commit is a script on a single slot.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from stream.adapters.retention import CHECKPOINTS_KEPT
from stream.ports import RiskKey


class PartitionKeys:
    """The keys that the owner of one partition of ``transactions`` writes.

    Examples
    --------
    >>> keys = PartitionKeys("fraud", 3)
    >>> keys.fence, keys.watermark, keys.ledger
    ('fraud:{3}:f', 'fraud:{3}:w', 'fraud:{3}:b')
    >>> keys.customers(["c1"]), keys.lineups
    (['fraud:{3}:c:c1'], 'fraud:{3}:m')
    >>> keys.generations, keys.pending([8, 7])
    ('fraud:{3}:g', ['fraud:{3}:p:8', 'fraud:{3}:p:7'])
    """

    def __init__(self, namespace: str, partition: int) -> None:
        base = f"{namespace}:{{{partition}}}"
        self.fence: Final = f"{base}:f"
        self.watermark: Final = f"{base}:w"
        self.ledger: Final = f"{base}:b"
        self.lineups: Final = f"{base}:m"
        self.generations: Final = f"{base}:g"
        self.customer: Final = f"{base}:c:"
        """What the keys of customers' states begin with; their ids follow."""
        self._pending = f"{base}:p:"

    def customers(self, ids: Sequence[str]) -> list[str]:
        """Name the states of customers."""
        prefix = self.customer
        return [prefix + id_ for id_ in ids]

    def pending(self, numbers: Iterable[int]) -> list[str]:
        """Name generations of pending records."""
        return [f"{self._pending}{number}" for number in numbers]


class LearnerKeys:
    """The keys that the learner writes.

    Examples
    --------
    >>> keys = LearnerKeys("fraud")
    >>> keys.fence, keys.watermark, keys.roster
    ('fraud:{learner}:f', 'fraud:{learner}:w', 'fraud:{learner}:r')
    >>> keys.risks([("terminal", "t1"), ("customer", "c1")])
    ['fraud:{learner}:t:t1', 'fraud:{learner}:c:c1']
    >>> keys.generations, keys.verdicts([8]), keys.snapshot("logistic-1@4")
    ('fraud:{learner}:g', ['fraud:{learner}:v:8'], 'fraud:{learner}:s:logistic-1@4')
    >>> keys.erasures
    'fraud:{learner}:e'
    >>> keys.checkpoints
    ('fraud:{learner}:k:0', 'fraud:{learner}:k:1', 'fraud:{learner}:k:2')
    """

    def __init__(self, namespace: str) -> None:
        base = f"{namespace}:{{learner}}"
        self.fence: Final = f"{base}:f"
        self.watermark: Final = f"{base}:w"
        self.roster: Final = f"{base}:r"
        self.revision: Final = f"{base}:n"
        self.snapshot_names: Final = f"{base}:s"
        self.answers: Final = f"{base}:a"
        self.generations: Final = f"{base}:g"
        self.erasures: Final = f"{base}:e"
        self.checkpoints: Final = tuple(f"{base}:k:{age}" for age in range(CHECKPOINTS_KEPT))
        """Newest first."""
        self.terminal_risk: Final = f"{base}:t:"
        """What the keys of terminals' risk records begin with; their ids follow."""
        self.customer_risk: Final = f"{base}:c:"
        """What those of customers begin with."""
        self._risk = {"terminal": self.terminal_risk, "customer": self.customer_risk}
        self._verdict = f"{base}:v:"
        self._snapshot = f"{base}:s:"
        self._staged = f"{base}:x:"

    def risks(self, keys: Sequence[RiskKey]) -> list[str]:
        """Name risk records."""
        prefixes = self._risk
        return [prefixes[kind] + id_ for kind, id_ in keys]

    def verdicts(self, numbers: Iterable[int]) -> list[str]:
        """Name generations of what labels have said of transactions."""
        return [f"{self._verdict}{number}" for number in numbers]

    def snapshot(self, name: str) -> str:
        """Name a snapshot."""
        return self._snapshot + name

    def staged(self, token: int, name: str) -> str:
        """Name a large value that has been uploaded but not yet put in its place.

        Of one token only, so that a learner that has been replaced cannot touch its successor's.
        """
        return f"{self._staged}{token}:{name}"


class FitterKeys:
    """The keys that the fitter writes.

    Examples
    --------
    >>> keys = FitterKeys("fraud")
    >>> keys.fence, keys.offer, keys.revision
    ('fraud:{fitter}:f', 'fraud:{fitter}:o', 'fraud:{fitter}:n')
    """

    def __init__(self, namespace: str) -> None:
        base = f"{namespace}:{{fitter}}"
        self.fence: Final = f"{base}:f"
        self.offer: Final = f"{base}:o"
        self.revision: Final = f"{base}:n"


class OperatorKeys:
    """The key that those who steer the learner write.

    Examples
    --------
    >>> OperatorKeys("fraud").orders
    'fraud:{models}:o'
    """

    def __init__(self, namespace: str) -> None:
        self.orders: Final = f"{namespace}:{{models}}:o"
