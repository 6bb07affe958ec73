# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The students as networks of spconv's own layers, the way they are written for it, with the weights of ours.

spconv's layers run on the CPU by its Native algorithm. Its fused bias and activation are for CUDA only, so that batch
normalisations and activations are torch's. Importing this raises ImportError where spconv is not installed.
"""

from __future__ import annotations

import spconv.pytorch as spconv
import torch
from spconv.cppconstants import CPU_ONLY_BUILD
from torch import Tensor, nn

from ros_kd.sparse import keys as packing
from ros_kd.sparse.spconv_weights import state_to_spconv
from ros_kd.students.minkunet import MinkUNet
from ros_kd.students.twodpass import SLOPE, TwoDPass
from ros_kd.students.voxels import VoxelBatch

if CPU_ONLY_BUILD:
    raise ImportError('the package "spconv" for the CPU is wrong with two or more threads: install spconv-cu118')

NATIVE = spconv.ConvAlgo.Native


def spconv_tensor(keys: Tensor, features: Tensor, batch_size: int = 1) -> spconv.SparseConvTensor:
    """Return features [V, C] on the voxels of sorted keys, moved to a grid that begins at 0."""
    coordinates = packing.unpack(keys)
    coordinates = coordinates - coordinates.amin(0).div(16, rounding_mode='floor') * 16  # all strides keep their cells
    shape = [(most // 16 + 1) * 16 for most in coordinates.amax(0).tolist()]
    indices = torch.cat([packing.batch_index(keys)[:, None], coordinates], 1).int()
    return spconv.SparseConvTensor(features, indices, shape, batch_size)


def submanifold(in_channels: int, out_channels: int, stride: int, kernel_size: int = 3) -> spconv.SubMConv3d:
    """Return a layer whose pairs are found once for all layers of its stride."""
    return spconv.SubMConv3d(in_channels, out_channels, kernel_size, bias=False, algo=NATIVE,
                             indice_key=f'{stride}-{kernel_size}')


class ConvNorm(nn.Module):
    """A convolution, batch normalisation and a leaky ReLU, as in ros_kd.students.blocks."""

    def __init__(self, convolution: nn.Module, slope: float = 0.0) -> None:
        super().__init__()
        self.convolution, self.norm, self.slope = convolution, nn.BatchNorm1d(convolution.out_channels), slope

    def forward(self, tensor: spconv.SparseConvTensor, residual: Tensor | None = None) -> spconv.SparseConvTensor:
        """Return the outputs, `residual` added before the activation."""
        result = self.convolution(tensor)
        features = self.norm(result.features)
        if residual is not None:
            features = features + residual
        return result.replace_feature(activated(features, self.slope))


class ResidualBlock(nn.Module):
    """As in ros_kd.students.blocks."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, slope: float, projected: bool) -> None:
        super().__init__()
        self.first = ConvNorm(submanifold(in_channels, out_channels, stride), slope)
        self.second = ConvNorm(submanifold(out_channels, out_channels, stride), slope)
        self.shortcut = (ConvNorm(submanifold(in_channels, out_channels, stride, 1), 1.0)
                         if projected or in_channels != out_channels else nn.Identity())

    def forward(self, tensor: spconv.SparseConvTensor) -> spconv.SparseConvTensor:
        """Return the outputs on the same voxels."""
        return self.second(self.first(tensor), self.shortcut(tensor).features)


class SpconvMinkUNet(nn.Module):
    """A MinkUNet with the weights of `ours`."""

    def __init__(self, ours: MinkUNet) -> None:
        super().__init__()
        self.stem = nn.Sequential(*(ConvNorm(submanifold(*channels(part), 1)) for part in ours.stem))
        self.down, self.encode = nn.ModuleList(), nn.ModuleList()
        self.up, self.decode = nn.ModuleList(), nn.ModuleList()
        for level, (down, blocks) in enumerate(zip(ours.down, ours.encode)):
            self.down.append(ConvNorm(spconv.SparseConv3d(*channels(down), 2, stride=2, bias=False, algo=NATIVE,
                                                          indice_key=f'down{level}')))
            self.encode.append(like(blocks, 2 ** (level + 1)))
        for level, (up, blocks) in zip((3, 2, 1, 0), zip(ours.up, ours.decode)):
            self.up.append(ConvNorm(spconv.SparseInverseConv3d(*channels(up), 2, bias=False, algo=NATIVE,
                                                               indice_key=f'down{level}')))
            self.decode.append(like(blocks, 2 ** level))
        self.head = nn.Linear(ours.channels, ours.num_classes)
        self.load_state_dict(state_to_spconv(ours.state_dict()))
        self.train(ours.training)

    def forward(self, tensor: spconv.SparseConvTensor) -> Tensor:
        """Return logits [V, num_classes]."""
        skips = [self.stem(tensor)]
        for down, encode in zip(self.down, self.encode):
            skips.append(encode(down(skips[-1])))
        current = skips.pop()
        for up, decode in zip(self.up, self.decode):
            finer = up(current)
            current = decode(finer.replace_feature(torch.cat([finer.features, skips.pop().features], 1)))
        return self.head(current.features)


