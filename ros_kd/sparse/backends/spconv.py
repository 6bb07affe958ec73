# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Sparse convolution by spconv 2.3, for CUDA tensors; on the CPU only where it is asked for by name.

spconv takes voxels as coordinates in a grid that starts at 0, and gives wrong sums without a word where one lies
outside, and where the grid has more cells than an int32 counts. So the voxels are moved into the smallest grid that
holds them, and torch's backend computes what spconv cannot: larger grids, and tensors without voxels.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ros_kd.sparse import keys as packing
from ros_kd.sparse.backends.torch import TorchBackend, autocast
from ros_kd.sparse.epilogue import NONE, Epilogue
from ros_kd.sparse.maps import PairMap
from ros_kd.sparse.spconv_weights import to_spconv
from ros_kd.sparse.weight_cache import WeightCache

MOST_CELLS = 2 ** 31 - 1
MOST_MASKED = 32  # weights of a kernel that spconv's fast algorithm takes

_LOG = logging.getLogger(__name__)
_PAIRS = 'pairs'


@lru_cache(maxsize=None)
def library() -> ModuleType:
    """Return spconv.pytorch. Raises ImportError if it is not installed or is the build for the CPU, which is wrong."""
    import spconv.pytorch as spconv
    from spconv.cppconstants import CPU_ONLY_BUILD
    if CPU_ONLY_BUILD:
        raise ImportError('the package "spconv" adds up wrongly on the CPU with two or more threads: uninstall it and '
                          'install spconv-cu118 or spconv-cu126, which also compute on the CPU and need no CUDA there')
    return spconv


@lru_cache(maxsize=None)
def _installed() -> bool:
    return find_spec('spconv') is not None  # an import would take seconds, for a backend that the CPU seldom uses


@lru_cache(maxsize=None)
def _loads() -> bool:
    try:
        library()
    except ImportError as error:
        _LOG.warning('spconv is not used: %s', error)
        return False
    return True


