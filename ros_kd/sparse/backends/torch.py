# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Sparse convolution from torch's own operations: gather, one matrix product per weight, add to the outputs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ros_kd.sparse import maps


class _Convolution(torch.autograd.Function):
    """Keeps the features for the backward pass, not the gathered rows, which take 7 times their memory."""

    @staticmethod
    def forward(ctx, features: Tensor, weight: Tensor, kernel_map: maps.KernelMap) -> Tensor:
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

    def submanifold_map(self, keys: Tensor) -> maps.KernelMap:
        """Return the 3x3x3 map of sorted keys int64 [V] onto themselves."""
        return maps.submanifold_map(keys)

    def convolve(self, features: Tensor, weight: Tensor, kernel_map: maps.KernelMap) -> Tensor:
        """Return [V', C_out] from features [V, C_in] and weight [kernel volume, C_in, C_out], with gradients."""
        kind = features.device.type
        if torch.is_autocast_enabled(kind):
            features, weight = (t.to(torch.get_autocast_dtype(kind)) for t in (features, weight))
        return _Convolution.apply(features, weight, kernel_map)
