# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The LiDAR branch of 2DPASS (Yan et al. 2022): a voxel and a point branch at each of several scales."""

from __future__ import annotations

from torch import Tensor, nn

from ros_kd.sparse import Backend, Groups, Linear, SparseTensor
from ros_kd.students.blocks import NormLinear, ResidualBlock, scaled
from ros_kd.students.cells import PointMean, cells
from ros_kd.students.voxels import VoxelBatch

SLOPE = 0.1
HIDDEN = 128


class PointBranch(nn.Module):
    """Features of voxels beside those of the cells of twice the size, mixed: the paper's point encoder.

    All points of a voxel have the same features, so that its layers see voxels instead of points. The layer on both
    concatenated is the sum of `fine` and `coarse`, the latter multiplied per cell.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.identity = Linear(channels, channels)
        self.pooled = Linear(channels, half)
        self.context = nn.ModuleList([NormLinear(half, half, SLOPE), NormLinear(half, channels, SLOPE)])
        self.fine, self.coarse = Linear(channels, channels), Linear(channels, channels, bias=False)

    def forward(self, features: Tensor, backend: Backend, wider: Groups) -> Tensor:
        """Return [V, C] of features [V, C] in the cells `wider` of twice the size."""
        context = self.pooled(backend.mean(features, wider), backend, slope=SLOPE)
        for layer in self.context:
            context = layer(context, backend)
        around = self.coarse(context, backend)[wider.index]
        return self.fine(self.identity(features, backend, slope=SLOPE), backend, around, SLOPE)


class Scale(nn.Module):
    """The paper's SPV block: two residual blocks on voxels and a point branch, then means over the new scale's cells.

    The last layer of the point branch is linear and commutes with the mean, so that it runs on the cells.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.voxel = nn.Sequential(*(ResidualBlock(channels, channels, SLOPE, projected=True) for _ in range(2)))
        self.point = PointBranch(channels)
        self.out = Linear(channels, channels)

    def forward(self, tensor: SparseTensor, wider: Groups, mean: PointMean | None) -> tuple[Tensor, Tensor]:
        """Return the point features and the next tensor's features, [V', C] each.

        wider: see PointBranch. mean: over the cells of the new scale, None where it is the old one.
        """
        backend = tensor.geometry.backend
        voxel = self.voxel(tensor).features
        point = self.point(tensor.features + voxel, backend, wider)
        if mean is not None:
            point, voxel = mean(backend, point), mean(backend, voxel)
        point = self.out(point, backend)
        return point, point + voxel


class TwoDPass(nn.Module):
    """Point features become voxels and go through `scales`, without a decoder; the head sees those of all scales.

    scales: strides, each the one before or twice it, from 2 on. All points of a voxel get the same logits, as in the
    release, where a point's features are those of its cell at the first scale. channels: of `features`.
    level_channels: of `levels`.
    """

    def __init__(self, in_channels: int, num_classes: int, channels: int, scales: tuple[int, ...]) -> None:
        super().__init__()
        self.scales = scales
        self.points, self.stem = Linear(in_channels, channels), Linear(channels, channels)
        self.blocks = nn.ModuleList(Scale(channels) for _ in scales)
        self.parts = nn.ModuleList(Linear(channels, HIDDEN, bias=i == 0) for i in range(len(scales)))
        self.channels, self.num_classes = HIDDEN, num_classes
        self.level_channels = (channels,) * len(scales)
        self.head = Linear(HIDDEN, num_classes)

    def levels(self, batch: VoxelBatch) -> tuple[SparseTensor, ...]:
        """Return the point features of each scale on its voxels, finest first."""
        return self._levels(batch, self._groups(batch))

    def features_of(self, levels: tuple[SparseTensor, ...], batch: VoxelBatch) -> Tensor:
        """Return `features` [V, channels] of the `levels` of a batch."""
        groups = self._groups(batch)
        return self._joined(levels, groups)[groups[1].index]

    def features(self, batch: VoxelBatch) -> Tensor:
        """Return the features [V, channels] that the head classifies, one row for each voxel of the batch."""
        groups = self._groups(batch)
        return self._joined(self._levels(batch, groups), groups)[groups[1].index]

    def forward(self, batch: VoxelBatch) -> Tensor:
        """Return logits [V, num_classes], one row for each voxel of the batch."""
        groups = self._groups(batch)
        joined = self._joined(self._levels(batch, groups), groups)
        return self.head(joined, batch.backend)[groups[1].index]

    def _groups(self, batch: VoxelBatch) -> dict[int, Groups]:
        """The cells of twice the size that hold the voxels of each stride, by that stride."""
        geometry = batch.tensor.geometry
        return {stride: cells(geometry, stride, 2 * stride) for stride in sorted({1, *self.scales})}

    def _levels(self, batch: VoxelBatch, groups: dict[int, Groups]) -> tuple[SparseTensor, ...]:
        backend = batch.backend
        hidden = self.points(batch.points.to(self.points.weight.dtype), backend, slope=0.0)
        tensor = batch.tensor.with_features(self.stem(backend.mean(hidden, batch.voxels), backend))
        count, outputs = batch.voxels.count.float()[:, None], []
        for block, scale in zip(self.blocks, self.scales):
            wider, mean = groups[tensor.stride], None
            if scale != tensor.stride:
                mean, count = PointMean.of(backend, wider, count)
            point, following = block(tensor, wider, mean)
            tensor = tensor.at_stride(scale, following)
            outputs.append(tensor.with_features(point))
        return tuple(outputs)

    def _joined(self, levels: tuple[SparseTensor, ...], groups: dict[int, Groups]) -> Tensor:
        """The head's hidden layer [V', 128] on the voxels of the first scale.

        Its product with the concatenated scales is a sum of products, each on the voxels of its scale.
        """
        backend = levels[0].geometry.backend
        total = self.parts[-1](levels[-1].features, backend)
        for i in range(len(levels) - 2, -1, -1):
            if levels[i].stride != levels[i + 1].stride:
                total = total[groups[levels[i].stride].index]
            total = self.parts[i](levels[i].features, backend, total, 0.0 if i == 0 else 1.0)
        return total


def twodpass64(in_channels: int, num_classes: int, width: float = 1.0) -> TwoDPass:
    """Return the student of 2DPASS for SemanticKITTI, 64 channels and four scales: 1.93 M parameters at full width."""
    return TwoDPass(in_channels, num_classes, scaled(64, width), (2, 4, 8, 16))


def twodpass128(in_channels: int, num_classes: int, width: float = 1.0) -> TwoDPass:
    """Return the student of 2DPASS for nuScenes, 128 channels and six scales: 11.5 M parameters at full width."""
    return TwoDPass(in_channels, num_classes, scaled(128, width), (2, 4, 8, 16, 16, 16))
