# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Rigid transforms between the sensors of a moving vehicle. `T_a_b` maps coordinates in frame b to frame a."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def from_rotation(rotation: np.ndarray, translation: np.ndarray) -> np.ndarray:
    """Return float64 [..., 4, 4] from rotation matrices [..., 3, 3] and translations [..., 3] in metres."""
    rotation = np.asarray(rotation, np.float64)
    transform = np.zeros((*rotation.shape[:-2], 4, 4))
    transform[..., :3, :3] = rotation
    transform[..., :3, 3] = np.asarray(translation, np.float64).reshape(*rotation.shape[:-2], 3)
    transform[..., 3, 3] = 1
    return transform


def from_quaternion(translation: np.ndarray, xyzw: np.ndarray) -> np.ndarray:
    """Return float64 [..., 4, 4] from translations [..., 3] in metres and quaternions (x, y, z, w) as ROS orders them.

    Raises ValueError for a quaternion of zero or non-finite length.
    """
    quaternion = np.asarray(xyzw, np.float64)
    norm = np.linalg.norm(quaternion, axis=-1, keepdims=True)
    if not (np.isfinite(norm) & (norm >= 1e-6)).all():
        raise ValueError(f'quaternion {quaternion.tolist()} has length {norm[..., 0].tolist()}, expected 1')
    x, y, z, w = np.moveaxis(quaternion / norm, -1, 0)
    rotation = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)]])
    return from_rotation(np.moveaxis(rotation, (0, 1), (-2, -1)), translation)


