# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Scans of a simulated town with as many points as wanted, by a LiDAR of as many beams and columns as it takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ros_kd.frames import Scan
from ros_kd.world.rig import LidarModel, Rig
from ros_kd.world.simulation import EPOCH, Simulation

NUMBER = 100  # of the scan in the drive
BEAMS = ((45_000, 32), (200_000, 64), (10 ** 9, 128))
RETURNED = 0.85  # share of beams that come back, less than is so in any of these towns


def dense_scan(points: int, town: int = 200, number: int = NUMBER) -> Scan:
    """Return the scan `number` of a drive through a town, with exactly so many points."""
    beams = next(beams for most, beams in BEAMS if points <= most)
    lidar = replace(LidarModel(), beams=beams, columns=int(points / beams / RETURNED))
    scan = Simulation(town, replace(Rig(), lidar=lidar)).scan(lidar.stamp(number, EPOCH))
    if len(scan) < points:
        raise RuntimeError(f'a scan of {lidar.columns} x {beams} beams has {len(scan)} points, fewer than {points}')
    kept = np.sort(np.random.default_rng(0).permutation(len(scan))[:points])
    return Scan(scan.stamp, scan.points[kept], scan.intensity[kept], frame_id=scan.frame_id)
