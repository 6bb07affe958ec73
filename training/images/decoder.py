# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""A decoder after fully convolutional networks (Long et al. 2015): scales of equal width, enlarged and summed."""

from __future__ import annotations

from typing import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class SumDecoder(nn.Module):
    """Brings each scale to the same channels; their sum, at the finest scale, is the fused map.

    channels: of each scale's features. width: channels C after it.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Sequential(nn.Conv2d(own, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
            for own in channels)

    def forward(self, features: Sequence[Tensor]) -> tuple[tuple[Tensor, ...], Tensor]:
        """Return the scales [I, C, h_s, w_s] in the order of `features`, and their sum at the first one's size."""
        scales = tuple(projection(one) for projection, one in zip(self.projections, features))
        fused = scales[0]
        for scale in scales[1:]:
            fused = fused + F.interpolate(scale, fused.shape[2:], mode='bilinear', align_corners=False)
        return scales, fused