@dataclass(eq=False)
class Grid:
    """Voxels as spconv wants them.

    indices: int32 [V, 4], scan, x, y, z from 0, in the order of the keys. shape: of the grid, even numbers. origin: the
    coordinates int64 [3] of its first cell, even numbers too, so that cells of twice the size are the same.
    """

    indices: Tensor
    shape: list[int]
    origin: Tensor
    scans: int

    @classmethod
    def of(cls, keys: Tensor) -> Grid:
        """Return the smallest grid around voxels with keys [V], V > 0."""
        coordinates, scan = packing.unpack(keys), packing.batch_index(keys)
        origin = torch.div(coordinates.amin(0), 2, rounding_mode='floor') * 2
        coordinates -= origin
        shape = [(most // 2 + 1) * 2 for most in coordinates.amax(0).tolist()]
        return cls(torch.cat([scan[:, None], coordinates], 1).int(), shape, origin, int(scan[-1]) + 1)

    @property
    def cells(self) -> int:
        """How many cells the grids of all scans have."""
        return self.scans * self.shape[0] * self.shape[1] * self.shape[2]


@dataclass(eq=False)
class GridMap:
    """What spconv needs to find a kernel's pairs, and keeps of them.

    coarse: the keys of the outputs of a convolution of stride 2, None for one onto the same voxels. pairs: spconv's
    own, shared by a map and its reverse. rows: the place of each of our outputs among spconv's. transposed: whether
    this is the map of the transposed convolution.
    """

    grid: Grid
    kernel_size: int
    num_inputs: int
    num_outputs: int
    coarse: Tensor | None = None
    pairs: dict[str, Any] = field(default_factory=dict)
    rows: list[Tensor] = field(default_factory=list)
    transposed: bool = False

    def reversed(self) -> GridMap:
        """Return the map of the transposed convolution."""
        if self.coarse is None:
            raise ValueError('a convolution onto the same voxels is not undone by an InverseConv3d')
        return GridMap(self.grid, self.kernel_size, self.num_outputs, self.num_inputs, self.coarse, self.pairs,
                       self.rows, not self.transposed)

    def convolve(self, features: Tensor, weight: Tensor) -> Tensor:
        """Return [num_outputs, C_out] of features [num_inputs, C_in] and a weight in spconv's layout."""
        if self.coarse is None:
            return self._run('SubMConv3d', features, weight, self.grid.indices, self.grid.shape).features
        if not self.transposed:
            return self._down(features, weight)[self.rows[0]]
        if not self.pairs:  # spconv finds them on the way down
            self._down(features.new_zeros(self.num_outputs, weight.shape[0]), weight.transpose(0, 4).contiguous())
        pairs = self.pairs[_PAIRS]
        spread = features.new_zeros(len(pairs.out_indices), features.shape[1]).index_copy(0, self.rows[0], features)
        return self._run('SparseInverseConv3d', spread, weight, pairs.out_indices, pairs.out_spatial_shape).features

    def _down(self, features: Tensor, weight: Tensor) -> Tensor:
        """Return the convolution of stride 2 with outputs in spconv's order, which may be more than ours."""
        self.pairs.clear()  # spconv refuses to use them again on the way down, and may order its outputs anew
        result = self._run('SparseConv3d', features, weight, self.grid.indices, self.grid.shape)
        indices = result.indices.long()
        keys, order = packing.pack_unchecked(indices[:, 1:] + self.grid.origin // 2, indices[:, 0]).sort()
        self.rows[:] = [order[torch.searchsorted(keys, self.coarse)]]
        return result.features

    def _run(self, kind: str, features: Tensor, weight: Tensor, indices: Tensor, shape: list[int]) -> Any:
        out_channels, in_channels = weight.shape[0], weight.shape[4]
        layer = _layer(kind, in_channels, out_channels, self.kernel_size, features.is_cuda)
        tensor = library().SparseConvTensor(features.contiguous(), indices, shape, self.grid.scans,
                                            indice_dict=self.pairs)
        result = torch.func.functional_call(layer, {'weight': weight}, (tensor,))
        self.pairs.update(result.indice_dict)
        return result


@lru_cache(maxsize=None)
def _layer(kind: str, in_channels: int, out_channels: int, kernel_size: int, on_gpu: bool) -> nn.Module:
    """Return a layer without a weight. It stays in training mode, in which spconv finds the pairs for gradients too."""
    spconv = library()
    masked = on_gpu and kernel_size ** 3 <= MOST_MASKED
    options = {'SparseConv3d': {'stride': 2, 'padding': kernel_size // 2 if kernel_size % 2 else 0}}
    with torch.device('meta'):
        return getattr(spconv, kind)(
            in_channels, out_channels, kernel_size, bias=False, indice_key=_PAIRS,
            algo=spconv.ConvAlgo.MaskImplicitGemm if masked else spconv.ConvAlgo.Native, **options.get(kind, {}))


class SpconvBackend(TorchBackend):
    """Runs where a spconv wheel for CUDA is installed.

    It computes in float32, and in float16 on the GPU; spconv has no bfloat16, which is converted there and back.
    """

    name = 'spconv'

    def supports(self, device: torch.device) -> bool:
        """Tell whether spconv is installed and the device is a GPU or the CPU."""
        return _installed() and (device.type == 'cpu' or device.type == 'cuda' and _loads())

    def submanifold_map(self, keys: Tensor, kernel_size: int) -> GridMap | PairMap:
        """Return the map of a centred cubic kernel (3 or 5) onto the same voxels."""
        grid = _grid(keys)
        if grid is None:
            return super().submanifold_map(keys, kernel_size)
        return GridMap(grid, kernel_size, len(keys), len(keys))

    def strided_map(self, keys: Tensor, coarse: Tensor, kernel_size: int) -> GridMap | PairMap:
        """Return the map of stride 2 (kernel 2 or 3) to `coarse`, which is coarser_keys(keys)."""
        grid = _grid(keys)
        if grid is None:
            return super().strided_map(keys, coarse, kernel_size)
        return GridMap(grid, kernel_size, len(keys), len(coarse), coarse)

    def convolve(self, features: Tensor, weight: Tensor, kernel_map: GridMap | PairMap, epilogue: Epilogue = NONE,
                 cache: WeightCache | None = None) -> Tensor:
        """Return [V', C_out] from features [V, C_in] and weight [kernel volume, C_in, C_out]."""
        if isinstance(kernel_map, PairMap):
            return super().convolve(features, weight, kernel_map, epilogue, cache)
        features, weight = autocast(features, weight)
        dtype = torch.float16 if features.is_cuda and features.dtype == torch.float16 else torch.float32

        def converted() -> Tensor:
            return to_spconv(weight.to(dtype))
        keeps = cache is not None and not (torch.is_grad_enabled() and weight.requires_grad)
        with ExitStack() as stack:
            stack.enter_context(torch.autocast(features.device.type, enabled=False))  # it would take float16 by itself
            stack.enter_context(torch.cuda.device_of(features))
            result = kernel_map.convolve(
                features.to(dtype), cache.get(weight, f'spconv {dtype}', converted) if keeps else converted())
        return epilogue(result.to(features.dtype))


def _grid(keys: Tensor) -> Grid | None:
    """Return the grid of voxels, None for one that spconv does not get right."""
    library()
    if not len(keys):
        return None
    grid = Grid.of(keys)
    if grid.cells <= MOST_CELLS:
        return grid
    _say_too_large()
    return None


@lru_cache(maxsize=None)
def _say_too_large() -> None:
    _LOG.warning('torch computes sparse convolutions on grids of more than 2^31 voxels, which spconv gets wrong: crop '
                 'the range, enlarge the voxels or take fewer scans at a time')
