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

from ros_kd import extrinsics
from ros_kd.bags.writer import PairedBagWriter, rig_of
from ros_kd.frames import CameraView, PairedFrame
from ros_kd.images import RawPixels
from ros_kd.world.meshes import TAXONOMY
from ros_kd.world.rig import LidarModel, Rig
from ros_kd.world.simulation import EPOCH, Simulation

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
    simulation = Simulation(town.seed, RIG)
    first = frame_of(simulation, town, 0)
    with PairedBagWriter(part, rig_of(first)) as writer:
        writer.write_frame(first)
        for index in range(1, town.frames):
            writer.write_frame(frame_of(simulation, town, index))
    part.rename(path)
    return path


def frame_of(simulation: Simulation, town: Town, index: int) -> PairedFrame:
    """Return a frame of a town, all rendered."""
    stamp = RIG.lidar.stamp(FIRST + index * STEP, EPOCH)
    views = tuple(_view(simulation, town, camera.name, stamp) for camera in RIG.cameras)
    return PairedFrame(simulation.scan(stamp), views, f'{town.seed}-{index}', simulation.world_from_lidar(stamp))


def _view(simulation: Simulation, town: Town, name: str, stamp: int) -> CameraView:
    model = RIG.camera(name)
    taken = model.nearest_exposure(stamp, EPOCH)
    if town.jitter is not None:
        random = np.random.default_rng((town.seed, stamp, zlib.crc32(name.encode())))
        taken = stamp + round(random.uniform(-1, 1) * town.jitter * 1e6)
    lidar_to_camera = extrinsics.lidar_to_camera(
        extrinsics.invert(model.base_from_optical), simulation.world_from_base(taken),
        simulation.world_from_base(stamp), RIG.lidar.mount.base_from_sensor)
    exposure = simulation.expose(name, taken)
    return CameraView(name, taken, model.camera, lidar_to_camera, RawPixels(exposure.image), model.frame_id,
                      RawPixels(exposure.labels), TAXONOMY)