class Pooled(nn.Module):
    """The context of a point branch: channels to half, half and back, normalised after the first two."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.first, self.second, self.third = nn.Linear(width, half), nn.Linear(half, half), nn.Linear(half, width)
        self.norms = nn.ModuleList([nn.BatchNorm1d(half), nn.BatchNorm1d(half)])

    def forward(self, features: Tensor) -> Tensor:
        """Return [V, C]."""
        hidden = self.norms[0](activated(self.first(features), SLOPE))
        return activated(self.third(self.norms[1](activated(self.second(hidden), SLOPE))), SLOPE)


class SpconvScale(nn.Module):
    """The SPV block of 2DPASS, its point branch as published: layers on concatenated features."""

    def __init__(self, ours: nn.Module, stride: int) -> None:
        super().__init__()
        width = ours.out.in_features
        self.voxel = like(ours.voxel, stride, SLOPE, projected=True)
        self.identity, self.pooled = nn.Linear(width, width), Pooled(width)
        self.joined, self.out = nn.Linear(2 * width, width), nn.Linear(width, width)

    def load(self, ours: nn.Module) -> None:
        """Take the weights of ours."""
        point = ours.point
        self.voxel.load_state_dict(state_to_spconv(ours.voxel.state_dict()))
        narrow, wide = point.context
        for layer, other in ((self.identity, point.identity), (self.out, ours.out), (self.pooled.first, point.pooled),
                             (self.pooled.second, narrow.linear), (self.pooled.third, wide.linear),
                             (self.pooled.norms[0], narrow.norm), (self.pooled.norms[1], wide.norm)):
            layer.load_state_dict(other.state_dict())
        self.joined.weight.data = torch.cat([point.fine.weight, point.coarse.weight], 1).detach().clone()
        self.joined.bias.data = point.fine.bias.detach().clone()

    def forward(self, tensor: spconv.SparseConvTensor, wider: Tensor, cells: int) -> tuple[Tensor, Tensor]:
        """Return the features [V, C] of the point and the voxel branch. wider: each voxel's cell of twice the size."""
        voxel = self.voxel(tensor).features
        features = tensor.features + voxel
        context = self.pooled(mean(features, wider, cells))
        joined = torch.cat([activated(self.identity(features), SLOPE), context[wider]], 1)
        return self.out(activated(self.joined(joined), SLOPE)), voxel


class SpconvTwoDPass(nn.Module):
    """The student of 2DPASS with the weights of `ours`: points are gathered, averaged and classified as points."""

    def __init__(self, ours: TwoDPass) -> None:
        super().__init__()
        self.scales, width, hidden = ours.scales, ours.stem.in_features, ours.channels
        self.points, self.stem = nn.Linear(ours.points.in_features, width), nn.Linear(width, width)
        self.blocks = nn.ModuleList(SpconvScale(block, stride)
                                    for block, stride in zip(ours.blocks, (1, *self.scales)))
        self.hidden, self.head = nn.Linear(width * len(self.scales), hidden), nn.Linear(hidden, ours.num_classes)
        for block, other in zip(self.blocks, ours.blocks):
            block.load(other)
        for layer, other in ((self.points, ours.points), (self.stem, ours.stem), (self.head, ours.head)):
            layer.load_state_dict(other.state_dict())
        self.hidden.weight.data = torch.cat([part.weight for part in ours.parts], 1).detach().clone()
        self.hidden.bias.data = ours.parts[0].bias.detach().clone()
        self.train(ours.training)

    def forward(self, batch: VoxelBatch) -> Tensor:
        """Return logits [M, num_classes] of the points in range."""
        keys, rows, step = batch.tensor.keys, batch.voxels.index, 1
        features = mean(self.stem(activated(self.points(batch.points), 0.0)), rows, len(keys))
        outputs = []
        for block, scale in zip(self.blocks, self.scales):
            coarse, wider = torch.unique(packing.halve(keys)[0], return_inverse=True)
            point, voxel = block(spconv_tensor(keys, features), wider, len(coarse))
            if scale != step:
                fine, rows, keys, step = rows, wider[rows], coarse, scale
                point, voxel = (mean(values[fine], rows, len(keys)) for values in (point, voxel))
            outputs.append(point[rows])
            features = point + voxel
        return self.head(activated(self.hidden(torch.cat(outputs, 1)), 0.0))


def channels(part: nn.Module) -> tuple[int, int]:
    """Return the channels of a block's convolution of ours."""
    return part.convolution.in_channels, part.convolution.out_channels


def like(blocks: nn.Module, stride: int, slope: float = 0.0, projected: bool = False) -> nn.Sequential:
    """Return residual blocks with the channels of ours."""
    sizes = [(block.first.convolution.in_channels, block.first.convolution.out_channels) for block in blocks]
    return nn.Sequential(*(ResidualBlock(*size, stride, slope, projected) for size in sizes))


def mean(features: Tensor, index: Tensor, size: int) -> Tensor:
    """Return the mean [size, C] of the rows that belong together."""
    count = torch.bincount(index, minlength=size)[:, None]
    return features.new_zeros(size, features.shape[1]).index_add(0, index, features) / count


def activated(features: Tensor, slope: float) -> Tensor:
    """Return leaky_relu(features, slope), computed in place."""
    if slope == 1.0:
        return features
    return nn.functional.relu_(features) if slope == 0.0 else nn.functional.leaky_relu_(features, slope)
