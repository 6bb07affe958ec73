# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The loss of a classifier that is trained with labels: balanced cross-entropy and Lovász-softmax."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.losses.divergence import balance, soft_cross_entropy
from training.losses.lovasz import lovasz_softmax


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

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of logits [M, K] for probabilities `target` [M, K], of which Lovász takes the likeliest.

        weight: [M], of each point in the cross-entropy. 0 (with a gradient) without points.
        """
        logits = logits.float()
        loss = soft_cross_entropy(logits, target, weight[:, None] * self.class_weight)
        return loss + self.lovasz * lovasz_softmax(logits, target.argmax(1)) if self.lovasz else loss
