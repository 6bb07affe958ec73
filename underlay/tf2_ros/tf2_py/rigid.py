# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Rigid transforms on plain floats.

A look-up touches a handful of 3- and 4-vectors at a time; Python floats do that several times faster than
numpy or scipy, whose cost per call is that of a whole look-up.
Quaternions are (x, y, z, w) and of unit length; a transform is (translation, rotation).
"""
from math import acos, sin
from typing import Tuple

Vector = Tuple[float, float, float]
Quaternion = Tuple[float, float, float, float]
Rigid = Tuple[Vector, Quaternion]

IDENTITY: Rigid = ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
_NEARLY_PARALLEL = 1.0 - 1e-9  # below this angle the division by sin() loses more than it gives


def rotate(rotation: Quaternion, vector: Vector) -> Vector:
    """Rotate a vector by a unit quaternion."""
    x, y, z, w = rotation
    vx, vy, vz = vector
    cx, cy, cz = 2.0 * (y * vz - z * vy), 2.0 * (z * vx - x * vz), 2.0 * (x * vy - y * vx)
    return (vx + w * cx + y * cz - z * cy, vy + w * cy + z * cx - x * cz, vz + w * cz + x * cy - y * cx)


def multiply(a: Quaternion, b: Quaternion) -> Quaternion:
    """Hamilton product a b: first rotate by b, then by a."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (aw * bx + ax * bw + ay * bz - az * by, aw * by + ay * bw + az * bx - ax * bz,
            aw * bz + az * bw + ax * by - ay * bx, aw * bw - ax * bx - ay * by - az * bz)


def compose(outer: Rigid, inner: Rigid) -> Rigid:
    """The transform that applies inner first, then outer."""
    x, y, z = rotate(outer[1], inner[0])
    tx, ty, tz = outer[0]
    return (x + tx, y + ty, z + tz), multiply(outer[1], inner[1])


def inverse(rigid: Rigid) -> Rigid:
    """The transform that undoes the given one."""
    (tx, ty, tz), (x, y, z, w) = rigid
    back = (-x, -y, -z, w)
    return rotate(back, (-tx, -ty, -tz)), back


def slerp(a: Quaternion, b: Quaternion, ratio: float) -> Quaternion:
    """Interpolate on the shorter arc; ratio 0 gives a, 1 gives b (Shoemake, SIGGRAPH 1985)."""
    dot = a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]
    sign = 1.0 if dot >= 0.0 else -1.0
    dot = abs(dot)
    if dot > _NEARLY_PARALLEL:
        from_a, from_b = 1.0 - ratio, ratio * sign
    else:
        angle = acos(dot)
        scale = 1.0 / sin(angle)
        from_a, from_b = sin((1.0 - ratio) * angle) * scale, sin(ratio * angle) * scale * sign
    return (from_a * a[0] + from_b * b[0], from_a * a[1] + from_b * b[1],
            from_a * a[2] + from_b * b[2], from_a * a[3] + from_b * b[3])


def interpolate(a: Rigid, b: Rigid, ratio: float) -> Rigid:
    """Linear in translation, spherical linear in rotation."""
    (ax, ay, az), (bx, by, bz) = a[0], b[0]
    return ((ax + ratio * (bx - ax), ay + ratio * (by - ay), az + ratio * (bz - az)), slerp(a[1], b[1], ratio))
