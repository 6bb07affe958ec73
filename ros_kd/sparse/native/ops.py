# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Torch operators on the native library, with gradients, and with fake kernels for torch.compile and torch.export.

A kernel map is three tensors, see src/api.h: row int32 [T * tile * volume], local int16 of the same length, and start
int32 [T, volume + 1], for T tiles of outputs.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from ros_kd.sparse.native.library import BFLOAT16, FLOAT, Convolution, Map, check, load

_TYPES = {torch.float32: FLOAT, torch.bfloat16: BFLOAT16}
_library = torch.library.Library('ros_kd', 'DEF')


def _operator(schema: str):
    """Define an operator whose implementation on the CPU is the function below."""
    def register(function):
        _library.define(schema)
        _library.impl(schema.partition('(')[0], function, 'CPU')
        return function
    return register


def _fake(name: str):
    return torch.library.register_fake(f'ros_kd::{name}', lib=_library)


def _type(tensor: Tensor, what: str) -> int:
    if tensor.dtype not in _TYPES:
        raise ValueError(f'{what} are {tensor.dtype}; the native backend of sparse convolutions computes float32 and '
                         'bfloat16: choose the backend "torch" for other types')
    return _TYPES[tensor.dtype]


def _rows(tensor: Tensor) -> Tensor:
    """Return a tensor [N, C] whose rows lie in memory in one piece each."""
    return tensor if tensor.stride(1) == 1 and tensor.stride(0) >= tensor.shape[1] else tensor.contiguous()


def _stride(tensor: Tensor) -> int:
    """Return the elements from row to row; torch may give any number for a single row or none."""
    return max(tensor.stride(0), tensor.shape[1])


