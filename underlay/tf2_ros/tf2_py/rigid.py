# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms on plain floats: a look-up by numpy or scipy takes more than ten times as long.

Quaternions are (x, y, z, w) and of unit length; a transform is (translation in metres, rotation).
"""
from math import acos, sin
from typing import Tuple

Vector = Tuple[float, float, float]
Quaternion = Tuple[float, float, float, float]
Rigid = Tuple[Vector, Quaternion]
IDENTITY: Rigid = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def _multiply(a: Quaternion, b: Quaternion) -> Quaternion:
    """Hamilton product a b: first rotate by b, then by a."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (aw * bx + ax * bw + ay * bz - az * by, aw * by + ay * bw + az * bx - ax * bz,
            aw * bz + az * bw + ax * by - ay * bx, aw * bw - ax * bx - ay * by - az * bz)


def _rotate(rotation: Quaternion, vector: Vector) -> Vector:
    x, y, z, w = rotation
    return _multiply(_multiply(rotation, (*vector, 0.0)), (-x, -y, -z, w))[:3]


def compose(outer: Rigid, inner: Rigid) -> Rigid:
    """The transform that applies inner first, then outer."""
    (x, y, z), (tx, ty, tz) = _rotate(outer[1], inner[0]), outer[0]
    return (x + tx, y + ty, z + tz), _multiply(outer[1], inner[1])


def inverse(rigid: Rigid) -> Rigid:
    """The transform that undoes the given one."""
    (tx, ty, tz), (x, y, z, w) = rigid
    back = (-x, -y, -z, w)
    return _rotate(back, (-tx, -ty, -tz)), back


def interpolate(a: Rigid, b: Rigid, ratio: float) -> Rigid:
    """Linear in translation, spherical linear in rotation on the shorter arc (Shoemake, SIGGRAPH 1985)."""
    dot = sum(p * q for p, q in zip(a[1], b[1]))
    from_a, from_b = 1.0 - ratio, ratio
    if abs(dot) < 1.0 - 1e-9:  # otherwise the division by sin() loses more than it gives
        angle = acos(abs(dot))
        from_a, from_b = sin(from_a * angle) / sin(angle), sin(from_b * angle) / sin(angle)
    from_b = from_b if dot >= 0.0 else -from_b
    return (tuple(p + ratio * (q - p) for p, q in zip(a[0], b[0])),
            tuple(from_a * p + from_b * q for p, q in zip(a[1], b[1])))
