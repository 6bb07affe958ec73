# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The ground: which square centimetre is road, sidewalk or terrain, what is painted on it, and its mesh."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from ros_kd.world.meshes import LABEL, Material, Part, Solids
from ros_kd.world.paths import Path

CURB = 0.05
_CELL, _BLOCK, _REACH = 0.25, 2.0, 36.0
_JUNCTION_ROUNDING = 5.0
_LINE = 0.13


@dataclass(frozen=True, eq=False)
class Street:
    """A path with its widths at each sample [K], metres: roadway left and right of the path, sidewalks beyond."""

    path: Path
    left: np.ndarray
    right: np.ndarray
    left_walk: np.ndarray
    right_walk: np.ndarray
    crossings: tuple[float, ...] = ()

    def _sample(self, values: np.ndarray, s: np.ndarray) -> np.ndarray:
        sample = np.asarray(s, np.float64) / self.path.step
        index = np.floor(sample).astype(np.int64)
        ratio = sample - index
        if not self.path.closed:
            index = np.clip(index, 0, len(values) - 2)
        return values[index % len(values)] * (1 - ratio) + values[(index + 1) % len(values)] * ratio

    def half_width(self, s: np.ndarray | float, side: np.ndarray | float) -> np.ndarray:
        """Return the roadway's width (metres) on the `side` of the path (left > 0)."""
        return np.where(np.asarray(side) > 0, self._sample(self.left, s), self._sample(self.right, s))

    def walk_width(self, s: np.ndarray | float, side: np.ndarray | float) -> np.ndarray:
        """Return the sidewalk's width (metres) on the `side` of the path (left > 0)."""
        return np.where(np.asarray(side) > 0, self._sample(self.left_walk, s), self._sample(self.right_walk, s))


@dataclass(frozen=True, eq=False)
class GroundPoint:
    """Of N points: label uint8; painted bool (lane markings); edge: metres outside the roadway, float32."""

    label: np.ndarray
    painted: np.ndarray
    edge: np.ndarray


class Ground:
    """Signed distances to the roadways on a raster, read with bilinear interpolation, so that every sensor agrees.

    streets: the ring road first. extent: half the side of the square world (metres). hills: [H, 4] of amplitude (m),
    wave vector (rad/m, 2) and phase.
    """

    def __init__(self, streets: list[Street], extent: float, hills: np.ndarray) -> None:
        self.extent, self._hills, self._streets = extent, hills, streets

    @cached_property
    def _rasters(self) -> tuple[np.ndarray, np.ndarray]:
        """Metres outside the roadway and the sidewalk [H, W, 2]; where paint may be [H, W, 3], see _markings."""
        count = int(2 * self.extent / _CELL) + 1
        axis = np.arange(count) * _CELL - self.extent
        xy = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
        edge = np.full(len(xy), _REACH, np.float32)
        walk = np.zeros_like(edge)
        paint = np.full((len(xy), 3), (_REACH, -1, -1), np.float32)
        for number, street in enumerate(self._streets):
            near, s, lateral, own = _street_distance(street, xy, count)
            closer = own < edge[near]
            walk[near] = np.where(closer, street.walk_width(s, lateral), walk[near])
            edge[near] = _smooth_minimum(edge[near], own)
            if number == 0:
                paint[near] = _markings(street, s, lateral)
        return np.stack([edge, edge - walk], -1).reshape(count, count, 2), paint.reshape(count, count, 3)

    def _read(self, raster: np.ndarray, xy: np.ndarray) -> np.ndarray:
        return _remap(raster, ((xy + self.extent) * (1 / _CELL)).astype(np.float32))

    def edge(self, xy: np.ndarray) -> np.ndarray:
        """Return how many metres points [N, 2] lie outside the roadway (negative: on it), up to 36 m."""
        return self._read(self._rasters[0], xy)[:, 0]

    def beyond_walk(self, xy: np.ndarray) -> np.ndarray:
        """Return how many metres points [N, 2] lie outside the sidewalk."""
        return self._read(self._rasters[0], xy)[:, 1]

    def look(self, xy: np.ndarray) -> GroundPoint:
        """Return class and paint at points [N, 2] (metres)."""
        edge, beyond = self._read(self._rasters[0], xy).T
        lateral, dash, crossing = self._read(self._rasters[1], xy).T
        label = np.where(edge < 0, LABEL['road'], np.where(beyond < 0, LABEL['sidewalk'], LABEL['terrain']))
        zebra = (crossing > 0) & (np.mod(lateral, 1.0) < 0.5)
        lines = (np.abs(lateral) < _LINE / 2) & (dash > 0) | (np.abs(edge + 0.3) < _LINE / 2)
        return GroundPoint(label.astype(np.uint8), (edge < 0) & (zebra | lines & (crossing < -0.4)), edge)

    def elevation(self, xy: np.ndarray) -> np.ndarray:
        """Return the height (metres) of the sidewalk's level at points [..., 2]; the roadway is CURB lower."""
        phase = np.asarray(xy) @ self._hills[:, 1:3].T + self._hills[:, 3]
        return np.sin(phase) @ self._hills[:, 0]

    def slope(self, xy: np.ndarray) -> np.ndarray:
        """Return the elevation's gradient [..., 2] at points [..., 2]."""
        phase = np.asarray(xy) @ self._hills[:, 1:3].T + self._hills[:, 3]
        return (np.cos(phase) * self._hills[:, 0]) @ self._hills[:, 1:3]

    def build(self, solids: Solids) -> None:
        """Add the ground's mesh: a coarse grid, fine where the roadway lies lower than the rest."""
        part = Part('terrain', Material.GROUND, (0.5, 0.5, 0.5), 0.3)
        count = int(2 * self.extent / _BLOCK)
        axis = np.arange(count + 1) * _BLOCK - self.extent
        xy = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
        z = self.elevation(xy)
        row, column = np.divmod(np.arange(count * count), count)
        first = row * (count + 1) + column
        corners = np.stack([first, first + 1, first + count + 2, first + count + 1], 1)
        centre = xy[first] + _BLOCK / 2
        fine = self.edge(centre) < _BLOCK * 0.71 + 0.1
        plain = corners[~fine]
        solids.add(np.column_stack([xy, z]), np.concatenate([plain[:, [0, 1, 2]], plain[:, [0, 2, 3]]]), part)
        vertices, faces = self._fine_blocks(xy[first[fine]], z[corners[fine]])
        solids.add(vertices, faces, part)

    def _fine_blocks(self, low: np.ndarray, z: np.ndarray, split: int = 5) -> tuple[np.ndarray, np.ndarray]:
        """Subdivide blocks with lower corners [B, 2] and corner heights [B, 4]; lower them where the roadway is."""
        ratio = np.linspace(0, 1, split + 1)
        u, v = (grid.reshape(-1) for grid in np.meshgrid(ratio, ratio))
        weights = np.stack([(1 - u) * (1 - v), u * (1 - v), u * v, (1 - u) * v])
        xy = low[:, None] + np.stack([u, v], -1) * _BLOCK
        sunk = np.clip(-self.edge(xy.reshape(-1, 2)) / 0.15, 0, 1).reshape(len(low), -1)
        heights = z @ weights - CURB * sunk
        row, column = np.divmod(np.arange(split * split), split)
        first = row * (split + 1) + column
        cell = np.stack([first, first + 1, first + split + 2, first, first + split + 2, first + split + 1], 1)
        faces = cell.reshape(1, -1, 3) + (np.arange(len(low)) * (split + 1) ** 2)[:, None, None]
        return np.dstack([xy, heights]).reshape(-1, 3), faces.reshape(-1, 3)


