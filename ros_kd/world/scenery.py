# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What stands beside a street. Every function builds one object around the origin: x along the street, y away from it.

With right-hand traffic on the near lane, traffic comes along -x.
"""

from __future__ import annotations

import numpy as np

from ros_kd.world.meshes import Material, Part, Solids, box_corners

_WALLS = ((0.36, 0.13, 0.09), (0.55, 0.47, 0.36), (0.62, 0.58, 0.52), (0.45, 0.30, 0.20), (0.60, 0.50, 0.30),
          (0.40, 0.42, 0.45), (0.27, 0.10, 0.07), (0.52, 0.38, 0.34))
_TILES = ((0.30, 0.09, 0.05), (0.12, 0.11, 0.11), (0.20, 0.12, 0.08))
_WOODS = ((0.35, 0.20, 0.10), (0.6, 0.6, 0.57), (0.22, 0.13, 0.07))
_GREENS = ((0.07, 0.16, 0.03), (0.10, 0.20, 0.04), (0.05, 0.12, 0.03), (0.15, 0.20, 0.05))
_SIGNS = ('disc', 'triangle', 'disc', 'square', 'octagon', 'board')


def building(rng: np.random.Generator, width: float, depth: float, floors: int) -> Solids:
    """A house with its front on y = 0 and its body behind, windows painted on the walls, gabled or flat."""
    solids, height, base = Solids(), 3.0 * floors + 0.5, -0.6
    brick = rng.random() < 0.5
    color = tuple(np.clip(np.array(_WALLS[rng.integers(len(_WALLS))]) * rng.uniform(0.8, 1.15), 0, 0.8))
    material, style = Material.BRICK if brick else Material.PLASTER, int(rng.integers(1 << 16))
    x = width / 2
    corners = [(-x, 0), (x, 0), (x, depth), (-x, depth)]
    for (x0, y0), (x1, y1) in zip(corners, corners[1:] + corners[:1]):
        length = np.hypot(x1 - x0, y1 - y0)
        part = Part('building', material, color, 0.45, (x0, y0, 0), ((x1 - x0) / length, (y1 - y0) / length),
                    (length, height), style)
        solids.quad([(x0, y0, base), (x1, y1, base), (x1, y1, height), (x0, y0, height)], part)
    _roof(solids, rng, x, depth, height, color)
    if rng.random() < 0.6:  # steps or a porch break the flat front
        stone = Part('building', Material.STONE, (0.4, 0.38, 0.36), 0.4)
        place = rng.uniform(-x + 1.5, x - 1.5)
        solids.box((place - 1.0, -0.7, -0.3), (place + 1.0, 0, 0.18), stone)
        solids.box((place - 1.2, -1.0, 2.5), (place + 1.2, 0, 2.65), stone)
    return solids


def _roof(solids: Solids, rng: np.random.Generator, x: float, depth: float, height: float, color: tuple) -> None:
    tiles = Part('building', Material.ROOF, _TILES[rng.integers(len(_TILES))], 0.3)
    if rng.random() < 0.35:
        solids.box((-x - 0.15, -0.15, height), (x + 0.15, depth + 0.15, height + 0.35), tiles)
        return
    rise, over = rng.uniform(0.28, 0.45) * depth, 0.4
    ridge, eaves = height + rise, height - over * 2 * rise / depth
    half = x + over
    front = [(-half, -over, eaves), (half, -over, eaves), (half, depth / 2, ridge), (-half, depth / 2, ridge)]
    solids.quad(front, tiles)
    solids.quad([(a, depth - b, c) for a, b, c in front], tiles)
    gable = Part('building', Material.PLASTER, color, 0.45, size=(0.0, 0.0))
    for side in (-x, x):
        solids.add([(side, 0, height), (side, depth, height), (side, depth / 2, ridge)], [[0, 1, 2]], gable)
    if rng.random() < 0.7:
        chimney = Part('building', Material.BRICK, (0.3, 0.12, 0.09), 0.4, size=(0.0, 0.0))
        at = rng.uniform(-x * 0.7, x * 0.7)
        solids.box((at - 0.3, depth * 0.6, height), (at + 0.3, depth * 0.6 + 0.6, ridge + 0.7), chimney)


def fence(rng: np.random.Generator, length: float) -> Solids:
    """A picket fence, a railing or a garden wall along x."""
    solids, kind = Solids(), rng.integers(3)
    if kind == 0:
        height, wood = rng.uniform(0.9, 1.7), _WOODS[rng.integers(len(_WOODS))]
        part = Part('fence', Material.WOOD, wood, 0.45)
        pitch = 0.16
        for x in np.arange(-length / 2, length / 2, pitch):
            solids.box((x, 0, -0.2), (x + 0.11, 0.03, height + 0.04 * np.sin(9 * x)), part)
        for z in (0.25, height - 0.25):
            solids.box((-length / 2, 0.03, z), (length / 2, 0.08, z + 0.09), part)
    elif kind == 1:
        part = Part('fence', Material.METAL, (0.04, 0.06, 0.05), 0.35)
        for x in np.arange(-length / 2, length / 2 + 0.1, 0.14):
            solids.box((x, 0, 0), (x + 0.03, 0.03, 1.15), part)
        for z in (0.12, 1.05):
            solids.box((-length / 2, 0, z), (length / 2, 0.04, z + 0.05), part)
        base = Part('fence', Material.STONE, (0.4, 0.4, 0.4), 0.4)
        solids.box((-length / 2, -0.08, -0.3), (length / 2, 0.12, 0.14), base)
    else:
        height = rng.uniform(0.7, 1.6)
        stone = Part('fence', Material.STONE, (0.42, 0.38, 0.33), 0.45)
        solids.box((-length / 2, 0, -0.4), (length / 2, 0.25, height), stone)
        solids.box((-length / 2, -0.04, height), (length / 2, 0.29, height + 0.07), stone)
    return solids


def hedge(rng: np.random.Generator, length: float) -> Solids:
    """A hedge along x: a dark core within a cloud of leaves."""
    solids, height, deep = Solids(), rng.uniform(0.8, 1.9), rng.uniform(0.6, 1.0)
    low, high = np.array([-length / 2, 0, -0.1]), np.array([length / 2, deep, height])
    core = _leaf(rng, low + (high - low) / 2, (length, 0.0))
    solids.hexahedron(box_corners(tuple(low + 0.15), tuple(high - 0.15)), core)
    points = rng.uniform(low, high, (int(240 * length * (height + deep) / 2), 3))
    face = rng.integers(0, 3, len(points))
    points[face == 0, 1] = low[1] + rng.normal(0.05, 0.07, (face == 0).sum())
    points[face == 1, 1] = high[1] - rng.normal(0.05, 0.07, (face == 1).sum())
    points[face == 2, 2] = high[2] + rng.normal(0, 0.08, (face == 2).sum())
    solids.leaves(points, 0.12, core, rng)
    return solids


def _leaf(rng: np.random.Generator, centre: np.ndarray, size: tuple[float, float]) -> Part:
    green = np.array(_GREENS[rng.integers(len(_GREENS))]) * rng.uniform(0.8, 1.3)
    return Part('vegetation', Material.LEAF, tuple(green), 0.5, tuple(map(float, centre)), size=size)


def tree(rng: np.random.Generator, height: float) -> Solids:
    """A trunk (label vegetation) and a crown of irregular blobs of leaves that let some rays through."""
    solids, stem, spread = Solids(), height * rng.uniform(0.28, 0.4), height * rng.uniform(0.22, 0.3)
    bark = Part('vegetation', Material.BARK, (0.13, 0.09, 0.06), 0.3)
    lean = rng.normal(0, 0.12, 2)
    solids.cylinder((0, 0, -0.3), (*lean, stem + 0.8), 0.05 + height * 0.018, bark, 0.04 + height * 0.01, 8)
    middle = np.array([*lean, (stem + height) / 2])
    part = _leaf(rng, middle, (spread, (height - stem) / 2))
    for _ in range(rng.integers(5, 9)):
        centre = middle + rng.normal(0, 1, 3) * (spread * 0.42, spread * 0.42, (height - stem) * 0.2)
        radii = spread * rng.uniform(0.45, 0.75) * rng.uniform(0.8, 1.2, 3)
        solids.cylinder((*lean, stem + 0.5), centre, 0.06, bark, 0.03, 5)
        solids.ellipsoid(centre, radii * 0.6, part)
        outward = rng.normal(0, 1, (170, 3))
        outward /= np.linalg.norm(outward, axis=1)[:, None]
        solids.leaves(centre + outward * radii * rng.uniform(0.6, 1.08, (170, 1)), 0.26, part, rng)
    return solids


def bush(rng: np.random.Generator) -> Solids:
    """A shrub about a metre high."""
    solids, radius = Solids(), rng.uniform(0.4, 0.9)
    part = _leaf(rng, np.array([0, 0, radius * 0.7]), (radius, radius))
    solids.ellipsoid((0, 0, radius * 0.6), np.full(3, radius * 0.6), part)
    outward = rng.normal(0, 1, (90, 3))
    outward /= np.linalg.norm(outward, axis=1)[:, None]
    solids.leaves((0, 0, radius * 0.7) + outward * radius * rng.uniform(0.6, 1.1, (90, 1)), 0.2, part, rng)
    return solids


def lamp(rng: np.random.Generator) -> Solids:
    """A street lamp whose arm reaches over the roadway (towards -y)."""
    solids, height = Solids(), rng.uniform(5.0, 6.5)
    steel = Part('pole', Material.METAL, (0.16, 0.18, 0.18), 0.45)
    solids.cylinder((0, 0, -0.2), (0, 0, 1.1), 0.11, steel, 0.10, 12)
    solids.cylinder((0, 0, 1.1), (0, 0, height), 0.075, steel, 0.05, 12)
    solids.cylinder((0, 0, height - 0.05), (0, -1.4, height + 0.25), 0.04, steel, 0.035, 8)
    solids.box((-0.13, -1.9, height + 0.18), (0.13, -1.2, height + 0.32), steel)
    return solids


def bollard(rng: np.random.Generator) -> Solids:
    """A short post."""
    solids = Solids()
    dark = Part('pole', Material.METAL, (0.07, 0.07, 0.08), 0.4)
    solids.cylinder((0, 0, -0.1), (0, 0, rng.uniform(0.8, 1.0)), 0.07, dark, 0.06, 10)
    return solids


def traffic_sign(rng: np.random.Generator) -> Solids:
    """A post (label pole) with one or two plates (label sign) that face the near lane's traffic."""
    solids, top = Solids(), rng.uniform(2.6, 3.2)
    post = Part('pole', Material.METAL, (0.35, 0.36, 0.37), 0.5)
    solids.cylinder((0, 0, -0.2), (0, 0, top), 0.035, post, sides=8)
    middle = top - 0.45
    kind = _SIGNS[rng.integers(len(_SIGNS))]
    _plate(solids, rng, kind, middle, 0.42)
    if kind != 'board' and rng.random() < 0.4:
        _plate(solids, rng, 'board', middle - 0.68, 0.22)
    return solids


