# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Test-time augmentation: other views of a scan, whose probabilities are averaged (2DPASS uses 12 rotations)."""

from __future__ import annotations

import numpy as np


def turns(count: int) -> list[np.ndarray | None]:
    """Return `count` changes of points, float32 [3, 3]: turns about the vertical, evenly spread, every second one after
    mirroring left and right. The first is None, which leaves a scan as it is."""
    return [None if step == 0 else _turn(2 * np.pi * step / count, mirrored=step % 2 == 1) for step in range(count)]


def _turn(angle: float, mirrored: bool) -> np.ndarray:
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]], np.float32)
    return turn * np.float32([1, -1, 1]) if mirrored else turn
