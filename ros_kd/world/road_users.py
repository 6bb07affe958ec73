# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Cars, trucks, two-wheelers and people. Each is built around the origin: x ahead, y left, z up from the ground."""

from __future__ import annotations

import numpy as np

from ros_kd.world.meshes import Material, Part, Solids

_PAINTS = ((0.55, 0.04, 0.03), (0.03, 0.08, 0.35), (0.65, 0.66, 0.67), (0.03, 0.03, 0.035), (0.30, 0.31, 0.33),
           (0.75, 0.75, 0.73), (0.04, 0.20, 0.10), (0.60, 0.40, 0.05), (0.10, 0.25, 0.45))
_CLOTHES = ((0.5, 0.05, 0.05), (0.05, 0.08, 0.25), (0.05, 0.05, 0.05), (0.55, 0.55, 0.5), (0.1, 0.3, 0.12),
            (0.6, 0.35, 0.05), (0.25, 0.10, 0.30), (0.15, 0.35, 0.45))
_HAIRS = ((0.05, 0.03, 0.02), (0.25, 0.15, 0.06), (0.02, 0.02, 0.02))
_SKINS = ((0.60, 0.35, 0.24), (0.25, 0.13, 0.08), (0.45, 0.25, 0.16))


def _loft(solids: Solids, stations: list[tuple[float, float, float, float, float]], part: Part) -> None:
    """A body through cross-sections (x, lower half width, upper half width, z below, z above)."""
    rings = np.array([[(x, -a, lo), (x, a, lo), (x, a * 1.0, (lo + hi) / 2), (x, b, hi), (x, -b, hi),
                       (x, -a, (lo + hi) / 2)] for x, a, b, lo, hi in stations])
    count, sides = len(stations), 6
    k, i = (grid.reshape(-1) for grid in np.meshgrid(np.arange(count - 1), np.arange(sides), indexing='ij'))
    j = (i + 1) % sides
    a, b, c, d = k * sides + i, k * sides + j, (k + 1) * sides + j, (k + 1) * sides + i
    last = (count - 1) * sides
    caps = [[0, n + 1, n] for n in range(1, sides - 1)] + [[last, last + n, last + n + 1] for n in range(1, sides - 1)]
    solids.add(rings.reshape(-1, 3), np.vstack([np.stack([a, b, c], 1), np.stack([a, c, d], 1), caps]), part)


def _wheels(solids: Solids, label: str, axles: tuple[float, ...], half: float, radius: float) -> None:
    tyre = Part(label, Material.PLAIN, (0.02, 0.02, 0.02), 0.08)
    rim = Part(label, Material.METAL, (0.4, 0.4, 0.42), 0.5)
    for x in axles:
        for side in (-1, 1):
            inner, outer = np.array([x, side * (half - 0.2), radius]), np.array([x, side * (half + 0.01), radius])
            solids.cylinder(inner, outer, radius, tyre, sides=14)
            solids.cylinder(inner, outer + (0, side * 0.012, 0), radius * 0.6, rim, sides=10)


def _lights(solids: Solids, label: str, front: float, rear: float, half: float, z: float) -> None:
    for x, color in ((front, (0.9, 0.9, 0.85)), (rear, (0.7, 0.02, 0.01))):
        part = Part(label, Material.LIGHT, color, 0.85)
        for side in (-1, 1):
            solids.box((x - 0.03, side * half * 0.72 - 0.18, z), (x + 0.03, side * half * 0.72 + 0.18, z + 0.14), part)
        plate = Part(label, Material.SIGN, (0.75, 0.75, 0.72), 0.95, style=9)
        solids.box((x - 0.02, -0.26, z - 0.22), (x + 0.02, 0.26, z - 0.11), plate)


