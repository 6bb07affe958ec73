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
from ros_kd.sparse import SparseTensor
from ros_kd.sparse import keys as packing

METRES = 50.0


class InputError(ValueError):
    """A scan lacks what the student was trained on."""


@dataclass(frozen=True)
class _Points:
    """Points in range: float32 [M, 3] in metres and in voxels, their voxels int64 [M, 3], intensity [M] or None."""

    metres: Tensor
    voxels: Tensor
    cell: Tensor
    intensity: Tensor | None


def _offset(axis: int) -> Callable[[_Points], Tensor]:
    return lambda p: p.voxels[:, axis] - p.cell[:, axis] - 0.5


COLUMNS: dict[str, Callable[[_Points], Tensor]] = {
    'x': lambda p: p.metres[:, 0] / METRES,
    'y': lambda p: p.metres[:, 1] / METRES,
    'z': lambda p: p.metres[:, 2] / METRES,
    'range': lambda p: p.metres.norm(dim=1) / METRES,
    'intensity': lambda p: p.intensity,
    'dx': _offset(0),
    'dy': _offset(1),
    'dz': _offset(2),
}
"""By name: position and distance from the sensor in units of 50 m, intensity 0..1, and the offset to the voxel's
centre in voxels (-0.5..0.5). Near 1 all of them, as networks like their inputs."""


@dataclass(frozen=True, eq=False)
class VoxelBatch:
    """Scans as voxels.

    tensor: the voxels' features, the mean over their points. point_voxel: int64 [sum N], the row of each point's voxel,
    -1 for a point that is NaN or out of range. point_scan: int64 [sum N], the scan of each point.
    """

    tensor: SparseTensor
    point_voxel: Tensor
    point_scan: Tensor

    def to(self, device: torch.device | str, non_blocking: bool = False) -> VoxelBatch:
        """Return the batch on another device."""
        return VoxelBatch(self.tensor.to(device, non_blocking), self.point_voxel.to(device, non_blocking=non_blocking),
                          self.point_scan.to(device, non_blocking=non_blocking))


@dataclass(frozen=True)
class InputSpec:
    """What a student was trained on.

    voxel_size: metres. lower, upper: the range in metres, x y z in the LiDAR frame; points at `lower` belong to it, at
    `upper` not. columns: the names in COLUMNS of the input channels, in order.
    """

    voxel_size: float = 0.1
    lower: tuple[float, float, float] = (-50.0, -50.0, -4.0)
    upper: tuple[float, float, float] = (50.0, 50.0, 4.0)
    columns: tuple[str, ...] = ('x', 'y', 'z', 'intensity', 'dx', 'dy', 'dz')

    def __post_init__(self) -> None:
        object.__setattr__(self, 'lower', tuple(map(float, self.lower)))
        object.__setattr__(self, 'upper', tuple(map(float, self.upper)))
        object.__setattr__(self, 'columns', tuple(self.columns))
        unknown = [name for name in self.columns if name not in COLUMNS]
        if unknown or not self.columns:
            raise ValueError(f'input columns {list(self.columns)}; choose one or more of {list(COLUMNS)}')
        if len(self.lower) != 3 or len(self.upper) != 3 or not all(a < b for a, b in zip(self.lower, self.upper)):
            raise ValueError(f'range {self.lower}..{self.upper}: expected x y z in metres, each lower below its upper')
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
        """Return the scans as voxels on `device`.

        backend: of the sparse convolutions, see ros_kd.sparse. Raises InputError for a missing column.
        """
        for scan in scans:
            self.check(scan)
        sizes = torch.tensor([len(scan) for scan in scans], dtype=torch.long)
        point_scan = torch.repeat_interleave(torch.arange(len(scans)), sizes).to(device)
        points = self._column([scan.points for scan in scans], device, (0, 3))
        inside = ((points >= points.new_tensor(self.lower)) & (points < points.new_tensor(self.upper))).all(1)
        rows = inside.nonzero().squeeze(1)
        metres = points[rows]
        voxels = metres / self.voxel_size
        cell = voxels.floor()
        packed = packing.pack_unchecked(cell.long(), point_scan[rows] if len(scans) > 1 else None)
        keys, voxel = torch.unique(packed, return_inverse=True)
        intensity = None
        if 'intensity' in self.columns:  # a NaN would spread to all voxels around
            intensity = self._column([scan.intensity for scan in scans], device)[rows].nan_to_num_(0.0, 1.0, 0.0)
        columns = torch.stack([COLUMNS[name](_Points(metres, voxels, cell, intensity)) for name in self.columns], 1)
        features = columns.new_zeros(len(keys), columns.shape[1]).index_add_(0, voxel, columns)
        features /= torch.bincount(voxel, minlength=len(keys))[:, None]
        point_voxel = torch.full((len(points),), -1, device=device).index_copy_(0, rows, voxel)
        return VoxelBatch(SparseTensor(keys, features, 1, len(scans), backend=backend), point_voxel, point_scan)

    @staticmethod
    def _column(arrays: Sequence[np.ndarray], device: torch.device | str, empty: tuple[int, ...] = (0,)) -> Tensor:
        joined = arrays[0] if len(arrays) == 1 else np.concatenate(arrays) if arrays else np.empty(empty, np.float32)
        return torch.from_numpy(np.require(joined, np.float32, ['C', 'W'])).to(device)
