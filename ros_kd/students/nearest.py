# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""What points beyond a student's range are called: as the nearest voxels are."""

from __future__ import annotations

import torch
from torch import Tensor

from ros_kd.sparse import Backend, Groups
from ros_kd.sparse import keys as packing

BLOCK = 16
_ROWS = 1024
_VOXELS = 8192


def nearest_logits(points: Tensor, keys: Tensor, logits: Tensor, voxel_size: float, backend: Backend) -> Tensor:
    """Return for each point [M, 3], metres, the mean of the logits [V, K] in the nearest block that holds voxels.

    A block is 16 x 16 x 16 voxels: there are some thousand times fewer pairs of blocks than of points and voxels. Every
    n-th voxel counts, so that some ten thousand do.
    """
    voxels = (points / voxel_size).floor().clamp(packing.LOWEST, packing.HIGHEST).long()
    step = max(1, len(keys) // _VOXELS)
    keys, logits = keys[::step], logits[::step]
    cells, cell_of_point = backend.unique(packing.cell_keys(packing.pack_unchecked(voxels), BLOCK))
    blocks, block_of_voxel = backend.unique(packing.cell_keys(keys, BLOCK))
    means = backend.mean(logits, Groups(block_of_voxel, len(blocks)))
    cells, blocks = packing.unpack(cells).float(), packing.unpack(blocks).float()
    square = blocks.square().sum(1)  # |c - b|^2 is smallest where |b|^2 - 2 c b is
    nearest = torch.cat([torch.addmm(square, rows, blocks.T, alpha=-2).argmin(1) for rows in cells.split(_ROWS)])
    return means[nearest[cell_of_point]]
