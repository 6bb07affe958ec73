# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The image network that a method trains, or only asks, beside its student."""

from __future__ import annotations

from dataclasses import dataclass

from training.images.backbone import ResNet, ResNetSpec
from training.images.network import ImageNetwork


@dataclass(frozen=True)
class ImageBranch:
    """An image network, as recipes describe it.

    backbone: see ImageNetwork; or the size of an untrained one. width: channels of its scales.
    frozen: it stays as it is; for one that was trained before.
    """

    backbone: str | ResNetSpec = 'resnet-34'
    width: int = 64
    frozen: bool = False

    def build(self) -> ImageNetwork:
        """Return the network. Raises ValueError if there is no such backbone."""
        backbone = ResNet(self.backbone) if isinstance(self.backbone, ResNetSpec) else self.backbone
        return ImageNetwork(backbone, self.width).requires_grad_(not self.frozen)
