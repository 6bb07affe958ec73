# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Velocity of a frame by finite differences, as in tf2::BufferCore::lookupVelocity. Times are nanoseconds."""
from math import atan2, sqrt
from typing import Callable, Tuple

from tf2_py.rigid import multiply, Quaternion, Rigid, rotate, Vector

Twist = Tuple[Vector, Vector]  # linear [m/s], angular [rad/s]


def _cross(a: Vector, b: Vector) -> Vector:
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def _add(a: Vector, b: Vector, factor: float = 1.0) -> Vector:
    return a[0] + factor * b[0], a[1] + factor * b[1], a[2] + factor * b[2]


def _rotation_vector(rotation: Quaternion) -> Vector:
    x, y, z, w = rotation if rotation[3] >= 0.0 else tuple(-part for part in rotation)
    sine = sqrt(x * x + y * y + z * z)
    scale = 2.0 * atan2(sine, w) / sine if sine else 0.0
    return x * scale, y * scale, z * scale


def velocity(lookup: Callable[[str, str, int], Rigid], tracking: str, observation: str, reference: str, point: Vector,
             point_frame: str, time: int, interval: int, latest: int) -> Twist:
    """Of the tracking frame as seen from the observation frame, at a point, in the axes of the reference frame."""
    end = min(time + interval // 2, latest)
    start = max(10**4 + interval, end) - interval  # time 0 would mean "the newest"
    duration = (end - start) / 1e9
    before, after = lookup(observation, tracking, start), lookup(observation, tracking, end)
    x, y, z, w = before[1]
    turned = rotate(before[1], _rotation_vector(multiply((-x, -y, -z, w), after[1])))
    pose = lookup(reference, tracking, time)
    angular = rotate(pose[1], tuple(part / duration for part in turned))
    moved = rotate(pose[1], tuple(part / duration for part in _add(after[0], before[0], -1.0)))
    linear = _add(moved, _cross(pose[0], angular))
    to_reference = lookup(reference, point_frame, time)
    arm = _add(_add(rotate(to_reference[1], point), to_reference[0]), pose[0], -1.0)
    return _add(linear, _cross(angular, arm)), angular
