# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The sensors of the simulated vehicle and where they sit.

The vehicle's frame, base_link, lies on the ground: x ahead, y left, z up (REP-103, REP-105).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ros_kd import extrinsics
from ros_kd.cameras import Camera


@dataclass(frozen=True)
class Mount:
    """Where a sensor sits: position (metres) in base_link; yaw to the left, pitch down, roll (degrees)."""

    position: tuple[float, float, float]
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0

    @property
    def base_from_sensor(self) -> np.ndarray:
        """float64 [4, 4], of a sensor frame with x ahead and z up."""
        (cy, sy), (cp, sp), (cr, sr) = ((np.cos(a), np.sin(a)) for a in np.radians([self.yaw, self.pitch, self.roll]))
        rotation = (np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]]) @ np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
                    @ np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]]))
        return extrinsics.from_rotation(rotation, np.array(self.position))


# Optical frames look along z, with x to the right and y down (REP-103).
BODY_FROM_OPTICAL = extrinsics.from_rotation(np.array([[0, 0, 1], [-1, 0, 0], [0, -1, 0]], float), np.zeros(3))


@dataclass(frozen=True)
class CameraModel:
    """A camera with a global shutter. fov: horizontal, degrees. rate: Hz. phase: s from a scan to an exposure."""

    name: str
    mount: Mount
    width: int = 960
    height: int = 540
    fov: float = 70.0
    rate: float = 10.0
    phase: float = 0.0

    @property
    def camera(self) -> Camera:
        """The calibration; the lens has no distortion."""
        focal = self.width / 2 / np.tan(np.radians(self.fov) / 2)
        u, v = (self.width - 1) / 2, (self.height - 1) / 2
        return Camera(self.width, self.height, np.array([[focal, 0, u], [0, focal, v], [0, 0, 1]]))

    @property
    def base_from_optical(self) -> np.ndarray:
        """float64 [4, 4]."""
        return self.mount.base_from_sensor @ BODY_FROM_OPTICAL

    @property
    def frame_id(self) -> str:
        """The name of the optical frame."""
        return f'{self.name}_optical_frame'

    def nearest_exposure(self, stamp: int, epoch: int) -> int:
        """Return the exposure's stamp (ns) nearest to `stamp` (ns), in a run that starts at `epoch`."""
        number = round(((stamp - epoch) * 1e-9 - self.phase) * self.rate)
        return self.exposure(max(number, 0), epoch)

    def exposure(self, number: int, epoch: int) -> int:
        """Return the stamp (ns) of the exposure `number`."""
        return epoch + round((self.phase + number / self.rate) * 1e9)


@dataclass(frozen=True)
class LidarModel:
    """A spinning LiDAR: clockwise from behind, all beams at once. top, bottom: degrees above the horizon.

    noise: standard deviation of range, metres. deskewed: whether points are in the sensor's frame at the scan's stamp,
    as drivers with motion compensation publish them; otherwise each is in the frame at its own time.
    """

    mount: Mount = Mount((1.1, 0.0, 1.87), pitch=0.4, roll=-0.2)
    beams: int = 64
    columns: int = 1920
    rate: float = 10.0
    top: float = 3.0
    bottom: float = -24.8
    nearest: float = 1.0
    farthest: float = 110.0
    noise: float = 0.02
    deskewed: bool = True
    frame_id: str = 'lidar'

    def stamp(self, number: int, epoch: int) -> int:
        """Return the stamp (ns) at which scan `number` begins."""
        return epoch + round(number / self.rate * 1e9)


CAMERAS = (CameraModel('front', Mount((1.75, 0.0, 1.5), pitch=2.0), rate=10.0, phase=0.020),
           CameraModel('left', Mount((1.4, 0.5, 1.5), yaw=65.0, pitch=3.0), rate=5.0, phase=0.045),
           CameraModel('right', Mount((1.4, -0.5, 1.5), yaw=-65.0, pitch=3.0), rate=5.0, phase=0.070))


@dataclass(frozen=True)
class Rig:
    """All sensors of the vehicle."""

    lidar: LidarModel = LidarModel()
    cameras: tuple[CameraModel, ...] = CAMERAS

    def camera(self, name: str) -> CameraModel:
        """Return the camera called `name`. Raises ValueError naming those that exist."""
        for model in self.cameras:
            if model.name == name:
                return model
        raise ValueError(f'no camera "{name}" on the rig; it has {[model.name for model in self.cameras]}')

    def only(self, names: tuple[str, ...]) -> Rig:
        """Return the rig with the cameras called `names`, in that order."""
        return replace(self, cameras=tuple(self.camera(name) for name in names))

    def sized(self, width: int, height: int) -> Rig:
        """Return the rig with images of `width` x `height` pixels at the same horizontal field of view."""
        return replace(self, cameras=tuple(replace(model, width=width, height=height) for model in self.cameras))

    def paced(self, scale: float) -> Rig:
        """Return the rig with cameras that take `scale` times as many images a second."""
        return replace(self, cameras=tuple(replace(model, rate=model.rate * scale) for model in self.cameras))
