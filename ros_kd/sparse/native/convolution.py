# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Operators that convolve, and their gradients."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from ros_kd.sparse.native.library import BFLOAT16, Convolution, Map, check, load
from ros_kd.sparse.native.registry import (LIBRARY, expect, fake, map_of, operator, rows_of, stride_of, type_of,
                                           unknown_size)


@operator('pack(Tensor weight) -> Tensor')
def pack(weight: Tensor) -> Tensor:
    """Return weights [volume, C_in, C_out], in any memory order, as the kernels read them."""
    library, kind = load(), type_of(weight, 'weights')
    volume, in_channels, out_channels = weight.shape
    size = library.packed_bytes(volume, in_channels, out_channels, kind)
    packed = torch.empty(size // weight.element_size(), dtype=weight.dtype)
    check(library.pack(weight.data_ptr(), (ctypes.c_int64 * 3)(*weight.stride()), volume, in_channels, out_channels,
                       kind, torch.get_num_threads(), packed.data_ptr()), f'packing weights {tuple(weight.shape)}')
    return packed


@fake('pack')
def _(weight):
    return weight.new_empty(unknown_size())


@operator('convolve_packed(Tensor features, Tensor packed, int out_channels, Tensor? row, Tensor? local, '
          'Tensor? start, SymInt outputs, int tile, Tensor? bias, Tensor? residual, float slope) -> Tensor')
def convolve_packed(features: Tensor, packed: Tensor, out_channels: int, row: Tensor | None, local: Tensor | None,
                    start: Tensor | None, outputs: int, tile: int, bias: Tensor | None, residual: Tensor | None,
                    slope: float) -> Tensor:
    """Return [outputs, C_out] from features [inputs, C_in] and `pack`ed weights; without lists it is a linear layer."""
    library, kind = load(), type_of(features, 'features')
    inputs, in_channels = features.shape
    if kind == BFLOAT16 and in_channels % 2:  # pairs of channels are multiplied at once
        features = torch.nn.functional.pad(features, (0, 1))
        in_channels += 1
    features = rows_of(features)
    lists = (Map(None, None, None, inputs, outputs, 1, 1) if row is None else
             map_of(row, local, start, inputs, outputs, tile))
    expected = library.packed_bytes(lists.volume, in_channels, out_channels, kind)
    if packed.dtype != features.dtype or packed.numel() * packed.element_size() != expected:
        raise ValueError(f'{packed.numel()} packed weights of {packed.dtype} do not belong to a kernel of '
                         f'{lists.volume} from {in_channels} to {out_channels} channels of {features.dtype}')
    result = features.new_empty(outputs, out_channels)
    if bias is not None:
        bias = bias.float().contiguous()
        expect(bias, (out_channels,), 'bias')
    if residual is not None:
        residual = rows_of(residual.to(features.dtype))
        expect(residual, (outputs, out_channels), 'residual')
    check(library.convolve(Convolution(
        lists, features.data_ptr(), in_channels, stride_of(features), packed.data_ptr(), out_channels,
        None if bias is None else bias.data_ptr(), None if residual is None else residual.data_ptr(),
        0 if residual is None else stride_of(residual), slope, result.data_ptr(), out_channels, kind, kind,
        torch.get_num_threads())), f'convolution from {in_channels} to {out_channels} channels')
    return result


@fake('convolve_packed')
def _(features, packed, out_channels, row, local, start, outputs, tile, bias, residual, slope):
    return features.new_empty(outputs, out_channels)


@operator('weight_gradient(Tensor features, Tensor gradient, Tensor row, Tensor local, Tensor start, int tile) '
          '-> Tensor')
def weight_gradient(features: Tensor, gradient: Tensor, row: Tensor, local: Tensor, start: Tensor, tile: int) -> Tensor:
    """Return the gradient [volume, C_in, C_out] float32 of the weights, from the outputs' gradient [outputs, C_out]."""
    features, gradient = features.float().contiguous(), gradient.float().contiguous()
    lists = map_of(row, local, start, len(features), len(gradient), tile)
    result = features.new_empty(lists.volume, features.shape[1], gradient.shape[1])
    check(load().weight_gradient(ctypes.byref(lists), features.data_ptr(), features.shape[1], gradient.data_ptr(),
                                 gradient.shape[1], torch.get_num_threads(), result.data_ptr()), 'gradient of weights')
    return result


@fake('weight_gradient')
def _(features, gradient, row, local, start, tile):
    return features.new_empty(start.shape[1] - 1, features.shape[1], gradient.shape[1], dtype=torch.float32)


@operator('convolve(Tensor features, Tensor weight, Tensor row, Tensor local, Tensor start, SymInt outputs, int tile, '
           'Tensor? back_row, Tensor? back_local, Tensor? back_start, int back_tile) -> Tensor')
def convolve(features: Tensor, weight: Tensor, row: Tensor, local: Tensor, start: Tensor, outputs: int, tile: int,
             back_row: Tensor | None, back_local: Tensor | None, back_start: Tensor | None, back_tile: int) -> Tensor:
    """Return [outputs, C_out] from features [inputs, C_in] and weight [volume, C_in, C_out], with gradients.

    back_*: the map of the transposed convolution; None for a submanifold one, whose map is its own mirror image.
    """
    return convolve_packed(features, pack(weight), weight.shape[2], row, local, start, outputs, tile, None, None,
                           1.0)


@fake('convolve')
def _(features, weight, row, local, start, outputs, tile, back_row, back_local, back_start, back_tile):
    return features.new_empty(outputs, weight.shape[2])


def _save(ctx, inputs, output) -> None:
    features, weight, *lists = inputs
    ctx.save_for_backward(features, weight, *lists[:3], *lists[5:8])
    ctx.tile, ctx.back_tile = lists[4], lists[8]


def _backward(ctx, gradient):
    features, weight, row, local, start, back_row, back_local, back_start = ctx.saved_tensors
    d_features = d_weight = None
    if ctx.needs_input_grad[0]:
        transposed = weight.transpose(1, 2)
        if back_row is None:
            lists = (row, local, start, features.shape[0], ctx.tile, None, None, None, 0)
            transposed = transposed.flip(0)
        else:
            lists = (back_row, back_local, back_start, features.shape[0], ctx.back_tile, row, local, start, ctx.tile)
        d_features = torch.ops.ros_kd.convolve(gradient, transposed, *lists)
    if ctx.needs_input_grad[1]:
        d_weight = torch.ops.ros_kd.weight_gradient(features, gradient, row, local, start, ctx.tile).to(weight.dtype)
    return d_features, d_weight, *[None] * 9


torch.library.register_autograd('ros_kd::convolve', _backward, setup_context=_save, lib=LIBRARY)
