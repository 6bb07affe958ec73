# Copyright 2026 The ros_kd authors
# SPDX-License-Identifier: Apache-2.0

"""The Lovász-softmax loss (Berman et al. 2018, "The Lovász-Softmax loss", CVPR), which stands for the mean IoU."""

from __future__ import annotations

import torch
from torch import Tensor


def lovasz_softmax(logits: Tensor, labels: Tensor, count: Tensor | None = None) -> Tensor:
    """Return the Lovász-softmax loss of logits [M, C] for labels int64 [M]: `lovasz` of their softmax."""
    return lovasz(logits.softmax(1), labels, count)


def lovasz(probabilities: Tensor, labels: Tensor, count: Tensor | None = None) -> Tensor:
    """Return the mean over the classes c in the labels of the Lovász extension of 1 - IoU_c at the errors m(c).

    m_i(c) = 1 - p_ic where i is labelled c, else p_ic (eq. 8 and 9). probabilities: [M, C], rows sum to 1. labels:
    int64 [M], all of them classes: ignored points are left out by the caller. count: int64 [M], how many points of the
    same probabilities and label each row stands for; None: one each. 0 (with a gradient) without points.
    Raises ValueError for a label that is no class.
    """
    if len(labels) == 0:
        return probabilities.sum()
    present = labels.unique()
    if present[0] < 0 or present[-1] >= probabilities.shape[1]:
        raise ValueError(f'labels {int(present[0])} to {int(present[-1])} for {probabilities.shape[1]} classes: leave '
                         'ignored points out before the loss')
    own = labels[:, None] == present
    errors, order = (own.float() - probabilities[:, present]).abs().sort(0, descending=True)
    points = 1 if count is None else count[order]
    return (errors * _jaccard_gradient(own.gather(0, order), points).to(errors.dtype)).sum() / len(present)


def _jaccard_gradient(own: Tensor, points: Tensor | int) -> Tensor:
    """Differences [M, P] of 1 - IoU as rows bool [M, P], of so many points each, become errors one by one (algorithm 1
    of the paper; equal errors give the same sum in any order, so that the points of a row can become errors at once)."""
    missed = (own * points).cumsum(0)  # whole numbers: float32 ones lose count beyond 2 ** 24 points
    invented = (~own * points).cumsum(0)
    total = missed[-1]
    jaccard = 1 - (total - missed).double() / (total + invented)
    return torch.cat([jaccard[:1], jaccard.diff(dim=0)])
