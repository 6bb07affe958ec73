# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""How operators are defined, and how tensors are handed to the library."""

from __future__ import annotations

import torch
from torch import Tensor

from ros_kd.sparse.native.library import BFLOAT16, FLOAT, Map

TYPES = {torch.float32: FLOAT, torch.bfloat16: BFLOAT16}
LIBRARY = torch.library.Library('ros_kd', 'DEF')


def operator(schema: str):
    """Define an operator whose implementation on the CPU is the function below."""
    def register(function):
        LIBRARY.define(schema)
        LIBRARY.impl(schema.partition('(')[0], function, 'CPU')
        return function
    return register


def fake(name: str):
    """Say what an operator returns, by shape and type alone, in the function below."""
    return torch.library.register_fake(f'ros_kd::{name}', lib=LIBRARY)


def unknown_size():
    """Return a size that a fake operator cannot know."""
    return torch.library.get_ctx().new_dynamic_size()


def type_of(tensor: Tensor, what: str) -> int:
    """Return the library's number of a tensor's type. Raises ValueError for one that it does not compute."""
    if tensor.dtype not in TYPES:
        raise ValueError(f'{what} are {tensor.dtype}; the native backend of sparse convolutions computes float32 and '
                         'bfloat16: choose the backend "torch" for other types')
    return TYPES[tensor.dtype]


def rows_of(tensor: Tensor) -> Tensor:
    """Return a tensor [N, C] whose rows lie in memory in one piece each."""
    return tensor if tensor.stride(1) == 1 and tensor.stride(0) >= tensor.shape[1] else tensor.contiguous()


def stride_of(tensor: Tensor) -> int:
    """Return the elements from row to row; torch may give any number for a single row or none."""
    return max(tensor.stride(0), tensor.shape[1])


def expect(tensor: Tensor, shape: tuple[int, ...], what: str) -> None:
    """Raise ValueError if a tensor has another shape."""
    if tuple(tensor.shape) != shape:
        raise ValueError(f'{what} has shape {tuple(tensor.shape)}, expected {shape}')


def int64_of(tensor: Tensor, what: str) -> Tensor:
    """Return a tensor without gaps. Raises ValueError if it does not hold int64."""
    if tensor.dtype != torch.int64:
        raise ValueError(f'{what} is {tensor.dtype}, expected torch.int64')
    return tensor.contiguous()


def map_of(row: Tensor, local: Tensor, start: Tensor, inputs: int, outputs: int, tile: int) -> Map:
    """Return the library's kernel map over tensors. Raises ValueError if they do not belong together."""
    volume = start.shape[1] - 1
    tiles = -(-outputs // tile)
    types = (row.dtype, local.dtype, start.dtype)
    if types != (torch.int32, torch.int16, torch.int32) or not all(t.is_contiguous() for t in (row, local, start)):
        raise ValueError(f'a kernel map of {types}, expected torch.int32, int16 and int32 without gaps')
    if start.shape[0] != tiles or len(row) != tiles * tile * volume or len(local) != len(row):
        raise ValueError(f'a kernel map with start {tuple(start.shape)}, {len(row)} rows and {len(local)} places does '
                         f'not belong to {outputs} outputs in tiles of {tile}')
    return Map(row.data_ptr(), local.data_ptr(), start.data_ptr(), inputs, outputs, tile, volume)
