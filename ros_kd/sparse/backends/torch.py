# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Sparse convolution from torch's own operations: gather, one matrix product per weight, add to the outputs."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from ros_kd.sparse import maps, voxels
from ros_kd.sparse.backends.onednn import product
from ros_kd.sparse.epilogue import NONE, Epilogue
from ros_kd.sparse.groups import Groups
from ros_kd.sparse.weight_cache import WeightCache

PIECE = 1 << 21
"""Bytes of gathered rows that are worked on at a time, so that they are still in the processor's cache."""


class _Convolution(torch.autograd.Function):
    """Keeps the features for the backward pass, not the gathered rows, which take 7 times their memory."""

    @staticmethod
    def forward(ctx, features: Tensor, weight: Tensor, kernel_map: maps.PairMap) -> Tensor:
        ctx.save_for_backward(features, weight)
        ctx.kernel_map = kernel_map
        return _convolve(features, weight, kernel_map)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, weight = ctx.saved_tensors
        for_features, for_weight = ctx.needs_input_grad[:2]
        gradient = gradient.contiguous()
        return (_convolve(gradient, weight.transpose(1, 2), ctx.kernel_map.reversed()) if for_features else None,
                _weight_gradient(features, gradient, weight, ctx.kernel_map) if for_weight else None, None)


def _convolve(features: Tensor, weight: Tensor, kernel_map: maps.PairMap) -> Tensor:
    if kernel_map.identity is None:
        result = features.new_zeros(kernel_map.num_outputs, weight.shape[2])
    else:
        result = product(features, weight[kernel_map.identity])
    size = _piece(features, weight)
    gathered = features.new_empty(min(size, kernel_map.longest), features.shape[1])
    for matrix, (inputs, outputs) in zip(weight, kernel_map.pairs):
        for rows, targets in zip(inputs.split(size), outputs.split(size)):
            if len(rows):
                torch.index_select(features, 0, rows, out=gathered[:len(rows)])
                result.index_add_(0, targets, product(gathered[:len(rows)], matrix))
    return result


def _weight_gradient(features: Tensor, gradient: Tensor, weight: Tensor, kernel_map: maps.PairMap) -> Tensor:
    result = torch.zeros_like(weight)
    if kernel_map.identity is not None:
        torch.mm(features.T, gradient, out=result[kernel_map.identity])
    size = _piece(features, weight)
    for matrix, (inputs, outputs) in zip(result, kernel_map.pairs):
        for rows, targets in zip(inputs.split(size), outputs.split(size)):
            if len(rows):
                matrix.addmm_(features.index_select(0, rows).T, gradient.index_select(0, targets))
    return result


def _piece(features: Tensor, weight: Tensor) -> int:
    """Return how many rows to gather at a time."""
    if features.device.type != 'cpu':
        return max(len(features), 1)
    return max(PIECE // (features.element_size() * max(weight.shape[1:], default=1)), 1)


class _Linear(torch.autograd.Function):
    """A product with oneDNN's speed in both directions."""

    @staticmethod
    def forward(ctx, features: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(features, weight)
        return product(features, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        features, weight = ctx.saved_tensors
        for_features, for_weight = ctx.needs_input_grad
        gradient = gradient.contiguous()
        return (product(gradient, weight.T) if for_features else None,
                features.T @ gradient if for_weight else None)


class TorchBackend:
    """Runs wherever torch does; the reference for the other backends."""

    name = 'torch'

    def supports(self, device: torch.device) -> bool:
        """Tell that every device is fine."""
        return True

    def voxel_keys(self, points: Tensor, lower: voxels.Range, upper: voxels.Range, size: float,
                   scan: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rows [M] of the points [N, 3] in range, the keys [M] of their voxels, and their axes [3, M]."""
        return voxels.voxel_keys(points, lower, upper, size, scan)

    def unique(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys int64 [N] in any order sorted, each once, and the place int64 [N] of each in them."""
        return torch.unique(keys, return_inverse=True)

    def coarser_keys(self, keys: Tensor) -> Tensor:
        """Return the sorted keys of the cells of twice the size that hold the voxels."""
        return maps.coarser_keys(keys)

    def submanifold_map(self, keys: Tensor, kernel_size: int) -> maps.PairMap:
        """Return the map of a centred cubic kernel (3 or 5) onto the same voxels."""
        return maps.submanifold_map(keys, kernel_size)

    def strided_map(self, keys: Tensor, coarse: Tensor, kernel_size: int) -> maps.PairMap:
        """Return the map of stride 2 (kernel 2 or 3) to `coarse`, which is coarser_keys(keys)."""
        return maps.strided_map(keys, coarse, kernel_size)

    def convolve(self, features: Tensor, weight: Tensor, kernel_map: maps.PairMap, epilogue: Epilogue = NONE,
                 cache: WeightCache | None = None) -> Tensor:
        """Return [V', C_out] from features [V, C_in] and weight [kernel volume, C_in, C_out]."""
        return epilogue(_Convolution.apply(*autocast(features, weight), kernel_map))

    def linear(self, features: Tensor, weight: Tensor, epilogue: Epilogue = NONE,
               cache: WeightCache | None = None) -> Tensor:
        """Return [N, C_out] from features [N, C_in] and weight [C_in, C_out]."""
        features, weight = autocast(features, weight)
        terms = (features, weight, epilogue.bias, epilogue.residual)
        if torch.is_grad_enabled() and any(term is not None and term.requires_grad for term in terms):
            return epilogue(_Linear.apply(features, weight))
        if epilogue.residual is None:
            return product(features, weight, epilogue.bias, epilogue.slope)
        return Epilogue(None, epilogue.residual, epilogue.slope)(product(features, weight, epilogue.bias))

    def mean(self, features: Tensor, groups: Groups) -> Tensor:
        """Return the mean [groups.size, C] of the rows of each group; 0 for a group without rows."""
        # Sums would stop growing at 256 rows in bfloat16, and soon be infinite in float16.
        wide = features.float() if features.element_size() < 4 else features
        total = wide.new_zeros(groups.size, features.shape[1]).index_add(0, groups.index, wide)
        return (total / groups.count.clamp(min=1)[:, None]).to(features.dtype)

    def classify(self, logits: Tensor, offset: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Return the best class uint8 [V] of logits [V, K] + offset [K] and its probability float32 [V]."""
        confidence, label = ((logits.float() + offset) / temperature).softmax(1).max(1)
        return label.to(torch.uint8), confidence


def autocast(features: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return both in autocast's precision where it is on, as custom functions are not cast by torch."""
    kind = features.device.type
    if not torch.is_autocast_enabled(kind):
        return features, weight
    return features.to(torch.get_autocast_dtype(kind)), weight.to(torch.get_autocast_dtype(kind))