def car(rng: np.random.Generator) -> Solids:
    """A hatchback, a saloon, an estate or a small van."""
    solids, kind = Solids(), rng.integers(4)
    length, half = rng.uniform(3.9, 4.8), rng.uniform(0.84, 0.93)
    belt = rng.uniform(0.85, 0.98)
    roof = belt + (rng.uniform(0.5, 0.58) if kind < 3 else 0.85)
    front, rear = length / 2, -length / 2
    color = tuple(np.array(_PAINTS[rng.integers(len(_PAINTS))]) * rng.uniform(0.85, 1.15))
    paint = Part('car', Material.PAINT, color, 0.45)
    glass = Part('car', Material.GLASS, (0.03, 0.04, 0.05), 0.1)
    bonnet = belt - (0.18 if kind < 3 else 0.08)
    nose, tail = half * 0.86, half * 0.9
    _loft(solids, [(rear, tail, tail * 0.95, 0.32, belt - 0.22), (rear + 0.12, half, half * 0.95, 0.22, belt - 0.02),
                   (rear + 1.2, half, half * 0.95, 0.2, belt), (front - 1.35, half, half * 0.95, 0.2, belt),
                   (front - 0.35, half, half * 0.93, 0.22, bonnet),
                   (front, nose, nose * 0.9, 0.3, bonnet - 0.2)], paint)
    back = {0: 0.25, 1: 1.0, 2: 0.12, 3: 0.08}[int(kind)]
    rake = {0: 0.45, 1: 0.6, 2: 0.3, 3: 0.12}[int(kind)]
    low = [(rear + back, half * 0.93), (front - 1.15, half * 0.93)]
    top = [(rear + back + rake, half * 0.76), (front - 1.15 - (0.8 if kind < 3 else 0.55), half * 0.76)]
    corners = np.array([(low[0][0], -low[0][1], belt - 0.05), (low[1][0], -low[1][1], belt - 0.05),
                        (low[1][0], low[1][1], belt - 0.05), (low[0][0], low[0][1], belt - 0.05),
                        (top[0][0], -top[0][1], roof), (top[1][0], -top[1][1], roof),
                        (top[1][0], top[1][1], roof), (top[0][0], top[0][1], roof)])
    solids.hexahedron(corners, paint, glass)
    middle = (top[0][0] + top[1][0]) / 2
    for side in (-1, 1):  # the pillar between the doors, and the mirror
        low, high, outer = side * half * 0.945, side * half * 0.772, side * (half + 0.06)
        solids.quad([(middle - 0.06, low, belt - 0.05), (middle + 0.06, low, belt - 0.05),
                     (middle + 0.05, high, roof), (middle - 0.05, high, roof)], paint)
        solids.box((front - 1.35, outer - 0.07, belt), (front - 1.25, outer + 0.07, belt + 0.13), paint)
    _wheels(solids, 'car', (rear + 0.8, front - 0.8), half, 0.32)
    _lights(solids, 'car', front, rear, half, belt - 0.38)
    return solids


def truck(rng: np.random.Generator) -> Solids:
    """A delivery truck: cab and box body."""
    solids, length, half, height = Solids(), rng.uniform(6.2, 8.0), rng.uniform(1.1, 1.24), rng.uniform(2.7, 3.4)
    front, rear = length / 2, -length / 2
    cab_color = _PAINTS[rng.integers(len(_PAINTS))]
    paint = Part('truck', Material.PAINT, cab_color, 0.45)
    box = Part('truck', Material.PAINT, ((0.7, 0.7, 0.68), (0.05, 0.2, 0.45), (0.6, 0.35, 0.05))[rng.integers(3)], 0.55)
    glass = Part('truck', Material.GLASS, (0.03, 0.04, 0.05), 0.1)
    dark = Part('truck', Material.PLAIN, (0.05, 0.05, 0.05), 0.2)
    cab = front - 1.75
    _loft(solids, [(cab, half * 0.97, half * 0.97, 0.5, 1.5), (front - 0.08, half * 0.97, half * 0.97, 0.45, 1.5),
                   (front, half * 0.9, half * 0.9, 0.5, 1.4)], paint)
    corners = np.array([(x, y, z) for z, shift in ((1.45, 0.0), (2.35, 0.25)) for x, y in
                        ((cab, -half * 0.95), (front - 0.05 - shift, -half * 0.95), (front - 0.05 - shift, half * 0.95),
                         (cab, half * 0.95))])
    solids.hexahedron(corners, paint, glass)
    solids.box((cab, -half * 0.94, 2.3), (front - 0.3, half * 0.94, 2.5), paint)
    solids.box((cab, -half * 0.96, 0.5), (cab + 0.5, half * 0.96, 2.45), paint)
    solids.box((rear, -half, 0.95), (cab - 0.1, half, height), box)
    solids.box((rear, -0.45, 0.6), (cab, 0.45, 0.95), dark)
    for side in (-1, 1):
        solids.box((rear + 1.9, side * half - 0.04, 0.45), (cab - 1.0, side * half + 0.04, 0.9), dark)
        mirror = side * (half + 0.15)
        solids.box((front - 0.35, mirror - 0.1, 1.55), (front - 0.2, mirror + 0.1, 2.05), dark)
    _wheels(solids, 'truck', (rear + 1.2, front - 1.0), half * 0.98, 0.47)
    _lights(solids, 'truck', front + 0.01, rear, half, 0.85)
    return solids


