# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Sparse convolution layers. Weights are [kernel volume, C_in, C_out], x slowest and z fastest in the kernel.

Each layer takes what follows it along (see Epilogue): a residual [V', C_out] that is added to its outputs, and the
slope of a leaky ReLU over the sum (1: none, 0: ReLU).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ros_kd.sparse.backends import Backend
from ros_kd.sparse.epilogue import Epilogue
from ros_kd.sparse.tensor import SparseTensor
from ros_kd.sparse.weight_cache import WeightCache


class _Convolution(nn.Module):
    """Weight, bias and what the layers have in common."""

    sizes: tuple[int, ...] = ()

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, bias: bool = False) -> None:
        super().__init__()
        if kernel_size not in self.sizes:
            raise ValueError(f'{type(self).__name__} with kernel size {kernel_size}; supported: {self.sizes}')
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.weight = nn.Parameter(torch.empty(kernel_size ** 3, in_channels, out_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.cache = WeightCache()
        # He et al. 2015, for the outputs' fan: gradients keep their size through a stack of these layers
        nn.init.normal_(self.weight, std=(2.0 / (kernel_size ** 3 * out_channels)) ** 0.5)

    def _convolve(self, tensor: SparseTensor, kernel_map, residual: Tensor | None, slope: float) -> Tensor:
        self._check(tensor.features)
        return tensor.geometry.backend.convolve(tensor.features, self.weight, kernel_map,
                                                Epilogue(self.bias, residual, slope), self.cache)

    def _check(self, features: Tensor) -> None:
        if features.shape[1] != self.in_channels:
            raise ValueError(f'{type(self).__name__} expects {self.in_channels} channels, '
                             f'but the tensor has {features.shape[1]}')

    def extra_repr(self) -> str:
        return f'{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, bias={self.bias is not None}'


class SubMConv3d(_Convolution):
    """Submanifold convolution (Graham et al. 2018): outputs exactly where there are inputs; kernel size 1, 3 or 5."""

    sizes = (1, 3, 5)

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 3, bias: bool = False) -> None:
        super().__init__(in_channels, out_channels, kernel_size, bias)

    def forward(self, tensor: SparseTensor, residual: Tensor | None = None, slope: float = 1.0) -> SparseTensor:
        """Return [V, C_out] on the same voxels."""
        if self.kernel_size == 1:
            self._check(tensor.features)
            return tensor.with_features(tensor.geometry.backend.linear(
                tensor.features, self.weight[0], Epilogue(self.bias, residual, slope), self.cache))
        kernel_map = tensor.geometry.submanifold(tensor.stride, self.kernel_size)
        return tensor.with_features(self._convolve(tensor, kernel_map, residual, slope))


class SparseConv3d(_Convolution):
    """Convolution of stride 2: outputs in each cell of twice the size that holds an input; kernel size 2 or 3.

    Size 2 covers the cell. Size 3 is centred on the cell's first voxel, as a dense convolution with padding 1.
    """

    sizes = (2, 3)

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 2, bias: bool = False) -> None:
        super().__init__(in_channels, out_channels, kernel_size, bias)

    def forward(self, tensor: SparseTensor, residual: Tensor | None = None, slope: float = 1.0) -> SparseTensor:
        """Return [V', C_out] on the coarser voxels."""
        kernel_map = tensor.geometry.strided(tensor.stride, self.kernel_size)
        return tensor.at_stride(2 * tensor.stride, self._convolve(tensor, kernel_map, residual, slope))


class InverseConv3d(_Convolution):
    """Transposed convolution of stride 2, back to the finer voxels that a SparseConv3d came from."""

    sizes = (2, 3)

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 2, bias: bool = False) -> None:
        super().__init__(in_channels, out_channels, kernel_size, bias)

    def forward(self, tensor: SparseTensor, residual: Tensor | None = None, slope: float = 1.0) -> SparseTensor:
        """Return [V', C_out] on the finer voxels. Raises ValueError if the tensor has none."""
        kernel_map = tensor.geometry.inverse(tensor.stride, self.kernel_size)
        return tensor.at_stride(tensor.stride // 2, self._convolve(tensor, kernel_map, residual, slope))


class Linear(nn.Linear):
    """A linear layer over rows that a backend of sparse convolutions computes: points or voxels alike."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = True) -> None:
        super().__init__(in_channels, out_channels, bias)
        self.cache = WeightCache()

    def forward(self, features: Tensor, backend: Backend, residual: Tensor | None = None, slope: float = 1.0) -> Tensor:
        """Return [N, C_out] for features [N, C_in]."""
        return backend.linear(features, self.weight.T, Epilogue(self.bias, residual, slope), self.cache)
