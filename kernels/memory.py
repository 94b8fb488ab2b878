"""What a process on a CPU does with memory that tensors have left."""

from __future__ import annotations

import ctypes
import functools
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""`mallopt`'s names of them (malloc.h)."""
_KEPT = 1 << 30
_LARGEST = 1 << 27


@functools.cache
def keep_freed_memory() -> None:
    """Lets glibc's malloc keep up to a GiB of freed memory, and serve tensors of up to 128 MiB from it.

    Otherwise every pass gives its memory back and gets it again page by page, zeroed: an eighth of an update's time in
    a virtual machine, where a page costs most (docs/performance.md). Larger tensors come from the system as before,
    since those that are kept leave gaps. Where there is no `mallopt`, nothing is done.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if mallopt := getattr(library, "mallopt", None):
        mallopt(_TRIM_THRESHOLD, _KEPT)
        mallopt(_MMAP_THRESHOLD, _LARGEST)
