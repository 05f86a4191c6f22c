"""The C library's heap, set for a process that makes and drops megabytes for months."""

import ctypes
import sys
from typing import Final

LARGE: Final = 512 * 1024
"""Bytes from which on memory is taken from the system for itself, and given back as soon as it is dropped."""
_M_MMAP_THRESHOLD: Final = -3


def keep_heap_small() -> bool:
    """Keep large arrays out of the heap; True where that could be done. Call it before anything is made.

    glibc moves its own limit up to 32 MB with what is freed: snapshots, checkpoints and models then lie
    between small objects that outlive them, and leave holes that nothing else fits into. Measured on a
    learner after 200,000 labels: 163 MB resident in place of 198, for no time that could be told. One arena
    for all threads brings nothing more.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # A C library without it, musl's say, has no such habit.
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, LARGE))
