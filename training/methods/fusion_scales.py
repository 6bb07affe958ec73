# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""Multi-scale fusion-to-single knowledge distillation (MSFSKD, Yan et al. 2022, section 3.3): one scale of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

HEAD = 128


def classifier(channels: int, classes: int, hidden: int = HEAD) -> nn.Sequential:
    """Return a head of two layers, as each scale of the release has them."""
    return nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def fitting(channels: int, hidden: int) -> nn.Module:
    """Return what brings features to `hidden` channels, which is nothing for those that have them."""
    return nn.Identity() if channels == hidden else nn.Linear(channels, hidden)


@dataclass(frozen=True, eq=False)
class ScaleAnswer:
    """lidar: logits [V, K] of the 3D classifier, one row for each voxel of the level. fused: logits [M, K] of the
    fused classifier at the points in view. features: F2D3De [M, H] that it saw."""

    lidar: Tensor
    fused: Tensor
    features: Tensor


class FusionScale(nn.Module):
    """A scale as the paper has it. With F3D of the voxels, F2D of the points' pixels and a "2D learner",

        learner = MLP(F3D)                                       F3De = F3D + learner
        F2D3D   = MLP([F2D, learner])                            F2D3De = F2D + sigmoid(MLP(F2D3D)) * F2D3D    (eq. 6)

    All points of a voxel share its F3D, so that what sees F3D alone runs on the voxels. Levels or maps with other than
    `hidden` channels (the paper's student has no others) are brought to them by a linear layer.
    """

    def __init__(self, level_channels: int, image_channels: int, classes: int, hidden: int = 64) -> None:
        super().__init__()
        self.from_lidar, self.from_image = fitting(level_channels, hidden), fitting(image_channels, hidden)
        self.learner = self.build_learner(hidden)
        self.join, self.gate = nn.Linear(2 * hidden, hidden), nn.Linear(hidden, hidden)
        self.lidar_head, self.fused_head = classifier(hidden, classes), classifier(hidden, classes)

    def build_learner(self, hidden: int) -> nn.Module:
        """Return the 2D learner."""
        return nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU())

    def forward(self, level: Tensor, rows: Tensor, image: Tensor) -> ScaleAnswer:
        """Return what both classifiers say.

        level: F3D [V, C3]. rows: int64 [M], the voxel of each point in view. image: F2D [M, C2] at their pixels.
        """
        lidar = self.from_lidar(level)
        learnt = self.learner(lidar)
        fused = self.fuse(self.from_image(image), learnt[rows])
        return ScaleAnswer(self.lidar_head(self.enhance(lidar, learnt)), self.fused_head(fused), fused)

    def gated(self, image: Tensor, learnt: Tensor) -> Tensor:
        """Return sigmoid(MLP(F2D3D)) * F2D3D, [M, H]."""
        joined = self.join(torch.cat([image, learnt], 1))
        return self.gate(joined).sigmoid() * joined

    def fuse(self, image: Tensor, learnt: Tensor) -> Tensor:
        """Return F2D3De [M, H] of F2D and the learner's features at the points, [M, H] each (eq. 6)."""
        return image + self.gated(image, learnt)

    def enhance(self, lidar: Tensor, learnt: Tensor) -> Tensor:
        """Return F3De [V, H] of F3D and the learner's features."""
        return lidar + learnt


class ReleasedScale(FusionScale):
    """A scale as the released code has it: neither F2D is added to the fused features, which pass a ReLU instead, nor
    the learner to F3D."""

    def fuse(self, image: Tensor, learnt: Tensor) -> Tensor:
        """Return relu(sigmoid(MLP(F2D3D)) * F2D3D)."""
        return self.gated(image, learnt).relu()

    def enhance(self, lidar: Tensor, learnt: Tensor) -> Tensor:
        """Return F3D."""
        return lidar


class WithoutLearner(FusionScale):
    """The ablation's row "+ fusion": F2D is fused with F3D itself."""

    def build_learner(self, hidden: int) -> nn.Module:
        """Return nothing that is learnt."""
        return nn.Identity()

    def enhance(self, lidar: Tensor, learnt: Tensor) -> Tensor:
        """Return F3D."""
        return lidar


class ImageOnly(nn.Module):
    """The ablation's row "KL only": the image's features are classified as they are, and F3D as it is."""

    def __init__(self, level_channels: int, image_channels: int, classes: int, hidden: int = 64) -> None:
        super().__init__()
        self.from_lidar, self.from_image = fitting(level_channels, hidden), fitting(image_channels, hidden)
        self.lidar_head, self.fused_head = classifier(hidden, classes), classifier(hidden, classes)

    def forward(self, level: Tensor, rows: Tensor, image: Tensor) -> ScaleAnswer:
        """See FusionScale."""
        features = self.from_image(image)
        return ScaleAnswer(self.lidar_head(self.from_lidar(level)), self.fused_head(features), features)


def majority(voxel: Tensor, values: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the rows int64 [L] of the voxels that most of their points agree to label, and their classes [L].

    voxel: int64 [M], 0..size-1, of points with classes values int64 [M], -1 for those without a label, which vote for
    none. Of equally many the lowest class wins, and any wins over none.
    """
    classes = int(values.max()) + 1 if len(values) else 0
    if classes <= 0:
        return voxel.new_empty(0), values.new_empty(0)
    slot = torch.where(values < 0, classes, values)  # none comes last
    votes = torch.bincount(voxel * (classes + 1) + slot, minlength=size * (classes + 1)).view(size, classes + 1)
    best = votes.argmax(1)
    rows = ((votes.sum(1) > 0) & (best < classes)).nonzero().squeeze(1)
    return rows, best[rows]
