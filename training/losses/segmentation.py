# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The loss of a classifier that is trained with labels: balanced cross-entropy and Lovász-softmax."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from training.losses.divergence import balance
from training.losses.lovasz import lovasz_softmax
from training.losses.reduction import weighted_mean


@dataclass(frozen=True, eq=False)
class Labelled:
    """Rows of scores and what they should say; points that share both, as those of a voxel do, are one entry.

    row: int64 [R], of the scores. label: int64 [R]. weight: float32 [R], of all its points together in a mean over
    points. count: int64 [R], how many points.
    """

    row: Tensor
    label: Tensor
    weight: Tensor
    count: Tensor

    @classmethod
    def of(cls, row: Tensor, label: Tensor, weight: Tensor) -> Labelled:
        """Take points with the scores in `row` int64 [M]. label: int64 [M]. weight: float32 [M]."""
        return cls(row, label, weight, torch.ones_like(row)).at(torch.arange(int(row.max()) + 1 if len(row) else 0,
                                                                             device=row.device))

    def at(self, coarser: Tensor) -> Labelled:
        """Return the same for scores of which row r has become row coarser[r], int64 [V]."""
        row = coarser[self.row]
        classes = int(self.label.max()) + 1 if len(row) else 1
        key, place = torch.unique(row * classes + self.label, return_inverse=True)
        weight = self.weight.new_zeros(len(key)).index_add_(0, place, self.weight)
        count = self.count.new_zeros(len(key)).index_add_(0, place, self.count)
        return Labelled(torch.div(key, classes, rounding_mode='floor'), key % classes, weight, count)


def lovasz_at(logits: Tensor, labelled: Labelled) -> Tensor:
    """Return the Lovász-softmax loss over all points of `labelled`, whose scores are its rows of the logits [V, K]."""
    return lovasz_softmax(logits[labelled.row], labelled.label, labelled.count)


class SegmentationLoss(nn.Module):
    """Cross-entropy + lovasz * Lovász-softmax, as 2DPASS (Yan et al. 2022) trains each of its classifiers.

    classes: K. lovasz: weight of the second term. class_weight: float32 [K] in the cross-entropy, 1 until `balance`.
    """

    def __init__(self, classes: int, lovasz: float = 1.0) -> None:
        super().__init__()
        self.lovasz = lovasz
        self.register_buffer('class_weight', torch.ones(classes), persistent=False)

    def balance(self, mass: Tensor, exponent: float) -> None:
        """Weigh classes with shares `mass` [K] of the targets by (f_max / f) ** exponent (2DPASS: 1/3)."""
        self.class_weight.copy_(balance(mass, exponent))

    def forward(self, logits: Tensor, label: Tensor, weight: Tensor | None = None,
                count: Tensor | None = None) -> Tensor:
        """Return the loss of logits [M, K] for labels int64 [M]; 0 (with a gradient) without points.

        weight: float32 [M], in the cross-entropy beside the classes'; None: all alike. count: int64 [M], how many points
        each row stands for in the Lovász loss; None: one each.
        """
        logits = logits.float()
        wrong = -logits.log_softmax(1).gather(1, label[:, None])[:, 0]
        balanced = self.class_weight[label]
        loss = weighted_mean(wrong, balanced if weight is None else balanced * weight)
        return loss + self.lovasz * lovasz_softmax(logits, label, count) if self.lovasz else loss

    def at(self, logits: Tensor, labelled: Labelled) -> Tensor:
        """Return the loss over all points of `labelled`, whose scores are its rows of the logits [V, K]."""
        return self(logits[labelled.row], labelled.label, labelled.weight, labelled.count)
