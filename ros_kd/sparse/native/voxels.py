# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Operators on points and voxels: sorting, means, classes."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from ros_kd.sparse.native.library import check, load
from ros_kd.sparse.native.registry import (LIBRARY, expect, fake, int64_of, operator, rows_of, stride_of, type_of,
                                           unknown_size)


@operator('voxel_keys(Tensor points, float[] lower, float[] upper, float size, Tensor? scan) '
           '-> (Tensor, Tensor, Tensor)')
def voxel_keys(points: Tensor, lower: list[float], upper: list[float], size: float, scan: Tensor | None,
               ) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows of the points [N, 3] in range, the keys of their voxels and x, y, z, see Backend.voxel_keys."""
    points = points.contiguous()
    if points.dtype != torch.float32:
        raise ValueError(f'points are {points.dtype}, expected torch.float32')
    if scan is not None:
        scan = int64_of(scan, 'scan')
        expect(scan, (len(points),), 'scan')
    rows, keys = (torch.empty(len(points), dtype=torch.int64) for _ in range(2))
    axes, count = points.new_empty(3, len(points)), ctypes.c_int64()
    three = ctypes.c_float * 3
    check(load().voxel_keys(points.data_ptr(), len(points), three(*lower), three(*upper), size,
                            None if scan is None else scan.data_ptr(), rows.data_ptr(), keys.data_ptr(),
                            axes.data_ptr(), ctypes.addressof(count)), f'voxels of {size} m in {lower}..{upper}')
    return rows[:count.value], keys[:count.value], axes[:, :count.value]


@fake('voxel_keys')
def _(points, lower, upper, size, scan):
    count = unknown_size()
    return *(points.new_empty(count, dtype=torch.int64) for _ in range(2)), points.new_empty(3, count)


@operator('unique(Tensor keys) -> Tensor')
def unique(keys: Tensor) -> Tensor:
    """Return the keys [N] sorted, each once."""
    return _unique(keys, None)


@operator('unique_inverse(Tensor keys) -> (Tensor, Tensor)')
def unique_inverse(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the keys [N] sorted, each once, and the place int64 [N] of each in them."""
    inverse = torch.empty(len(keys), dtype=torch.int64)
    return _unique(keys, inverse), inverse


def _unique(keys: Tensor, inverse: Tensor | None) -> Tensor:
    keys, result, count = int64_of(keys, 'keys'), torch.empty(len(keys), dtype=torch.int64), ctypes.c_int64()
    check(load().unique(keys.data_ptr(), len(keys), result.data_ptr(), None if inverse is None else inverse.data_ptr(),
                        ctypes.addressof(count)), 'sorting voxels')
    return result[:count.value]


@fake('unique')
def _(keys):
    return keys.new_empty(unknown_size())


@fake('unique_inverse')
def _(keys):
    return keys.new_empty(unknown_size()), torch.empty_like(keys)


@operator('classify(Tensor logits, Tensor offset, float temperature) -> (Tensor, Tensor)')
def classify(logits: Tensor, offset: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the best class uint8 [V] of logits [V, K] and its probability float32 [V], see Backend.classify."""
    logits, offset = rows_of(logits), offset.float().contiguous()
    expect(offset, (logits.shape[1],), 'offset')
    label = torch.empty(len(logits), dtype=torch.uint8)
    confidence = torch.empty(len(logits))
    check(load().classify(logits.data_ptr(), len(logits), logits.shape[1], stride_of(logits), type_of(logits, 'logits'),
                          offset.data_ptr(), 1 / temperature, torch.get_num_threads(), label.data_ptr(),
                          confidence.data_ptr()), f'classes of {logits.shape[1]} logits')
    return label, confidence


@fake('classify')
def _(logits, offset, temperature):
    return tuple(logits.new_empty(logits.shape[0], dtype=kind) for kind in (torch.uint8, torch.float32))


@operator('mean(Tensor features, Tensor index, SymInt groups) -> Tensor')
def mean(features: Tensor, index: Tensor, groups: int) -> Tensor:
    """Return the means [groups, C] of the rows of features [N, C] by group index [N]."""
    features, index = rows_of(features), int64_of(index, 'index')
    expect(index, (len(features),), 'index')
    result = features.new_empty(groups, features.shape[1])
    check(load().mean(features.data_ptr(), len(features), features.shape[1], stride_of(features), index.data_ptr(),
                      groups, type_of(features, 'features'), torch.get_num_threads(), result.data_ptr()),
          'means of groups')
    return result


@fake('mean')
def _(features, index, groups):
    return features.new_empty(groups, features.shape[1])


def _save_mean(ctx, inputs, output) -> None:
    ctx.save_for_backward(inputs[1])
    ctx.groups = inputs[2]


def _backward_mean(ctx, gradient):
    index, = ctx.saved_tensors
    count = torch.bincount(index, minlength=ctx.groups).clamp(min=1)[:, None]
    return (gradient / count.to(gradient.dtype)).index_select(0, index), None, None


torch.library.register_autograd('ros_kd::mean', _backward_mean, setup_context=_save_mean, lib=LIBRARY)