def to_quaternion(transform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return translations [..., 3] in metres and quaternions [..., 4] (x, y, z, w) of rigid transforms [..., 4, 4]."""
    m = np.asarray(transform, np.float64)
    # The eigenvector of the largest eigenvalue stays accurate at every angle (Bar-Itzhack 2000).
    r = np.moveaxis(m[..., :3, :3], (-2, -1), (0, 1))
    zero = np.zeros_like(r[0, 0])
    k = np.array([
        [r[0, 0] - r[1, 1] - r[2, 2], zero, zero, zero],
        [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], zero, zero],
        [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], zero],
        [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], r[0, 0] + r[1, 1] + r[2, 2]]]) / 3
    quaternion = np.linalg.eigh(np.moveaxis(k, (0, 1), (-2, -1)))[1][..., -1]
    return m[..., :3, 3].copy(), np.where(quaternion[..., 3:] >= 0, quaternion, -quaternion)


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


def interpolate(first: np.ndarray, second: np.ndarray, ratio: float | np.ndarray) -> np.ndarray:
    """Return the poses a `ratio` [...] of the way between rigid transforms [..., 4, 4].

    Linear in position, slerp in rotation; a ratio outside 0..1 extrapolates at constant velocity.
    """
    position_a, a = to_quaternion(first)
    position_b, b = to_quaternion(second)
    ratio = np.asarray(ratio, np.float64)[..., None]
    dot = (a * b).sum(-1, keepdims=True)
    b = np.where(dot >= 0, b, -b)
    angle = np.arccos(np.minimum(np.abs(dot), 1))
    small = angle < 1e-7
    sine = np.where(small, 1, np.sin(angle))
    quaternion = np.where(small, a, (np.sin((1 - ratio) * angle) * a + np.sin(ratio * angle) * b) / sine)
    return from_quaternion(position_a + ratio * (position_b - position_a), quaternion)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Poses of a vehicle's LiDAR in a fixed frame: stamps int64 [K], ns, rising; poses float64 [K, 4, 4].

    A pose whose stamp is not later than all before it is left out: GPS logs repeat and swap packets.
    """

    stamps: np.ndarray
    poses: np.ndarray

    def __post_init__(self) -> None:
        stamps = np.asarray(self.stamps, np.int64)
        rising = np.append(True, stamps[1:] > np.maximum.accumulate(stamps)[:-1])[:len(stamps)]
        object.__setattr__(self, 'stamps', stamps[rising])
        object.__setattr__(self, 'poses', np.asarray(self.poses, np.float64).reshape(-1, 4, 4)[rising])

    def covers(self, stamps: int | np.ndarray, slack: float = 0.2) -> bool:
        """Tell whether all `stamps` (ns) lie within the poses' time, or at most `slack` seconds outside."""
        stamps, margin = np.asarray(stamps, np.int64), int(slack * 1e9)
        return len(self.stamps) > 0 and bool((stamps >= self.stamps[0] - margin).all()
                                             and (stamps <= self.stamps[-1] + margin).all())

    def at(self, stamp: int, slack: float = 0.2) -> np.ndarray | None:
        """Return the pose at `stamp` (ns), interpolated; None if it lies more than `slack` seconds outside."""
        return self.sample(np.array([stamp]), slack)[0] if self.covers(stamp, slack) else None

    def sample(self, stamps: np.ndarray, slack: float = 0.2) -> np.ndarray:
        """Return the poses float64 [M, 4, 4] at `stamps` int64 [M] (ns), interpolated.

        Raises ValueError naming both ranges if a stamp lies more than `slack` seconds outside.
        """
        if not self.covers(stamps, slack):
            known = f'{_seconds(self.stamps[0])} to {_seconds(self.stamps[-1])} s' if len(self.stamps) else 'no time'
            raise ValueError(f'poses are needed from {_seconds(stamps.min())} to {_seconds(stamps.max())} s, but the '
                             f'trajectory covers {known} ({slack:g} s more are extrapolated): wait for odometry, or '
                             'check that both use one clock')
        if len(self.stamps) == 1:
            return np.repeat(self.poses, len(stamps), 0)
        right = np.clip(np.searchsorted(self.stamps, stamps), 1, len(self.stamps) - 1)
        before, after = self.stamps[right - 1], self.stamps[right]
        return interpolate(self.poses[right - 1], self.poses[right], (stamps - before) / (after - before))


def _seconds(stamp: int) -> str:
    return f'{stamp // 1_000_000_000}.{stamp % 1_000_000_000:09d}'


KNOT = 1e-3


def deskew(points: np.ndarray, time: np.ndarray, trajectory: Trajectory, stamp: int) -> np.ndarray:
    """Return points float32 [N, 3] moved to where the LiDAR sees them from at `stamp` (ns).

    points: float32 [N, 3], metres, each in the LiDAR's frame at its own time. time: float32 [N], seconds after `stamp`.
    trajectory: of the LiDAR; a few poses across the sweep are enough. A NaN point stays NaN, a point without a finite
    time stays where it is.
    Poses are exact at knots a millisecond apart and blended linearly between: at a distance d from a LiDAR turning at
    w rad/s a point is off by d (w KNOT)^2 / 8, 6 um at 50 m and 1 rad/s, and where the velocity of the trajectory steps
    by dv, for a millisecond, by KNOT dv / 4.
    Raises ValueError if the trajectory has less than two poses, or if the times lie outside it (see Trajectory.sample).
    """
    known = np.isfinite(time)
    if not time[known].any():
        return points.copy()
    if len(trajectory.stamps) < 2:
        raise ValueError(f'a trajectory of {len(trajectory.stamps)} poses says nothing of the motion within a scan: at '
                         'least two are needed')
    first, last = float(time[known].min()), float(time[known].max())
    knots = np.linspace(first, last, max(int(np.ceil((last - first) / KNOT)), 1) + 1)
    poses = trajectory.sample(stamp + np.rint(np.append(0, knots) * 1e9).astype(np.int64))
    step = max(float(knots[1] - knots[0]), 1e-9)
    place = np.where(known, (time - np.float32(first)) / np.float32(step), 0)
    moved = _blended((invert(poses[0]) @ poses[1:]).astype(points.dtype), place, points)
    return moved if known.all() else np.where(known[:, None], moved, points)


def _blended(knots: np.ndarray, place: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Move points [N, 3] by the transforms [K, 4, 4] before and after `place` [N], counted in knots."""
    knot = np.minimum(place.astype(np.intp), len(knots) - 2)
    ratio = place - knot.astype(place.dtype)
    slopes = np.diff(knots, axis=0)
    x, y, z = points.T
    moved = np.empty_like(points)
    with np.errstate(all='ignore'):
        for row in range(3):
            a, b, c, d = (knots[:, row, column][knot] + ratio * slopes[:, row, column][knot] for column in range(4))
            moved[:, row] = a * x + b * y + c * z + d
    return moved
