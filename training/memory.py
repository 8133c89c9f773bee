"""Memory that one update frees and the next one takes again."""

import ctypes
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_LARGEST_INT = 2**31 - 1


@cache
def keep_freed_memory() -> None:
    """Let the C library keep what this process frees, where it is one that can (glibc).

    Otherwise large tensors go back to the system after each use, which clears their pages when they are needed again.
    The most memory that a run takes stays the same.
    """
    if set_option := getattr(ctypes.CDLL(None), "mallopt", None):
        set_option(_MMAP_THRESHOLD, 2**30)
        set_option(_TRIM_THRESHOLD, _LARGEST_INT)
