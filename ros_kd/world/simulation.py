# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""A drive through a town: what each sensor of the vehicle measures at any moment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ros_kd.extrinsics import Trajectory
from ros_kd.frames import Scan
from ros_kd.world import town, traffic
from ros_kd.world.camera import Exposure, Renderer
from ros_kd.world.lidar import Lidar
from ros_kd.world.meshes import PartTable
from ros_kd.world.rays import Scene
from ros_kd.world.rig import Rig

EPOCH = 1_700_000_000_000_000_000


@dataclass(frozen=True)
class _Sway:
    """The body's motion on its springs: amplitude (radians) and frequency (Hz) of roll and pitch."""

    roll: tuple[float, float] = (0.006, 0.43)
    pitch: tuple[float, float] = (0.004, 0.71)


class Simulation:
    """The town of `seed` with its traffic, and a vehicle with the sensors of `rig`. Stamps are ns from EPOCH on.

    Everything is a function of seed and stamp: the order of calls does not matter. What only measurements need is built
    with the first of them.
    """

    def __init__(self, seed: int = 0, rig: Rig = Rig()) -> None:
        self.seed, self.rig, self.town = seed, rig, town.grow(seed)
        self._table = traffic.Timetable(self.town)
        self._ego = traffic.Motion(self.town, self._table, [traffic.Drive()], [])

    def __reduce__(self) -> tuple:
        """Trees of rays cannot be pickled; the seed can."""
        return Simulation, (self.seed, self.rig)

    @cached_property
    def _inhabited(self) -> tuple[Scene, PartTable]:
        parts = list(self.town.solids.parts)
        actors, motion = traffic.populate(self.town, self._table, self.seed, parts)
        return Scene(self.town.solids.mesh(), actors, motion), PartTable.of(parts)

    @property
    def scene(self) -> Scene:
        """The triangles and the actors."""
        return self._inhabited[0]

    @property
    def parts(self) -> PartTable:
        """What the triangles are made of."""
        return self._inhabited[1]

    @cached_property
    def _lidar(self) -> Lidar:
        return Lidar(self.rig.lidar, self.scene, self.town.ground, self.parts, self._poses)

    @cached_property
    def _renderer(self) -> Renderer:
        return Renderer(self.scene, self.town.ground, self.parts, self.town.sun)

    def _poses(self, times: np.ndarray) -> np.ndarray:
        sway = _Sway()
        roll, pitch = (size * np.sin(2 * np.pi * rate * times) for size, rate in (sway.roll, sway.pitch))
        (cr, sr), (cp, sp), zero = (np.cos(roll), np.sin(roll)), (np.cos(pitch), np.sin(pitch)), np.zeros(len(times))
        tilt = np.tile(np.eye(4), (len(times), 1, 1))
        rows = ((cp, sp * sr, sp * cr), (zero, cr, -sr), (-sp, cp * sr, cp * cr))
        tilt[:, :3, :3] = np.array(rows).transpose(2, 0, 1)
        return self._ego(times)[:, 0] @ tilt

    def world_from_base(self, stamps: np.ndarray | int) -> np.ndarray:
        """Return the poses of base_link float64 [..., 4, 4] at `stamps` (ns)."""
        stamps = np.asarray(stamps, np.int64)
        return self._poses((stamps.reshape(-1) - EPOCH) * 1e-9).reshape(*stamps.shape, 4, 4)

    def world_from_lidar(self, stamps: np.ndarray | int) -> np.ndarray:
        """Return the poses of the LiDAR float64 [..., 4, 4] at `stamps` (ns)."""
        return self.world_from_base(stamps) @ self.rig.lidar.mount.base_from_sensor

    def world_from_camera(self, name: str, stamp: int) -> np.ndarray:
        """Return the pose of a camera's optical frame float64 [4, 4] at `stamp` (ns)."""
        return self.world_from_base(stamp) @ self.rig.camera(name).base_from_optical

    def trajectory(self, stamps: np.ndarray) -> Trajectory:
        """Return the LiDAR's poses at `stamps` int64 [K], ns."""
        stamps = np.asarray(stamps, np.int64)
        return Trajectory(stamps, self.world_from_lidar(stamps))

    def scan(self, stamp: int) -> Scan:
        """Return the scan that begins at `stamp` (ns), labelled."""
        return self._lidar.scan((stamp - EPOCH) * 1e-9, stamp, np.random.default_rng((self.seed, stamp, 2)))

    def expose(self, name: str, stamp: int) -> Exposure:
        """Return the image and the label image that the camera `name` takes at `stamp` (ns)."""
        rng = np.random.default_rng((self.seed, stamp, 3))
        pose, time = self.world_from_camera(name, stamp), (stamp - EPOCH) * 1e-9
        return self._renderer.expose(self.rig.camera(name), pose, time, rng)
