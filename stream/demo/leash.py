"""The child's end of a leash: a process of the demo leaves when the demo has gone, however that ended.

The demo holds the other end of the child's standard input. Whatever ends the demo, SIGKILL included, the
child reads end of file.
"""

import os
import signal
import threading
import time
from typing import Final

FAREWELL_SECONDS: Final = 12.0
"""How long an orderly stop may take once the demo has gone: broker and Redis may have gone with it."""


def wear() -> None:
    """From now on, stop (SIGTERM) when standard input ends, and exit when that takes too long."""
    threading.Thread(target=_watch, name="leash", daemon=True).start()


def _watch() -> None:
    try:
        while os.read(0, 4096):
            pass
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(FAREWELL_SECONDS)
        os._exit(1)
