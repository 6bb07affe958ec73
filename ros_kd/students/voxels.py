# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What every student takes: the points of scans, and the voxels that they fall into."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ros_kd.sparse import Backend, Groups, SparseTensor


@dataclass(frozen=True, eq=False)
class VoxelBatch:
    """Scans as points and voxels.

    tensor: the voxels, with the mean of their points' columns as features. points: [M, C], the columns of the points in
    range. voxels: the row of each of these points' voxel. point_voxel: int64 [sum N], the row of each point's voxel,
    -1 for a point that is missing or out of range. point_scan: int64 [sum N], the scan of each point.
    """

    tensor: SparseTensor
    points: Tensor
    voxels: Groups
    point_voxel: Tensor
    point_scan: Tensor

    @property
    def backend(self) -> Backend:
        """What computes on the voxels."""
        return self.tensor.geometry.backend

    def to(self, device: torch.device | str, non_blocking: bool = False) -> VoxelBatch:
        """Return the batch on another device."""
        points, index, point_voxel, point_scan = (tensor.to(device, non_blocking=non_blocking) for tensor in (
            self.points, self.voxels.index, self.point_voxel, self.point_scan))
        return VoxelBatch(self.tensor.to(device, non_blocking), points, Groups(index, self.voxels.size), point_voxel,
                          point_scan)

    def cast(self, dtype: torch.dtype) -> VoxelBatch:
        """Return the batch with the voxels' features in the precision of a student's weights."""
        return replace(self, tensor=self.tensor.with_features(self.tensor.features.to(dtype)))
