# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""MinkUNet: a residual U-Net of sparse convolutions (Choy et al. 2019; channels as in Tang et al. 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ros_kd.sparse import InverseConv3d, SparseConv3d, SparseTensor, SubMConv3d

STEM = 32
ENCODER = (32, 64, 128, 256)
DECODER = (256, 128, 96, 96)


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation that takes the running statistics where a batch is too small for its own."""

    def forward(self, features: Tensor) -> Tensor:
        if self.training and len(features) < 2:
            return nn.functional.batch_norm(features, self.running_mean, self.running_var, self.weight, self.bias,
                                            eps=self.eps)
        return super().forward(features)


class ConvNorm(nn.Module):
    """A convolution, batch normalisation and, if `activate`, a ReLU."""

    def __init__(self, convolution: nn.Module, activate: bool = True) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm = BatchNorm(convolution.out_channels)
        self.activate = activate

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        """Return [V', C_out] on the voxels that the convolution outputs."""
        result = self.convolution(tensor)
        features = self.norm(result.features)
        return result.with_features(nn.functional.relu_(features) if self.activate else features)


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions and a shortcut, which is a 1x1x1 convolution where the channels change."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(SubMConv3d(in_channels, out_channels))
        self.second = ConvNorm(SubMConv3d(out_channels, out_channels), activate=False)
        self.shortcut = (nn.Identity() if in_channels == out_channels else
                         ConvNorm(SubMConv3d(in_channels, out_channels, kernel_size=1), activate=False))

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        """Return [V, C_out] on the same voxels."""
        result = self.second(self.first(tensor))
        return result.with_features(nn.functional.relu(result.features + self.shortcut(tensor).features))


def _blocks(in_channels: int, out_channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(in_channels if i == 0 else out_channels, out_channels) for i in range(count)))


class MinkUNet(nn.Module):
    """Four halvings of the resolution and back, with skip connections.

    channels: of the output features. num_classes: of the head.
    """

    def __init__(self, in_channels: int, num_classes: int, blocks: int, width: float = 1.0) -> None:
        super().__init__()
        stem, *encoder = (_scaled(c, width) for c in (STEM, *ENCODER))
        decoder = [_scaled(c, width) for c in DECODER]
        self.stem = nn.Sequential(ConvNorm(SubMConv3d(in_channels, stem)), ConvNorm(SubMConv3d(stem, stem)))
        self.down, self.encode = nn.ModuleList(), nn.ModuleList()
        self.up, self.decode = nn.ModuleList(), nn.ModuleList()
        skips, channels = [stem, *encoder[:-1]], stem
        for wider in encoder:
            self.down.append(ConvNorm(SparseConv3d(channels, channels)))
            self.encode.append(_blocks(channels, wider, blocks))
            channels = wider
        for skip, narrower in zip(reversed(skips), decoder):
            self.up.append(ConvNorm(InverseConv3d(channels, narrower)))
            self.decode.append(_blocks(narrower + skip, narrower, blocks))
            channels = narrower
        self.channels, self.num_classes = channels, num_classes
        self.level_channels = tuple(decoder)
        self.head = nn.Linear(channels, num_classes)

    def levels(self, tensor: SparseTensor) -> tuple[SparseTensor, ...]:
        """Return the decoder's outputs at strides 8, 4, 2 and 1, with `level_channels` channels."""
        skips = [self.stem(tensor)]
        for down, encode in zip(self.down, self.encode):
            skips.append(encode(down(skips[-1])))
        current, outputs = skips.pop(), []
        for up, decode in zip(self.up, self.decode):
            finer, skip = up(current), skips.pop()
            current = decode(finer.with_features(torch.cat([finer.features, skip.features], 1)))
            outputs.append(current)
        return tuple(outputs)

    def features(self, tensor: SparseTensor) -> Tensor:
        """Return the features [V, channels] that the head classifies, one row for each voxel of `tensor`."""
        return self.levels(tensor)[-1].features

    def forward(self, tensor: SparseTensor) -> Tensor:
        """Return logits [V, num_classes], one row for each voxel of `tensor`."""
        return self.head(self.features(tensor))


def _scaled(channels: int, width: float) -> int:
    """Multiples of 8 keep vector units busy."""
    return max(8, round(channels * width / 8) * 8)


def minkunet14(in_channels: int, num_classes: int, width: float = 1.0) -> MinkUNet:
    """Return a MinkUNet with one residual block a level: 11.6 M parameters at full width."""
    return MinkUNet(in_channels, num_classes, 1, width)


def minkunet18(in_channels: int, num_classes: int, width: float = 1.0) -> MinkUNet:
    """Return a MinkUNet with two residual blocks a level: 21.7 M parameters at full width."""
    return MinkUNet(in_channels, num_classes, 2, width)
