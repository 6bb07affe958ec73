# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The image network that a method trains, or only asks, beside its student."""

from __future__ import annotations

from dataclasses import dataclass

from ros_kd.students.checkpoint import SUFFIX
from training.images.backbone import ResNet, ResNetSpec
from training.images.checkpoint import load_image_network
from training.images.network import ImageNetwork


@dataclass(frozen=True)
class ImageBranch:
    """An image network, as recipes describe it.

    backbone: see ImageNetwork; the size of an untrained one; or a whole network that was trained before, the file
    *.safetensors of fit-images. width: channels of its scales; a file has its own. frozen: it stays as it is. rate:
    times the learning rate; below 1 one that was trained before keeps more of what it knows.
    """

    backbone: str | ResNetSpec = 'resnet-34'
    width: int = 64
    frozen: bool = False
    rate: float = 1.0

    def __post_init__(self) -> None:
        if not self.rate > 0:
            raise ValueError(f'an image branch that learns at {self.rate} times the rate: expected more than 0, or '
                             'frozen: true')

    def build(self) -> ImageNetwork:
        """Return the network, without classifier. Raises CheckpointError or ValueError if there is none."""
        if isinstance(self.backbone, ResNetSpec):
            network = ImageNetwork(ResNet(self.backbone), self.width)
        elif self.backbone.endswith(SUFFIX):
            network, _ = load_image_network(self.backbone)
            network.classifier = network.classes = None
        else:
            network = ImageNetwork(self.backbone, self.width)
        # Lightning leaves modes as they are when a training begins.
        return network.train(not self.frozen).requires_grad_(not self.frozen)
