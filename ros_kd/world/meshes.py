# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Triangles with what they are made of, and the few solids that a street is built from."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import lru_cache

import numpy as np

from ros_kd.label_sets import get_taxonomy

TAXONOMY = get_taxonomy('sim-12')
LABEL = {name: number for number, name in enumerate(TAXONOMY.names)}


class Material(IntEnum):
    """How a surface looks; each has one painter in textures.py."""

    GROUND = 0
    PLAIN = 1
    BRICK = 2
    PLASTER = 3
    ROOF = 4
    WOOD = 5
    STONE = 6
    METAL = 7
    SIGN = 8
    LEAF = 9
    BARK = 10
    PAINT = 11
    GLASS = 12
    LIGHT = 13
    CLOTH = 14


@dataclass(frozen=True)
class Part:
    """What a group of triangles has in common.

    color: linear RGB 0..1. reflectivity: 0..1, of the LiDAR's wavelength, at normal incidence.
    origin, along: a point and a horizontal direction from which the texture's u (metres along) and v (metres up) count.
    size: the texture's extent (metres). style: which variant of the texture.
    """

    label: str
    material: Material
    color: tuple[float, float, float]
    reflectivity: float = 0.4
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    along: tuple[float, float] = (1.0, 0.0)
    size: tuple[float, float] = (1.0, 1.0)
    style: int = 0


