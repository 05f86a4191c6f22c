import subprocess
import sys

import pytest

_KEEPING = """
import numpy as np
from stream.heap import keep_heap_small

def resident():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))

assert keep_heap_small()
np.ones(3_000_000)  # freed at once: by itself, glibc would take arrays of up to its size from the heap now
before = resident()
kept = []
for _ in range(30):
    large = [np.ones(200_000) for _ in range(2)]
    kept.append([np.ones(100) for _ in range(50)])  # small ones that stay, behind each of them
del large
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc's heap is set")
def test_large_arrays_leave_no_holes_behind() -> None:
    done = subprocess.run([sys.executable, "-c", _KEEPING], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 3_000, "kB more than before, of 3 MB that were there at a time"
