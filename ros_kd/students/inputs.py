# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""From scans to what a student sees: columns, their scaling, range and voxels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from ros_kd.frames import Scan
from ros_kd.sparse import Backend, Groups, SparseTensor, choose_backend
from ros_kd.sparse import keys as packing
from ros_kd.students.voxels import VoxelBatch

METRES = 50.0


class InputError(ValueError):
    """A scan lacks what the student was trained on."""


@dataclass(frozen=True)
class _Points:
    """Points in range, float32 [3, M] in metres, in voxels and rounded down to voxels; intensity [M] or None.

    rows: of the scans' points. voxels: their voxels, in the order of `keys`.
    """

    rows: Tensor
    metres: Tensor
    place: Tensor
    cell: Tensor
    intensity: Tensor | None
    keys: Tensor
    voxels: Groups


def _offset(axis: int) -> Callable[[_Points], Tensor]:
    return lambda p: p.place[axis] - p.cell[axis] - 0.5


def _from_mean(axis: int) -> Callable[[_Points], Tensor]:
    def column(p: _Points) -> Tensor:
        total = p.place.new_zeros(p.voxels.size).index_add_(0, p.voxels.index, p.place[axis])
        return p.place[axis] - (total / p.voxels.count)[p.voxels.index]
    return column


COLUMNS: dict[str, Callable[[_Points], Tensor]] = {
    'x': lambda p: p.metres[0] / METRES,
    'y': lambda p: p.metres[1] / METRES,
    'z': lambda p: p.metres[2] / METRES,
    'range': lambda p: p.metres.square().sum(0).sqrt() / METRES,
    'intensity': lambda p: p.intensity,
    'dx': _offset(0),
    'dy': _offset(1),
    'dz': _offset(2),
    'mx': _from_mean(0),
    'my': _from_mean(1),
    'mz': _from_mean(2),
}
"""By name: position and distance from the sensor in units of 50 m, intensity 0..1, the offset to the voxel's centre
(-0.5..0.5) and to the mean of the voxel's points in voxels. Near 1 all of them, as networks like their inputs. The last
three tell points of a voxel apart, but nothing to a student that only sees the voxels' means."""

POINTS = ('x', 'y', 'z', 'intensity', 'mx', 'my', 'mz', 'dx', 'dy', 'dz')
"""The columns of 2DPASS."""

BEYOND = ('nearest', 'unlabelled')


@dataclass(frozen=True)
class InputSpec:
    """What a student was trained on.

    voxel_size: metres. lower, upper: the range in metres, x y z in the LiDAR frame; points at `lower` belong to it, at
    `upper` not. columns: the names in COLUMNS of the input channels, in order. beyond: what points out of range get,
    one of BEYOND: the label of the nearest voxels, or none.
    """

    voxel_size: float = 0.1
    lower: tuple[float, float, float] = (-50.0, -50.0, -4.0)
    upper: tuple[float, float, float] = (50.0, 50.0, 4.0)
    columns: tuple[str, ...] = ('x', 'y', 'z', 'intensity', 'dx', 'dy', 'dz')
    beyond: str = 'nearest'

    def __post_init__(self) -> None:
        object.__setattr__(self, 'lower', tuple(map(float, self.lower)))
        object.__setattr__(self, 'upper', tuple(map(float, self.upper)))
        object.__setattr__(self, 'columns', tuple(self.columns))
        unknown = [name for name in self.columns if name not in COLUMNS]
        if unknown or not self.columns:
            raise ValueError(f'input columns {list(self.columns)}; choose one or more of {list(COLUMNS)}')
        if len(self.lower) != 3 or len(self.upper) != 3 or not all(a < b for a, b in zip(self.lower, self.upper)):
            raise ValueError(f'range {self.lower}..{self.upper}: expected x y z in metres, each lower below its upper')
        if self.beyond not in BEYOND:
            raise ValueError(f'beyond "{self.beyond}": points out of range can get {" or ".join(BEYOND)}')
        furthest = max(map(abs, self.lower + self.upper))
        if not self.voxel_size > 0 or furthest / self.voxel_size > packing.HIGHEST:
            raise ValueError(f'voxel_size {self.voxel_size} m: must be positive, and at least '
                             f'{furthest / packing.HIGHEST:.2g} m for a range of {furthest} m')

    def check(self, scan: Scan) -> None:
        """Raise InputError if the scan lacks a column that the student needs."""
        if 'intensity' in self.columns and scan.intensity is None:
            present = [name for name in ('intensity', 'time', 'ring') if getattr(scan, name) is not None]
            raise InputError(
                f'the student was trained with column "intensity", but the cloud has only {["x", "y", "z", *present]}: '
                'use a checkpoint trained without intensity, or let the driver publish a field "intensity"')

    def prepare(self, scans: Sequence[Scan], device: torch.device | str = 'cpu', backend: str = 'auto') -> VoxelBatch:
        """Return the scans as voxels on `device`. Points that are NaN, infinite or exactly 0 0 0 are none.

        backend: of the sparse convolutions, see ros_kd.sparse. Raises InputError for a missing column.
        """
        if len(scans) > packing.MAX_BATCH:
            raise ValueError(f'{len(scans)} scans at a time, expected at most {packing.MAX_BATCH}: use a smaller batch')
        for scan in scans:
            self.check(scan)
        point_scan = torch.cat([torch.full((len(scan),), i) for i, scan in enumerate(scans)] or
                               [torch.empty(0, dtype=torch.long)]).to(device)
        computing = choose_backend(torch.device(device), backend)
        points = self._inside(_joined([scan.points for scan in scans], device, (0, 3)),
                              point_scan if len(scans) > 1 else None, scans, computing)
        columns = torch.stack([COLUMNS[name](points) for name in self.columns], 1)
        features = computing.mean(columns, points.voxels)
        point_voxel = torch.full((len(point_scan),), -1, device=device).index_copy_(0, points.rows, points.voxels.index)
        tensor = SparseTensor(points.keys, features, 1, len(scans), backend=backend)
        return VoxelBatch(tensor, columns, points.voxels, point_voxel, point_scan)

    def _inside(self, points: Tensor, point_scan: Tensor | None, scans: Sequence[Scan],
                backend: Backend) -> _Points:
        """Return the points in range of all points [N, 3], and their voxels."""
        rows, packed, metres = backend.voxel_keys(points, self.lower, self.upper, self.voxel_size, point_scan)
        keys, voxel = backend.unique(packed)
        place = metres / self.voxel_size
        cell = place.floor()
        intensity = None
        if 'intensity' in self.columns:  # a NaN would spread to all voxels around
            intensity = _joined([scan.intensity for scan in scans], points.device)[rows].nan_to_num_(0.0, 1.0, 0.0)
        return _Points(rows, metres, place, cell, intensity, keys, Groups(voxel, len(keys)))


def _joined(arrays: Sequence[np.ndarray], device: torch.device | str, empty: tuple[int, ...] = (0,)) -> Tensor:
    joined = arrays[0] if len(arrays) == 1 else np.concatenate(arrays) if arrays else np.empty(empty, np.float32)
    return torch.from_numpy(np.require(joined, np.float32, ['C', 'W'])).to(device)
