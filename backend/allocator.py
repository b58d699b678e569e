"""Keep glibc's memory small, with inference's working buffers in it: images are large, short-lived, and come in many threads."""

from __future__ import annotations

import ctypes
import sys

M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_ARENA_MAX = -3, -1, -8
ARENAS = 2
MAPPED_FROM_BYTES = 32 * 1024 * 1024
"""The most that glibc takes. Photographs of ten megapixels and more are mapped, and given back as they are freed."""
KEPT_BYTES = 64 * 1024 * 1024
"""Free memory at an arena's end. Giving a detection's 5 MB back each time costs 2,000 page faults, a tenth of a request."""


def keep_memory_small() -> None:
    """Two arenas, and what is larger than working buffers goes back to the system when it is freed. The same as MALLOC_ARENA_MAX
    and its like, which would have to be set before the process starts. Does nothing where the C library is another one.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(M_ARENA_MAX, ARENAS)
    mallopt(M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
