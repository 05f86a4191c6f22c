"""Erasure: everything that Redis has of a customer, found and removed while the workers go on."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from stream.adapters.redis_connection import RedisAccess, RedisConnection
from stream.adapters.redis_keys import LearnerKeys, PartitionKeys
from stream.settings import Settings

_AT_A_TIME: Final = 2_000
"""Fields of a hash that Redis looks at before it does something else."""


CustomerOf = Callable[[bytes, Mapping[str, bytes]], str]


class Erased(NamedTuple):
    """What was removed."""

    states: int = 0
    """Of the customer's past, for their features."""
    risks: int = 0
    """Of the customer's labels."""
    pending: int = 0
    """Records of transactions that wait for their labels, or had one."""
    verdicts: int = 0
    """What labels said of these transactions."""

    def __add__(self, other: object) -> "Erased":
        """Add up two rounds."""
        assert isinstance(other, Erased)
        return Erased(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class RedisErasure:
    """Removes customers from the feature store of one namespace.

    Parameters
    ----------
    settings
        Where it lies, its namespace, and how many partitions there are.
    customer_of
        Opens a pending record, given the lineups of its partition by name, and says whose it is.

    Notes
    -----
    A state or a risk record is a key. A pending record names its customer inside: all are read, which takes
    some ten seconds for a million.

    Scorers keep states in memory. :meth:`announce` has each of them forget all of these with its next batch.
    One that is under way may still write what it has read before, so that removing must be done twice.
    """

    def __init__(self, settings: Settings, customer_of: CustomerOf) -> None:
        self._customer_of = customer_of
        self._redis = RedisConnection(settings.redis, timeout_seconds=10.0, access=RedisAccess.of(settings))
        self._learner = LearnerKeys(settings.namespace)
        self._partitions = [
            PartitionKeys(settings.namespace, number) for number in range(settings.partitions)
        ]

    def close(self) -> None:
        """Let go of the connections."""
        self._redis.close()

    def announce(self) -> None:
        """Have every scorer forget what it keeps in memory.

        Raises
        ------
        InfrastructureError
            Redis does not answer.
        """
        with self._redis.doing("announcing an erasure") as client:
            client.incr(self._learner.erasures)

    def erase(self, customer: str) -> tuple[Erased, set[str]]:
        """Remove what there is of a customer now.

        Returns
        -------
        tuple of Erased and set of str
            What it was, and the identifiers of the transactions.

        Raises
        ------
        InfrastructureError
            Redis does not answer; what was found until then is removed.
        SnapshotError
            A stored record cannot be read.
        """
        with self._redis.doing("erasing a customer") as client:
            states = client.unlink(*(keys.customers([customer])[0] for keys in self._partitions))
            risks = client.unlink(*self._learner.risks([("customer", customer)]))
            transactions: set[str] = set()
            pending = 0
            for keys in self._partitions:
                lineups = self._lineups(client, keys)
                for key in keys.pending(self._numbers(client, keys.generations)):
                    found = [*self._of(client, key, customer, lineups)]
                    pending += self._remove(client, key, found)
                    transactions.update(name.decode() for name in found)
            verdicts = sum(
                self._remove(client, key, [name.encode() for name in transactions])
                for key in self._learner.verdicts(self._numbers(client, self._learner.generations))
            )
        return Erased(states, risks, pending, verdicts), transactions

    def _lineups(self, client: Any, keys: PartitionKeys) -> dict[str, bytes]:
        return {name.decode(): lineup for name, lineup in client.hgetall(keys.lineups).items()}

    def _numbers(self, client: Any, index: str) -> list[int]:
        return sorted(int(number) for number in client.hgetall(index))

    def _of(self, client: Any, key: str, customer: str, lineups: Mapping[str, bytes]) -> Iterator[bytes]:
        """Yield the fields whose pending records are of a customer."""
        inside = customer.encode()
        for field, value in client.hscan_iter(key, count=_AT_A_TIME):
            # Most do not have these bytes anywhere, and need not be opened.
            if inside in value and self._customer_of(value, lineups) == customer:
                yield field

    def _remove(self, client: Any, key: str, fields: Iterable[bytes]) -> int:
        some = [*fields]
        return sum(
            client.hdel(key, *some[start : start + _AT_A_TIME]) for start in range(0, len(some), _AT_A_TIME)
        )