def _remap(raster: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Bilinear samples [N, C] of a raster [H, W, C] at cells [N, 2] (column, row)."""
    width = 1024  # OpenCV takes no map with a side beyond 2^15
    rows = max(-(-len(cells) // width), 1)
    padded = np.zeros((rows * width, 2), np.float32)
    padded[:len(cells)] = cells
    values = cv2.remap(raster, padded.reshape(rows, width, 2), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return values.reshape(rows * width, -1)[:len(cells)]


def _smooth_minimum(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The minimum with a rounded corner where both are close, which rounds the corners of junctions."""
    h = np.clip(1 - np.abs(a - b) / _JUNCTION_ROUNDING, 0, None)
    return np.minimum(a, b) - h * h * _JUNCTION_ROUNDING / 4


def _street_distance(street: Street, xy: np.ndarray, count: int) -> tuple[np.ndarray, ...]:
    """Return the rows of `xy` within reach of a street, and there: metre along, lateral metres, metres off the road."""
    path, stride = street.path, 4
    coarse = xy.reshape(count, count, 2)[::stride, ::stride]
    best = np.full(coarse.shape[:2], np.inf)
    nearest = np.zeros(coarse.shape[:2])
    low, cell = coarse[0, 0], _CELL * stride
    for s in np.arange(0, path.length, 2.0):
        centre = path.at(s)[0]
        (c0, r0), (c1, r1) = (np.clip((centre + reach - low) / cell, 0, None).astype(int)
                              for reach in (-_REACH - 2, _REACH + 2))
        window = np.s_[r0:r1 + 1, c0:c1 + 1]
        distance = ((coarse[window] - centre) ** 2).sum(-1)
        closer = distance < best[window]
        best[window][closer] = distance[closer]
        nearest[window][closer] = s
    best, nearest = (np.repeat(np.repeat(a, stride, 0), stride, 1)[:count, :count].reshape(-1) for a in (best, nearest))
    near = np.nonzero(best < _REACH ** 2)[0]
    guess, lateral = path.locate(xy[near], nearest[near])
    along = guess % path.length if path.closed else np.clip(guess, 0, path.length)
    edge = np.abs(lateral) - street.half_width(along, lateral)
    if not path.closed:
        edge = np.maximum(edge, np.maximum(-guess, guess - path.length))
    return near, along, lateral, np.minimum(edge, _REACH)


def _markings(street: Street, s: np.ndarray, lateral: np.ndarray) -> np.ndarray:
    """Return [N, 3]: metres left of the centre line, a dash where positive, metres inside a pedestrian crossing."""
    period = street.path.length / round(street.path.length / 7.0)
    dash = np.cos(2 * np.pi * s / period)
    crossing = np.full(len(s), -5.0)
    for centre in street.crossings:
        around = (s - centre + street.path.length / 2) % street.path.length - street.path.length / 2
        crossing = np.maximum(crossing, 1.7 - np.abs(around))
    return np.column_stack([lateral, dash, crossing])
