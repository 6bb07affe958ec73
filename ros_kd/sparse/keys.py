# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Voxel coordinates packed into sortable int64 keys: batch, x, y, z from the highest bits to the lowest.

Each coordinate has 18 bits, shifted to be non-negative. The two outermost values on either side stay free, so that the
key of a neighbour up to two voxels away is the key plus a constant and never runs into the next field.
"""

from __future__ import annotations

import torch
from torch import Tensor

BITS = 18
SHIFT = 1 << (BITS - 1)
LOWEST, HIGHEST = 2 - SHIFT, SHIFT - 3
MAX_BATCH = 511
SENTINEL = 2 ** 63 - 1  # no key and no neighbour of a key has this value, since batch 511 is not used

_FIELD = (1 << BITS) - 1
_ONES = (1 << 2 * BITS) | (1 << BITS) | 1


def delta(dx: int, dy: int, dz: int) -> int:
    """Return what to add to a key to move by whole voxels."""
    return (dx << 2 * BITS) + (dy << BITS) + dz


def pack(coordinates: Tensor, batch: Tensor | None = None) -> Tensor:
    """Return the int64 keys [V] of integer coordinates [V, 3] in the scans `batch` [V] (None: all in scan 0).

    Raises ValueError naming the coordinate if it is outside LOWEST..HIGHEST, or the scan if it is outside 0..510.
    """
    if coordinates.ndim != 2 or coordinates.shape[1] != 3 or coordinates.is_floating_point():
        raise ValueError(f'coordinates are {coordinates.dtype} {tuple(coordinates.shape)}, expected integers [V, 3]')
    if batch is not None and batch.shape != coordinates.shape[:1]:
        raise ValueError(f'batch has shape {tuple(batch.shape)}, expected ({len(coordinates)},): one scan per voxel')
    coordinates = coordinates.long()
    if len(coordinates):
        _check(coordinates, LOWEST, HIGHEST, 'voxel coordinate', 'choose a larger voxel size or crop the scan')
        if batch is not None:
            _check(batch, 0, MAX_BATCH - 1, 'scan index', 'use a smaller batch')
    return pack_unchecked(coordinates, batch)


def pack_unchecked(coordinates: Tensor, batch: Tensor | None = None) -> Tensor:
    """Return `pack`'s keys of int64 coordinates that are known to be in range."""
    x, y, z = (coordinates + SHIFT).unbind(1)
    keys = (x << 2 * BITS) | (y << BITS) | z
    return keys if batch is None else keys | (batch.long() << 3 * BITS)


def _check(values: Tensor, lowest: int, highest: int, what: str, advice: str) -> None:
    least, most = (int(v) for v in torch.aminmax(values))
    if least < lowest or most > highest:
        raise ValueError(f'{what} {least if least < lowest else most} is outside {lowest}..{highest}: {advice}')


def unpack(keys: Tensor) -> Tensor:
    """Return the int64 coordinates [V, 3] of keys [V]."""
    return torch.stack([keys >> 2 * BITS & _FIELD, keys >> BITS & _FIELD, keys & _FIELD], 1) - SHIFT


def batch_index(keys: Tensor) -> Tensor:
    """Return the int64 index [V] of the scan that each voxel belongs to."""
    return keys >> 3 * BITS


def halve(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return the keys [V] of floor(coordinate / 2), and each voxel's place 0..7 (x slowest) in that coarser cell."""
    low = keys & _ONES
    place = (low >> 2 * BITS - 2 | low >> BITS - 1 | low) & 7
    grid = keys & ((1 << 3 * BITS) - 1)
    halved = (grid - low >> 1) + _ONES * (SHIFT >> 1)
    return keys - grid + halved, place


def cell_keys(keys: Tensor, edge: int) -> Tensor:
    """Return for each key [V] that of the first voxel in its cell of `edge` voxels, a power of 2 up to 2^16."""
    return keys & ~((edge - 1) * _ONES)


def double(keys: Tensor) -> Tensor:
    """Return the keys [V] of coordinate * 2: the first of the eight finer voxels in each cell."""
    grid = keys & ((1 << 3 * BITS) - 1)
    return keys - grid + (grid << 1) - _ONES * SHIFT
