# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Figures of poses: the vehicle's way, and whether extrinsics are constant once the motion is taken out."""

from __future__ import annotations

import numpy as np

from ros_kd import extrinsics
from ros_kd.extrinsics import Trajectory
from ros_kd.inspection.figures import Curve, Drive, Mounting, Spread

_STANDING, _IMPOSSIBLE = 0.3, 80.0  # m/s
_GAP = 250_000_000  # ns between poses that are interpolated: a change of speed by 2 m/s² is 16 mm then
_PAUSE = 5.0  # s between poses that belong to one drive
_VARIES, _SAME = 20.0, 1e-3  # mm by which the motion must vary before it shows that extrinsics (mm, degrees) do not


def drive(trajectory: Trajectory | None) -> Drive | None:
    """Return the way of a trajectory with at least two poses, else None. Speeds are means between poses."""
    if trajectory is None or len(trajectory.stamps) < 2:
        return None
    seconds = np.diff(trajectory.stamps) / 1e9
    steps = np.linalg.norm(np.diff(trajectory.poses[:, :3, 3], axis=0), axis=1)
    speeds = steps / seconds
    one_drive = seconds < _PAUSE
    possible = one_drive & (speeds < _IMPOSSIBLE)
    spread = Spread.of(speeds[possible])
    if spread is None:
        return None
    step = -(-len(speeds) // 400)
    start = int(trajectory.stamps[0])
    times = (trajectory.stamps[1:][possible] - start) / 1e9
    return Drive(len(trajectory.stamps), float(steps[possible].sum()), spread,
                 float(seconds[possible & (speeds < _STANDING)].sum() / seconds[one_drive].sum()),
                 int((one_drive & ~possible).sum()),
                 Curve(start, tuple(times[::step].tolist()), tuple(speeds[possible][::step].tolist())))


def mounting(camera: str, transforms: np.ndarray, image_stamps: np.ndarray, scan_stamps: np.ndarray,
             trajectory: Trajectory | None) -> Mounting | None:
    """Judge extrinsics float64 [M, 4, 4] between scans and images at stamps int64 [M], ns.

    T_camera_lidar(t_l → t_c) = T_camera_lidar · T_world_lidar(t_c)⁻¹ · T_world_lidar(t_l): with poses the mounting is
    what is left. Pairs without poses around them are left out; without any pose nothing is taken out.
    """
    if trajectory is not None and len(trajectory.stamps) > 1:
        known = _known(trajectory, image_stamps) & _known(trajectory, scan_stamps)
        transforms, image_stamps, scan_stamps = transforms[known], image_stamps[known], scan_stamps[known]
        moved = np.array([_moved(trajectory, *pair) for pair in zip(image_stamps.tolist(), scan_stamps.tolist())])
    else:
        moved = np.tile(np.eye(4), (len(transforms), 1, 1))
    if len(transforms) < 2:
        return None
    motion = 1e3 * float(np.linalg.norm(moved[:, :3, 3], axis=1).max())
    shift, turn = _differences(transforms @ extrinsics.invert(moved))
    frozen = _differences(moved)[0] > _VARIES and max(_differences(transforms)) < _SAME
    return Mounting(camera, len(transforms), shift, turn, motion, frozen)


def _known(trajectory: Trajectory, stamps: np.ndarray) -> np.ndarray:
    """Tell which stamps have poses close before and after, or nearly one at an end, bool [M]."""
    right = np.clip(np.searchsorted(trajectory.stamps, stamps), 1, len(trajectory.stamps) - 1)
    before, after = trajectory.stamps[right - 1], trajectory.stamps[right]
    return (after - before < _GAP) & (stamps > before - _GAP // 5) & (stamps < after + _GAP // 5)


def _moved(trajectory: Trajectory, image_stamp: int, scan_stamp: int) -> np.ndarray:
    return extrinsics.invert(trajectory.at(image_stamp)) @ trajectory.at(scan_stamp)


def _differences(transforms: np.ndarray) -> tuple[float, float]:
    """Return how far transforms [M, 4, 4] are from a median one at most, mm and degrees."""
    places = extrinsics.invert(transforms)[:, :3, 3]
    median = np.median(places, 0)
    typical = transforms[np.argmin(np.linalg.norm(places - median, axis=1))]
    turns = transforms[:, :3, :3] @ typical[:3, :3].T
    # The angle from the antisymmetric part stays exact near zero, where the trace rounds.
    axes = np.stack([turns[:, 2, 1] - turns[:, 1, 2], turns[:, 0, 2] - turns[:, 2, 0], turns[:, 1, 0] - turns[:, 0, 1]])
    angles = np.arctan2(np.linalg.norm(axes, axis=0), np.trace(turns, axis1=1, axis2=2) - 1)
    return 1e3 * float(np.linalg.norm(places - median, axis=1).max()), float(np.degrees(angles).max())