def _map(row: Tensor, local: Tensor, start: Tensor, inputs: int, outputs: int, tile: int) -> Map:
    volume = start.shape[1] - 1
    tiles = -(-outputs // tile)
    if start.shape[0] != tiles or len(row) != tiles * tile * volume or len(local) != len(row):
        raise ValueError(f'a kernel map with start {tuple(start.shape)}, {len(row)} rows and {len(local)} places does not '
                         f'belong to {outputs} outputs in tiles of {tile}')
    return Map(row.data_ptr(), local.data_ptr(), start.data_ptr(), inputs, outputs, tile, volume)


@_operator('pack(Tensor weight) -> Tensor')
def pack(weight: Tensor) -> Tensor:
    """Return weights [volume, C_in, C_out], in any memory order, as the kernels read them."""
    library, kind = load(), _type(weight, 'weights')
    volume, in_channels, out_channels = weight.shape
    size = library.packed_bytes(volume, in_channels, out_channels, kind)
    packed = torch.empty(size // weight.element_size(), dtype=weight.dtype)
    check(library.pack(weight.data_ptr(), (ctypes.c_int64 * 3)(*weight.stride()), volume, in_channels, out_channels,
                       kind, torch.get_num_threads(), packed.data_ptr()), f'packing weights {tuple(weight.shape)}')
    return packed


@_fake('pack')
def _(weight):
    return weight.new_empty(torch.library.get_ctx().new_dynamic_size())


@_operator('convolve_packed(Tensor features, Tensor packed, int out_channels, Tensor? row, Tensor? local, Tensor? start, '
           'SymInt outputs, int tile, Tensor? bias, Tensor? residual, float slope) -> Tensor')
def convolve_packed(features: Tensor, packed: Tensor, out_channels: int, row: Tensor | None, local: Tensor | None,
                    start: Tensor | None, outputs: int, tile: int, bias: Tensor | None, residual: Tensor | None,
                    slope: float) -> Tensor:
    """Return [outputs, C_out] from features [inputs, C_in] and `pack`ed weights; without lists it is a linear layer."""
    library, kind = load(), _type(features, 'features')
    inputs, in_channels = features.shape
    if kind == BFLOAT16 and in_channels % 2:  # pairs of channels are multiplied at once
        features = torch.nn.functional.pad(features, (0, 1))
        in_channels += 1
    features = _rows(features)
    lists = Map(None, None, None, inputs, outputs, 1, 1) if row is None else _map(row, local, start, inputs, outputs, tile)
    expected = library.packed_bytes(lists.volume, in_channels, out_channels, kind)
    if packed.dtype != features.dtype or packed.numel() * packed.element_size() != expected:
        raise ValueError(f'{packed.numel()} packed weights of {packed.dtype} do not belong to a kernel of '
                         f'{lists.volume} from {in_channels} to {out_channels} channels of {features.dtype}')
    result = features.new_empty(outputs, out_channels)
    if bias is not None:
        bias = bias.float().contiguous()
        _expect(bias, (out_channels,), 'bias')
    if residual is not None:
        residual = _rows(residual.to(features.dtype))
        _expect(residual, (outputs, out_channels), 'residual')
    check(library.convolve(Convolution(
        lists, features.data_ptr(), in_channels, _stride(features), packed.data_ptr(), out_channels,
        None if bias is None else bias.data_ptr(), None if residual is None else residual.data_ptr(),
        0 if residual is None else _stride(residual), slope, result.data_ptr(), out_channels, kind, kind,
        torch.get_num_threads())), f'convolution from {in_channels} to {out_channels} channels')
    return result


def _expect(tensor: Tensor, shape: tuple[int, ...], what: str) -> None:
    if tuple(tensor.shape) != shape:
        raise ValueError(f'{what} has shape {tuple(tensor.shape)}, expected {shape}')


@_fake('convolve_packed')
def _(features, packed, out_channels, row, local, start, outputs, tile, bias, residual, slope):
    return features.new_empty(outputs, out_channels)


@_operator('weight_gradient(Tensor features, Tensor gradient, Tensor row, Tensor local, Tensor start, int tile) -> Tensor')
def weight_gradient(features: Tensor, gradient: Tensor, row: Tensor, local: Tensor, start: Tensor, tile: int) -> Tensor:
    """Return the gradient [volume, C_in, C_out] float32 of the weights, from the outputs' gradient [outputs, C_out]."""
    features, gradient = features.float().contiguous(), gradient.float().contiguous()
    lists = _map(row, local, start, len(features), len(gradient), tile)
    result = features.new_empty(lists.volume, features.shape[1], gradient.shape[1])
    check(load().weight_gradient(ctypes.byref(lists), features.data_ptr(), features.shape[1], gradient.data_ptr(),
                                 gradient.shape[1], torch.get_num_threads(), result.data_ptr()), 'gradient of weights')
    return result


@_fake('weight_gradient')
def _(features, gradient, row, local, start, tile):
    return features.new_empty(start.shape[1] - 1, features.shape[1], gradient.shape[1], dtype=torch.float32)


@_operator('convolve(Tensor features, Tensor weight, Tensor row, Tensor local, Tensor start, SymInt outputs, int tile, '
           'Tensor? back_row, Tensor? back_local, Tensor? back_start, int back_tile) -> Tensor')
def convolve(features: Tensor, weight: Tensor, row: Tensor, local: Tensor, start: Tensor, outputs: int, tile: int,
             back_row: Tensor | None, back_local: Tensor | None, back_start: Tensor | None, back_tile: int) -> Tensor:
    """Return [outputs, C_out] from features [inputs, C_in] and weight [volume, C_in, C_out], with gradients.

    back_*: the map of the transposed convolution; None for a submanifold convolution, whose map is its own mirror image.
    """
    return convolve_packed(features, pack(weight), weight.shape[2], row, local, start, outputs, tile, None, None,
                           1.0)


@_fake('convolve')
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
            back, transposed, tile = (row, local, start), transposed.flip(0), ctx.tile
        else:
            back, tile = (back_row, back_local, back_start), ctx.back_tile
        d_features = torch.ops.ros_kd.convolve(gradient, transposed, *back, features.shape[0], tile, None, None, None, 0)
    if ctx.needs_input_grad[1]:
        d_weight = torch.ops.ros_kd.weight_gradient(features, gradient, row, local, start, ctx.tile).to(weight.dtype)
    return d_features, d_weight, *[None] * 9


torch.library.register_autograd('ros_kd::convolve', _backward, setup_context=_save, lib=_library)


@_operator('build_map(Tensor keys, Tensor base, int[] columns, int run, int tile) -> (Tensor, Tensor, Tensor)')
def build_map(keys: Tensor, base: Tensor, columns: list[int], run: int, tile: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return row, local and start of the voxels of `keys` [V] at base [outputs] + column + 0..run-1, both sorted."""
    keys, base = keys.contiguous(), base.contiguous()
    tiles, volume = -(-len(base) // tile), len(columns) * run
    row, local = (torch.empty(tiles * tile * volume, dtype=kind) for kind in (torch.int32, torch.int16))
    start = torch.empty(tiles, volume + 1, dtype=torch.int32)
    check(load().build_map(keys.data_ptr(), len(keys), base.data_ptr(), len(base),
                           (ctypes.c_int64 * len(columns))(*columns), len(columns), run, tile, torch.get_num_threads(),
                           row.data_ptr(), local.data_ptr(), start.data_ptr()), 'kernel map')
    return row, local, start


@_fake('build_map')
def _(keys, base, columns, run, tile):
    return _unknown_map(len(columns) * run, keys)


def _unknown_map(volume: int, like: Tensor):
    length, tiles = (torch.library.get_ctx().new_dynamic_size() for _ in range(2))
    return (like.new_empty(length, dtype=torch.int32), like.new_empty(length, dtype=torch.int16),
            like.new_empty(tiles, volume + 1, dtype=torch.int32))


@_operator('reverse_map(Tensor row, Tensor local, Tensor start, SymInt inputs, SymInt outputs, int tile, int back_tile) '
           '-> (Tensor, Tensor, Tensor)')
def reverse_map(row: Tensor, local: Tensor, start: Tensor, inputs: int, outputs: int, tile: int, back_tile: int,
                ) -> tuple[Tensor, Tensor, Tensor]:
    """Return row, local and start of the transposed convolution, in tiles of `back_tile` of the inputs."""
    lists = _map(row, local, start, inputs, outputs, tile)
    tiles = -(-inputs // back_tile)
    back_row, back_local = (torch.empty(tiles * back_tile * lists.volume, dtype=kind)
                            for kind in (torch.int32, torch.int16))
    back_start = torch.empty(tiles, lists.volume + 1, dtype=torch.int32)
    check(load().reverse_map(ctypes.byref(lists), back_tile, torch.get_num_threads(), back_row.data_ptr(),
                             back_local.data_ptr(), back_start.data_ptr()), 'transposed kernel map')
    return back_row, back_local, back_start


@_fake('reverse_map')
def _(row, local, start, inputs, outputs, tile, back_tile):
    return _unknown_map(start.shape[1] - 1, row)


@_operator('voxel_keys(Tensor points, float[] lower, float[] upper, float size, Tensor? scan) '
           '-> (Tensor, Tensor, Tensor)')
def voxel_keys(points: Tensor, lower: list[float], upper: list[float], size: float, scan: Tensor | None,
               ) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows of the points [N, 3] in range, the keys of their voxels and x, y, z, see Backend.voxel_keys."""
    points = points.contiguous()
    if points.dtype != torch.float32:
        raise ValueError(f'points are {points.dtype}, expected torch.float32')
    if scan is not None:
        scan = scan.contiguous()
        _expect(scan, (len(points),), 'scan')
    rows, keys = (torch.empty(len(points), dtype=torch.int64) for _ in range(2))
    axes, count = points.new_empty(3, len(points)), ctypes.c_int64()
    three = ctypes.c_float * 3
    check(load().voxel_keys(points.data_ptr(), len(points), three(*lower), three(*upper), size,
                            None if scan is None else scan.data_ptr(), rows.data_ptr(), keys.data_ptr(),
                            axes.data_ptr(), ctypes.addressof(count)), f'voxels of {size} m in {lower}..{upper}')
    return rows[:count.value], keys[:count.value], axes[:, :count.value]


@_fake('voxel_keys')
def _(points, lower, upper, size, scan):
    count = torch.library.get_ctx().new_dynamic_size()
    return *(points.new_empty(count, dtype=torch.int64) for _ in range(2)), points.new_empty(3, count)


@_operator('unique(Tensor keys) -> Tensor')
def unique(keys: Tensor) -> Tensor:
    """Return the keys [N] sorted, each once."""
    return _unique(keys, None)


@_operator('unique_inverse(Tensor keys) -> (Tensor, Tensor)')
def unique_inverse(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the keys [N] sorted, each once, and the place int64 [N] of each in them."""
    inverse = torch.empty_like(keys)
    return _unique(keys, inverse), inverse


def _unique(keys: Tensor, inverse: Tensor | None) -> Tensor:
    keys, result, count = keys.contiguous(), torch.empty(len(keys), dtype=torch.int64), ctypes.c_int64()
    check(load().unique(keys.data_ptr(), len(keys), result.data_ptr(), None if inverse is None else inverse.data_ptr(),
                        ctypes.addressof(count)), 'sorting voxels')
    return result[:count.value]


@_fake('unique')
def _(keys):
    return keys.new_empty(torch.library.get_ctx().new_dynamic_size())


@_fake('unique_inverse')
def _(keys):
    return keys.new_empty(torch.library.get_ctx().new_dynamic_size()), torch.empty_like(keys)


@_operator('classify(Tensor logits, Tensor offset, float temperature) -> (Tensor, Tensor)')
def classify(logits: Tensor, offset: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the best class uint8 [V] of logits [V, K] and its probability float32 [V], see Backend.classify."""
    logits, offset = _rows(logits), offset.float().contiguous()
    _expect(offset, (logits.shape[1],), 'offset')
    label = torch.empty(len(logits), dtype=torch.uint8)
    confidence = torch.empty(len(logits))
    check(load().classify(logits.data_ptr(), len(logits), logits.shape[1], _stride(logits), _type(logits, 'logits'),
                          offset.data_ptr(), 1 / temperature, torch.get_num_threads(), label.data_ptr(),
                          confidence.data_ptr()), f'classes of {logits.shape[1]} logits')
    return label, confidence


@_fake('classify')
def _(logits, offset, temperature):
    return (logits.new_empty(logits.shape[0], dtype=torch.uint8), logits.new_empty(logits.shape[0], dtype=torch.float32))


@_operator('mean(Tensor features, Tensor index, SymInt groups) -> Tensor')
def mean(features: Tensor, index: Tensor, groups: int) -> Tensor:
    """Return the means [groups, C] of the rows of features [N, C] by group index [N]."""
    features, index = _rows(features), index.contiguous()
    _expect(index, (len(features),), 'index')
    result = features.new_empty(groups, features.shape[1])
    check(load().mean(features.data_ptr(), len(features), features.shape[1], _stride(features), index.data_ptr(), groups,
                      _type(features, 'features'), torch.get_num_threads(), result.data_ptr()), 'means of groups')
    return result


@_fake('mean')
def _(features, index, groups):
    return features.new_empty(groups, features.shape[1])


def _save_mean(ctx, inputs, output) -> None:
    ctx.save_for_backward(inputs[1])
    ctx.groups = inputs[2]


def _backward_mean(ctx, gradient):
    index, = ctx.saved_tensors
    count = torch.bincount(index, minlength=ctx.groups).clamp(min=1)[:, None]
    return (gradient / count.to(gradient.dtype)).index_select(0, index), None, None


torch.library.register_autograd('ros_kd::mean', _backward_mean, setup_context=_save_mean, lib=_library)
