# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Sparse convolution in C++ on the CPU: gather, multiply and add in one pass over tiles of outputs."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ros_kd.sparse import keys as packing
from ros_kd.sparse import maps, voxels
from ros_kd.sparse.backends.torch import TorchBackend, autocast
from ros_kd.sparse.epilogue import NONE, Epilogue
from ros_kd.sparse.groups import Groups
from ros_kd.sparse.native import ops  # noqa: F401  defines torch.ops.ros_kd
from ros_kd.sparse.native.library import load
from ros_kd.sparse.weight_cache import WeightCache

_TILES = ((16_384, 512), (4_096, 256), (0, 64))  # small tiles where there are few rows, so that each thread gets some


@dataclass(frozen=True, eq=False)
class TileMap:
    """A kernel map in the native library's form, see native/src/api.h.

    row int32, local int16, start int32 [T, volume + 1]. mirrored: whether the map of the transposed convolution is this
    one with the weights in reverse order.
    """

    row: Tensor
    local: Tensor
    start: Tensor
    num_inputs: int
    num_outputs: int
    tile: int
    mirrored: bool = False
    _reversed: list[TileMap] = field(default_factory=list)

    @property
    def lists(self) -> tuple[Tensor, Tensor, Tensor]:
        """row, local and start."""
        return self.row, self.local, self.start

    def reversed(self) -> TileMap:
        """Return the map of the transposed convolution, which is kept."""
        if not self._reversed:
            tile = _tile(self.num_inputs)
            lists = torch.ops.ros_kd.reverse_map(*self.lists, self.num_inputs, self.num_outputs, self.tile, tile)
            # Not this very map: a circle would keep the memory of each scan until Python looks for circles.
            itself = TileMap(*self.lists, self.num_inputs, self.num_outputs, self.tile)
            self._reversed.append(TileMap(*lists, self.num_outputs, self.num_inputs, tile, _reversed=[itself]))
        return self._reversed[0]


