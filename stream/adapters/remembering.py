"""Remembering: how many customers or risk records the store holds, and which go when there are too many.

A time to live bounds what is kept of honest customers. A flood of identifiers, each used once, would fill
Redis long before that.
"""

from typing import Final, Literal

from stream.adapters.redis_connection import RedisConnection

_LOOKED_AT: Final = 1_000
"""Keys in one step, for which Redis does nothing else: about a millisecond."""
_STEPS: Final = 8
"""Between two batches; what is left is for the next."""
_MEMORY: Final = 8
"""Steps over which the share of the keys that are of the kind is averaged."""
_NEWS: Final = 0.002
"""By how much the number of keys must have changed for that share to be asked anew."""
_AFTER_NAMESPACE: Final = {"customers": ":{%d+}:c:", "risk records": ":{learner}:[tc]:"}

Kind = Literal["customers", "risk records"]


class Remembering:
    """Forgets customers' states, or risk records, of one namespace beyond so many.

    Parameters
    ----------
    redis
        Where they lie.
    namespace
        First part of their keys.
    kind
        Which of the two: only who writes a kind may remove it.
    most
        How many; 0: any number.

    Notes
    -----
    Costs nothing while all keys of Redis are fewer: each commit says how many there are, which Redis knows.
    Beyond, how many are of the kind is estimated from those that were looked at, to some percent. A flood of
    one-time customers costs Redis some 3 µs for each new one. Nothing is indexed for it.

    A state that is forgotten while a scorer has it in memory comes back with the customer's next transaction.
    """

    def __init__(self, redis: RedisConnection, namespace: str, kind: Kind, most: int) -> None:
        self._redis = redis
        # A hyphen in a namespace would mean something in a pattern of Lua's.
        self._pattern = f"^{namespace.replace('-', '%-')}{_AFTER_NAMESPACE[kind]}"
        self._what = f"looking for {kind} to forget"
        self._most = most
        self._script = redis.script("remember.lua")
        self._cursor: bytes | int = 0
        self._share = 0.0
        """Of all keys, those of the kind, by the last steps."""
        self._steps = 0
        self._keys = 0
        """How many there were when that was found."""
        self.forgotten = 0
        """How many were, so far."""

    def make_room(self, keys: int) -> None:
        """Forget what is too much.

        Parameters
        ----------
        keys
            How many Redis has, of whatever kind.

        Raises
        ------
        InfrastructureError
            Redis does not answer.
        """
        if not self._most or keys <= self._most:
            return
        if abs(keys - self._keys) > _NEWS * self._keys:
            self._look(keys, forget=False)
        for _ in range(_STEPS):
            if keys * self._share <= self._most:
                return
            keys -= self._look(keys, forget=True)

    def _look(self, keys: int, *, forget: bool) -> int:
        args = [self._cursor, _LOOKED_AT, self._pattern, int(forget)]
        self._cursor, looked_at, found, forgotten = self._redis.run(self._script, self._what, [], args)
        if looked_at:
            self._steps += 1
            self._share += (found / looked_at - self._share) / min(self._steps, _MEMORY)
        self._keys = keys - forgotten
        self.forgotten += forgotten
        return int(forgotten)
