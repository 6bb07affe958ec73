# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What the students are built of: convolutions and linear layers with batch normalisation, which folds into them."""

from __future__ import annotations

from torch import Tensor, nn

from ros_kd.sparse import Backend, Linear, SparseTensor, SubMConv3d


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation that takes the running statistics where a batch is too small for its own."""

    def forward(self, features: Tensor) -> Tensor:
        if self.training and len(features) < 2:
            return nn.functional.batch_norm(features, self.running_mean, self.running_var, self.weight, self.bias,
                                            eps=self.eps)
        return super().forward(features)

    def coefficients(self) -> tuple[Tensor, Tensor]:
        """Return scale and shift float64 [C]: in evaluation the layer is x * scale + shift."""
        scale = self.weight.double() / (self.running_var.double() + self.eps).sqrt()
        return scale, self.bias.double() - self.running_mean.double() * scale


class ConvNorm(nn.Module):
    """A convolution, batch normalisation, what is added to it, and a leaky ReLU: leaky_relu(norm(conv(x)) + r, slope).

    slope: of negative values; 1 leaves them, 0 is a ReLU.
    """

    def __init__(self, convolution: nn.Module, slope: float = 0.0) -> None:
        super().__init__()
        self.convolution = convolution
        self.norm: BatchNorm | None = BatchNorm(convolution.out_channels)
        self.slope = slope

    def forward(self, tensor: SparseTensor, residual: Tensor | None = None) -> SparseTensor:
        """Return [V', C_out] on the voxels that the convolution outputs. residual: [V', C_out] or None."""
        if self.norm is None:
            return self.convolution(tensor, residual, self.slope)
        result = self.convolution(tensor)
        features = self.norm(result.features)
        return result.with_features(activated(features if residual is None else features + residual, self.slope))

    def fold(self) -> None:
        """Take the norm into the convolution's weight and bias."""
        scale, shift = self.norm.coefficients()
        old = self.convolution
        old.bias = frozen_like(shift if old.bias is None else shift + old.bias.double() * scale, old.weight)
        old.weight = frozen_like(old.weight.double() * scale, old.weight)
        self.norm = None


class LinearNorm(nn.Module):
    """A linear layer without bias, batch normalisation and a leaky ReLU: leaky_relu(norm(W (x + c[index])), slope).

    What a coarser level c adds to the inputs is multiplied there, where there are fewer rows.
    """

    def __init__(self, in_channels: int, out_channels: int, slope: float = 0.0) -> None:
        super().__init__()
        self.linear = Linear(in_channels, out_channels, bias=False)
        self.norm: BatchNorm | None = BatchNorm(out_channels)
        self.slope = slope

    def forward(self, features: Tensor, backend: Backend, coarse: Tensor | None = None,
                index: Tensor | None = None) -> Tensor:
        """Return [N, C_out] for features [N, C_in]; row i also gets row index[i] of `coarse` [N', C_in]."""
        added = None
        if coarse is not None:
            added = backend.linear(coarse, self.linear.weight.T, cache=self.linear.cache)[index]
        if self.norm is None:
            return self.linear(features, backend, added, self.slope)
        return activated(self.norm(self.linear(features, backend, added)), self.slope)

    def fold(self) -> None:
        """Take the norm into the layer's weight and bias."""
        scale, shift = self.norm.coefficients()
        weight = self.linear.weight
        self.linear.bias = frozen_like(shift, weight)
        self.linear.weight = frozen_like(weight.double() * scale[:, None], weight)
        self.norm = None


class NormLinear(nn.Module):
    """Batch normalisation, a linear layer and a leaky ReLU: leaky_relu(W norm(x) + b, slope)."""

    def __init__(self, in_channels: int, out_channels: int, slope: float) -> None:
        super().__init__()
        self.norm: BatchNorm | None = BatchNorm(in_channels)
        self.linear = Linear(in_channels, out_channels)
        self.slope = slope

    def forward(self, features: Tensor, backend: Backend) -> Tensor:
        """Return [N, C_out] for features [N, C_in]."""
        return self.linear(features if self.norm is None else self.norm(features), backend, slope=self.slope)

    def fold(self) -> None:
        """Take the norm into the layer's weight and bias."""
        scale, shift = self.norm.coefficients()
        weight, bias = self.linear.weight, self.linear.bias
        self.linear.bias = frozen_like(bias.double() + weight.double() @ shift, bias)
        self.linear.weight = frozen_like(weight.double() * scale, weight)
        self.norm = None


class ResidualBlock(nn.Module):
    """Two 3x3x3 convolutions and a shortcut, which is a 1x1x1 convolution where the channels change.

    slope: of the leaky ReLUs; 0 is a ReLU. projected: the shortcut is a convolution in any case.
    """

    def __init__(self, in_channels: int, out_channels: int, slope: float = 0.0, projected: bool = False) -> None:
        super().__init__()
        self.first = ConvNorm(SubMConv3d(in_channels, out_channels), slope)
        self.second = ConvNorm(SubMConv3d(out_channels, out_channels), slope)
        self.shortcut = (ConvNorm(SubMConv3d(in_channels, out_channels, kernel_size=1), slope=1.0)
                         if projected or in_channels != out_channels else nn.Identity())

    def forward(self, tensor: SparseTensor) -> SparseTensor:
        """Return [V, C_out] on the same voxels."""
        return self.second(self.first(tensor), residual=self.shortcut(tensor).features)


def activated(features: Tensor, slope: float) -> Tensor:
    """Return leaky_relu(features, slope), computed in place."""
    if slope == 1.0:
        return features
    return nn.functional.relu_(features) if slope == 0.0 else nn.functional.leaky_relu_(features, slope)


def frozen_like(values: Tensor, parameter: Tensor) -> nn.Parameter:
    """Return values as a parameter that is not trained, in the precision of another one."""
    return nn.Parameter(values.detach().to(parameter.dtype), requires_grad=False)


def scaled(channels: int, width: float) -> int:
    """Return `width` times the channels as a multiple of 8, which keeps vector units busy."""
    return max(8, round(channels * width / 8) * 8)
