# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Extrinsics of a pair from TF, the vehicle's motion between scan and image included; no look-up ever waits."""

from __future__ import annotations

import numpy as np
import tf2_ros
from rclpy.node import Node
from rclpy.time import Time

from ros_kd.nodes.messages import transform_from_message


class NotYet(Exception):
    """TF does not have the transforms of a pair so far; the text says which."""


class EgoMotion:
    """Looks transforms up through a fixed frame, or along the static chain where nothing publishes that frame."""

    def __init__(self, node: Node, fixed_frame: str) -> None:
        self.fixed_frame = fixed_frame
        self._node, self._log = node, node.get_logger()
        self._buffer = tf2_ros.Buffer(node=node)
        self._listener = tf2_ros.TransformListener(self._buffer, node)
        self._moving: bool | None = None if fixed_frame else False

    def standing(self) -> bool:
        """Tell whether nobody publishes moving transforms, so that waiting for the fixed frame has little hope."""
        return self._node.count_publishers('/tf') == 0

    def lidar_to_camera(self, camera: str, image_stamp: int, lidar: str, scan_stamp: int,
                        without_motion: bool) -> np.ndarray:
        """Return T_camera_lidar float64 [4, 4] from the scan's stamp to the image's (ns).

        without_motion: a fixed frame that nobody knows so far is done without, until it appears. Raises NotYet.
        """
        try:
            if self._uses_fixed(lidar, without_motion):
                found = self._buffer.lookup_transform_full(
                    camera, Time(nanoseconds=image_stamp), lidar, Time(nanoseconds=scan_stamp), self.fixed_frame)
            else:
                found = self._buffer.lookup_transform(camera, lidar, Time())
            return transform_from_message(found.transform)
        except tf2_ros.TransformException as error:
            raise NotYet(str(error)) from None

    def pose(self, lidar: str, stamp: int) -> np.ndarray | None:
        """Return T_fixed_lidar float64 [4, 4] at `stamp` (ns), or None without a fixed frame. Raises NotYet."""
        if not self._moving:
            return None
        try:
            return transform_from_message(
                self._buffer.lookup_transform(self.fixed_frame, lidar, Time(nanoseconds=stamp)).transform)
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
