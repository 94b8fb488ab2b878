"""Keeps the memory of freed tensors in the process, for training on a CPU."""

from __future__ import annotations

import ctypes
import functools
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""The options' numbers in glibc's malloc.h."""
_FREE_BYTES = 1 << 30
_TENSOR_BYTES = 1 << 27


@functools.cache
def keep_freed_memory() -> None:
    """Makes glibc's malloc keep up to 1 GiB of freed memory and serve tensors of up to 128 MiB from it.

    By default, malloc returns the memory of every pass to the system and gets it back page by page, zeroed. In a
    virtual machine, where page faults cost most, this takes an eighth of an update's time (docs/performance.md).
    Larger tensors still come from the system, because keeping them would fragment the heap. Does nothing on systems
    without `mallopt`.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    if mallopt := getattr(library, "mallopt", None):
        mallopt(_TRIM_THRESHOLD, _FREE_BYTES)
        mallopt(_MMAP_THRESHOLD, _TENSOR_BYTES)