def person(rng: np.random.Generator, phase: float, seated: bool = False) -> Solids:
    """Somebody walking, `phase` radians into the stride; or sitting with the hips at z = 0.8 (legs bent ahead)."""
    solids, tall = Solids(), rng.uniform(0.92, 1.08)
    shirt, trousers = (Part('person', Material.CLOTH, _CLOTHES[rng.integers(len(_CLOTHES))], 0.5) for _ in range(2))
    skin = Part('person', Material.CLOTH, _SKINS[rng.integers(len(_SKINS))], 0.45)
    hair = Part('person', Material.CLOTH, _HAIRS[rng.integers(3)], 0.2)
    swing = 0.0 if seated else 0.42 * np.sin(phase)
    hip, shoulder = 0.86 * tall, 1.40 * tall
    lean = 0.18 if seated else 0.03
    for side, angle in ((-1, swing), (1, -swing)):
        start = np.array([0, side * 0.10, hip])
        bent = 0.42 * np.sin(angle - abs(angle) * 0.5) - 0.02
        knee = start + ((0.38, side * 0.08, -0.2) if seated else (0.42 * np.sin(angle), 0, -0.40))
        foot = knee + ((-0.12, 0, -0.42) if seated else (bent, 0, -0.41 * tall))
        solids.cylinder(start, knee, 0.09, trousers, 0.07, 8)
        solids.cylinder(knee, foot, 0.07, trousers, 0.05, 8)
        solids.box(tuple(foot - (0.07, 0.05, 0.06)), tuple(foot + (0.18, 0.05, 0.03)), hair)
        top = np.array([lean, side * 0.22, shoulder - 0.04])
        hand = top + (0.5 if seated else -0.45 * np.sin(angle), side * 0.05, -0.28 if seated else -0.52)
        elbow = (top + hand) / 2 + (-0.05, side * 0.06, -0.04)
        solids.cylinder(top, elbow, 0.06, shirt, 0.05, 7)
        solids.cylinder(elbow, hand, 0.05, shirt, 0.04, 7)
        solids.ellipsoid(hand, np.full(3, 0.055), skin)
    solids.cylinder((0, 0, hip - 0.08), (lean, 0, shoulder), 0.15, shirt, 0.19, 10)
    solids.ellipsoid((lean, 0, shoulder), (0.13, 0.23, 0.09), shirt)
    solids.ellipsoid((lean + 0.04, 0, shoulder + 0.24), (0.105, 0.09, 0.13), skin)
    solids.ellipsoid((lean + 0.02, 0, shoulder + 0.29), (0.11, 0.1, 0.1), hair)
    return solids


def two_wheeler(rng: np.random.Generator, ridden: bool) -> Solids:
    """A bicycle or a scooter; its rider, if there is one, is a person."""
    solids, scooter = Solids(), rng.random() < 0.5
    color = _PAINTS[rng.integers(len(_PAINTS))]
    frame = Part('two-wheeler', Material.PAINT, color, 0.45)
    dark = Part('two-wheeler', Material.PLAIN, (0.02, 0.02, 0.02), 0.12)
    radius, wide = (0.25, 0.06) if scooter else (0.34, 0.025)
    for x in (-0.55, 0.55):
        solids.cylinder((x, -wide, radius), (x, wide, radius), radius, dark, sides=18)
        solids.cylinder((x, -wide - 0.005, radius), (x, wide + 0.005, radius), radius * 0.72,
                        Part('two-wheeler', Material.METAL, (0.25, 0.25, 0.26), 0.4), sides=12)
    if scooter:
        _loft(solids, [(-0.75, 0.13, 0.12, 0.35, 0.72), (-0.1, 0.16, 0.14, 0.25, 0.72)], frame)
        solids.box((-0.75, -0.13, 0.72), (0.0, 0.13, 0.80), dark)
        solids.box((-0.15, -0.16, 0.22), (0.45, 0.16, 0.30), frame)
        shield = [(0.40, -0.2, 0.25), (0.48, -0.2, 0.25), (0.48, 0.2, 0.25), (0.40, 0.2, 0.25),
                  (0.30, -0.18, 0.95), (0.38, -0.18, 0.95), (0.38, 0.18, 0.95), (0.30, 0.18, 0.95)]
        solids.hexahedron(np.array(shield), frame)
        solids.box((-0.95, -0.18, 0.78), (-0.6, 0.18, 1.1), dark)
    else:
        for start, end in (((-0.55, 0, 0.34), (-0.15, 0, 0.30)), ((-0.15, 0, 0.30), (0.40, 0, 0.78)),
                           ((-0.30, 0, 0.80), (-0.15, 0, 0.30)), ((-0.28, 0, 0.72), (0.40, 0, 0.78)),
                           ((0.38, 0, 0.95), (0.55, 0, 0.34)), ((-0.28, 0, 0.72), (-0.55, 0, 0.34))):
            solids.cylinder(start, end, 0.035, frame, sides=7)
        solids.box((-0.42, -0.08, 0.8), (-0.18, 0.08, 0.86), dark)
        for side in (-1, 1):
            solids.box((-0.85, side * 0.16 - 0.06, 0.35), (-0.45, side * 0.16 + 0.06, 0.68), dark)
    solids.cylinder((0.36, -0.3, 1.0), (0.36, 0.3, 1.0), 0.03, dark, sides=6)
    if ridden:
        pose = np.eye(4)
        pose[0, 3] = -0.3
        solids.place(person(rng, 0.0, seated=True), pose)
    return solids
