# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Extrinsics of a pair from TF, the vehicle's motion between scan and image included; no look-up ever waits."""

from __future__ import annotations

import numpy as np
import tf2_ros
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

from ros_kd import extrinsics
from ros_kd.extrinsics import Trajectory
from ros_kd.nodes.clock import seconds
from ros_kd.nodes.messages import from_time, transform_from_message

MOVED = 1e-3  # metres, or parts of a rotation matrix, by which a mount that is looked up again may differ
KNOT = 10_000_000  # ns between the poses of a sweep
CACHE = 10.0  # seconds of moving transforms that are kept, at least
DEAD, SHARE = 2.0, 0.8  # seconds without news of the odometry, at least, and as a share of the patience of pairs


class NotYet(Exception):
    """TF does not have the transforms of a pair so far; the text says which."""


class EgoMotion:
    """Looks transforms up through a fixed frame, or along the static chain where nothing publishes that frame.

    Mounts of sensors are taken as they are known last, at any time: a driver may publish them seldom or on /tf. One on
    /tf that has moved (a camera on a pan-tilt unit) is looked up at the stamp of each message from then on.
    patience: seconds that a pair may wait for its transforms. Odometry without news for most of them counts as dead:
    the drive goes on without it.
    """

    def __init__(self, node: Node, fixed_frame: str, base_frame: str = 'base_link', patience: float = 5.0) -> None:
        self.fixed_frame, self.base_frame = fixed_frame, base_frame
        self._node, self._log = node, node.get_logger()
        self._dead = max(DEAD, SHARE * patience)
        self._buffer = tf2_ros.Buffer(Duration(seconds=max(CACHE, 2 * patience)), node)
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self._mounts: dict[tuple[str, str], np.ndarray] = {}
        self._joints: set[tuple[str, str]] = set()
        self._said: set[str] = set()
        self.forget()

    def forget(self) -> None:
        """Drop the moving transforms: time jumped, and old ones would be mixed with new ones."""
        self._buffer.clear()
        self._newest, self._heard = -1, 0.0  # stamp (ns) of the fixed frame's newest transform, and when it came
        self._begin = self._resumed = 0  # before these stamps it is not known for certain, or not at all
        self._alive, self._without = False, not self.fixed_frame

    def standing(self) -> bool:
        """Tell whether nobody publishes moving transforms, so that waiting for the fixed frame has little hope."""
        return self._node.count_publishers('/tf') == 0

    def lidar_to_camera(self, camera: str, image_stamp: int, lidar: str, scan_stamp: int,
                        without_motion: bool) -> np.ndarray:
        """Return T_camera_lidar float64 [4, 4] from the scan's stamp to the image's (ns), 2DPASS eq. 2.

        without_motion: a fixed frame that nobody knows so far is done without, until it appears. Raises NotYet.
        """
        first = min(image_stamp, scan_stamp)
        if self._uses_fixed(lidar, without_motion) and first >= self._resumed:
            base = self._base(lidar)
            try:
                return extrinsics.lidar_to_camera(
                    self._mount(camera, base, image_stamp), self._lookup(self.fixed_frame, base, image_stamp),
                    self._lookup(self.fixed_frame, base, scan_stamp), self._mount(base, lidar, scan_stamp))
            except NotYet:
                if first >= self._begin:
                    raise
        return self._mount(camera, lidar, image_stamp)

    def pose(self, lidar: str, stamp: int) -> np.ndarray | None:
        """Return T_fixed_lidar float64 [4, 4] at `stamp` (ns), or None where the fixed frame is not known.

        Raises NotYet.
        """
        if not self._alive or stamp < self._resumed:
            return None
        base = self._base(lidar)
        try:
            return self._lookup(self.fixed_frame, base, stamp) @ self._mount(base, lidar, stamp)
        except NotYet:
            if stamp >= self._begin:
                raise
            return None

    def sweep(self, lidar: str, begin: int, end: int) -> Trajectory | None:
        """Return the LiDAR's poses from `begin` to `end` (ns), or None without a fixed frame. Raises NotYet."""
        stamps = begin + np.linspace(0, end - begin, 2 + (end - begin) // KNOT).astype(np.int64)
        poses = [self.pose(lidar, int(stamp)) for stamp in stamps]
        return None if any(pose is None for pose in poses) else Trajectory(stamps, np.stack(poses))

    def _base(self, lidar: str) -> str:
        known = self.base_frame and self._buffer.can_transform(self.base_frame, lidar, Time())
        return self.base_frame if known else lidar

    def _mount(self, target: str, source: str, stamp: int) -> np.ndarray:
        if target == source:
            return np.eye(4)
        key = (target, source)
        if key in self._joints:
            return self._lookup(target, source, stamp)
        found, moving = self._lookup_last(target, source)
        known = self._mounts.setdefault(key, found)
        if np.abs(found - known).max() <= MOVED:
            return found
        self._mounts[key] = found
        metres = np.linalg.norm(found[:3, 3] - known[:3, 3])
        way = f'"{source}" has moved against "{target}" by {metres:.3f} m or turned'
        if not moving:
            self._log.warning(f'{way}, by /tf_static: the new transform holds from now on')
            return found
        self._log.warning(f'{way}: it is looked up at the stamp of each message from now on')
        self._joints.add(key)
        return self._lookup(target, source, stamp)

    def _lookup(self, target: str, source: str, stamp: int) -> np.ndarray:
        try:
            return transform_from_message(
                self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp)).transform)
        except tf2_ros.TransformException as error:
            raise NotYet(str(error)) from None

    def _lookup_last(self, target: str, source: str) -> tuple[np.ndarray, int]:
        """Return the newest transform with its stamp (ns), which is 0 where it is static."""
        try:
            found = self._buffer.lookup_transform(target, source, Time())
        except tf2_ros.TransformException as error:
            raise NotYet(str(error)) from None
        return transform_from_message(found.transform), from_time(found.header.stamp)

    def _uses_fixed(self, lidar: str, without_motion: bool) -> bool:
        if not self.fixed_frame:
            return False
        try:
            newest, now = self._lookup_last(self.fixed_frame, self._base(lidar))[1], seconds(self._node)
        except NotYet:
            self._alive = False
            missing = f'no transform from "{lidar}" to the fixed frame "{self.fixed_frame}"'
            if not (self._without or without_motion):
                raise NotYet(missing) from None
            self._without = True
            self._say(missing)
            return False
        if newest != self._newest:
            self._revive(newest)
            self._newest, self._heard = newest, now
        elif newest and self._alive and now - self._heard > self._dead:
            self._alive = False
            self._say(f'no news of the fixed frame "{self.fixed_frame}" for {self._dead:g} s')
        return self._alive

    def _revive(self, newest: int) -> None:
        if self._alive:
            return
        self._alive = True
        if self._newest < 0:
            self._begin = newest  # of what came before, this does not know how much there was
        else:
            self._resumed = newest  # tf2 would interpolate right through the silence
        if self._said:
            self._said.clear()
            self._log.info(f'frame "{self.fixed_frame}" is there now: extrinsics include the motion of the vehicle')

    def _say(self, what: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._log.warning(f'{what}: extrinsics leave out the motion of the vehicle between scan and image. Run '
                              'odometry, or set fixed_frame to its frame')
