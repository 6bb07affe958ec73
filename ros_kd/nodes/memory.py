# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""How a process that handles clouds treats the memory of the last one."""

from __future__ import annotations

import ctypes

_TRIM, _MAP = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
_BLOCK = 32 << 20  # the largest that glibc takes
_FREE = 256 << 20


def keep_freed_memory() -> None:
    """Have malloc keep up to 256 MB of freed memory for the next cloud; nothing where the C library is not glibc.

    By default blocks of some megabytes go back to the system at once, and the next cloud pays for a page fault every
    4 KB of its messages and features: mallopt(3).
    """
    mallopt = getattr(ctypes.CDLL(None), 'mallopt', None)
    if mallopt is not None:
        mallopt(_MAP, _BLOCK)
        mallopt(_TRIM, _FREE)
