# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Kernel maps: which input voxel meets which output voxel under which weight of the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from ros_kd.sparse import keys as packing

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class KernelMap:
    """For each weight of a kernel (x slowest, z fastest) the rows that it joins.

    pairs: one (input rows int64 [P], output rows int64 [P]) for each weight; no output row twice within a pair.
    identity: the index of the weight that joins every row with itself, its pair left empty; None if there is none.
    """

    pairs: tuple[Pair, ...]
    num_inputs: int
    num_outputs: int
    identity: int | None = None

    def reversed(self) -> KernelMap:
        """Return the map of the transposed convolution."""
        return KernelMap(tuple((b, a) for a, b in self.pairs), self.num_outputs, self.num_inputs, self.identity)


def submanifold_map(keys: Tensor) -> KernelMap:
    """Return the 3x3x3 map of sorted keys [V] onto themselves.

    One binary search serves the three voxels of a column, and the half of the kernel behind the centre mirrors the
    half before it, so 4 searches do instead of 27.
    """
    empty = keys.new_empty(0)
    pairs: list[Pair] = [(empty, empty)] * 27
    padded = torch.cat([keys, keys.new_full((3,), packing.SENTINEL)])
    for column in range(4):
        target = keys + packing.delta(column // 3 - 1, column % 3 - 1, -1)
        place = torch.searchsorted(keys, target)
        for height in range(3):
            hit = padded[place] == target
            rows = hit.nonzero().squeeze(1)
            others = place[rows]
            offset = 3 * column + height
            pairs[offset], pairs[26 - offset] = (others, rows), (rows, others)
            if height < 2:
                place, target = place + hit, target + 1
    below = (keys[1:] - keys[:-1] == 1).nonzero().squeeze(1)
    pairs[12], pairs[14] = (below, below + 1), (below + 1, below)
    return KernelMap(tuple(pairs), len(keys), len(keys), identity=13)


def coarser_keys(keys: Tensor) -> Tensor:
    """Return the sorted keys of the cells of twice the size that hold the voxels `keys` [V]."""
    return torch.unique(packing.halve(keys)[0])


def strided_map(keys: Tensor, coarse: Tensor, kernel_size: int) -> KernelMap:
    """Return the map of stride 2 from sorted keys [V] to `coarse`, which is coarser_keys(keys).

    Kernel size 2 covers the cell; 3 is centred on the cell's first voxel (coordinate * 2), one voxel to each side.
    """
    if kernel_size == 2:
        parents, place = packing.halve(keys)
        outputs = torch.searchsorted(coarse, parents)
        chosen = [(place == i).nonzero().squeeze(1) for i in range(8)]
        return KernelMap(tuple((rows, outputs[rows]) for rows in chosen), len(keys), len(coarse))
    first = packing.double(coarse)
    pairs = []
    for offset in product((-1, 0, 1), repeat=3):
        target = first + packing.delta(*offset)
        place = torch.searchsorted(keys, target).clamp_(max=max(len(keys) - 1, 0))
        rows = (keys[place] == target).nonzero().squeeze(1)
        pairs.append((place[rows], rows))
    return KernelMap(tuple(pairs), len(keys), len(coarse))
