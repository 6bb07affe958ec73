# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""A network that segments images, and its maps' values at pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.images.backbone import ResNet, load_resnet
from training.images.decoder import SumDecoder
from training.images.looking import DEVIATION, MEAN


@dataclass(frozen=True, eq=False)
class ImageFeatures:
    """What an ImageNetwork sees in images [I, 3, h, w].

    scales: float32 [I, C, h_s, w_s] each, at strides 4, 8, 16 and 32. fused: [I, C, h_1, w_1], their sum at stride 4.
    logits: [I, K, h_1, w_1], or None of a network without classifier. All cover the images from edge to edge.
    """

    scales: tuple[Tensor, ...]
    fused: Tensor
    logits: Tensor | None


class ImageNetwork(nn.Module):
    """A ResNet, a decoder that sums its scales, and a linear classifier of the sum.

    backbone: untrained by its name ("resnet-18", "resnet-34", "resnet-50"), trained by its folder or name on a hub
    (microsoft/resnet-34), or a ResNet. width: channels C of the decoder. classes: K; None: no classifier.
    """

    def __init__(self, backbone: str | ResNet = 'resnet-34', width: int = 64, classes: int | None = None) -> None:
        super().__init__()
        self.encoder = load_resnet(backbone) if isinstance(backbone, str) else backbone
        self.decoder = SumDecoder(self.encoder.channels, width)
        self.width, self.classes = width, classes
        self.classifier = None if classes is None else nn.Conv2d(width, classes, 1)

    def forward(self, images: Tensor) -> ImageFeatures:
        """Look at images float32 [I, 3, h, w], normalised (see as_input)."""
        scales, fused = self.decoder(self.encoder(images))
        return ImageFeatures(scales, fused, None if self.classifier is None else self.classifier(fused))


def as_input(images: Tensor, size: Sequence[int] | None = None, mean: Sequence[float] = MEAN,
             deviation: Sequence[float] = DEVIATION) -> Tensor:
    """Return float32 [I, 3, h, w] of images uint8 [I, H, W, 3] or [I, H, W], RGB or grey.

    size: (height, width) to resize to from edge to edge; None: theirs. mean, deviation: of pixels (0..1), which are
    taken off: ImageNet's, unless a network wants others.
    """
    if images.ndim == 3:
        images = images[..., None].expand(-1, -1, -1, 3)
    pixels = images.permute(0, 3, 1, 2).float() / 255
    if size is not None and tuple(size) != tuple(pixels.shape[2:]):
        pixels = F.interpolate(pixels, tuple(size), mode='bilinear', antialias=True, align_corners=False)
    mean, deviation = (torch.as_tensor(values, device=pixels.device)[:, None, None] for values in (mean, deviation))
    return (pixels - mean) / deviation


def one_input(image: np.ndarray, size: Sequence[int] | None = None, **looks: Sequence[float]) -> Tensor:
    """Return as_input's of one image, uint8 [H, W, 3] or [H, W] of any strides."""
    return as_input(torch.tensor(np.ascontiguousarray(image))[None], size, **looks)


def sample(maps: Tensor, image: Tensor, uv: Tensor, size: tuple[int, int]) -> Tensor:
    """Return [M, C]: maps [I, C, h, w], bilinear at pixels; beyond the border, the border's value.

    image: int64 [M], which map. uv: float32 [M, 2], pixels of an image of `size` (height, width), centres at whole
    numbers; the map covers the image from edge to edge (sampling.Grid.covering). Gradients reach maps and uv.
    """
    count, channels, height, width = maps.shape
    uv = uv.to(torch.promote_types(maps.dtype, torch.float32))  # half precision cannot tell pixels beyond 2048 apart
    x = ((uv[:, 0] + 0.5) * (width / size[1]) - 0.5).clamp(0, width - 1)
    y = ((uv[:, 1] + 0.5) * (height / size[0]) - 0.5).clamp(0, height - 1)
    left, top = x.detach().long(), y.detach().long()
    right, bottom = (left + 1).clamp(max=width - 1), (top + 1).clamp(max=height - 1)
    fx, fy = x - left, y - top
    row = image * height
    corners = torch.stack([(row + v) * width + u for v in (top, bottom) for u in (left, right)], 1)
    weights = torch.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy], 1)
    flat = maps.permute(0, 2, 3, 1).reshape(count * height * width, channels)
    return F.embedding_bag(corners, flat, per_sample_weights=weights.to(flat.dtype), mode='sum')
