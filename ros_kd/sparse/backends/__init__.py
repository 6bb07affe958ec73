# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""The ways to compute a sparse convolution, and which one serves which tensor."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from ros_kd.sparse.backends.torch import TorchBackend
from ros_kd.sparse.maps import KernelMap


class Backend(Protocol):
    """Builds kernel maps and convolves."""

    name: str

    def supports(self, device: torch.device) -> bool:
        """Tell whether the backend is installed and computes on `device`."""

    def submanifold_map(self, keys: Tensor) -> KernelMap:
        """Return the 3x3x3 map of sorted keys int64 [V] onto themselves."""

    def convolve(self, features: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
        """Return [V', C_out] from features [V, C_in] and weight [kernel volume, C_in, C_out], with gradients."""


BACKENDS: dict[str, Backend] = {'torch': TorchBackend()}
"""By name, the preferred ones first."""


def choose_backend(device: torch.device, name: str = 'auto') -> Backend:
    """Return the backend called `name`, or the first that supports `device` for "auto".

    Raises ValueError naming the valid choices.
    """
    usable = [key for key, backend in BACKENDS.items() if backend.supports(device)]
    if name != 'auto' and name not in usable:
        raise ValueError(f'backend "{name}" of sparse convolutions is not available for {device} tensors; '
                         f'available: {["auto", *usable]}')
    return BACKENDS[usable[0] if name == 'auto' else name]
