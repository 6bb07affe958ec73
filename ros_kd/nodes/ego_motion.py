# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Extrinsics of a pair from TF, the vehicle's motion between scan and image included; no look-up ever waits."""

from __future__ import annotations

import time

import numpy as np
import tf2_ros
from rclpy.node import Node
from rclpy.time import Time

from ros_kd import extrinsics
from ros_kd.extrinsics import Trajectory
from ros_kd.nodes.messages import transform_from_message

RECHECK = 5.0  # seconds after which a mount is looked up again
MOVED = 1e-3  # metres, or parts of a rotation matrix, by which a mount that is looked up again may differ
KNOT = 10_000_000  # ns between the poses of a sweep


class NotYet(Exception):
    """TF does not have the transforms of a pair so far; the text says which."""


class EgoMotion:
    """Looks transforms up through a fixed frame, or along the static chain where nothing publishes that frame.

    Mounts of sensors are looked up once, at any time, and again every few seconds: a driver may publish them seldom or
    on /tf. One that has moved (a camera on a pan-tilt unit) is looked up at the stamp of each message from then on.
    """

    def __init__(self, node: Node, fixed_frame: str, base_frame: str = 'base_link') -> None:
        self.fixed_frame, self.base_frame = fixed_frame, base_frame
        self._node, self._log = node, node.get_logger()
        self._buffer = tf2_ros.Buffer(node=node)
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self._moving: bool | None = None if fixed_frame else False
        self._mounts: dict[tuple[str, str], tuple[float, np.ndarray]] = {}
        self._unfixed: set[tuple[str, str]] = set()

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()

    def forget(self) -> None:
        """Drop the moving transforms: time jumped, and old ones would be mixed with new ones."""
        self._buffer.clear()

    def standing(self) -> bool:
        """Tell whether nobody publishes moving transforms, so that waiting for the fixed frame has little hope."""
        return self._node.count_publishers('/tf') == 0

    def lidar_to_camera(self, camera: str, image_stamp: int, lidar: str, scan_stamp: int,
                        without_motion: bool) -> np.ndarray:
        """Return T_camera_lidar float64 [4, 4] from the scan's stamp to the image's (ns), 2DPASS eq. 2.

        without_motion: a fixed frame that nobody knows so far is done without, until it appears. Raises NotYet.
        """
        if not self._uses_fixed(lidar, without_motion):
            return self._mount(camera, lidar, image_stamp)
        base = self._base(lidar)
        return extrinsics.lidar_to_camera(
            self._mount(camera, base, image_stamp), self._lookup(self.fixed_frame, base, image_stamp),
            self._lookup(self.fixed_frame, base, scan_stamp), self._mount(base, lidar, scan_stamp))

    def pose(self, lidar: str, stamp: int) -> np.ndarray | None:
        """Return T_fixed_lidar float64 [4, 4] at `stamp` (ns), or None without a fixed frame. Raises NotYet."""
        if not self._moving:
            return None
        base = self._base(lidar)
        return self._lookup(self.fixed_frame, base, stamp) @ self._mount(base, lidar, stamp)

    def sweep(self, lidar: str, begin: int, end: int) -> Trajectory | None:
        """Return the LiDAR's poses from `begin` to `end` (ns), or None without a fixed frame. Raises NotYet."""
        if not self._moving:
            return None
        stamps = np.linspace(begin, end, 2 + (end - begin) // KNOT).astype(np.int64)
        return Trajectory(stamps, np.stack([self.pose(lidar, int(stamp)) for stamp in stamps]))

    def _base(self, lidar: str) -> str:
        known = self.base_frame and self._buffer.can_transform(self.base_frame, lidar, Time())
        return self.base_frame if known else lidar

    def _mount(self, target: str, source: str, stamp: int) -> np.ndarray:
        key, now = (target, source), time.monotonic()
        if target == source:
            return np.eye(4)
        if key in self._unfixed:
            return self._lookup(target, source, stamp)
        looked, known = self._mounts.get(key, (0.0, None))
        if known is None or now - looked > RECHECK:
            found = self._lookup(target, source, 0)
            if known is not None and np.abs(found - known).max() > MOVED:
                self._log.warning(f'"{source}" has moved against "{target}" by '
                                  f'{np.linalg.norm(found[:3, 3] - known[:3, 3]):.3f} m or turned: it is looked up at '
                                  'the stamp of each message from now on')
                self._unfixed.add(key)
                return self._lookup(target, source, stamp)
            self._mounts[key] = (now, found)
        return self._mounts[key][1]

    def _lookup(self, target: str, source: str, stamp: int) -> np.ndarray:
        try:
            return transform_from_message(
                self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp)).transform)
        except tf2_ros.TransformException as error:
            raise NotYet(str(error)) from None

    def _uses_fixed(self, lidar: str, without_motion: bool) -> bool:
        if self._moving or not self.fixed_frame:
            return bool(self._moving)
        if self._buffer.can_transform(self.fixed_frame, lidar, Time()):
            if self._moving is False:
                self._log.info(f'frame "{self.fixed_frame}" is there now: extrinsics include the motion of the vehicle')
            self._moving = True
            return True
        if self._moving is None and not without_motion:
            raise NotYet(f'no transform from "{lidar}" to the fixed frame "{self.fixed_frame}"')
        if self._moving is None:
            self._log.warning(
                f'no transform from "{lidar}" to the fixed frame "{self.fixed_frame}": extrinsics leave out the motion '
                'of the vehicle between scan and image. Run odometry, or set fixed_frame to its frame')
        self._moving = False
        return False
