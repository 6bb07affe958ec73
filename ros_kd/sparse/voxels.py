# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Which voxel each point lies in, in torch."""

from __future__ import annotations

import torch
from torch import Tensor

from ros_kd.sparse import keys as packing

Range = tuple[float, float, float]


def voxel_keys(points: Tensor, lower: Range, upper: Range, size: float, scan: Tensor | None,
               ) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows [M] of the points [N, 3] in range, their voxels' keys [M] and x, y, z [3, M]; see Backend."""
    axes = points.T.contiguous()  # comparisons along an axis run at the memory's speed, across three do not
    inside = (axes[0] != 0) | (axes[1] != 0) | (axes[2] != 0)  # drivers write zeros where nothing came back
    for axis, low, high in zip(axes, lower, upper):
        inside &= (axis >= low) & (axis < high)
    rows = inside.nonzero().squeeze(1)
    chosen = axes.index_select(1, rows)
    cells = torch.floor(chosen / size).long().T
    return rows, packing.pack_unchecked(cells, None if scan is None else scan[rows]), chosen
