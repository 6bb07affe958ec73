# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""SPVCNN: a MinkUNet with a branch of pointwise layers at full resolution (Tang et al. 2020)."""

from __future__ import annotations

from torch import Tensor, nn

from ros_kd.sparse import Groups, SparseTensor
from ros_kd.students.blocks import LinearNorm
from ros_kd.students.cells import cells
from ros_kd.students.minkunet import MinkUNet
from ros_kd.students.voxels import VoxelBatch

DROPOUT = 0.3


class SPVCNN(MinkUNet):
    """What coarse voxels lose comes back from a branch that never leaves the input's resolution.

    As in the published release, where scans keep one point of each voxel, the branch has one row for each voxel of the
    input. With f the branch and x the voxels' features at stride s (16, then 4),

        f <- T(f)   f, x <- f + x[cell of the voxel], x + mean(f)

    and at last T(f) is added to the decoder's output. The cell's features are taken as they are, where the release
    interpolates between eight cells; a stride's sum into T is multiplied on its few cells.
    """

    def __init__(self, in_channels: int, num_classes: int, blocks: tuple[int, ...], width: float = 1.0) -> None:
        super().__init__(in_channels, num_classes, blocks, width)
        bottom, middle = self.encode[-1][-1].second, self.decode[1][-1].second
        channels = [self.stem[-1].convolution.out_channels, bottom.convolution.out_channels,
                    middle.convolution.out_channels, self.channels]
        self.pointwise = nn.ModuleList(LinearNorm(a, b) for a, b in zip(channels, channels[1:]))
        self.dropout = nn.Dropout(DROPOUT)

    def levels(self, batch: VoxelBatch) -> tuple[SparseTensor, ...]:
        """Return the outputs at strides 8, 4, 2 and 1, with `level_channels` channels; the last with the branch."""
        *skips, bottom = self.encoded(batch.tensor)
        backend, geometry = batch.backend, batch.tensor.geometry
        in16, in4 = (cells(geometry, 1, stride) for stride in (16, 4))
        points = self.pointwise[0](skips[0].features, backend)
        x16 = self._with_mean(bottom, points, in16)
        x8 = self.decoded(0, x16, skips[3])
        middle = self.decoded(1, x8, skips[2])
        points = self.pointwise[1](points, backend, bottom.features, in16.index)
        x4 = self._with_mean(middle, points, in4)
        x2 = self.decoded(2, x4, skips[1])
        x1 = self.decoded(3, x2, skips[0])
        points = self.pointwise[2](points, backend, middle.features, in4.index)
        return x8, x4, x2, x1.with_features(x1.features + points)

    def _with_mean(self, tensor: SparseTensor, points: Tensor, groups: Groups) -> SparseTensor:
        mean = tensor.geometry.backend.mean(points, groups)
        return tensor.with_features(self.dropout(tensor.features + mean))


def spvcnn(in_channels: int, num_classes: int, width: float = 1.0) -> SPVCNN:
    """Return an SPVCNN with two residual blocks a level: 21.8 M parameters at full width."""
    return SPVCNN(in_channels, num_classes, (2,) * 8, width)
