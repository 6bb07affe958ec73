# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Sparse convolution from torch's own operations: gather, one matrix product per weight, add to the outputs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ros_kd.sparse import maps
from ros_kd.sparse.epilogue import NONE, Epilogue
from ros_kd.sparse.groups import Groups


class _Convolution(torch.autograd.Function):
    """Keeps the features for the backward pass, not the gathered rows, which take 7 times their memory."""

    @staticmethod
    def forward(ctx, features: Tensor, weight: Tensor, kernel_map: maps.PairMap) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.kernel_map = kernel_map
        if kernel_map.identity is None:
            result = features.new_zeros(kernel_map.num_outputs, weight.shape[2])
        else:
            result = features @ weight[kernel_map.identity]
        for matrix, (inputs, outputs) in zip(weight, kernel_map.pairs):
            if len(inputs):
                result.index_add_(0, outputs, features.index_select(0, inputs) @ matrix)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, weight = ctx.saved_tensors
        kernel_map, centre = ctx.kernel_map, ctx.kernel_map.identity
        for_features, for_weight = ctx.needs_input_grad[:2]
        gradient = gradient.contiguous()
        d_features = None
        if for_features:
            d_features = torch.zeros_like(features) if centre is None else gradient @ weight[centre].T
        d_weight = torch.zeros_like(weight) if for_weight else None
        if for_weight and centre is not None:
            d_weight[centre] = features.T @ gradient
        for i, (inputs, outputs) in enumerate(kernel_map.pairs):
            if len(inputs):
                rows = gradient.index_select(0, outputs)
                if for_features:
                    d_features.index_add_(0, inputs, rows @ weight[i].T)
                if for_weight:
                    torch.mm(features.index_select(0, inputs).T, rows, out=d_weight[i])
        return d_features, d_weight, None


class TorchBackend:
    """Runs wherever torch does; the reference for the other backends."""

    name = 'torch'

    def supports(self, device: torch.device) -> bool:
        """Tell that every device is fine."""
        return True

    def coarser_keys(self, keys: Tensor) -> Tensor:
        """Return the sorted keys of the cells of twice the size that hold the voxels."""
        return maps.coarser_keys(keys)

    def submanifold_map(self, keys: Tensor, kernel_size: int) -> maps.PairMap:
        """Return the map of a centred cubic kernel (3 or 5) onto the same voxels."""
        return maps.submanifold_map(keys, kernel_size)

    def strided_map(self, keys: Tensor, coarse: Tensor, kernel_size: int) -> maps.PairMap:
        """Return the map of stride 2 (kernel 2 or 3) to `coarse`, which is coarser_keys(keys)."""
        return maps.strided_map(keys, coarse, kernel_size)

    def convolve(self, features: Tensor, weight: Tensor, kernel_map: maps.PairMap,
                 epilogue: Epilogue = NONE) -> Tensor:
        """Return [V', C_out] from features [V, C_in] and weight [kernel volume, C_in, C_out]."""
        return epilogue(_Convolution.apply(*autocast(features, weight), kernel_map))

    def linear(self, features: Tensor, weight: Tensor, epilogue: Epilogue = NONE) -> Tensor:
        """Return [N, C_out] from features [N, C_in] and weight [C_in, C_out]."""
        return epilogue(torch.nn.functional.linear(features, weight.T))

    def mean(self, features: Tensor, groups: Groups) -> Tensor:
        """Return the mean [groups.size, C] of the rows of each group; 0 for a group without rows."""
        wide = features.float() if features.dtype == torch.bfloat16 else features  # its sums would stop at 256 rows
        total = wide.new_zeros(groups.size, features.shape[1]).index_add(0, groups.index, wide)
        return (total / groups.count.clamp(min=1)[:, None]).to(features.dtype)


def autocast(features: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in autocast's precision where it is on, as custom functions are not cast by torch."""
    kind = features.device.type
    if not torch.is_autocast_enabled(kind):
        return features, weight
    return features.to(torch.get_autocast_dtype(kind)), weight.to(torch.get_autocast_dtype(kind))
