# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""How a process that handles scans treats the memory of the last one."""

from __future__ import annotations

import ctypes
from functools import cache

_TRIM, _MAP, _ARENAS = -1, -3, -8  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_ARENA_MAX of glibc's malloc.h
_BLOCKS = (1 << 30, 32 << 20)  # older versions take no more than the second
_FREE = 512 << 20


@cache
def keep_freed_memory() -> None:
    """Have malloc keep up to 512 MB of freed memory for the next scan; nothing where the C library is not glibc.

    By default blocks of some megabytes go back to the system at once, and the next layer's outputs cost a page fault
    every 4 KB, a fifth of a student's time on a CPU. One arena, since those of threads are too small for features:
    mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is not None:
        any(mallopt(_MAP, size) for size in _BLOCKS)
        mallopt(_TRIM, _FREE)
        mallopt(_ARENAS, 1)
