# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Operators that make kernel maps."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from ros_kd.sparse.native.library import check, load
from ros_kd.sparse.native.registry import fake, int64_of, map_of, operator, unknown_size


@operator('build_map(Tensor keys, Tensor base, int[] columns, int run, int tile) -> (Tensor, Tensor, Tensor)')
def build_map(keys: Tensor, base: Tensor, columns: list[int], run: int, tile: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return row, local and start of the voxels of `keys` [V] at base [outputs] + column + 0..run-1, both sorted."""
    keys, base = int64_of(keys, 'keys'), int64_of(base, 'base')
    tiles, volume = -(-len(base) // tile), len(columns) * run
    row, local = (torch.empty(tiles * tile * volume, dtype=kind) for kind in (torch.int32, torch.int16))
    start = torch.empty(tiles, volume + 1, dtype=torch.int32)
    check(load().build_map(keys.data_ptr(), len(keys), base.data_ptr(), len(base),
                           (ctypes.c_int64 * len(columns))(*columns), len(columns), run, tile, torch.get_num_threads(),
                           row.data_ptr(), local.data_ptr(), start.data_ptr()),
          f'kernel map of {len(keys)} keys, which have to ascend and be unique')
    return row, local, start


@fake('build_map')
def _(keys, base, columns, run, tile):
    return _unknown_map(len(columns) * run, keys)


def _unknown_map(volume: int, like: Tensor):
    length, tiles = (unknown_size() for _ in range(2))
    return (like.new_empty(length, dtype=torch.int32), like.new_empty(length, dtype=torch.int16),
            like.new_empty(tiles, volume + 1, dtype=torch.int32))


@operator('reverse_map(Tensor row, Tensor local, Tensor start, SymInt inputs, SymInt outputs, int tile, int back_tile) '
           '-> (Tensor, Tensor, Tensor)')
def reverse_map(row: Tensor, local: Tensor, start: Tensor, inputs: int, outputs: int, tile: int, back_tile: int,
                ) -> tuple[Tensor, Tensor, Tensor]:
    """Return row, local and start of the transposed convolution, in tiles of `back_tile` of the inputs."""
    lists = map_of(row, local, start, inputs, outputs, tile)
    tiles = -(-inputs // back_tile)
    back_row, back_local = (torch.empty(tiles * back_tile * lists.volume, dtype=kind)
                            for kind in (torch.int32, torch.int16))
    back_start = torch.empty(tiles, lists.volume + 1, dtype=torch.int32)
    check(load().reverse_map(ctypes.byref(lists), back_tile, torch.get_num_threads(), back_row.data_ptr(),
                             back_local.data_ptr(), back_start.data_ptr()), 'transposed kernel map')
    return back_row, back_local, back_start


@fake('reverse_map')
def _(row, local, start, inputs, outputs, tile, back_tile):
    return _unknown_map(start.shape[1] - 1, row)
