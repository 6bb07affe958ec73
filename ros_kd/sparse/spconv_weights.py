# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Weights in spconv's layouts and back; needs no spconv.

Ours are [kernel volume, C_in, C_out] (x slowest in the kernel). spconv names its layouts K for C_out, RS for the axes
of the kernel and C for C_in: KRSC [C_out, k, k, k, C_in] since 2.2, RSKC and RSCK before. A kernel of 1 is the
exception: spconv multiplies by weight.view(C_in, C_out), so that its memory is such a matrix whatever its shape says.
"""

from __future__ import annotations

from typing import Mapping

from torch import Tensor

_AXES = {'KRSC': (1, 2, 3, 4, 0), 'RSKC': (0, 1, 2, 4, 3), 'RSCK': (0, 1, 2, 3, 4)}
"""By layout: the kernel's axes, that of C_in and that of C_out."""


def from_spconv(weight: Tensor, layout: str = 'KRSC') -> Tensor:
    """Return spconv's weight as [kernel volume, C_in, C_out].

    Raises ValueError for a layout that spconv has not, and for a weight that is not one of a cubic 3D kernel.
    """
    axes = _axes(layout)
    if weight.ndim != 5 or len({weight.shape[axis] for axis in axes[:3]}) > 1:
        raise ValueError(f'weight has shape {tuple(weight.shape)}, expected that of a cubic 3D kernel in layout '
                         f'{layout}')
    in_channels, out_channels = (weight.shape[axis] for axis in axes[3:])
    if weight.shape[axes[0]] == 1:
        return weight.reshape(1, in_channels, out_channels)
    return weight.permute(axes).reshape(-1, in_channels, out_channels)


def to_spconv(weight: Tensor, layout: str = 'KRSC') -> Tensor:
    """Return a weight [kernel volume, C_in, C_out] in spconv's layout, contiguous.

    Raises ValueError for a layout that spconv has not, and for a weight that is not one of a cubic kernel.
    """
    axes = _axes(layout)
    size = round(weight.shape[0] ** (1 / 3)) if weight.ndim == 3 else 0
    if not size or size ** 3 != weight.shape[0]:
        raise ValueError(f'weight has shape {tuple(weight.shape)}, expected [kernel volume, C_in, C_out] of a cubic '
                         'kernel')
    cube = weight.reshape(size, size, size, *weight.shape[1:])
    places = [axes.index(axis) for axis in range(5)]
    if size == 1:
        return weight.reshape([cube.shape[place] for place in places]).contiguous()
    return cube.permute(places).contiguous()


def _axes(layout: str) -> tuple[int, ...]:
    if layout not in _AXES:
        raise ValueError(f'layout "{layout}" of spconv weights; choose one of {list(_AXES)}')
    return _AXES[layout]


def state_from_spconv(state: Mapping[str, Tensor], layout: str = 'KRSC') -> dict[str, Tensor]:
    """Return the state dict of a network of spconv's layers for the same network of ours.

    Weights of 5 dimensions are converted. Names stay: rename them first where the networks name layers differently.
    """
    return {name: from_spconv(value, layout) if value.ndim == 5 else value for name, value in state.items()}


def state_to_spconv(state: Mapping[str, Tensor], layout: str = 'KRSC') -> dict[str, Tensor]:
    """Return the state dict of a network of ours for the same network of spconv's layers."""
    return {name: to_spconv(value, layout) if value.ndim == 3 else value for name, value in state.items()}
