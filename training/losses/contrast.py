# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""InfoNCE between points and the pixels that they project to: each point shall know its own pixel among all others.

By pairs: PPKT (Liu et al. 2021, "Learning from 2D: Contrastive Pixel-to-Point Knowledge Transfer", eq. 1), UDAKD. By
superpixels: SLidR (Sautier et al. 2022, "Image-to-Lidar Self-Supervised Distillation", eq. 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from training.losses.features import unit
from training.losses.reduction import weighted_mean

TEMPERATURE = 0.07


@dataclass(frozen=True, eq=False)
class Pairs:
    """points: [M, D], the student's embeddings. pixels: [M, D], the image's at the same places. weight: float32 [M]."""

    points: Tensor
    pixels: Tensor
    weight: Tensor | None = None

    def __len__(self) -> int:
        return len(self.points)

    def at(self, rows: Tensor) -> Pairs:
        """Return the pairs int64 [M'] of these rows."""
        return Pairs(self.points[rows], self.pixels[rows], None if self.weight is None else self.weight[rows])


def info_nce(pairs: Pairs, temperature: float = TEMPERATURE) -> Tensor:
    """Return the mean over the rows i of -log(exp(s_ii / T) / sum_j exp(s_ij / T)), s_ij = cos(point i, pixel j).

    3D to 2D: each point chooses among the pixels. The weight is that of a row's own term; every row is a wrong choice
    for all others. Gradients go through both sides. M^2 similarities are kept: `draw` some rows of many.
    """
    similarity = _similarity(pairs) / temperature
    own = torch.arange(len(pairs), device=similarity.device)
    return weighted_mean(functional.cross_entropy(similarity, own, reduction='none'), pairs.weight)


def retrieval(pairs: Pairs) -> Tensor:
    """Return the share of points (0..1, a float) whose own pixel is the most similar one of all; nan without pairs."""
    if len(pairs) == 0:
        return torch.full((), torch.nan, device=pairs.points.device)
    similarity = _similarity(pairs)
    return (similarity.argmax(1) == torch.arange(len(pairs), device=similarity.device)).float().mean()


def _similarity(pairs: Pairs) -> Tensor:
    # Half precision, divided by a small temperature, could not tell similar pixels apart.
    with torch.autocast(pairs.points.device.type, enabled=False):
        return unit(pairs.points) @ unit(pairs.pixels).T


def draw(count: int, most: int, generator: torch.Generator) -> Tensor:
    """Return int64 [min(count, most)], different rows 0..count - 1 by chance; all of them, in order, if few enough.

    generator: on the CPU, so that the same seed draws the same rows on every device.
    """
    if count <= most:
        return torch.arange(count)
    return torch.randperm(count, generator=generator)[:most]


def draw_apart(place: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Return int64 [at most `most`], different rows by chance, no two of which have the same place int64 [M].

    Points of a voxel have one embedding, so that each would be a wrong choice for the other that nobody can avoid.
    generator: see `draw`.
    """
    chance = torch.randperm(len(place), generator=generator).to(place.device)
    names, inverse = place[chance].unique(return_inverse=True)
    rank = torch.arange(len(place), device=place.device)
    first = rank.new_full((len(names),), len(place)).scatter_reduce_(0, inverse, rank, 'amin')
    return chance[first.sort().values[:most]]


def pooled(pairs: Pairs, group: Tensor) -> Pairs:
    """Return one pair for each group: weighted means of its unit points and of its unit pixels, and its mean weight.

    group: int64 [M], any numbers; rows of a negative one belong to none. Groups that weigh nothing are left out.
    """
    weight = pairs.points.new_ones(len(pairs)) if pairs.weight is None else pairs.weight
    kept = ((group >= 0) & (weight > 0)).nonzero()[:, 0]
    weight = weight[kept]
    names, inverse = group[kept].unique(return_inverse=True)

    def sums(values: Tensor) -> Tensor:
        return values.new_zeros(len(names), *values.shape[1:]).index_add(0, inverse, values)

    mass = sums(weight)
    points, pixels = (sums(weight[:, None] * unit(values[kept])) / mass[:, None]
                      for values in (pairs.points, pairs.pixels))
    return Pairs(points, pixels, mass / sums(torch.ones_like(weight)))
