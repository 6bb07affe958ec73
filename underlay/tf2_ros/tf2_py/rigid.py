# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms: translation [3], in metres, and rotation."""
from typing import Tuple

import numpy as np
from scipy.spatial.transform import Rotation

Rigid = Tuple[np.ndarray, Rotation]
IDENTITY: Rigid = (np.zeros(3), Rotation.identity())


def compose(outer: Rigid, inner: Rigid) -> Rigid:
    """The transform that applies inner first, then outer."""
    return outer[1].apply(inner[0]) + outer[0], outer[1] * inner[1]


def inverse(rigid: Rigid) -> Rigid:
    """The transform that undoes the given one."""
    back = rigid[1].inv()
    return -back.apply(rigid[0]), back


def interpolate(a: Rigid, b: Rigid, ratio: float) -> Rigid:
    """Linear in translation, spherical linear in rotation (on the shorter arc); ratio 0 gives a, 1 gives b."""
    turn = (a[1].inv() * b[1]).as_rotvec()
    return a[0] + ratio * (b[0] - a[0]), a[1] * Rotation.from_rotvec(ratio * turn)
