"""How much of what has been replaced a store keeps."""

from datetime import timedelta
from typing import Final

RETIRED_SNAPSHOT_TTL: Final = timedelta(minutes=1)
"""How long a snapshot stays readable after its roster has been replaced: a scorer may be loading it.

That takes milliseconds; and a learner that catches up on old labels publishes several times a second."""
CHECKPOINTS_KEPT: Final = 3
"""The newest, and two to fall back on when it turns out damaged."""
