"""Ordered swaps: a challenger takes over at set times, as ``fraudstream models promote`` would have it."""

import threading
import time
from types import TracebackType
from typing import Final, Self

from stream.adapters.redis_store import RedisStore
from stream.clock import wall_clock
from stream.errors import SnapshotError
from stream.registry.orders import Order, encode_order
from stream.registry.snapshot import decode_roster
from stream.settings import Settings

_JOIN_SECONDS: Final = 30.0


class Orders(threading.Thread):
    """Orders swaps from when it is started until the context ends.

    Parameters
    ----------
    settings
        Of the deployment.
    after
        Seconds from the start in which nothing is ordered.
    every
        Seconds from one order to the next; the first is given half of them after that.
    most
        How many orders.
    """

    def __init__(self, settings: Settings, after: float, every: float, most: int) -> None:
        super().__init__(name="orders", daemon=True)
        self._store = RedisStore.of(settings)
        self._key = settings.keyring()
        self._pauses = [after + (number + 0.5) * every for number in range(most)]
        self._over = threading.Event()
        self._numbers: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self.ident is not None:
            self.join(_JOIN_SECONDS)
        self._store.close()

    def run(self) -> None:
        """Give each order when it is due."""
        began = time.monotonic()
        for pause in self._pauses:
            if self._over.wait(max(0.0, began + pause - time.monotonic())):
                return
            self._numbers.append(self._store.order(encode_order(self._next(), self._key)))

    def answers(self) -> list[str | None]:
        """Return what the learner said to each order; None where it has said nothing yet."""
        return [self._store.answered(number) for number in self._numbers]

    def _next(self) -> Order:
        sealed = self._store.roster()
        if sealed is None:
            raise SnapshotError("there are no models yet that could be swapped")
        # The champion comes first.
        version = decode_roster(sealed, self._key).members[1].version
        return Order(
            action="promote", model_version=version, who="benchmark", why="a swap", given_at=wall_clock()
        )
