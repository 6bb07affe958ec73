# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Scans of a bag whose points are moved to the scan's stamp."""

from __future__ import annotations

from dataclasses import replace
from typing import Callable

import numpy as np

from ros_kd import extrinsics
from ros_kd.bags import BagError
from ros_kd.extrinsics import Trajectory
from ros_kd.frames import Scan

_LONGEST = 10.0  # seconds between the times of a scan's points, beyond which they are of another unit


def deskewed(scan: Scan, way: Callable[[int, int], Trajectory]) -> Scan:
    """Return the scan with its points where the LiDAR sees them from at its stamp; it has no times any more.

    way: gives the LiDAR's trajectory from one stamp to another (ns). Raises BagError naming the scan.
    """
    if scan.time is None:
        raise BagError(f'the scan at {scan.stamp} ns has no time of each point: it cannot be deskewed')
    known = scan.time[np.isfinite(scan.time)]
    first, last = float(known.min(initial=0)), float(known.max(initial=0))
    if last - first > _LONGEST:
        raise BagError(f'the times of the points of the scan at {scan.stamp} ns are {first:g} to {last:g} s from its '
                       'stamp, expected the time of one sweep: the driver writes another unit')
    try:
        trajectory = way(scan.stamp + round(first * 1e9), scan.stamp + round(last * 1e9))
        points = extrinsics.deskew(scan.points, scan.time, trajectory, scan.stamp)
    except ValueError as error:
        raise BagError(f'the scan at {scan.stamp} ns cannot be deskewed: {error}') from None
    return replace(scan, points=points, time=None)
