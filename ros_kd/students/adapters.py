# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""From a LiDAR student's features to features as an image network has them: the domain-adaptation (DA) module, and an
MLP with as many parameters to compare it with."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ros_kd.sparse import Groups, Linear, SparseTensor, SubMConv3d
from ros_kd.students.blocks import ConvNorm, LinearNorm, activated, scaled
from ros_kd.students.cells import cells

KINDS = ('none', 'mlp', 'da')
RATIOS = (2, 4, 8)


@dataclass(frozen=True)
class AdapterSpec:
    """What follows a student's features.

    kind: "da", the DA module; "mlp", as many parameters without neighbours; "none", a linear layer alone. layers: of
    the module or the MLP, before the linear layer. ratio: edge of the cells that a DA layer's gate looks at, in voxels:
    2, 4 or 8. width: of the image network's features. classes: of an image network's classifier that the student
    shares, the student's class of each of its classes, -1 for none; () where the student has a head of its own.
    """

    kind: str = 'da'
    layers: int = 3
    ratio: int = 4
    width: int = 64
    classes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f'adapter "{self.kind}"; choose one of {list(KINDS)}')
        if self.ratio not in RATIOS:
            raise ValueError(f'adapter with ratio {self.ratio}; choose one of {list(RATIOS)}')
        if self.layers < 0 or self.width < 1:
            raise ValueError(f'adapter with {self.layers} layers and {self.width} features: layers must be 0 or more, '
                             'features 1 or more')
        object.__setattr__(self, 'classes', tuple(int(i) for i in self.classes))


class SelfCalibration(nn.Module):
    """A 3D self-calibrated convolution layer (UDAKD and FSKD, after Liu et al. 2020), which keeps voxels and channels.

    Two halves a, b = relu(norm(W x)). The first meets its neighbours, relu(norm(conv(a))); the second is gated by what
    lies around, in cells of `ratio` voxels: y = norm(conv(b)) * sigmoid(b + up(norm(conv(mean of b in the cell)))),
    relu(norm(conv(y))). Then relu(x + norm(W [first, second])). The halves' channels are a multiple of 8.
    """

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        half = scaled(channels, 0.5)
        self.ratio = ratio
        self.split = nn.ModuleList(LinearNorm(channels, half) for _ in range(2))
        self.near = ConvNorm(SubMConv3d(half, half))
        self.around = ConvNorm(SubMConv3d(half, half), slope=1.0)
        self.gated = ConvNorm(SubMConv3d(half, half), slope=1.0)
        self.calibrated = ConvNorm(SubMConv3d(half, half))
        self.join = ConvNorm(SubMConv3d(2 * half, channels, kernel_size=1))

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        """Return [V, C] on the same voxels."""
        backend = tensor.geometry.backend
        first, second = (tensor.with_features(layer(tensor.features, backend)) for layer in self.split)
        groups = self._cells(tensor)
        coarse = tensor.at_stride(self.ratio * tensor.stride, backend.mean(second.features, groups))
        gate = (second.features + self.around(coarse).features[groups.index]).sigmoid()
        second = self.calibrated(second.with_features(self.gated(second).features * gate))
        both = torch.cat([self.near(first).features, second.features], 1)
        return self.join(tensor.with_features(both), residual=tensor.features)

    def _cells(self, tensor: SparseTensor) -> Groups:
        return cells(tensor.geometry, tensor.stride, self.ratio * tensor.stride)


class Pointwise(nn.Module):
    """A residual layer that sees one voxel at a time: relu(x + norm(W relu(norm(V x)))).

    Its hidden width gives it as many parameters as a SelfCalibration of the same channels has.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        # V and W have 2 C H weights, the norms 2 H and 2 C.
        hidden = round((_self_calibration_size(channels) - 2 * channels) / (2 * channels + 2))
        self.widen, self.narrow = LinearNorm(channels, hidden), LinearNorm(hidden, channels, slope=1.0)

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        """Return [V, C] on the same voxels."""
        backend = tensor.geometry.backend
        features = self.narrow(self.widen(tensor.features, backend), backend)
        return tensor.with_features(activated(features + tensor.features, 0.0))


def _self_calibration_size(channels: int) -> int:
    """The parameters of a SelfCalibration: linear layers, four convolutions of 27 weights, and their norms."""
    half = scaled(channels, 0.5)
    return 4 * channels * half + 4 * 27 * half * half + 12 * half + 2 * channels


class Adapter(nn.Module):
    """Layers as the specification says, then a linear layer to the image network's features."""

    def __init__(self, channels: int, spec: AdapterSpec) -> None:
        """Make one for a student's features [V, channels]."""
        super().__init__()
        count = 0 if spec.kind == 'none' else spec.layers
        self.layers = nn.Sequential(*(SelfCalibration(channels, spec.ratio) if spec.kind == 'da' else
                                      Pointwise(channels) for _ in range(count)))
        self.out = Linear(channels, spec.width)

    def hidden(self, tensor: SparseTensor) -> Tensor:
        """Return [V, channels], what the linear layer takes."""
        return self.layers(tensor).features

    def forward(self, tensor: SparseTensor) -> Tensor:
        """Return [V, width] of a student's features [V, channels] at their voxels."""
        return self.out(self.hidden(tensor), tensor.geometry.backend)
