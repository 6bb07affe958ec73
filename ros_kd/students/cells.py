# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Which coarser cell each voxel lies in, and the means over the voxels or points of a cell."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from ros_kd.sparse import Backend, Groups
from ros_kd.sparse import keys as packing
from ros_kd.sparse.tensor import Geometry


def cells(geometry: Geometry, stride: int, coarser: int) -> Groups:
    """Return the cells of stride `coarser` (a power of 2 times `stride`) that the voxels of `stride` lie in."""
    index = None
    while stride < coarser:
        keys, parents = geometry.backend.unique(packing.halve(geometry.keys[stride])[0])
        index, stride = parents if index is None else parents[index], 2 * stride
        geometry.keys.setdefault(stride, keys)
    return Groups(index, len(geometry.keys[coarser]))


@dataclass(frozen=True, eq=False)
class PointMean:
    """Means over the points in each cell, where all points of a voxel share its features.

    groups: the cell of each voxel. share: float32 [V, 1], the voxel's points over the mean of the cell's voxels.
    """

    groups: Groups
    share: Tensor

    @classmethod
    def of(cls, backend: Backend, groups: Groups, points: Tensor) -> tuple[PointMean, Tensor]:
        """Return the means for voxels with so many `points`, float32 [V, 1], and the points of each cell, [V', 1]."""
        mean = backend.mean(points, groups)
        return cls(groups, points / mean[groups.index]), mean * groups.count[:, None]

    def __call__(self, backend: Backend, features: Tensor) -> Tensor:
        """Return [groups.size, C] of features [V, C]."""
        return backend.mean(features * self.share.to(features.dtype), self.groups)
