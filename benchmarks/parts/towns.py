# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Drives through simulated towns as bags on disk, small enough that hundreds of students can be trained on them.

A LiDAR of 32 beams, about 30,000 points a scan, with exact labels; three cameras of 320 x 180 pixels, 70 degrees wide,
with label images: they see 200 degrees ahead, and no ground nearer than about 4 m. A frame each second.
"""

from __future__ import annotations

import shutil
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ros_kd.bags.writer import PairedBagWriter, rig_of
from ros_kd.datasets.simulated import SimulatedDrive, view_of
from ros_kd.frames import PairedFrame
from ros_kd.world.rig import LidarModel, Rig
from ros_kd.world.simulation import Simulation

RIG = replace(Rig(), lidar=LidarModel(beams=32, columns=1024)).sized(320, 180)
FIRST, STEP = 5, 10  # scans of 10 Hz


@dataclass(frozen=True)
class Town:
    """One drive. jitter: ms; None: cameras at their own rates. Else each image is taken up to so much before or after
    the scan's stamp, uniformly drawn; its extrinsics, at the true stamps, are right."""

    seed: int
    frames: int
    jitter: int | None = None

    @property
    def name(self) -> str:
        """The bag's name."""
        return f'town-{self.seed}' + ('' if self.jitter is None else f'-jitter-{self.jitter}')


def written(town: Town, folder: Path) -> Path:
    """Return the bag of a town under `folder`, rendered if it is not there yet (a second for each frame)."""
    path, part = folder / town.name, folder / f'{town.name}.part'
    if path.exists():
        return path
    shutil.rmtree(part, ignore_errors=True)  # of a run that was killed
    folder.mkdir(parents=True, exist_ok=True)
    drive = SimulatedDrive(Simulation(town.seed, RIG), FIRST, STEP, town.frames)
    frames = list(drive)  # scans are cast whenever they are asked for; images wait
    with PairedBagWriter(part, rig_of(frames[0])) as writer:
        for frame in frames:
            writer.write_frame(frame if town.jitter is None else jittered(frame, drive.simulation, town.jitter))
    part.rename(path)
    return path


def jittered(frame: PairedFrame, simulation: Simulation, jitter: int) -> PairedFrame:
    """Return the frame with other images, up to `jitter` ms before or after its scan."""
    def taken(name: str) -> int:
        random = np.random.default_rng((simulation.seed, frame.stamp, zlib.crc32(name.encode())))
        return frame.stamp + round(random.uniform(-1, 1) * jitter * 1e6)

    views = tuple(view_of(simulation, view.name, frame.stamp, taken(view.name)) for view in frame.views)
    return replace(frame, views=views)
