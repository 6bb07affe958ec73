# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Parts of a scan that scores are given for separately."""

from __future__ import annotations

import numpy as np

from ros_kd import extrinsics
from ros_kd.frames import PairedFrame
from ros_kd.projection import project

FORWARD = 40.0
NEAR = 6.0
RING = 4.0  # metres around the LiDAR in which cameras hardly see the ground
BINS = (0, 10, 20, 30, 40, 50)
_MOVING = range(252, 260)  # raw ids of SemanticKITTI


def subsets(frame: PairedFrame) -> dict[str, np.ndarray]:
    """Return bool [N] by name: distance bins of 10 m, nearer and farther than 6 m; within and beyond 40 degrees either
    side of the LiDAR's x axis; inside and outside the cameras' views (geometrically, hidden points included; only for
    frames with views), see also `places`; moving and static objects where the labels tell (SemanticKITTI).

    Distances are horizontal, from the LiDAR.
    """
    points = frame.points
    distance = np.hypot(points[:, 0], points[:, 1])
    forward = np.abs(np.degrees(np.arctan2(points[:, 1], points[:, 0]))) <= FORWARD
    parts = {f'{low}-{high} m': (distance >= low) & (distance < high) for low, high in zip(BINS, BINS[1:])}
    parts[f'{BINS[-1]} m and more'] = distance >= BINS[-1]
    parts[f'nearer than {NEAR:.0f} m'], parts[f'farther than {NEAR:.0f} m'] = distance < NEAR, distance >= NEAR
    parts[f'within {FORWARD:.0f} deg of forward'], parts[f'beyond {FORWARD:.0f} deg of forward'] = forward, ~forward
    if frame.views:
        seen = np.zeros(len(points), bool)
        for view in frame.views:
            seen[project(points, view, None).index] = True
        parts['in a camera\'s view'], parts['in no camera\'s view'] = seen, ~seen
        parts.update(places(frame))
    scan = frame.scan
    if scan.label is not None and scan.taxonomy.name == 'semantickitti':
        moving = np.isin(scan.label, _MOVING)
        parts['moving'], parts['static'] = moving, ~moving
    return parts


def places(frame: PairedFrame) -> dict[str, np.ndarray]:
    """Return bool [N] by name, which together are all points: the near ring, under and beside the vehicle; the blind
    sectors beyond it, where no camera looks; the rest.

    A camera looks in the direction of a point if it would see it at its own height.
    """
    points = frame.points
    near = np.hypot(points[:, 0], points[:, 1]) < RING
    faced = np.zeros(len(points), bool)
    for view in frame.views:
        level = points.copy()
        level[:, 2] = extrinsics.invert(view.lidar_to_camera)[2, 3]
        faced[project(level, view, None).index] = True
    return {f'near ring (< {RING:.0f} m)': near, f'blind sectors (beyond {RING:.0f} m)': ~near & ~faced,
            'neither near nor blind': ~near & faced}
