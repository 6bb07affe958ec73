# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The ways to compute a sparse convolution, and which one serves which tensor."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ros_kd.sparse.backends.native import NativeBackend
from ros_kd.sparse.backends.spconv import SpconvBackend
from ros_kd.sparse.backends.torch import TorchBackend
from ros_kd.sparse.epilogue import NONE, Epilogue
from ros_kd.sparse.groups import Groups
from ros_kd.sparse.voxels import Range
from ros_kd.sparse.weight_cache import WeightCache


class KernelMap(Protocol):
    """Which input voxel meets which output voxel under which weight; what it holds is the backend's own affair."""

    num_inputs: int
    num_outputs: int

    def reversed(self) -> KernelMap:
        """Return the map of the transposed convolution."""


class Backend(Protocol):
    """Builds kernel maps of sorted keys int64 [V] (see ros_kd.sparse.keys) and computes on features [V, C].

    Features and weights are float32 or bfloat16 and may have gradients.
    """

    name: str

    def supports(self, device: torch.device) -> bool:
        """Tell whether the backend is installed and computes on `device`."""

    def voxel_keys(self, points: Tensor, lower: Range, upper: Range, size: float,
                   scan: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the rows int64 [M] of the points in range, the keys int64 [M] of their voxels, and their x, y and z
        float32 [3, M], in the points' order.

        points: float32 [N, 3], metres; those that are NaN, infinite or exactly 0 0 0 are none. lower, upper: the range
        x y z in metres, `upper` outside of it. size: a voxel's edge, metres. scan: int64 [N] of each point, None: 0.
        """

    def unique(self, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys int64 [N] in any order sorted, each once, and the place int64 [N] of each in them."""

    def coarser_keys(self, keys: Tensor) -> Tensor:
        """Return the sorted keys of the cells of twice the size that hold the voxels."""

    def submanifold_map(self, keys: Tensor, kernel_size: int) -> KernelMap:
        """Return the map of a centred cubic kernel (3 or 5) onto the same voxels."""

    def strided_map(self, keys: Tensor, coarse: Tensor, kernel_size: int) -> KernelMap:
        """Return the map of stride 2 (kernel 2 or 3) to `coarse`, which is coarser_keys(keys)."""

    def convolve(self, features: Tensor, weight: Tensor, kernel_map: KernelMap, epilogue: Epilogue = NONE,
                 cache: WeightCache | None = None) -> Tensor:
        """Return [V', C_out] from features [V, C_in] and weight [kernel volume, C_in, C_out].

        cache: of the layer, for weights in another form.
        """

    def linear(self, features: Tensor, weight: Tensor, epilogue: Epilogue = NONE,
               cache: WeightCache | None = None) -> Tensor:
        """Return [N, C_out] from features [N, C_in] and weight [C_in, C_out]."""

    def mean(self, features: Tensor, groups: Groups) -> Tensor:
        """Return the mean [groups.size, C] of the rows of each group; 0 for a group without rows."""

    def classify(self, logits: Tensor, offset: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        """Return the best class uint8 [V] and its probability float32 [V], without gradients.

        The best of (logits [V, K] + offset [K]) / temperature; an offset of -inf rules a class out. K is at most 256.
        """


BACKENDS: dict[str, Backend] = {'native': NativeBackend(), 'spconv': SpconvBackend(), 'torch': TorchBackend()}
"""By name."""

AUTOMATIC = {'cpu': ('native', 'torch'), 'cuda': ('spconv', 'torch')}
"""By type of device, what "auto" chooses from, the fastest first; spconv on a CPU only if it is asked for by name."""


def choose_backend(device: torch.device, name: str = 'auto') -> Backend:
    """Return the backend called `name`, or the first of AUTOMATIC that supports `device` for "auto".

    Raises ValueError naming the valid choices.
    """
    for candidate in AUTOMATIC.get(device.type, ('torch',)) if name == 'auto' else (name,):
        if candidate in BACKENDS and BACKENDS[candidate].supports(device):
            return BACKENDS[candidate]
    usable = [key for key, backend in BACKENDS.items() if backend.supports(device)]
    raise ValueError(f'backend "{name}" of sparse convolutions is not available for {device} tensors; '
                     f'available: {["auto", *usable]}')
