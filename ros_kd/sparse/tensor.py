# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Features on a sparse set of voxels."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from ros_kd.sparse import keys as packing
from ros_kd.sparse.backends import Backend, KernelMap, choose_backend


@dataclass(eq=False)
class Geometry:
    """What all tensors made from one input share: the voxels of each stride and the kernel maps between them."""

    backend: Backend
    keys: dict[int, Tensor] = field(default_factory=dict)
    maps: dict[tuple[int, int, str], KernelMap] = field(default_factory=dict)
    requested: str = 'auto'

    def submanifold(self, stride: int, kernel_size: int) -> KernelMap:
        """Return the map of a centred cubic kernel from the voxels of `stride` onto themselves."""
        place = (stride, kernel_size, 'submanifold')
        if place not in self.maps:
            self.maps[place] = self.backend.submanifold_map(self.keys[stride], kernel_size)
        return self.maps[place]

    def coarser(self, stride: int) -> Tensor:
        """Return the keys of the voxels of twice the stride, which are made if need be."""
        if 2 * stride not in self.keys:
            self.keys[2 * stride] = self.backend.coarser_keys(self.keys[stride])
        return self.keys[2 * stride]

    def strided(self, stride: int, kernel_size: int) -> KernelMap:
        """Return the map from the voxels of `stride` to those of twice the stride."""
        place = (stride, kernel_size, 'strided')
        if place not in self.maps:
            self.maps[place] = self.backend.strided_map(self.keys[stride], self.coarser(stride), kernel_size)
        return self.maps[place]

    def inverse(self, stride: int, kernel_size: int) -> KernelMap:
        """Return the map from the voxels of `stride` back to the finer ones. Raises ValueError if there are none."""
        if stride % 2 or stride // 2 not in self.keys:
            raise ValueError(f'no finer voxels below stride {stride}: an InverseConv3d undoes a SparseConv3d that '
                             f'this tensor went through; strides at hand: {sorted(self.keys)}')
        return self.strided(stride // 2, kernel_size).reversed()


class SparseTensor:
    """Features on occupied voxels of one or more scans.

    keys: int64 [V], ascending and unique, see ros_kd.sparse.keys. features: float [V, C]. stride: the edge of a voxel
    in voxels of the input; coordinates count voxels of this size. Rows are in the order of the keys, always.
    """

    def __init__(self, keys: Tensor, features: Tensor, stride: int = 1, batch_size: int = 1,
                 geometry: Geometry | None = None, backend: str = 'auto') -> None:
        """Hold keys and features. Raises ValueError if they disagree in length, or for an unknown backend."""
        if features.ndim != 2 or features.shape[0] != keys.shape[0]:
            raise ValueError(f'features have shape {tuple(features.shape)}, expected [{len(keys)}, C]: '
                             'one row per voxel')
        self.keys = keys
        self.features = features
        self.stride = stride
        self.batch_size = batch_size
        self.geometry = geometry or Geometry(
            choose_backend(keys.device, backend), {stride: keys}, requested=backend)

    @classmethod
    def from_coordinates(cls, coordinates: Tensor, features: Tensor, batch: Tensor | None = None,
                         batch_size: int | None = None, backend: str = 'auto') -> SparseTensor:
        """Sort voxels with integer coordinates [V, 3], features [V, C], in the scans `batch` int [V] (None: one scan).

        Raises ValueError for coordinates out of range (see ros_kd.sparse.keys) and for a voxel given twice.
        """
        keys, order = packing.pack(coordinates, batch).sort()
        if len(keys) > 1 and bool((keys[1:] == keys[:-1]).any()):
            twice = int((keys[1:] == keys[:-1]).sum())
            raise ValueError(f'{twice} of {len(keys)} voxels are given twice: average the points of a voxel first')
        if batch_size is None:
            batch_size = 1 if batch is None else int(batch.max()) + 1 if len(batch) else 0
        return cls(keys, features[order], 1, batch_size, backend=backend)

    def __len__(self) -> int:
        return len(self.keys)

    def __repr__(self) -> str:
        return (f'SparseTensor({len(self)} voxels, {self.features.shape[1]} channels, stride {self.stride}, '
                f'{self.batch_size} scans, {self.features.device}, backend {self.geometry.backend.name})')

    @property
    def coordinates(self) -> Tensor:
        """Integer coordinates int64 [V, 3], in voxels of this stride."""
        return packing.unpack(self.keys)

    @property
    def batch(self) -> Tensor:
        """The scan of each voxel, int64 [V]."""
        return packing.batch_index(self.keys)

    def with_features(self, features: Tensor) -> SparseTensor:
        """Return the same voxels with other features [V, C]."""
        return SparseTensor(self.keys, features, self.stride, self.batch_size, self.geometry)

    def at_stride(self, stride: int, features: Tensor) -> SparseTensor:
        """Return features [V', C] on the voxels that the shared geometry has for `stride`."""
        return SparseTensor(self.geometry.keys[stride], features, stride, self.batch_size, self.geometry)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> SparseTensor:
        """Return the tensor on another device; kernel maps are built anew there."""
        if torch.device(device) == self.keys.device:
            return self
        keys, features = (t.to(device, non_blocking=non_blocking) for t in (self.keys, self.features))
        return SparseTensor(keys, features, self.stride, self.batch_size, backend=self.geometry.requested)
