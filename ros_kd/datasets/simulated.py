# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Drives through simulated towns: paired frames with exact labels, made up from a seed, nothing on disk.

`simulated:?seed=3&frames=20&step=5` drives through town 3 and takes every fifth scan of its 10 Hz LiDAR.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Iterator

import numpy as np

from ros_kd import extrinsics
from ros_kd.datasets import DatasetError, Options
from ros_kd.frames import CameraView, PairedFrame
from ros_kd.world.camera import Exposure
from ros_kd.world.meshes import TAXONOMY
from ros_kd.world.rig import Rig
from ros_kd.world.simulation import EPOCH, Simulation

_OPTIONS = 'seed, frames, start, step, cameras, width, height, deskew'


@dataclass(frozen=True, eq=False)
class RenderedPixels:
    """An image (or its label image) that is rendered when it is read."""

    simulation: Simulation
    camera: str
    stamp: int
    labels: bool = False

    def read(self) -> np.ndarray:
        """Return uint8 [H, W, 3], RGB, or the class ids uint8 [H, W]."""
        exposure = _exposure(self.simulation, self.camera, self.stamp)
        return exposure.labels if self.labels else exposure.image


@lru_cache(maxsize=40)
def _exposure(simulation: Simulation, camera: str, stamp: int) -> Exposure:
    """The image and the label image of a view are read one after the other, but come from the same rays. Those of the
    frames before and after are asked again for each frame."""
    return simulation.expose(camera, stamp)


@dataclass(frozen=True, eq=False)
class SimulatedDrive:
    """Frames of a drive. first, step: in scans of the LiDAR; `count` frames."""

    simulation: Simulation
    first: int
    step: int
    count: int

    @property
    def name(self) -> str:
        """Names the town."""
        return f'simulated-{self.simulation.seed}'

    @property
    def trajectory(self) -> extrinsics.Trajectory:
        """The LiDAR's poses at every scan of the drive, those between the frames included."""
        lidar = self.simulation.rig.lidar
        numbers = range(self.first, self.first + max(self.count - 1, 0) * self.step + 2)
        return self.simulation.trajectory(np.array([lidar.stamp(number, EPOCH) for number in numbers]))

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[PairedFrame]:
        return (self[index] for index in range(self.count))

    def __getitem__(self, index: int) -> PairedFrame:
        """Return frame `index`: the scan is cast now, the images when they are read. Raises IndexError."""
        if not -self.count <= index < self.count:
            raise IndexError(f'frame {index} of {self.name}, which has {self.count}')
        number = self.first + index % self.count * self.step
        simulation = self.simulation
        stamp = simulation.rig.lidar.stamp(number, EPOCH)
        views = tuple(self._view(camera.name, stamp) for camera in simulation.rig.cameras)
        key = f'{simulation.seed}-{number:06d}'
        return PairedFrame(simulation.scan(stamp), views, key, simulation.world_from_lidar(stamp))

    def _view(self, name: str, stamp: int) -> CameraView:
        exposed = self.simulation.rig.camera(name).nearest_exposure(stamp, EPOCH)
        return view_of(self.simulation, name, stamp, exposed)


def view_of(simulation: Simulation, name: str, stamp: int, exposed: int) -> CameraView:
    """Return the image that a camera takes at `exposed`, seen from the scan at `stamp` (ns)."""
    model = simulation.rig.camera(name)
    lidar_to_camera = extrinsics.lidar_to_camera(
        extrinsics.invert(model.base_from_optical), simulation.world_from_base(exposed),
        simulation.world_from_base(stamp), simulation.rig.lidar.mount.base_from_sensor)
    return CameraView(name, exposed, model.camera, lidar_to_camera, RenderedPixels(simulation, name, exposed),
                      model.frame_id, RenderedPixels(simulation, name, exposed, labels=True), TAXONOMY)


def open(path: Path, options: Options) -> SimulatedDrive:
    """Start a drive; `path` is not used.

    Options: seed (of the town), frames, start and step (in scans of 10 Hz), cameras (of front, left, right), width and
    height (pixels), deskew (no: each point in the sensor's frame at its own time).
    Raises DatasetError naming an option with an impossible value.
    """
    values = {name: options.number(name, default) for name, default in (
        ('seed', 0), ('frames', 20), ('start', 5), ('step', 5), ('width', 960), ('height', 540))}
    deskew = options.switch('deskew', True)
    names = options.names('cameras', ('front', 'left', 'right'))
    options.finish('simulated', _OPTIONS)
    for name, least in (('seed', 0), ('frames', 1), ('start', 0), ('step', 1), ('width', 16), ('height', 16)):
        if values[name] < least:
            raise DatasetError(f'option {name}={values[name]} of dataset simulated: expected at least {least}')
    try:
        rig = Rig().only(names).sized(values['width'], values['height'])
    except ValueError as error:
        raise DatasetError(f'option cameras={",".join(names)} of dataset simulated: {error}') from None
    rig = replace(rig, lidar=replace(rig.lidar, deskewed=deskew))
    return SimulatedDrive(Simulation(values['seed'], rig), values['start'], values['step'], values['frames'])


def recognises(path: Path) -> bool:
    """A simulated drive has no files to be recognised by."""
    return False
