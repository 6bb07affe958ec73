# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Rigid transforms between the sensors of a moving vehicle. `T_a_b` maps coordinates in frame b to frame a."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def from_rotation(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Return float64 [4, 4] from a rotation matrix [3, 3] and a translation [3] in metres."""
    transform = np.eye(4)
    transform[:3, :3] = rotation
    transform[:3, 3] = np.asarray(translation, np.float64).ravel()
    return transform


def from_quaternion(translation: np.ndarray, xyzw: np.ndarray) -> np.ndarray:
    """Return float64 [4, 4] from a translation [3] in metres and a quaternion (x, y, z, w) as ROS orders it.

    Raises ValueError for a quaternion of zero or non-finite length.
    """
    quaternion = np.asarray(xyzw, np.float64)
    norm = float(np.linalg.norm(quaternion))
    if not np.isfinite(norm) or norm < 1e-6:
        raise ValueError(f'quaternion {quaternion.tolist()} has length {norm}, expected 1')
    x, y, z, w = quaternion / norm
    rotation = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])
    return from_rotation(rotation, translation)


def to_quaternion(transform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return translation [3] in metres and quaternion (x, y, z, w) of a rigid transform [4, 4]."""
    m = np.asarray(transform, np.float64)
    # The eigenvector of the largest eigenvalue stays accurate at every angle (Bar-Itzhack 2000).
    r = m[:3, :3]
    k = np.array([
        [r[0, 0] - r[1, 1] - r[2, 2], 0, 0, 0],
        [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], 0, 0],
        [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], 0],
        [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], np.trace(r)]]) / 3
    quaternion = np.linalg.eigh(k)[1][:, -1]
    return m[:3, 3].copy(), quaternion if quaternion[3] >= 0 else -quaternion


def invert(transform: np.ndarray) -> np.ndarray:
    """Return the inverse of rigid transforms [..., 4, 4]."""
    rotation = np.swapaxes(transform[..., :3, :3], -1, -2)
    inverse = np.zeros_like(transform)
    inverse[..., :3, :3] = rotation
    inverse[..., :3, 3] = -(rotation @ transform[..., :3, 3, None])[..., 0]
    inverse[..., 3, 3] = 1
    return inverse


def apply(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Transform points [N, 3] by [4, 4] (or [C, 4, 4], giving [C, N, 3]); the result has the points' dtype."""
    transform = transform.astype(points.dtype)
    return points @ np.swapaxes(transform[..., :3, :3], -1, -2) + transform[..., None, :3, 3]


def lidar_to_camera(T_camera_ego: np.ndarray, T_fixed_ego_at_image: np.ndarray,
                    T_fixed_ego_at_scan: np.ndarray, T_ego_lidar: np.ndarray) -> np.ndarray:
    """Chain LiDAR at the scan's stamp → ego → fixed frame → ego at the image's stamp → camera (2DPASS eq. 2).

    All float64 [4, 4]; returns float64 [4, 4].
    """
    return T_camera_ego @ invert(T_fixed_ego_at_image) @ T_fixed_ego_at_scan @ T_ego_lidar


def interpolate(first: np.ndarray, second: np.ndarray, ratio: float) -> np.ndarray:
    """Return the pose a `ratio` of the way between two rigid transforms [4, 4]: linear in position, slerp in rotation.

    A ratio outside 0..1 extrapolates at constant velocity.
    """
    position_a, a = to_quaternion(first)
    position_b, b = to_quaternion(second)
    dot = float(a @ b)
    b, dot = (b, dot) if dot >= 0 else (-b, -dot)
    angle = np.arccos(min(dot, 1.0))
    if angle < 1e-7:
        quaternion = a
    else:
        quaternion = (np.sin((1 - ratio) * angle) * a + np.sin(ratio * angle) * b) / np.sin(angle)
    return from_quaternion(position_a + ratio * (position_b - position_a), quaternion)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Poses of a vehicle's LiDAR in a fixed frame: stamps int64 [K], ns, rising; poses float64 [K, 4, 4]."""

    stamps: np.ndarray
    poses: np.ndarray

    def at(self, stamp: int, slack: float = 0.2) -> np.ndarray | None:
        """Return the pose at `stamp` (ns), interpolated; None if it lies more than `slack` seconds outside."""
        if len(self.stamps) == 0:
            return None
        if stamp < self.stamps[0] - slack * 1e9 or stamp > self.stamps[-1] + slack * 1e9:
            return None
        if len(self.stamps) == 1:
            return self.poses[0]
        right = int(np.clip(np.searchsorted(self.stamps, stamp), 1, len(self.stamps) - 1))
        before, after = int(self.stamps[right - 1]), int(self.stamps[right])
        return interpolate(self.poses[right - 1], self.poses[right], (stamp - before) / (after - before))