@dataclass(frozen=True, eq=False)
class PartTable:
    """The columns of all parts, [P] or [P, n]."""

    label: np.ndarray
    material: np.ndarray
    color: np.ndarray
    reflectivity: np.ndarray
    origin: np.ndarray
    along: np.ndarray
    size: np.ndarray
    style: np.ndarray

    @classmethod
    def of(cls, parts: list[Part]) -> PartTable:
        """Collect the columns of `parts`."""
        floats = {name: np.array([getattr(part, name) for part in parts], np.float32)
                  for name in ('color', 'reflectivity', 'origin', 'along', 'size')}
        return cls(label=np.array([LABEL[part.label] for part in parts], np.uint8),
                   material=np.array([part.material for part in parts], np.uint8),
                   style=np.array([part.style for part in parts], np.int32), **floats)


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles. vertices: float32 [V, 3], metres. faces: int32 [F, 3]. part: int32 [F], rows of a part table."""

    vertices: np.ndarray
    faces: np.ndarray
    part: np.ndarray


@dataclass
class Solids:
    """Collects solids. `parts` may be shared by several collections, so that one table serves all."""

    parts: list[Part] = field(default_factory=list)
    _vertices: list[np.ndarray] = field(default_factory=list)
    _faces: list[np.ndarray] = field(default_factory=list)
    _part: list[np.ndarray] = field(default_factory=list)
    _count: int = 0

    def add(self, vertices: np.ndarray, faces: np.ndarray, part: Part) -> None:
        """Add triangles: vertices [V, 3], faces int [F, 3]."""
        self._vertices.append(np.asarray(vertices, np.float32))
        self._faces.append(np.asarray(faces, np.int32) + self._count)
        self._part.append(np.full(len(faces), len(self.parts), np.int32))
        self.parts.append(part)
        self._count += len(vertices)

    def quad(self, corners: np.ndarray, part: Part) -> None:
        """Add a flat or bent quadrilateral, corners [4, 3] in order around it."""
        self.add(corners, [[0, 1, 2], [0, 2, 3]], part)

    def hexahedron(self, corners: np.ndarray, part: Part, sides: Part | None = None) -> None:
        """Add eight corners [8, 3], four below and four above in the same order; `sides`: the part of the walls."""
        bottom_top = [[0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7]]
        walls = [face for i, j in ((0, 1), (1, 2), (2, 3), (3, 0)) for face in ([i, j, j + 4], [i, j + 4, i + 4])]
        if sides is None:
            self.add(corners, bottom_top + walls, part)
        else:
            self.add(corners, bottom_top, part)
            self.add(corners, walls, sides)

    def box(self, low: tuple[float, float, float], high: tuple[float, float, float], part: Part) -> None:
        """Add an axis-aligned box."""
        self.hexahedron(box_corners(low, high), part)

    def cylinder(self, start: np.ndarray, end: np.ndarray, radius: float, part: Part, end_radius: float | None = None,
                 sides: int = 10) -> None:
        """Add a closed cylinder or cone frustum from `start` to `end` [3]."""
        start, end = np.asarray(start, float), np.asarray(end, float)
        dx, dy, dz = end - start
        flat = np.hypot(dx, dy)
        # Two unit vectors across the axis; a vertical one has no direction to prefer.
        first = np.array([-dy, dx, 0]) / flat if flat > 1e-6 else np.array([1.0, 0, 0])
        length = np.hypot(flat, dz)
        second = np.array([-first[1] * dz, first[0] * dz, first[1] * dx - first[0] * dy]) / length
        turn, faces = _circle(sides)
        circle = turn @ np.stack([first, second])
        end_radius = radius if end_radius is None else end_radius
        self.add(np.concatenate([start + radius * circle, end + end_radius * circle, [start, end]]), faces, part)

    def ellipsoid(self, centre: np.ndarray, radii: np.ndarray, part: Part) -> None:
        """Add an ellipsoid with `radii` [3]."""
        vertices, faces = _sphere()
        self.add(vertices * np.asarray(radii) + np.asarray(centre), faces, part)

    def leaves(self, centres: np.ndarray, size: float, part: Part, rng: np.random.Generator) -> None:
        """Add a triangle of about `size` metres in a random position around each centre [N, 3]."""
        corners = centres[:, None] + rng.normal(0, size * 0.6, (len(centres), 3, 3))
        self.add(corners.reshape(-1, 3), np.arange(3 * len(centres)).reshape(-1, 3), part)

    def place(self, other: Solids, pose: np.ndarray) -> None:
        """Add all solids of `other`, moved by `pose` [4, 4], textures included."""
        mesh = other.mesh()
        shift = len(self.parts)
        for part in other.parts:
            origin = pose[:3, :3] @ np.array(part.origin) + pose[:3, 3]
            along = pose[:2, :2] @ np.array(part.along)
            self.parts.append(replace(part, origin=tuple(origin), along=tuple(along)))
        self._vertices.append((mesh.vertices @ pose[:3, :3].T + pose[:3, 3]).astype(np.float32))
        self._faces.append(mesh.faces + self._count)
        self._part.append(mesh.part + shift)
        self._count += len(mesh.vertices)

    def mesh(self) -> Mesh:
        """Return everything added so far as one mesh."""
        return Mesh(np.concatenate(self._vertices), np.concatenate(self._faces), np.concatenate(self._part))


def box_corners(low: tuple[float, float, float], high: tuple[float, float, float]) -> np.ndarray:
    """Return the corners [8, 3] of an axis-aligned box, counter-clockwise from above, bottom first."""
    (a, b, c), (d, e, f) = low, high
    square = [(a, b), (d, b), (d, e), (a, e)]
    return np.array([(x, y, c) for x, y in square] + [(x, y, f) for x, y in square], float)


@lru_cache
def _sphere(around: int = 9, across: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """A unit sphere of `across` bands with `around` corners each: vertices [V, 3], faces [F, 3]."""
    down, turn = np.meshgrid(np.linspace(0, np.pi, across + 1), np.arange(around) * 2 * np.pi / around, indexing='ij')
    vertices = np.stack([np.sin(down) * np.cos(turn), np.sin(down) * np.sin(turn), np.cos(down)], -1)
    band, i = (grid.reshape(-1) for grid in np.meshgrid(np.arange(across), np.arange(around), indexing='ij'))
    a, b = band * around + i, band * around + (i + 1) % around
    upper, lower = np.stack([a, a + around, b + around], 1), np.stack([a, b + around, b], 1)
    # At the poles one triangle of each pair has no area.
    return vertices.reshape(-1, 3), np.concatenate([upper[band < across - 1], lower[band > 0]])


@lru_cache
def _circle(sides: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines [S, 2] around a circle, and the faces of a closed tube: two rings, then two centres."""
    turn = np.arange(sides) * 2 * np.pi / sides
    i = np.arange(sides)
    j = (i + 1) % sides
    low, high = np.full(sides, 2 * sides), np.full(sides, 2 * sides + 1)
    faces = [(i, j, j + sides), (i, j + sides, i + sides), (j, i, low), (i + sides, j + sides, high)]
    return np.stack([np.cos(turn), np.sin(turn)], 1), np.concatenate([np.stack(face, 1) for face in faces])