def _plate(solids: Solids, rng: np.random.Generator, kind: str, z: float, radius: float) -> None:
    turns = {'disc': (20, 0.0), 'triangle': (3, np.pi / 2), 'octagon': (8, np.pi / 8), 'square': (4, np.pi / 4)}
    if kind in turns:
        count, first = turns[kind]
        grow = 1.25 if kind in ('triangle', 'square') else 1.0
        angle = first + np.arange(count) * 2 * np.pi / count
        outline = radius * grow * np.stack([np.cos(angle), np.sin(angle)], 1)
    else:
        outline = np.array([(-2.4, -1), (2.4, -1), (2.4, 1), (-2.4, 1)]) * radius * (1 if radius < 0.3 else 0.55)
    style = {'disc': 0, 'triangle': 2, 'octagon': 3, 'square': 4, 'board': 5}[kind]
    style += int(kind == 'disc' and rng.random() < 0.4)
    size = (float(np.abs(outline[:, 0]).max()), float(np.abs(outline[:, 1]).max()))
    part = Part('sign', Material.SIGN, (0.7, 0.7, 0.7), 0.9, (0.06, 0, z), (0, 1), size, style)
    vertices = np.column_stack([np.full(len(outline), 0.06), outline[:, 0], outline[:, 1] + z])
    middle = np.array([[0.06, 0, z]])
    ring = np.arange(len(outline))
    faces = np.stack([ring, np.roll(ring, -1), np.full(len(ring), len(ring))], 1)
    solids.add(np.vstack([vertices, middle]), faces, part)
