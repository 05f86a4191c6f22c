"""A worker with a fault built in: `python -m tests.services.stalling_worker KIND` stalls amid its work.

KIND is `fetcher` (nothing more comes from the broker), `thread` (a batch that does not end), `emitter` (nor
does its emission) or `loop` (the event loop is blocked); each comes after the first batch.
"""

import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from stream.adapters.fetcher import Drawn, Fetcher
from stream.records import Record
from stream.settings import load_settings
from stream.worker import run_worker
from stream.worker.host import Host
from stream.worker.scorer import ScorerHost

_BLOCKED_SECONDS = 4.0

_draw = Fetcher.draw
_handle = ScorerHost.handle
_beat = Host.beat
_conclude = ScorerHost.conclude
_begun = threading.Event()
_emitted = threading.Event()


def _handled(self: ScorerHost, batch: Sequence[Record]) -> Any:
    if _begun.is_set() and sys.argv[1] == "thread":
        threading.Event().wait()
    _begun.set()
    return _handle(self, batch)


def _concluded(self: ScorerHost, outcome: Any) -> Any:
    if _emitted.is_set() and sys.argv[1] == "emitter":
        threading.Event().wait()
    _emitted.set()
    return _conclude(self, outcome)


def _drawn(self: Fetcher, seconds: float) -> Drawn:
    if _begun.is_set() and sys.argv[1] == "fetcher":
        time.sleep(seconds)
        return Drawn({}, {})
    return _draw(self, seconds)


async def _beaten(self: Host) -> None:
    if _begun.is_set() and sys.argv[1] == "loop":
        time.sleep(10_000)  # noqa: ASYNC251 - that is the fault
    await _beat(self)


if __name__ == "__main__":
    ScorerHost.handle = _handled  # type: ignore[method-assign]
    ScorerHost.conclude = _concluded  # type: ignore[method-assign]
    Fetcher.draw = _drawn  # type: ignore[method-assign]
    Host.beat = _beaten  # type: ignore[method-assign]
    Host.blocked_seconds = _BLOCKED_SECONDS
    run_worker(load_settings())