class NativeBackend(TorchBackend):
    """Runs on CPU tensors where the library was built; linear layers with gradients are torch's."""

    name = 'native'

    def __init__(self) -> None:
        """Look for the library; one that does not fit is reported, and other backends serve."""
        try:
            self._library = load()
        except OSError as error:
            self._library = None
            warnings.warn(f'sparse convolutions run without the native library: {error}', RuntimeWarning, stacklevel=2)

    def supports(self, device: torch.device) -> bool:
        """Tell whether the library is there and the device is the CPU."""
        return device.type == 'cpu' and self._library is not None

    @property
    def instruction_set(self) -> str:
        """The instruction set in use."""
        return self._library.name

    @property
    def bfloat16_in_hardware(self) -> bool:
        """Whether this processor multiplies bfloat16 faster than float32."""
        return self._library is not None and bool(self._library.bfloat16_in_hardware())

    def voxel_keys(self, points: Tensor, lower: voxels.Range, upper: voxels.Range, size: float,
                   scan: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rows [M] of the points [N, 3] in range, the keys [M] of their voxels, and their axes [3, M]."""
        return torch.ops.ros_kd.voxel_keys(points, lower, upper, size, scan)

    def unique(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys int64 [N] in any order sorted, each once, and the place int64 [N] of each in them."""
        return torch.ops.ros_kd.unique_inverse(keys)

    def coarser_keys(self, keys: Tensor) -> Tensor:
        """Return the sorted keys of the cells of twice the size that hold the voxels."""
        return torch.ops.ros_kd.unique(packing.halve(keys)[0])

    def submanifold_map(self, keys: Tensor, kernel_size: int) -> TileMap:
        """Return the map of a centred cubic kernel (3 or 5) onto the same voxels."""
        return self._map(keys, keys, -(kernel_size // 2), kernel_size, mirrored=True)

    def strided_map(self, keys: Tensor, coarse: Tensor, kernel_size: int) -> TileMap:
        """Return the map of stride 2 (kernel 2 or 3) to `coarse`, which is coarser_keys(keys)."""
        return self._map(keys, packing.double(coarse), 0 if kernel_size == 2 else -1, kernel_size)

    @staticmethod
    def _map(keys: Tensor, base: Tensor, first: int, size: int, mirrored: bool = False) -> TileMap:
        tile = _tile(base.shape[0])
        lists = torch.ops.ros_kd.build_map(keys, base, maps.columns(first, size), size, tile)
        return TileMap(*lists, keys.shape[0], base.shape[0], tile, mirrored)

    def convolve(self, features: Tensor, weight: Tensor, kernel_map: TileMap, epilogue: Epilogue = NONE,
                 cache: WeightCache | None = None) -> Tensor:
        """Return [V', C_out] from features [V, C_in] and weight [kernel volume, C_in, C_out]."""
        features, weight = autocast(features, weight)
        _check(features, weight, kernel_map.num_inputs)
        if not _needs_gradient(features, weight, epilogue):
            return torch.ops.ros_kd.convolve_packed(
                features, self._packed(weight, cache), weight.shape[2], *kernel_map.lists, kernel_map.num_outputs,
                kernel_map.tile, epilogue.bias, epilogue.residual, epilogue.slope)
        back = None if kernel_map.mirrored or not features.requires_grad else kernel_map.reversed()
        lists = (None, None, None, 0) if back is None else (*back.lists, back.tile)
        return epilogue(torch.ops.ros_kd.convolve(features, weight, *kernel_map.lists, kernel_map.num_outputs,
                                                  kernel_map.tile, *lists))

    def linear(self, features: Tensor, weight: Tensor, epilogue: Epilogue = NONE,
               cache: WeightCache | None = None) -> Tensor:
        """Return [N, C_out] from features [N, C_in] and weight [C_in, C_out]."""
        features, weight = autocast(features, weight)
        if _needs_gradient(features, weight, epilogue):
            return super().linear(features, weight, epilogue)
        _check(features, weight, features.shape[0])
        return torch.ops.ros_kd.convolve_packed(
            features, self._packed(weight[None], cache), weight.shape[1], None, None, None, features.shape[0], 1,
            epilogue.bias, epilogue.residual, epilogue.slope)

    def mean(self, features: Tensor, groups: Groups) -> Tensor:
        """Return the mean [groups.size, C] of the rows of each group; 0 for a group without rows."""
        return torch.ops.ros_kd.mean(features, groups.index, groups.size)

    def classify(self, logits: Tensor, offset: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Return the best class uint8 [V] of logits [V, K] + offset [K] and its probability float32 [V]."""
        return torch.ops.ros_kd.classify(logits, offset, temperature)

    def _packed(self, weight: Tensor, cache: WeightCache | None) -> Tensor:
        if cache is None or torch.compiler.is_compiling():  # compiled code cannot tell when the weights change
            return torch.ops.ros_kd.pack(weight)
        return cache.get(weight, self.instruction_set, lambda: torch.ops.ros_kd.pack(weight))


def _needs_gradient(features: Tensor, weight: Tensor, epilogue: Epilogue) -> bool:
    return torch.is_grad_enabled() and any(
        t is not None and t.requires_grad for t in (features, weight, epilogue.bias, epilogue.residual))


def _check(features: Tensor, weight: Tensor, rows: int) -> None:
    """Raise ValueError for features that kernels would read beyond, or of other channels than the weight's."""
    expected = (rows, weight.shape[-2])
    if not torch.compiler.is_compiling() and tuple(features.shape) != expected:
        raise ValueError(f'features have shape {tuple(features.shape)}, but kernel map and weight expect {expected}')


def _tile(rows: int) -> int:
    if torch.compiler.is_compiling():  # the code has to serve any number
        return _TILES[1][1]
    return next(tile for least, tile in _TILES if rows >= least)
