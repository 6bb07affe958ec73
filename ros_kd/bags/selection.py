# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Which pairs of a drive are kept, and the last ones held back in memory until somebody asks for them."""

from __future__ import annotations

from collections import deque

import numpy as np

from ros_kd.bags import layout
from ros_kd.bags.writer import RawPair


class Selection:
    """Keeps every `every`-th pair, and of these each one at least `distance` metres from the last kept.

    A pair without a pose is never too near: nothing is lost where the odometry is silent.
    """

    def __init__(self, every: int = 1, distance: float = 0.0) -> None:
        self._every, self._distance = every, distance
        self._seen = 0
        self._last: np.ndarray | None = None

    def keep(self, world_from_lidar: np.ndarray | None) -> bool:
        """Tell whether to keep the next pair, from its pose [4, 4] (metres) or None."""
        self._seen += 1
        if (self._seen - 1) % self._every:
            return False
        if self._distance > 0 and world_from_lidar is not None:
            position = world_from_lidar[:3, 3]
            if self._last is not None and np.linalg.norm(position - self._last) < self._distance:
                return False
            self._last = position
        return True


class Snapshot:
    """The pairs of the last `seconds`, at most `size` bytes of them."""

    def __init__(self, seconds: float, size: int) -> None:
        self._seconds, self._size = seconds, size
        self._pairs: deque[RawPair] = deque()
        self._bytes = 0

    def add(self, pair: RawPair) -> int:
        """Hold a pair and let go of those that are too old or too many; return how many."""
        before = len(self._pairs)
        self._pairs.append(pair)
        self._bytes += pair.size
        oldest = layout.header_stamp(pair.cloud) - int(self._seconds * 1e9)
        while len(self._pairs) > 1 and (self._bytes > self._size
                                        or layout.header_stamp(self._pairs[0].cloud) < oldest):
            self._bytes -= self._pairs.popleft().size
        return before + 1 - len(self._pairs)

    def take(self) -> list[RawPair]:
        """Return the pairs held, oldest first, and let go of them."""
        pairs, self._bytes = list(self._pairs), 0
        self._pairs.clear()
        return pairs
