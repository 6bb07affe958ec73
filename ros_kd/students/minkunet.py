# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""MinkUNet: a residual U-Net of sparse convolutions (Choy et al. 2019; 14 and 18 as in Tang et al. 2020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ros_kd.sparse import InverseConv3d, Linear, SparseConv3d, SparseTensor, SubMConv3d
from ros_kd.students.blocks import ConvNorm, ResidualBlock, scaled
from ros_kd.students.voxels import VoxelBatch

STEM = 32
ENCODER = (32, 64, 128, 256)
DECODER = (256, 128, 96, 96)


def _blocks(in_channels: int, out_channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(ResidualBlock(in_channels if i == 0 else out_channels, out_channels) for i in range(count)))


class MinkUNet(nn.Module):
    """Four halvings of the resolution and back, with skip connections.

    blocks: residual blocks of the four encoder and the four decoder levels. stem: kernel sizes of the convolutions
    before them. channels: of the output features. level_channels: of `levels`. num_classes: of the head.
    """

    def __init__(self, in_channels: int, num_classes: int, blocks: tuple[int, ...], width: float = 1.0,
                 stem: tuple[int, ...] = (3, 3)) -> None:
        super().__init__()
        first, *encoder = (scaled(c, width) for c in (STEM, *ENCODER))
        decoder = [scaled(c, width) for c in DECODER]
        self.stem = nn.Sequential(*(ConvNorm(SubMConv3d(in_channels if i == 0 else first, first, size))
                                    for i, size in enumerate(stem)))
        self.down, self.encode = nn.ModuleList(), nn.ModuleList()
        self.up, self.decode = nn.ModuleList(), nn.ModuleList()
        skips, channels = [first, *encoder[:-1]], first
        for wider, count in zip(encoder, blocks):
            self.down.append(ConvNorm(SparseConv3d(channels, channels)))
            self.encode.append(_blocks(channels, wider, count))
            channels = wider
        for skip, narrower, count in zip(reversed(skips), decoder, blocks[len(encoder):]):
            self.up.append(ConvNorm(InverseConv3d(channels, narrower)))
            self.decode.append(_blocks(narrower + skip, narrower, count))
            channels = narrower
        self.channels, self.num_classes = channels, num_classes
        self.level_channels = tuple(decoder)
        self.head = Linear(channels, num_classes)

    def encoded(self, tensor: SparseTensor) -> list[SparseTensor]:
        """Return the outputs of the stem and the encoder, at strides 1, 2, 4, 8 and 16."""
        outputs = [self.stem(tensor)]
        for down, encode in zip(self.down, self.encode):
            outputs.append(encode(down(outputs[-1])))
        return outputs

    def decoded(self, level: int, current: SparseTensor, skip: SparseTensor) -> SparseTensor:
        """Return the output of the decoder's `level` 0..3 at half the stride of `current`."""
        finer = self.up[level](current)
        return self.decode[level](finer.with_features(torch.cat([finer.features, skip.features], 1)))

    def levels(self, batch: VoxelBatch) -> tuple[SparseTensor, ...]:
        """Return the decoder's outputs at strides 8, 4, 2 and 1, with `level_channels` channels."""
        *skips, current = self.encoded(batch.tensor)
        outputs = []
        for level, skip in enumerate(reversed(skips)):
            current = self.decoded(level, current, skip)
            outputs.append(current)
        return tuple(outputs)

    def features_of(self, levels: tuple[SparseTensor, ...], batch: VoxelBatch) -> Tensor:
        """Return `features` [V, channels] of the `levels` of a batch."""
        return levels[-1].features

    def features(self, batch: VoxelBatch) -> Tensor:
        """Return the features [V, channels] that the head classifies, one row for each voxel of the batch."""
        return self.levels(batch)[-1].features

    def forward(self, batch: VoxelBatch) -> Tensor:
        """Return logits [V, num_classes], one row for each voxel of the batch."""
        return self.head(self.features(batch), batch.backend)


def minkunet14(in_channels: int, num_classes: int, width: float = 1.0) -> MinkUNet:
    """Return a MinkUNet with one residual block a level: 11.6 M parameters at full width."""
    return MinkUNet(in_channels, num_classes, (1,) * 8, width)


def minkunet18(in_channels: int, num_classes: int, width: float = 1.0) -> MinkUNet:
    """Return a MinkUNet with two residual blocks a level: 21.7 M parameters at full width."""
    return MinkUNet(in_channels, num_classes, (2,) * 8, width)


def minkunet34c(in_channels: int, num_classes: int, width: float = 1.0) -> MinkUNet:
    """Return the Res16UNet34C of Choy et al. 2019, the usual student of image-to-LiDAR distillation: 37.9 M parameters
    at full width."""
    return MinkUNet(in_channels, num_classes, (2, 3, 4, 6, 2, 2, 2, 2), width, stem=(5,))
