# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""What a scan measured in every direction: whether a point of another scan is there, too, hidden, or gone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ros_kd.frames import CameraView
from ros_kd.projection import project


@dataclass(frozen=True)
class DepthTest:
    """When a depth counts as measured.

    cell: size of the directions that depths are kept for, degrees. gap: directions without a measurement between two
    beams are bridged if they are at most so many degrees high; wider ones tell nothing. A point may lie `absolute`
    metres + `relative` of its depth off the surface: noise, and errors of the poses.
    """

    cell: float = 0.5
    gap: float = 1.5
    absolute: float = 0.3
    relative: float = 0.03

    def __post_init__(self) -> None:
        if not (self.cell > 0 and min(self.gap, self.absolute, self.relative) >= 0):
            raise ValueError(f'{self}: expected a cell of more than 0 degrees, and nothing below 0')

    def margin(self, depth: np.ndarray) -> np.ndarray:
        """Return how far off a surface points at `depth` (metres) may lie, metres."""
        return np.float32(self.absolute) + np.float32(self.relative) * depth


@dataclass(frozen=True, eq=False)
class DepthImage:
    """The surface seen in each direction.

    least, most: float32 [rows, columns], metres, row 0 at the top: the range of depths within and just beside a cell;
    ground seen at a grazing angle is deep, so it reaches from the surface below to the one above. most is inf where
    nothing was measured. beside: the nearest of a cell and those to its left and right.
    """

    least: np.ndarray
    most: np.ndarray
    beside: np.ndarray

    @classmethod
    def of(cls, row: np.ndarray, column: np.ndarray, depth: np.ndarray, shape: tuple[int, int], gap: int,
           around: bool) -> DepthImage:
        """Return the image of measurements: row, column int [M], depth float32 [M].

        gap: rows that may be bridged. around: whether the last column is beside the first.
        """
        nearest = np.full(shape[0] * shape[1], np.inf, np.float32)
        np.minimum.at(nearest, row * shape[1] + column, depth)
        grid = nearest.reshape(shape)
        from_below, from_above = grid, grid
        for _ in range(gap):
            from_below = np.where(np.isinf(from_below), _shifted(from_below, -1), from_below)
            from_above = np.where(np.isinf(from_above), _shifted(from_above, 1), from_above)
        hole = np.isinf(grid) & np.isfinite(from_below) & np.isfinite(from_above)
        low, high = np.where(hole, from_below, grid), np.where(hole, from_above, grid)
        above = _shifted(high, 1)
        # A thin pole may be hit in the next column by one scan and in this one by the other.
        beside = _least_beside(low, around)
        most = np.maximum(high, np.where(np.isinf(above), -np.inf, above))
        return cls(np.minimum(beside, _shifted(beside, -1)), most, beside)

    def judge(self, row: np.ndarray, column: np.ndarray, depth: np.ndarray,
              test: DepthTest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return bool [M] there, gone and hidden for points at depth [M]: on the surface, before it where rays passed,
        behind it. All false where nothing was measured."""
        cell = row * self.least.shape[1] + column
        least, most, margin = self.least.reshape(-1)[cell], self.most.reshape(-1)[cell], test.margin(depth)
        known = np.isfinite(most)
        gone = known & (depth < least - margin)
        hidden = known & (depth > most + margin)
        return known & ~gone & ~hidden, gone, hidden


def _least_beside(grid: np.ndarray, around: bool) -> np.ndarray:
    """Return the least of each cell and those to its left and right."""
    wide = np.pad(grid, ((0, 0), (1, 1)), 'wrap') if around else np.pad(grid, ((0, 0), (1, 1)), 'edge')
    return np.minimum(np.minimum(wide[:, :-2], wide[:, 2:]), grid)


def _shifted(grid: np.ndarray, rows: int) -> np.ndarray:
    """Return the grid moved down by 1 row, or up by -1: what lies above, or below, each cell; inf beyond the border."""
    moved = np.full_like(grid, np.inf)
    if rows > 0:
        moved[1:] = grid[:-1]
    else:
        moved[:-1] = grid[1:]
    return moved


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What a scan measured around its LiDAR."""

    image: DepthImage
    test: DepthTest

    @classmethod
    def of(cls, points: np.ndarray, test: DepthTest) -> Surroundings:
        """Return those of points float32 [N, 3], LiDAR frame; NaN points are left out."""
        known = points[np.isfinite(points).all(1)]
        row, column, depth = _directions(known, test.cell)
        return cls(DepthImage.of(row, column, depth, _sphere(test.cell), round(test.gap / test.cell), True), test)

    def judge(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return bool [N], which points float32 [N, 3] (LiDAR frame) are there, and which are gone; never NaN ones."""
        known = np.isfinite(points).all(1)
        rows = slice(None) if known.all() else np.flatnonzero(known)
        there, gone = np.zeros((2, len(points)), bool)
        there[rows], gone[rows], _ = self.image.judge(*_directions(points[rows], self.test.cell), self.test)
        return there, gone


def _sphere(cell: float) -> tuple[int, int]:
    return int(np.ceil(180 / cell)) + 1, int(np.ceil(360 / cell))


def _directions(points: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return row and column (int32) of each finite point, and its distance, float32."""
    x, y, z = np.ascontiguousarray(points.T)
    flat = np.hypot(x, y)
    scale = np.float32(1 / np.radians(cell))
    row = ((np.float32(np.pi / 2) - np.arctan2(z, flat)) * scale).astype(np.int32)
    columns = _sphere(cell)[1]
    column = ((np.float32(np.pi) - np.arctan2(y, x)) * scale).astype(np.int32)
    return row, np.clip(column, 0, columns - 1), np.hypot(flat, z)


@dataclass(frozen=True, eq=False)
class Window:
    """What a scan measured in the direction of a camera's pixels. size: of a cell, pixels."""

    image: DepthImage
    test: DepthTest
    size: float

    @classmethod
    def of(cls, points: np.ndarray, view: CameraView, test: DepthTest) -> Window:
        """Return what points float32 [N, 3] of the view's own scan, LiDAR frame, tell."""
        size = max(float(np.radians(test.cell) * view.camera.K[1, 1]), 1.0)
        seen = project(points, view, None)
        shape = tuple(int(pixels / size) + 1 for pixels in (view.camera.height, view.camera.width))
        row, column = _cells(seen.uv, size)
        return cls(DepthImage.of(row, column, seen.depth, shape, round(test.gap / test.cell), False), test, size)

    def edge(self, uv: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Return bool [M] for pixels uv [M, 2] and depths [M] of points: beside something nearer, which may be what the
        pixels show."""
        row, column = _cells(uv, self.size)
        return depth > self.image.beside[row, column] + self.test.margin(depth)

    def hidden(self, uv: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Return bool [M] for pixels uv [M, 2] and depths [M] of points: behind what the scan measured."""
        return self.image.judge(*_cells(uv, self.size), depth, self.test)[2]


def _cells(uv: np.ndarray, size: float) -> tuple[np.ndarray, np.ndarray]:
    column, row = ((uv + np.float32(0.5)) / np.float32(size)).astype(np.int32).T
    return row, column
