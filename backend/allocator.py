"""Keep glibc's memory small: images are large and short-lived, and come in many threads."""

from __future__ import annotations

import ctypes
import sys

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_ARENA_MAX = -3, -1, -8
ARENAS = 2
GIVE_BACK_ABOVE_BYTES = 1024 * 1024


def keep_memory_small() -> None:
    """Two arenas, and large blocks go back to the system when they are freed. The same as MALLOC_ARENA_MAX=2 and its like, which
    would have to be set before the process starts. Does nothing where the C library is another one.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(M_ARENA_MAX, ARENAS)
    mallopt(M_MMAP_THRESHOLD, GIVE_BACK_ABOVE_BYTES)
    mallopt(M_TRIM_THRESHOLD, GIVE_BACK_ABOVE_BYTES)
