# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0
"""Kernel maps in torch: which input voxel meets which output voxel under which weight of the kernel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Iterator

import torch
from torch import Tensor

from ros_kd.sparse import keys as packing

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True, eq=False)
class PairMap:
    """For each weight of a kernel (x slowest, z fastest) the rows that it joins.

    pairs: one (input rows int64 [P], output rows int64 [P]) for each weight; no output row twice within a pair.
    identity: the index of the weight that joins every row with itself, its pair left empty; None if there is none.
    """

    pairs: tuple[Pair, ...]
    num_inputs: int
    num_outputs: int
    identity: int | None = None

    @cached_property
    def longest(self) -> int:
        """The rows of the longest pair."""
        return max(len(inputs) for inputs, _ in self.pairs)

    def reversed(self) -> PairMap:
        """Return the map of the transposed convolution."""
        return PairMap(tuple((b, a) for a, b in self.pairs), self.num_outputs, self.num_inputs, self.identity)


def columns(first: int, size: int) -> list[int]:
    """Return the key differences to the lowest voxel of each column (x, y) of a kernel; it has `size` voxels upwards.

    first: the lowest offset along each axis, -1 for a centred kernel of 3 and 0 for one that covers a cell.
    """
    offsets = range(first, first + size)
    return [packing.delta(dx, dy, first) for dx, dy in product(offsets, offsets)]


def submanifold_map(keys: Tensor, kernel_size: int) -> PairMap:
    """Return the map of a centred cubic kernel from sorted keys [V] onto themselves.

    One binary search serves the voxels of a column, and the half of the kernel behind the centre mirrors the half
    before it, so that a kernel of 3 takes 4 searches instead of 27.
    """
    half, volume = kernel_size // 2, kernel_size ** 3
    empty = keys.new_empty(0)
    pairs: list[Pair] = [(empty, empty)] * volume
    before = columns(-half, kernel_size)[:kernel_size ** 2 // 2]
    for offset, (others, rows) in enumerate(_search(keys, keys, before, kernel_size)):
        pairs[offset], pairs[volume - 1 - offset] = (others, rows), (rows, others)
    for distance in range(1, half + 1):  # within the centre's column neighbours are next to each other in the list
        lower, upper = _below(keys, distance)
        pairs[volume // 2 - distance], pairs[volume // 2 + distance] = (lower, upper), (upper, lower)
    return PairMap(tuple(pairs), len(keys), len(keys), identity=volume // 2)


def _search(keys: Tensor, base: Tensor, differences: list[int], run: int) -> Iterator[Pair]:
    """Yield for each column and height the rows of `keys` [V] found at base [M] + difference + height, and of base."""
    padded = torch.cat([keys, keys.new_full((run,), packing.SENTINEL)])
    for difference in differences:
        target = base + difference
        place = torch.searchsorted(keys, target)
        for height in range(run):
            hit = padded[place] == target
            rows = hit.nonzero().squeeze(1)
            yield place[rows], rows
            if height < run - 1:
                place, target = place + hit, target + 1


def _below(keys: Tensor, distance: int) -> Pair:
    """Return the rows of voxels that have another one `distance` above them, and those."""
    found = []
    for back in range(1, distance + 1):
        rows = (keys[back:] - keys[:-back] == distance).nonzero().squeeze(1)
        found.append((rows, rows + back))
    return torch.cat([a for a, _ in found]), torch.cat([b for _, b in found])


def coarser_keys(keys: Tensor) -> Tensor:
    """Return the sorted keys of the cells of twice the size that hold the voxels `keys` [V]."""
    return torch.unique(packing.halve(keys)[0])


def strided_map(keys: Tensor, coarse: Tensor, kernel_size: int) -> PairMap:
    """Return the map of stride 2 from sorted keys [V] to `coarse`, which is coarser_keys(keys).

    Kernel size 2 covers the cell; 3 is centred on the cell's first voxel (coordinate * 2), one voxel to each side.
    """
    if kernel_size == 2:
        parents, place = packing.halve(keys)
        outputs = torch.searchsorted(coarse, parents)
        chosen = [(place == i).nonzero().squeeze(1) for i in range(8)]
        return PairMap(tuple((rows, outputs[rows]) for rows in chosen), len(keys), len(coarse))
    pairs = _search(keys, packing.double(coarse), columns(-1, kernel_size), kernel_size)
    return PairMap(tuple(pairs), len(keys), len(coarse))
